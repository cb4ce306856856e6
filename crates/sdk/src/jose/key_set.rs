//! Sets of public keys as issuers of tokens publish them (JWKS, RFC 7517).

use super::algorithm::Algorithm;
use super::{Token, VerificationKey, der};
use crate::decode_base64url;
use serde_json::Value;

/// The keys of an issuer that can verify signatures.
#[derive(Clone, Debug, Default)]
pub struct KeySet(Vec<Published>);

#[derive(Clone, Debug)]
struct Published {
    id: Option<String>,
    /// The only one that it is for, if the issuer says so.
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Clone, Debug)]
enum Material {
    /// `RSAPublicKey` in DER.
    Rsa(Vec<u8>),
    /// The curve, and the point, uncompressed.
    Ec(Curve, Vec<u8>),
    Ed25519(Vec<u8>),
    /// What signers and verifiers share.
    Secret(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Curve {
    P256,
    P384,
    P521,
}

impl KeySet {
    /// The public keys of a set that are understood; others are left out (section 5).
    pub fn parse(set: &Value) -> KeySet {
        let mut all = KeySet::parse_with_secrets(set);
        all.0.retain(|key| !matches!(key.material, Material::Secret(_)));
        all
    }

    /// The same with secrets, for sets that only those see who may sign.
    pub fn parse_with_secrets(set: &Value) -> KeySet {
        let keys = set.get("keys").and_then(Value::as_array);
        KeySet(keys.into_iter().flatten().filter_map(Published::parse).collect())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys of both.
    pub fn join(mut self, other: KeySet) -> KeySet {
        self.0.extend(other.0);
        self
    }

    /// Whether a key of the set made the token's signature. A token that names its key is verified with that one only.
    pub fn verifies(&self, token: &Token<'_>) -> bool {
        let id = token.header.get("kid").and_then(Value::as_str);
        let named = self.0.iter().filter(|key| id.is_none() || key.id.is_none() || key.id.as_deref() == id);
        let mut fitting = named.filter(|key| key.algorithm.is_none_or(|only| only == token.algorithm));
        fitting.any(|key| key.verification_key(token.algorithm).is_some_and(|key| key.verify(token)))
    }
}

impl Published {
    fn parse(key: &Value) -> Option<Published> {
        let text = |field: &str| key.get(field).and_then(Value::as_str);
        if text("use").is_some_and(|usage| usage != "sig") {
            return None;
        }
        let octets = |field: &str| decode_base64url(text(field)?);
        let material = match text("kty")? {
            "RSA" => Material::Rsa(rsa_der(&octets("n")?, &octets("e")?)),
            "EC" => {
                let curve = Curve::parse(text("crv")?)?;
                let (x, y) = (curve.coordinate(&octets("x")?)?, curve.coordinate(&octets("y")?)?);
                Material::Ec(curve, [&[4], x.as_slice(), y.as_slice()].concat())
            }
            "OKP" if text("crv") == Some("Ed25519") => Material::Ed25519(octets("x")?),
            "oct" => Material::Secret(octets("k")?),
            _ => return None,
        };
        // A key for an algorithm that is not known is for none that is.
        let algorithm = match text("alg") {
            Some(name) => Some(Algorithm::parse(name)?),
            None => None,
        };
        Some(Published { id: text("kid").map(str::to_owned), algorithm, material })
    }

    fn verification_key(&self, algorithm: Algorithm) -> Option<VerificationKey> {
        use Algorithm::{EdDsa, Es256, Es384, Es512, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        let octets = match (&self.material, algorithm) {
            (Material::Secret(octets), _) => return VerificationKey::secret(algorithm, octets),
            (Material::Rsa(der), Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512) => der,
            (Material::Ec(Curve::P256, point), Es256) => point,
            (Material::Ec(Curve::P384, point), Es384) => point,
            (Material::Ec(Curve::P521, point), Es512) => point,
            (Material::Ed25519(octets), EdDsa) => octets,
            _ => return None,
        };
        VerificationKey::of(algorithm, octets).ok()
    }
}

impl Curve {
    fn parse(name: &str) -> Option<Curve> {
        match name {
            "P-256" => Some(Curve::P256),
            "P-384" => Some(Curve::P384),
            "P-521" => Some(Curve::P521),
            _ => None,
        }
    }

    /// A coordinate in its full length.
    fn coordinate(self, octets: &[u8]) -> Option<Vec<u8>> {
        let length = match self {
            Curve::P256 => 32,
            Curve::P384 => 48,
            Curve::P521 => 66,
        };
        let missing = length - octets.len().min(length);
        (octets.len() <= length).then(|| [&vec![0; missing], octets].concat())
    }
}

/// `RSAPublicKey` (RFC 8017, appendix A.1.1).
fn rsa_der(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    der::element(0x30, &[der::integer(modulus), der::integer(exponent)].concat())
}
