//! TLS for probes: with and without a look at the certificate, and with one of our own to be shown.

use crate::tls::{Certificates, Outbound};
use arc_swap::ArcSwapOption;
use model::entities::Uuid;
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// Makes connectors for probes.
#[derive(Default)]
pub struct ProbeTls {
    current: ArcSwapOption<(Outbound, Certificates)>,
}

impl ProbeTls {
    /// Takes terms and certificates into use.
    pub fn secure(&self, outbound: Outbound, certificates: Certificates) {
        self.current.store(Some(Arc::new((outbound, certificates))));
    }

    /// A connector that verifies certificates, or one that takes any, and shows the certificate of an upstream or that
    /// of the node. The error says what is missing.
    pub fn connector(&self, verify: bool, certificate: Option<Uuid>, http2: bool) -> Result<TlsConnector, String> {
        let current = self.current.load();
        let (outbound, certificates) = current.as_deref().ok_or("TLS is not set up yet")?;
        let mut config = outbound.probing(verify, certificate, certificates)?.config();
        if http2 {
            Arc::make_mut(&mut config).alpn_protocols = vec![b"h2".to_vec()];
        }
        Ok(TlsConnector::from(config))
    }
}
