//! Certificates with their keys: what we prove ourselves by, to clients and to services.

use super::next_number;
use model::{Record, pem};
use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, SignatureScheme};
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use x509_parser::public_key::PublicKey;

/// aws-lc-rs signs with no smaller keys.
const LEAST_RSA_BITS: usize = 2048;

/// A certificate with those that lead to its root, and its key.
pub type Chain = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Certificates for the same names, with keys of different kinds (RSA and ECDSA): the other side says which it can use.
#[derive(Debug)]
pub struct Identity {
    number: u64,
    /// No longer part of the configuration: connections made by it are not kept.
    retired: AtomicBool,
    keys: SmallVec<[Arc<CertifiedKey>; 2]>,
}

impl Identity {
    /// Certificates in order of preference; at least one.
    pub fn new(chains: Vec<Chain>) -> Result<Identity, String> {
        let keys = chains.into_iter().map(|(chain, key)| certified(chain, &key)).collect::<Result<SmallVec<_>, _>>()?;
        if keys.is_empty() {
            Err("no certificate".to_owned())
        } else {
            Ok(Identity { number: next_number(), retired: AtomicBool::new(false), keys })
        }
    }

    /// What a record of `certificates` holds.
    pub fn from_record(record: &Record) -> Result<Identity, String> {
        let given = |field: &str| record.get(field).and_then(serde_json::Value::as_str);
        let text = |field: &str| {
            let pem = given(field).ok_or_else(|| format!("{field}: missing"))?;
            if pem.starts_with("{vault://") {
                return Err(format!("{field}: the reference cannot be resolved"));
            }
            Ok(pem)
        };
        let chain = |cert: &str, key: &str| {
            let chain = pem::certificates(text(cert)?).map_err(|e| format!("{cert}: {e}"))?;
            let key = pem::private_key(text(key)?).map_err(|e| format!("{key}: {e}"))?;
            Ok::<_, String>((chain, key))
        };
        let mut chains = vec![chain("cert", "key")?];
        if given("cert_alt").is_some() {
            chains.push(chain("cert_alt", "key_alt")?);
        }
        Identity::new(chains)
    }

    /// Different for each identity that was ever made.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Has connections made by it closed as soon as nothing is under way on them.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// Whether it is no longer part of the configuration.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// Whether both consist of the same certificates, and therefore of the same keys.
    pub fn shows_same(&self, other: &Identity) -> bool {
        self.keys.len() == other.keys.len() && self.keys.iter().zip(&other.keys).all(|(a, b)| a.cert == b.cert)
    }

    /// The certificate whose key can sign by the earliest of these schemes.
    pub fn suiting(&self, schemes: &[SignatureScheme]) -> Option<&Arc<CertifiedKey>> {
        if self.keys.len() == 1 {
            return self.keys.first().filter(|k| k.key.choose_scheme(schemes).is_some());
        }
        schemes.iter().find_map(|scheme| self.keys.iter().find(|k| k.key.choose_scheme(&[*scheme]).is_some()))
    }

    /// The certificate for a client, by what it can verify. One that suits nobody is better than none: the client
    /// learns why the handshake fails.
    pub fn for_client(&self, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.suiting(schemes).or(self.keys.first()).cloned()
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.for_client(hello.signature_schemes())
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.suiting(schemes).cloned()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn certified(chain: Vec<CertificateDer<'static>>, key: &PrivateKeyDer<'static>) -> Result<Arc<CertifiedKey>, String> {
    if chain.is_empty() {
        return Err("cert: no certificate in it".to_owned());
    }
    let key = aws_lc_rs::sign::any_supported_type(key).map_err(|e| match rsa_bits(&chain[0]) {
        Some(bits) if bits < LEAST_RSA_BITS => format!("key: RSA of {bits} bits, at least {LEAST_RSA_BITS} are needed"),
        _ => format!("key: {e}"),
    })?;
    let certified = CertifiedKey::new(chain, key);
    // Certificates that cannot be looked into (of version 1, say) are shown all the same.
    match certified.keys_match() {
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err("the certificate is not that of the key".to_owned())
        }
        _ => Ok(Arc::new(certified)),
    }
}

/// The size of the key that a certificate is for, where that is RSA.
fn rsa_bits(certificate: &CertificateDer<'_>) -> Option<usize> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    match parsed.public_key().parsed().ok()? {
        PublicKey::RSA(key) => Some(key.key_size()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pair(algorithm: &'static rcgen::SignatureAlgorithm) -> (String, String) {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let cert = rcgen::CertificateParams::new(vec!["a.test".to_owned()]).unwrap().self_signed(&key).unwrap();
        (cert.pem(), key.serialize_pem())
    }

    #[test]
    fn the_peer_decides_which_certificate() {
        let (ec, ec_key) = pair(&rcgen::PKCS_ECDSA_P256_SHA256);
        let (ed, ed_key) = pair(&rcgen::PKCS_ED25519);
        let record = json!({"cert": ec, "key": ec_key, "cert_alt": ed, "key_alt": ed_key});
        let identity = Identity::from_record(record.as_object().unwrap()).unwrap();
        let chosen = |schemes: &[SignatureScheme]| identity.suiting(schemes).map(|k| k.key.algorithm());
        use rustls::SignatureAlgorithm as A;
        use rustls::SignatureScheme as S;
        assert_eq!(chosen(&[S::ECDSA_NISTP256_SHA256, S::ED25519]), Some(A::ECDSA));
        assert_eq!(chosen(&[S::ED25519, S::ECDSA_NISTP256_SHA256]), Some(A::ED25519));
        assert_eq!(chosen(&[S::RSA_PSS_SHA256, S::ED25519]), Some(A::ED25519));
        assert_eq!(chosen(&[S::RSA_PSS_SHA256]), None);
        assert!(identity.for_client(&[S::RSA_PSS_SHA256]).is_some());
        let again = Identity::from_record(record.as_object().unwrap()).unwrap();
        assert!(identity.shows_same(&again) && identity.number() != again.number());
        let alone = Identity::from_record(json!({"cert": ec, "key": ec_key}).as_object().unwrap()).unwrap();
        assert!(!identity.shows_same(&alone));
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        let ((cert, key), (_, other)) = (pair(&rcgen::PKCS_ECDSA_P256_SHA256), pair(&rcgen::PKCS_ECDSA_P256_SHA256));
        for (record, error) in [
            (json!({"cert": cert}), "key: missing"),
            (json!({"cert": cert, "key": other}), "the certificate is not that of the key"),
            (json!({"cert": "", "key": key}), "cert: no certificate in it"),
            (json!({"cert": cert, "key": "x"}), "key: "),
            (json!({"cert": cert, "key": key, "cert_alt": cert}), "key_alt: missing"),
        ] {
            let found = Identity::from_record(record.as_object().unwrap()).unwrap_err();
            assert!(found.starts_with(error), "{found}");
        }
        let small = include_str!("test_rsa_1024.pem");
        let small = json!({"cert": small, "key": small});
        let found = Identity::from_record(small.as_object().unwrap()).unwrap_err();
        assert_eq!(found, "key: RSA of 1024 bits, at least 2048 are needed");
    }
}
