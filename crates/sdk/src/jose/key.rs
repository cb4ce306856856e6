//! Keys that verify signatures.

use super::algorithm::Method;
use super::{Algorithm, Token};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::hmac;
use aws_lc_rs::rsa::PublicEncryptingKey;
use aws_lc_rs::signature::ParsedPublicKey;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// A key for signatures of one algorithm.
#[derive(Debug)]
pub struct VerificationKey {
    algorithm: Algorithm,
    key: Key,
}

#[derive(Debug)]
enum Key {
    Secret(Box<hmac::Key>),
    Public(ParsedPublicKey),
}

impl VerificationKey {
    /// A secret that signers and verifiers share; `None` when the algorithm has none, or the secret is empty.
    pub fn secret(algorithm: Algorithm, secret: &[u8]) -> Option<VerificationKey> {
        match algorithm.method() {
            Method::Hmac(hmac) if !secret.is_empty() => {
                Some(VerificationKey { algorithm, key: Key::Secret(Box::new(hmac::Key::new(hmac, secret))) })
            }
            _ => None,
        }
    }

    /// A public key in PEM, which must be of the algorithm's kind. RSA keys have 2048 bits or more (RFC 7518, section
    /// 3.3).
    pub fn public(algorithm: Algorithm, pem: &str) -> Result<VerificationKey, &'static str> {
        VerificationKey::of(algorithm, &public_der(pem).ok_or("not a public key in PEM")?)
    }

    /// The same for a key in one of the forms that aws-lc understands, such as `SubjectPublicKeyInfo` or a point.
    pub(super) fn of(algorithm: Algorithm, der: &[u8]) -> Result<VerificationKey, &'static str> {
        let Method::Signature(method) = algorithm.method() else { return Err("the algorithm has no public keys") };
        let key = ParsedPublicKey::new(method, der).map_err(|_| "not a public key of the algorithm")?;
        let is_rsa = algorithm.name().starts_with(['R', 'P']);
        if is_rsa && !key.as_der().is_ok_and(|der| PublicEncryptingKey::from_der(der.as_ref()).is_ok()) {
            return Err("an RSA key has to have 2048 to 8192 bits");
        }
        Ok(VerificationKey { algorithm, key: Key::Public(key) })
    }

    /// Whether that key made the token's signature, by that key's algorithm.
    pub fn verify(&self, token: &Token<'_>) -> bool {
        token.algorithm == self.algorithm
            && match &self.key {
                Key::Secret(key) => hmac::verify(key, token.signed, &token.signature).is_ok(),
                Key::Public(key) => key.verify_sig(token.signed, &token.signature).is_ok(),
            }
    }
}

/// Whether that is the PEM of a public key for any of the algorithms.
pub fn is_public_key(pem: &str) -> bool {
    [Algorithm::Rs256, Algorithm::Es256, Algorithm::Es384, Algorithm::Es512, Algorithm::EdDsa]
        .into_iter()
        .any(|algorithm| VerificationKey::public(algorithm, pem).is_ok())
}

/// The first public key in a PEM text, as `SubjectPublicKeyInfo` or as an `RSAPublicKey` of PKCS #1.
fn public_der(pem: &str) -> Option<Vec<u8>> {
    let (label, rest) = pem.split_once("-----BEGIN ")?.1.split_once("-----")?;
    let (body, _) = rest.split_once("-----END ")?;
    if !matches!(label, "PUBLIC KEY" | "RSA PUBLIC KEY") {
        return None;
    }
    BASE64_STANDARD.decode(body.split_ascii_whitespace().collect::<String>()).ok()
}
