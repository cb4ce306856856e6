//! Encrypted connections to Postgres.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion};
use std::sync::Arc;
use tokio_postgres_rustls::MakeRustlsConnect;

/// How connections are encrypted.
#[derive(Clone, Default)]
pub struct Tls {
    /// The authorities that the server's certificate must come from; `None`: it is not verified.
    pub roots: Option<Arc<RootCertStore>>,
    /// What this node shows of itself.
    pub identity: Option<(Vec<CertificateDer<'static>>, Arc<PrivateKeyDer<'static>>)>,
    /// The only version to be spoken; `None`: any.
    pub version: Option<&'static SupportedProtocolVersion>,
    /// A server that has no TLS is talked to without.
    pub optional: bool,
}

/// Takes any certificate: `pg_ssl_verify` is off.
#[derive(Debug)]
struct NoVerification(Arc<CryptoProvider>);

/// Makes encrypted connections. Where there is to be no encryption, nobody asks for it.
pub fn connector(tls: Option<&Tls>) -> Result<MakeRustlsConnect, String> {
    let unverified = Tls::default();
    let tls = tls.unwrap_or(&unverified);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = tls.version.map_or(rustls::ALL_VERSIONS.to_vec(), |version| vec![version]);
    let versions = ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(&versions);
    let versions = versions.map_err(|e| e.to_string())?;
    let builder = match &tls.roots {
        Some(roots) => versions.with_root_certificates(roots.clone()),
        None => versions.dangerous().with_custom_certificate_verifier(Arc::new(NoVerification(provider))),
    };
    let config = match &tls.identity {
        Some((chain, key)) => builder.with_client_auth_cert(chain.clone(), key.clone_key()),
        None => Ok(builder.with_no_client_auth()),
    };
    Ok(MakeRustlsConnect::new(config.map_err(|e| e.to_string())?))
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
