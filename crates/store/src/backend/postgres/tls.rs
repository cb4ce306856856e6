//! Encrypted connections to Postgres.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::sync::Arc;
use tokio_postgres_rustls::MakeRustlsConnect;

/// What is verified.
#[derive(Clone, Default)]
pub struct Tls {
    /// The authorities that the server's certificate must come from; `None`: it is not verified.
    pub roots: Option<Arc<RootCertStore>>,
}

/// Takes any certificate: `pg_ssl_verify` is off.
#[derive(Debug)]
struct NoVerification(Arc<CryptoProvider>);

/// Makes encrypted connections. Where there is to be no encryption, nobody asks for it.
pub fn connector(tls: Option<&Tls>) -> Result<MakeRustlsConnect, String> {
    let unverified = Tls::default();
    let tls = tls.unwrap_or(&unverified);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let versions = versions.map_err(|e| e.to_string())?;
    let builder = match &tls.roots {
        Some(roots) => versions.with_root_certificates(roots.clone()),
        None => versions.dangerous().with_custom_certificate_verifier(Arc::new(NoVerification(provider))),
    };
    Ok(MakeRustlsConnect::new(builder.with_no_client_auth()))
}

impl ServerCertVerifier for NoVerification {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
