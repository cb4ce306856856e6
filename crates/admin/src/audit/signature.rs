//! Signatures of the audit log, by which whoever has the public key knows that a record is as it was written: RSA with
//! SHA-256 over its values in the order of their names, with `|` between them.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::Record;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;

/// An RSA key to sign with.
#[derive(Debug)]
pub struct SigningKey(KeyPair);

impl SigningKey {
    /// The key of a PEM file.
    pub fn from_pem(pem: &[u8]) -> Result<SigningKey, String> {
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| format!("no private key: {error}"))?;
        let pair = match &key {
            PrivateKeyDer::Pkcs1(der) => KeyPair::from_der(der.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(der) => KeyPair::from_pkcs8(der.secret_pkcs8_der()),
            _ => return Err("not an RSA key".to_owned()),
        };
        pair.map(SigningKey).map_err(|error| format!("not an RSA key: {error}"))
    }

    /// The signature of a record, in base64. Null is not part of what is signed.
    pub fn sign(&self, record: &Record) -> Option<String> {
        let mut signature = vec![0; self.0.public_modulus_len()];
        let signed = self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), canonical(record).as_bytes(), &mut signature);
        if signed.is_err() {
            tracing::error!("a record of the audit log cannot be signed");
        }
        signed.ok().map(|()| STANDARD.encode(signature))
    }
}

fn canonical(record: &Record) -> String {
    let mut fields: Vec<(&String, &Value)> = record.iter().filter(|(_, value)| !value.is_null()).collect();
    fields.sort_unstable_by_key(|(name, _)| *name);
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    fields.into_iter().map(|(_, value)| text(value)).collect::<Vec<_>>().join("|")
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use serde_json::json;

    #[test]
    fn records_are_signed_in_the_order_of_their_fields() {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
        let body = STANDARD.encode(der.as_ref());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
        let record = json!({ "status": 200, "path": "/status", "payload": null, "method": "GET" });
        let signature = SigningKey::from_pem(pem.as_bytes()).unwrap().sign(record.as_object().unwrap()).unwrap();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref());
        assert!(public.verify(b"GET|/status|200", &STANDARD.decode(signature).unwrap()).is_ok());
    }

    #[test]
    fn other_keys_are_refused() {
        assert!(SigningKey::from_pem(b"").unwrap_err().starts_with("no private key"));
    }
}
