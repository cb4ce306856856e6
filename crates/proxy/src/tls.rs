//! TLS towards clients (certificates by server name) and towards services (verified or not).

use model::Record;
use model::entities::Uuid;
use rpds::HashTrieMapSync;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use std::sync::Arc;

/// Certificates by id and by server name; shares what did not change with its predecessor.
#[derive(Clone)]
pub struct Certificates {
    by_id: HashTrieMapSync<Uuid, Arc<CertifiedKey>>,
    /// Lower-cased name, possibly `*.example` or `example.*`, to the id of a certificate.
    names: HashTrieMapSync<String, Uuid>,
    default: Option<Arc<CertifiedKey>>,
}

impl Certificates {
    /// None but those for clients that name no known server.
    pub fn new(defaults: Vec<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>) -> Result<Certificates, String> {
        let mut keys = defaults.into_iter().map(|(chain, key)| certified(chain, &key));
        let default = keys.next().transpose()?;
        Ok(Certificates { by_id: HashTrieMapSync::new_sync(), names: HashTrieMapSync::new_sync(), default })
    }

    /// The same defaults, and nothing of the configuration.
    pub fn defaults(&self) -> Certificates {
        Certificates { by_id: HashTrieMapSync::new_sync(), names: HashTrieMapSync::new_sync(), default: self.default.clone() }
    }

    /// Takes a record of `certificates`.
    pub fn take_certificate(&mut self, record: &Record, deleted: bool) -> Result<(), String> {
        let id = uuid(record, "id")?;
        self.by_id.remove_mut(&id);
        if deleted {
            return Ok(());
        }
        let text = |field: &str| record.get(field).and_then(serde_json::Value::as_str).ok_or_else(|| format!("{field}: missing"));
        let chain = CertificateDer::pem_slice_iter(text("cert")?.as_bytes()).collect::<Result<Vec<_>, _>>().map_err(|e| format!("cert: {e}"))?;
        let key = PrivateKeyDer::from_pem_slice(text("key")?.as_bytes()).map_err(|e| format!("key: {e}"))?;
        self.by_id.insert_mut(id, certified(chain, &key)?);
        Ok(())
    }

    /// Takes a record of `snis`.
    pub fn take_sni(&mut self, record: &Record, deleted: bool) -> Result<(), String> {
        let name = record.get("name").and_then(serde_json::Value::as_str).ok_or("name: missing")?.to_ascii_lowercase();
        if deleted {
            self.names.remove_mut(&name);
            return Ok(());
        }
        let certificate = record.get("certificate").and_then(serde_json::Value::as_object).ok_or("certificate: missing")?;
        self.names.insert_mut(name, uuid(certificate, "id")?);
        Ok(())
    }

    /// The certificate for a server name: exact, then `*.` and `.*` wildcards, then `*`, then the default.
    fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let named = |key: &str| self.names.get(key).and_then(|id| self.by_id.get(id)).cloned();
        let found = name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            let left = name.split_once('.').map(|(_, rest)| format!("*.{rest}"));
            let right = name.rsplit_once('.').map(|(rest, _)| format!("{rest}.*"));
            named(&name).or_else(|| left.as_deref().and_then(named)).or_else(|| right.as_deref().and_then(named))
        });
        found.or_else(|| named("*")).or_else(|| self.default.clone())
    }
}

/// The TLS settings of the proxy's listeners; `current` gives the certificates in force at each handshake.
pub fn server_config(current: impl Fn() -> Certificates + Send + Sync + 'static) -> Result<Arc<ServerConfig>, rustls::Error> {
    let resolver = Resolver { current: Box::new(current) };
    let mut config =
        ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?.with_no_client_auth().with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    Ok(Arc::new(config))
}

/// The TLS settings towards servers whose certificates must be vouched for by `roots`.
pub fn verifying(roots: Arc<RootCertStore>) -> Arc<ClientConfig> {
    Arc::new(client().with_root_certificates(roots).with_no_client_auth())
}

/// The TLS settings towards servers whose certificates nobody looks at.
pub fn trusting() -> Arc<ClientConfig> {
    Arc::new(client().dangerous().with_custom_certificate_verifier(Arc::new(TrustAnybody(provider()))).with_no_client_auth())
}

fn client() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    // The provider supports both versions, so this cannot fail; should it ever, it must not bring the node down.
    ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap_or_else(|_| ClientConfig::builder())
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn certified(chain: Vec<CertificateDer<'static>>, key: &PrivateKeyDer<'static>) -> Result<Arc<CertifiedKey>, String> {
    let key = aws_lc_rs::sign::any_supported_type(key).map_err(|e| format!("key: {e}"))?;
    Ok(Arc::new(CertifiedKey::new(chain, key)))
}

fn uuid(record: &Record, field: &str) -> Result<Uuid, String> {
    let text = record.get(field).and_then(serde_json::Value::as_str).ok_or_else(|| format!("{field}: missing"))?;
    Uuid::parse_str(text).map_err(|e| format!("{field}: {e}"))
}

struct Resolver {
    current: Box<dyn Fn() -> Certificates + Send + Sync>,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resolver")
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        (self.current)().find(hello.server_name())
    }
}

/// Kong's default towards services (`tls_verify` unset), and `https_verify_certificate: false` of probes: encrypted, but nobody is
/// asked for a proof of identity.
#[derive(Debug)]
struct TrustAnybody(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustAnybody {
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

    fn verify_tls12_signature(&self, message: &[u8], cert: &CertificateDer<'_>, dss: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(&self, message: &[u8], cert: &CertificateDer<'_>, dss: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
