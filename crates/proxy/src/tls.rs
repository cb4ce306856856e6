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
    by_id: HashTrieMapSync<Uuid, Keys>,
    /// Lower-cased name, possibly `*.example` or `example.*`, to the id of a certificate.
    names: HashTrieMapSync<String, Uuid>,
    /// The name of each record of `snis`, which may be given another one.
    name_of_sni: HashTrieMapSync<Uuid, String>,
    default: Keys,
}

/// A certificate in one or more kinds of keys (RSA, EC): a client gets the one it likes best.
type Keys = Arc<[Arc<CertifiedKey>]>;

impl Certificates {
    /// None but those for clients that name no known server.
    pub fn new(defaults: Vec<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>) -> Result<Certificates, String> {
        let default = defaults.into_iter().map(|(chain, key)| certified(chain, &key)).collect::<Result<_, _>>()?;
        Ok(Certificates::of(default))
    }

    fn of(default: Keys) -> Certificates {
        Certificates { by_id: HashTrieMapSync::new_sync(), names: HashTrieMapSync::new_sync(), name_of_sni: HashTrieMapSync::new_sync(), default }
    }

    /// The same defaults, and nothing of the configuration.
    pub fn defaults(&self) -> Certificates {
        Certificates::of(Arc::clone(&self.default))
    }

    /// Takes a record of `certificates`.
    pub fn take_certificate(&mut self, record: &Record, deleted: bool) -> Result<(), String> {
        let id = uuid(record, "id")?;
        self.by_id.remove_mut(&id);
        if deleted {
            return Ok(());
        }
        let pair = pair(record, "cert", "key")?.ok_or("cert: missing")?;
        let alternative = self::pair(record, "cert_alt", "key_alt")?;
        self.by_id.insert_mut(id, [pair].into_iter().chain(alternative).collect());
        Ok(())
    }

    /// Takes a record of `snis`.
    pub fn take_sni(&mut self, record: &Record, deleted: bool) -> Result<(), String> {
        let id = uuid(record, "id")?;
        if let Some(name) = self.name_of_sni.get(&id).cloned() {
            self.name_of_sni.remove_mut(&id);
            self.names.remove_mut(&name);
        }
        if deleted {
            return Ok(());
        }
        let name = text(record, "name").ok_or("name: missing")?.to_ascii_lowercase();
        let certificate = record.get("certificate").and_then(serde_json::Value::as_object).ok_or("certificate: missing")?;
        self.names.insert_mut(name.clone(), uuid(certificate, "id")?);
        self.name_of_sni.insert_mut(id, name);
        Ok(())
    }

    /// The certificates for a server name: exact, then `*.` and `.*` wildcards, then `*`. Clients that name nothing that
    /// is known, or nothing at all, get the defaults.
    fn find(&self, name: Option<&str>) -> &[Arc<CertifiedKey>] {
        let named = |key: &str| self.names.get(key).and_then(|id| self.by_id.get(id));
        let found = name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            let left = name.split_once('.').map(|(_, rest)| format!("*.{rest}"));
            let right = name.rsplit_once('.').map(|(rest, _)| format!("{rest}.*"));
            named(&name).or_else(|| left.as_deref().and_then(named)).or_else(|| right.as_deref().and_then(named)).or_else(|| named("*"))
        });
        found.unwrap_or(&self.default)
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

/// A certificate and its key from two fields of a record, if they are set.
fn pair(record: &Record, cert: &str, key: &str) -> Result<Option<Arc<CertifiedKey>>, String> {
    let (Some(chain), Some(private)) = (text(record, cert), text(record, key)) else { return Ok(None) };
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>().map_err(|e| format!("{cert}: {e}"))?;
    let private = PrivateKeyDer::from_pem_slice(private.as_bytes()).map_err(|e| format!("{key}: {e}"))?;
    certified(chain, &private).map(Some)
}

fn text<'a>(record: &'a Record, field: &str) -> Option<&'a str> {
    record.get(field).and_then(serde_json::Value::as_str)
}

fn uuid(record: &Record, field: &str) -> Result<Uuid, String> {
    let text = text(record, field).ok_or_else(|| format!("{field}: missing"))?;
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
        let certificates = (self.current)();
        let keys = certificates.find(hello.server_name());
        // In the client's order of preference; one that suits nobody is better than none, and fails the handshake with a reason.
        let liked = |scheme: &SignatureScheme| keys.iter().find(|k| k.key.choose_scheme(&[*scheme]).is_some());
        hello.signature_schemes().iter().find_map(liked).or(keys.first()).cloned()
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pem(name: &str, algorithm: &'static rcgen::SignatureAlgorithm) -> (String, String) {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let cert = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
        (cert.pem(), key.serialize_pem())
    }

    fn sni(certificates: &mut Certificates, id: u128, name: &str, certificate: u128) {
        let record = json!({ "id": Uuid::from_u128(id).to_string(), "name": name, "certificate": { "id": Uuid::from_u128(certificate).to_string() } });
        certificates.take_sni(record.as_object().unwrap(), false).unwrap();
    }

    #[test]
    fn names_find_their_certificates() {
        let mut certificates = Certificates::new(Vec::new()).unwrap();
        let (one, two) = (pem("one", &rcgen::PKCS_ECDSA_P256_SHA256), pem("two", &rcgen::PKCS_ED25519));
        let record = json!({ "id": Uuid::from_u128(1).to_string(), "cert": one.0, "key": one.1, "cert_alt": two.0, "key_alt": two.1 });
        certificates.take_certificate(record.as_object().unwrap(), false).unwrap();
        let record = json!({ "id": Uuid::from_u128(2).to_string(), "cert": one.0, "key": one.1 });
        certificates.take_certificate(record.as_object().unwrap(), false).unwrap();
        sni(&mut certificates, 10, "one.test", 1);
        sni(&mut certificates, 11, "*.wild.test", 2);
        sni(&mut certificates, 12, "right.*", 2);
        let found = |c: &Certificates, name| c.find(name).len();
        assert_eq!((found(&certificates, Some("ONE.test")), found(&certificates, Some("x.wild.test")), found(&certificates, Some("right.com"))), (2, 1, 1));
        assert_eq!((found(&certificates, Some("x.y.wild.test")), found(&certificates, Some("other")), found(&certificates, None)), (0, 0, 0));
        sni(&mut certificates, 13, "*", 2);
        sni(&mut certificates, 10, "uno.test", 1);
        assert_eq!((found(&certificates, Some("uno.test")), found(&certificates, Some("one.test")), found(&certificates, None)), (2, 1, 0));
    }
}
