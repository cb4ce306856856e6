//! TLS for probes: with and without a look at the certificate.

use crate::tls;
use arc_swap::ArcSwapOption;
use rustls::{ClientConfig, RootCertStore};
use std::sync::{Arc, OnceLock};
use tokio_rustls::TlsConnector;

/// Makes connectors for probes. Built on first use: reading the system's authorities takes a while, and most nodes never need it.
#[derive(Default)]
pub struct ProbeTls {
    given: ArcSwapOption<ClientConfig>,
    system: OnceLock<Arc<ClientConfig>>,
    careless: OnceLock<Arc<ClientConfig>>,
}

impl ProbeTls {
    /// Trusts these authorities from now on, instead of those of the system.
    pub fn trust(&self, roots: Arc<RootCertStore>) {
        self.given.store(Some(tls::verifying(roots)));
    }

    /// A connector that verifies certificates, or one that takes any.
    pub fn connector(&self, verify: bool) -> TlsConnector {
        if !verify {
            return TlsConnector::from(Arc::clone(self.careless.get_or_init(tls::trusting)));
        }
        match self.given.load_full() {
            Some(config) => TlsConnector::from(config),
            None => TlsConnector::from(Arc::clone(self.system.get_or_init(|| tls::verifying(Arc::new(system_roots()))))),
        }
    }
}

fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "cannot read certificate authorities of the system");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    roots
}
