//! TLS for probes: with and without a look at the certificate.

use arc_swap::ArcSwapOption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
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
        self.given.store(Some(Arc::new(config(roots))));
    }

    /// A connector that verifies certificates, or one that takes any.
    pub fn connector(&self, verify: bool) -> TlsConnector {
        if !verify {
            return TlsConnector::from(Arc::clone(self.careless.get_or_init(|| Arc::new(careless()))));
        }
        match self.given.load_full() {
            Some(config) => TlsConnector::from(config),
            None => TlsConnector::from(Arc::clone(self.system.get_or_init(|| Arc::new(config(Arc::new(system_roots())))))),
        }
    }
}

fn config(roots: Arc<RootCertStore>) -> ClientConfig {
    builder().with_root_certificates(roots).with_no_client_auth()
}

fn careless() -> ClientConfig {
    builder().dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider()))).with_no_client_auth()
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    // The provider supports both versions, so this cannot fail; should it ever, no probe must bring the node down.
    ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap_or_else(|_| ClientConfig::builder())
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
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

/// For `https_verify_certificate: false`: whoever holds the key of the certificate shown will do.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(&self, message: &[u8], cert: &CertificateDer<'_>, dss: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(&self, message: &[u8], cert: &CertificateDer<'_>, dss: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
