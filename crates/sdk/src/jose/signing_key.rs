//! Keys that sign, as JSON Web Keys (RFC 7517, RFC 7518 section 6, RFC 8037 section 2).

use super::Algorithm;
use super::der;
use crate::{Record, decode_base64url};
use aws_lc_rs::encoding::{AsBigEndian, AsDer, Curve25519SeedBin, EcPrivateKeyBin, Pkcs8V1Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaEncoding, RsaKeyPair,
};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// A key that signs by one algorithm.
pub struct SigningKey {
    algorithm: Algorithm,
    id: Option<String>,
    pair: Pair,
}

enum Pair {
    Secret(Box<hmac::Key>),
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// How keys of an algorithm sign.
enum Kind {
    Secret(hmac::Algorithm),
    Rsa(&'static dyn RsaEncoding),
    Ecdsa(&'static EcdsaSigningAlgorithm, &'static str),
    Ed25519,
}

/// The members of an RSA key, in the order of an `RSAPrivateKey` (RFC 8017, appendix A.1.2).
const RSA: [&str; 8] = ["n", "e", "d", "p", "q", "dp", "dq", "qi"];
/// The members that nobody may see who only verifies.
const PRIVATE: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "oth"];

impl SigningKey {
    /// The key in a JWK; `None` when it is none for that algorithm, or has no private part.
    pub fn of_jwk(jwk: &Value, algorithm: Algorithm) -> Option<SigningKey> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        if text("alg").is_some_and(|only| only != algorithm.name()) {
            return None;
        }
        let octets = |name: &str| decode_base64url(text(name)?);
        let pair = match (text("kty")?, kind(algorithm)) {
            ("oct", Kind::Secret(hmac)) => {
                Pair::Secret(Box::new(hmac::Key::new(hmac, &octets("k").filter(|secret| !secret.is_empty())?)))
            }
            ("RSA", Kind::Rsa(encoding)) => {
                let members = RSA.map(octets).into_iter().collect::<Option<Vec<_>>>()?;
                Pair::Rsa(RsaKeyPair::from_der(&rsa_private_der(&members)).ok()?, encoding)
            }
            ("EC", Kind::Ecdsa(ecdsa, curve)) if text("crv") == Some(curve) => {
                let point = [&[4], octets("x")?.as_slice(), octets("y")?.as_slice()].concat();
                Pair::Ecdsa(EcdsaKeyPair::from_private_key_and_public_key(ecdsa, &octets("d")?, &point).ok()?)
            }
            ("OKP", Kind::Ed25519) if text("crv") == Some("Ed25519") => {
                Pair::Ed25519(Ed25519KeyPair::from_seed_and_public_key(&octets("d")?, &octets("x")?).ok()?)
            }
            _ => return None,
        };
        Some(SigningKey { algorithm, id: text("kid").map(str::to_owned), pair })
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Record) -> Option<String> {
        let mut header = json!({ "typ": "JWT", "alg": self.algorithm.name() });
        if let Some(id) = &self.id {
            header["kid"] = id.as_str().into();
        }
        let claims = serde_json::to_string(claims).ok()?;
        let message = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.as_bytes()));
        let signature = self.signature(message.as_bytes())?;
        Some(format!("{message}.{}", encode(&signature)))
    }

    fn signature(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        Some(match &self.pair {
            Pair::Secret(key) => hmac::sign(key, message).as_ref().to_vec(),
            Pair::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &random, message, &mut signature).ok()?;
                signature
            }
            Pair::Ecdsa(pair) => pair.sign(&random, message).ok()?.as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        })
    }
}

/// A new key for an algorithm as a JWK with its private part.
pub fn generate_jwk(algorithm: Algorithm, id: &str) -> Option<Value> {
    let mut jwk = match kind(algorithm) {
        Kind::Secret(hmac) => {
            let mut secret = vec![0; hmac.digest_algorithm().output_len()];
            aws_lc_rs::rand::fill(&mut secret).ok()?;
            json!({ "kty": "oct", "k": encode(&secret) })
        }
        Kind::Rsa(_) => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).ok()?;
            let der: Pkcs8V1Der<'_> = pair.as_der().ok()?;
            let mut jwk = json!({ "kty": "RSA" });
            for (name, octets) in RSA.iter().zip(rsa_members(der.as_ref())?) {
                jwk[*name] = encode(octets).into();
            }
            jwk
        }
        Kind::Ecdsa(ecdsa, curve) => {
            let pair = EcdsaKeyPair::generate(ecdsa).ok()?;
            let private: EcPrivateKeyBin<'_> = pair.private_key().as_be_bytes().ok()?;
            let (x, y) = pair.public_key().as_ref().get(1..)?.split_at(private.as_ref().len());
            json!({ "kty": "EC", "crv": curve, "x": encode(x), "y": encode(y), "d": encode(private.as_ref()) })
        }
        Kind::Ed25519 => {
            let pair = Ed25519KeyPair::generate().ok()?;
            let seed: Curve25519SeedBin<'_> = pair.seed().ok()?.as_be_bytes().ok()?;
            let public = encode(pair.public_key().as_ref());
            json!({ "kty": "OKP", "crv": "Ed25519", "x": public, "d": encode(seed.as_ref()) })
        }
    };
    jwk["alg"] = algorithm.name().into();
    jwk["kid"] = id.into();
    jwk["use"] = "sig".into();
    Some(jwk)
}

/// A JWK without what only signers may know. The secret of a symmetric key stays: it is all that there is.
pub fn public_jwk(jwk: &Value) -> Value {
    let mut public = jwk.clone();
    if let Some(members) = public.as_object_mut() {
        members.retain(|name, _| !PRIVATE.contains(&name.as_str()));
    }
    public
}

fn kind(algorithm: Algorithm) -> Kind {
    match algorithm {
        Algorithm::Hs256 => Kind::Secret(hmac::HMAC_SHA256),
        Algorithm::Hs384 => Kind::Secret(hmac::HMAC_SHA384),
        Algorithm::Hs512 => Kind::Secret(hmac::HMAC_SHA512),
        Algorithm::Rs256 => Kind::Rsa(&signature::RSA_PKCS1_SHA256),
        Algorithm::Rs384 => Kind::Rsa(&signature::RSA_PKCS1_SHA384),
        Algorithm::Rs512 => Kind::Rsa(&signature::RSA_PKCS1_SHA512),
        Algorithm::Ps256 => Kind::Rsa(&signature::RSA_PSS_SHA256),
        Algorithm::Ps384 => Kind::Rsa(&signature::RSA_PSS_SHA384),
        Algorithm::Ps512 => Kind::Rsa(&signature::RSA_PSS_SHA512),
        Algorithm::Es256 => Kind::Ecdsa(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"),
        Algorithm::Es384 => Kind::Ecdsa(&signature::ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"),
        Algorithm::Es512 => Kind::Ecdsa(&signature::ECDSA_P521_SHA512_FIXED_SIGNING, "P-521"),
        Algorithm::EdDsa => Kind::Ed25519,
    }
}

/// `RSAPrivateKey` of these members.
fn rsa_private_der(members: &[Vec<u8>]) -> Vec<u8> {
    let members = members.iter().flat_map(|octets| der::integer(octets));
    der::element(0x30, &der::integer(&[]).into_iter().chain(members).collect::<Vec<_>>())
}

/// The members of the RSA key in a `PrivateKeyInfo` (RFC 5208).
fn rsa_members(pkcs8: &[u8]) -> Option<Vec<&[u8]>> {
    use crate::certificates::der::{INTEGER, OCTET_STRING, Reader, SEQUENCE};
    let mut info = Reader(pkcs8).take(SEQUENCE)?.inside();
    info.take(INTEGER)?;
    info.take(SEQUENCE)?;
    let mut key = Reader(info.take(OCTET_STRING)?.content).take(SEQUENCE)?.inside();
    // The version.
    key.take(INTEGER)?;
    let member = |_: &str| {
        let octets = key.take(INTEGER)?.content;
        Some(octets.strip_prefix(&[0]).unwrap_or(octets))
    };
    RSA.map(member).into_iter().collect()
}

fn encode(octets: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(octets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::{KeySet, Token};

    #[test]
    fn keys_of_all_algorithms_sign_what_their_public_part_verifies() {
        let claims = Record::from_iter([("iss".to_owned(), json!("me"))]);
        for algorithm in Algorithm::ALL {
            let name = algorithm.name();
            let jwk = generate_jwk(algorithm, "k1").unwrap();
            let token = SigningKey::of_jwk(&jwk, algorithm).unwrap().sign(&claims).unwrap();
            let token = Token::parse(token.as_bytes()).unwrap();
            assert_eq!(token.claims, claims, "{name}");
            assert_eq!(token.header["kid"], "k1", "{name}");
            let public = public_jwk(&jwk);
            assert_eq!(public.get("d"), None, "{name}");
            assert_eq!(public.get("q"), None, "{name}");
            let set = json!({ "keys": [public] });
            assert!(KeySet::parse_with_secrets(&set).verifies(&token), "{name}");
            assert_eq!(KeySet::parse(&set).verifies(&token), !algorithm.is_symmetric(), "{name}");
            assert!(SigningKey::of_jwk(&public, algorithm).is_none() || algorithm.is_symmetric(), "{name}");
        }
    }

    #[test]
    fn keys_are_for_their_algorithm_only() {
        let jwk = generate_jwk(Algorithm::Es256, "k").unwrap();
        assert!(SigningKey::of_jwk(&jwk, Algorithm::Es384).is_none());
        let mut free = jwk;
        free.as_object_mut().unwrap().remove("alg");
        assert!(SigningKey::of_jwk(&free, Algorithm::Es256).is_some());
        assert!(SigningKey::of_jwk(&free, Algorithm::Es384).is_none());
        assert!(SigningKey::of_jwk(&free, Algorithm::Rs256).is_none());
    }
}
