//! Certificates with their keys: what we prove ourselves by, to clients and to services.

use super::next_number;
use arc_swap::ArcSwapOption;
use model::{Record, pem};
use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, SignatureScheme};
use sdk::certificates::{Staple, Stapler, must_be_stapled};
use smallvec::SmallVec;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
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
    keys: SmallVec<[Key; 2]>,
}

/// A certificate with its key.
#[derive(Debug)]
struct Key {
    certified: Arc<CertifiedKey>,
    /// The same with what its authority says of it.
    stapled: ArcSwapOption<Stapled>,
    /// When its authority is to be asked, in seconds since 1970.
    due: AtomicU64,
    must_be_stapled: OnceLock<bool>,
}

#[derive(Debug)]
struct Stapled {
    certified: Arc<CertifiedKey>,
    /// In seconds since 1970.
    until: u64,
}

/// How long to wait, in seconds, until a question is asked again that had no answer.
const PAUSE: u64 = 300;
/// The same where there was one: half of its time, within these bounds.
const AGAIN: RangeInclusive<u64> = 60..=24 * 3600;

impl Identity {
    /// Certificates in order of preference; at least one.
    pub fn new(chains: Vec<Chain>) -> Result<Identity, String> {
        let keys = chains.into_iter().map(|(chain, key)| certified(chain, &key).map(Key::new));
        let keys = keys.collect::<Result<SmallVec<_>, _>>()?;
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
        let same = |(ours, theirs): (&Key, &Key)| ours.certified.cert == theirs.certified.cert;
        self.keys.len() == other.keys.len() && self.keys.iter().zip(&other.keys).all(same)
    }

    /// The certificate whose key can sign by the earliest of these schemes.
    pub fn suiting(&self, schemes: &[SignatureScheme]) -> Option<&Arc<CertifiedKey>> {
        self.suiting_key(schemes).map(|key| &key.certified)
    }

    /// The certificate for a client, by what it can verify, with what its authority says of it. One that suits nobody
    /// is better than none: the client learns why the handshake fails.
    pub fn for_client(&self, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.suiting_key(schemes).or(self.keys.first()).map(Key::shown)
    }

    /// Whether an authority is to be asked about one of its certificates: `all`, or those with which clients must see
    /// what it says.
    pub fn lacks_staple(&self, all: bool) -> bool {
        let now = UnixTime::now().as_secs();
        self.keys.iter().any(|key| key.lacks_staple(all, now))
    }

    /// Asks their authorities about certificates for which it is time.
    pub async fn staple(&self, stapler: &Stapler, all: bool) {
        let now = UnixTime::now().as_secs();
        for key in self.keys.iter().filter(|key| key.lacks_staple(all, now)) {
            key.staple(stapler, now).await;
        }
    }

    fn suiting_key(&self, schemes: &[SignatureScheme]) -> Option<&Key> {
        let signs = |key: &&Key, schemes: &[SignatureScheme]| key.certified.key.choose_scheme(schemes).is_some();
        if self.keys.len() == 1 {
            return self.keys.first().filter(|key| signs(key, schemes));
        }
        schemes.iter().find_map(|scheme| self.keys.iter().find(|key| signs(key, &[*scheme])))
    }
}

impl Key {
    fn new(certified: Arc<CertifiedKey>) -> Key {
        let stapled = ArcSwapOption::empty();
        Key { certified, stapled, due: AtomicU64::new(0), must_be_stapled: OnceLock::new() }
    }

    fn shown(&self) -> Arc<CertifiedKey> {
        match &*self.stapled.load() {
            Some(stapled) if UnixTime::now().as_secs() < stapled.until => Arc::clone(&stapled.certified),
            _ => Arc::clone(&self.certified),
        }
    }

    fn lacks_staple(&self, all: bool, now: u64) -> bool {
        let must = || *self.must_be_stapled.get_or_init(|| must_be_stapled(&self.certified.cert[0]));
        self.due.load(Ordering::Relaxed) <= now && (all || must())
    }

    async fn staple(&self, stapler: &Stapler, now: u64) {
        let chain = &self.certified.cert;
        if !stapler.can_ask(chain) {
            // The same certificate will not say more.
            self.due.store(u64::MAX, Ordering::Relaxed);
            tracing::info!("no OCSP response is stapled to {}: nobody can be asked about it", name(&chain[0]));
            return;
        }
        let again = match stapler.ask(chain).await {
            Ok(Staple { answer, until }) => {
                let mut certified = CertifiedKey::clone(&self.certified);
                certified.ocsp = Some(answer.to_vec());
                self.stapled.store(Some(Arc::new(Stapled { certified: Arc::new(certified), until })));
                (until.saturating_sub(now) / 2).clamp(*AGAIN.start(), *AGAIN.end())
            }
            Err(error) => {
                // What was said before is shown until it runs out.
                tracing::warn!("no OCSP response can be stapled to {}: {error}", name(&chain[0]));
                PAUSE
            }
        };
        self.due.store(now + again, Ordering::Relaxed);
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

/// What a certificate is called in messages.
fn name(certificate: &CertificateDer<'_>) -> String {
    let parsed = x509_parser::parse_x509_certificate(certificate);
    parsed.map_or_else(|_| "a certificate".to_owned(), |(_, parsed)| format!("the certificate of {}", parsed.subject()))
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
