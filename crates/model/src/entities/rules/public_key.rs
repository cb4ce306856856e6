//! Public keys, and which private key has which. Keys of any kind that OpenSSL reads are taken, whether or not this
//! node could use them: a record that another node wrote must not fail for the strength of its key.

use crate::pem;
use aws_lc_rs::agreement;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use x509_parser::asn1_rs::{Any, Class, FromDer, Oid, Tag};
use x509_parser::x509::SubjectPublicKeyInfo;

const RSA: &str = "1.2.840.113549.1.1.1";
const RSA_PSS: &str = "1.2.840.113549.1.1.10";
const EC: &str = "1.2.840.10045.2.1";
const ED25519: &str = "1.3.101.112";
const X25519: &str = "1.3.101.110";

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    kind: Kind,
    /// Of RSA: modulus and exponent, as they stand one after the other in DER.
    bits: Vec<u8>,
}

/// A private key: what it says of the public one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateKey {
    kind: Kind,
    /// `None`: it does not hold it, and nothing here calculates with keys of that kind.
    public: Option<Vec<u8>>,
}

/// What keys must have in common to belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kind {
    algorithm: String,
    curve: Option<String>,
}

impl PublicKey {
    /// That of a certificate, or of a `PUBLIC KEY` in PEM.
    pub fn of_info(info: &SubjectPublicKeyInfo<'_>) -> Option<PublicKey> {
        let kind = Kind {
            algorithm: info.algorithm.algorithm.to_id_string(),
            curve: info.algorithm.parameters.as_ref().and_then(oid),
        };
        let bits = info.subject_public_key.data.as_ref();
        let bits = if kind.is_rsa() { inside_sequence(bits)? } else { bits };
        Some(PublicKey { kind, bits: bits.to_vec() })
    }

    /// That in PEM, as `PUBLIC KEY` or `RSA PUBLIC KEY` (PKCS #1).
    pub fn read(pem: &str) -> Option<PublicKey> {
        let sections = x509_parser::pem::Pem::iter_from_buffer(pem.as_bytes()).filter_map(Result::ok);
        sections.into_iter().find_map(|section| match section.label.as_str() {
            "PUBLIC KEY" => PublicKey::of_info(&SubjectPublicKeyInfo::from_der(&section.contents).ok()?.1),
            "RSA PUBLIC KEY" => Some(PublicKey {
                kind: Kind { algorithm: RSA.to_owned(), curve: None },
                bits: inside_sequence(&section.contents)?.to_vec(),
            }),
            _ => None,
        })
    }
}

impl PrivateKey {
    /// That in PEM: PKCS #8, PKCS #1 or SEC 1.
    pub fn read(pem: &str) -> Result<PrivateKey, &'static str> {
        let key = pem::private_key(pem)?;
        let read = match &key {
            PrivateKeyDer::Pkcs1(der) => of_rsa(der.secret_pkcs1_der(), RSA),
            PrivateKeyDer::Sec1(der) => of_curve(der.secret_sec1_der(), None),
            PrivateKeyDer::Pkcs8(der) => of_pkcs8(der.secret_pkcs8_der()),
            _ => None,
        };
        read.ok_or("not a private key")
    }

    /// Whether both are halves of the same key, as far as this node can tell.
    pub fn belongs_to(&self, public: &PublicKey) -> bool {
        self.kind == public.kind && self.public.as_ref().is_none_or(|own| *own == public.bits)
    }
}

impl Kind {
    fn is_rsa(&self) -> bool {
        self.algorithm == RSA || self.algorithm == RSA_PSS
    }
}

/// RFC 5958: version, algorithm, the key as an octet string, attributes, the public key.
fn of_pkcs8(der: &[u8]) -> Option<PrivateKey> {
    let parts = sequence(der)?;
    let algorithm = sequence(parts.get(1)?.whole)?;
    let name = oid(&algorithm.first()?.value)?;
    let key = parts.get(2).filter(|key| key.value.tag() == Tag::OctetString)?.value.data;
    let public = parts.iter().find(|part| part.is_context(1)).and_then(|part| part.value.data.get(1..));
    match name.as_str() {
        RSA | RSA_PSS => of_rsa(key, &name),
        EC => of_curve(key, algorithm.get(1).and_then(|parameters| oid(&parameters.value))),
        _ => {
            let public = public.map(<[u8]>::to_vec).or_else(|| calculated(&name, key));
            Some(PrivateKey { kind: Kind { algorithm: name, curve: None }, public })
        }
    }
}

/// RFC 8017: version, modulus, public exponent, and what is private.
fn of_rsa(der: &[u8], algorithm: &str) -> Option<PrivateKey> {
    let parts = sequence(der)?;
    let public = parts.get(1..3).filter(|_| parts.len() >= 9)?.iter().flat_map(|part| part.whole).copied().collect();
    Some(PrivateKey { kind: Kind { algorithm: algorithm.to_owned(), curve: None }, public: Some(public) })
}

/// RFC 5915: version, the key, the curve and the public key, which need not be there.
fn of_curve(der: &[u8], named: Option<String>) -> Option<PrivateKey> {
    let parts = sequence(der)?;
    parts.get(1).filter(|key| key.value.tag() == Tag::OctetString)?;
    let tagged = |tag| parts.iter().find(|part| part.is_context(tag)).and_then(|part| element(part.value.data));
    let curve = named.or_else(|| tagged(0).and_then(|(parameters, _)| oid(&parameters.value)));
    let held = tagged(1).and_then(|(bits, _)| bits.value.data.get(1..)).map(<[u8]>::to_vec);
    let public = held.or_else(|| {
        let curves = [
            &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
            &signature::ECDSA_P384_SHA384_ASN1_SIGNING,
            &signature::ECDSA_P521_SHA512_ASN1_SIGNING,
            &signature::ECDSA_P256K1_SHA256_ASN1_SIGNING,
        ];
        let pair = curves.iter().find_map(|curve| EcdsaKeyPair::from_private_key_der(curve, der).ok())?;
        Some(pair.public_key().as_ref().to_vec())
    });
    Some(PrivateKey { kind: Kind { algorithm: EC.to_owned(), curve }, public })
}

/// The public key that goes with the one in an octet string (RFC 8410).
fn calculated(algorithm: &str, key: &[u8]) -> Option<Vec<u8>> {
    let (seed, _) = element(key)?;
    match algorithm {
        ED25519 => Some(Ed25519KeyPair::from_seed_unchecked(seed.value.data).ok()?.public_key().as_ref().to_vec()),
        X25519 => {
            let key = agreement::PrivateKey::from_private_key(&agreement::X25519, seed.value.data).ok()?;
            Some(key.compute_public_key().ok()?.as_ref().to_vec())
        }
        _ => None,
    }
}

/// A value in DER, with the octets that it is written in.
struct Element<'a> {
    value: Any<'a>,
    whole: &'a [u8],
}

impl Element<'_> {
    fn is_context(&self, number: u32) -> bool {
        self.value.class() == Class::ContextSpecific && self.value.tag() == Tag(number)
    }
}

/// The first value, and what follows it.
fn element(der: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (rest, value) = Any::from_der(der).ok()?;
    Some((Element { value, whole: &der[..der.len() - rest.len()] }, rest))
}

fn inside_sequence(der: &[u8]) -> Option<&[u8]> {
    let (outer, _) = element(der)?;
    (outer.value.tag() == Tag::Sequence).then_some(outer.value.data)
}

fn sequence(der: &[u8]) -> Option<Vec<Element<'_>>> {
    let mut rest = inside_sequence(der)?;
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let (part, behind) = element(rest)?;
        parts.push(part);
        rest = behind;
    }
    Some(parts)
}

/// The name of an algorithm or a curve; other parameters have none.
fn oid(value: &Any<'_>) -> Option<String> {
    let oid = Oid::try_from(value).ok().filter(|_| value.tag() == Tag::Oid)?;
    Some(oid.to_id_string())
}

#[cfg(test)]
mod tests {
    use super::super::test_keys::made;
    use super::*;

    fn pair(name: &str) -> (PrivateKey, PublicKey) {
        (PrivateKey::read(made(name, "private")).unwrap(), PublicKey::read(made(name, "public")).unwrap())
    }

    #[test]
    fn keys_of_all_kinds_are_known_by_their_public_half() {
        let names =
            ["RSA-1024", "RSA-PSS", "PKCS1", "P-224", "P-256", "SEC1", "secp256k1", "Ed25519", "X25519", "Ed448"];
        for name in names {
            let (private, public) = pair(name);
            assert!(private.belongs_to(&public), "{name}");
            let others = names.into_iter().filter(|other| *other != name);
            for other in others {
                assert!(!private.belongs_to(&pair(other).1), "{name}, {other}");
            }
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let broken = "-----BEGIN PRIVATE KEY-----\nMAAA\n-----END PRIVATE KEY-----\n";
        assert_eq!(PrivateKey::read(broken), Err("not a private key"));
        assert_eq!(PublicKey::read(broken), None);
    }
}
