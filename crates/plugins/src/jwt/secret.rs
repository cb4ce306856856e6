//! The credentials: what the tokens of a caller are verified with.

use sdk::jose::{Algorithm, VerificationKey, is_public_key};
use sdk::{Parsed, Record, decode_base64};
use serde_json::Value;
use std::sync::Arc;

/// A record of `jwt_secrets`, ready for use.
pub struct Secret {
    algorithm: Algorithm,
    key: Key,
}

enum Key {
    /// The secret as it stands, and what it is when it is taken for base64.
    Shared { plain: Option<VerificationKey>, decoded: Option<VerificationKey> },
    /// `None`: the record has none.
    Public(Option<VerificationKey>),
}

impl Secret {
    /// See [`sdk::CredentialEntity::parse`].
    pub fn parse(record: &Record) -> Result<Parsed, String> {
        let text = |field: &str| record.get(field).and_then(Value::as_str);
        let name = text("algorithm").unwrap_or("HS256");
        let algorithm = Algorithm::parse(name).ok_or_else(|| format!("algorithm: unknown '{name}'"))?;
        let key = if algorithm.is_symmetric() {
            let secret = text("secret").unwrap_or_default();
            // Kong reads the alphabet for URLs only; many a tool writes the other one.
            let decoded = decode_base64(secret.replace('-', "+").replace('_', "/"));
            Key::Shared {
                plain: VerificationKey::secret(algorithm, secret.as_bytes()),
                decoded: decoded.and_then(|secret| VerificationKey::secret(algorithm, &secret)),
            }
        } else {
            let public = text("rsa_public_key").map(|pem| VerificationKey::public(algorithm, pem));
            Key::Public(public.transpose().map_err(|error| format!("rsa_public_key: {error}"))?)
        };
        Ok(Arc::new(Secret { algorithm, key }))
    }

    /// What tokens have to be signed by.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key for these tokens, if there is one.
    pub fn key(&self, secret_is_base64: bool) -> Option<&VerificationKey> {
        match &self.key {
            Key::Shared { decoded, .. } if secret_is_base64 => decoded.as_ref(),
            Key::Shared { plain, .. } => plain.as_ref(),
            Key::Public(key) => key.as_ref(),
        }
    }
}

/// The check that the schema names.
pub fn check_public_key(value: &Value) -> Result<(), String> {
    let pem = value.as_str().unwrap_or_default();
    if is_public_key(pem) {
        return Ok(());
    }
    let of_rsa = VerificationKey::public(Algorithm::Rs256, pem).err();
    Err(match of_rsa.filter(|why| why.contains("bits")) {
        Some(why) => format!("invalid key: {why}"),
        None => "invalid key".to_owned(),
    })
}
