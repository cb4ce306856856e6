//! Asymmetric keys, as JWK or PEM.

use super::public_key::{PrivateKey, PublicKey};
use crate::Record;
use serde_json::Value;

/// The two halves of a PEM pair parse and belong together. Halves that a vault holds are not looked at.
pub fn pem(value: &Value) -> Result<(), String> {
    let half = |name: &str| value.get(name).and_then(Value::as_str);
    if ["private_key", "public_key"].iter().filter_map(|name| half(name)).any(|text| text.starts_with("{vault://")) {
        return Ok(());
    }
    let public = half("public_key").map(|text| PublicKey::read(text).ok_or("could not load public key")).transpose()?;
    let private =
        half("private_key").map(|text| PrivateKey::read(text).map_err(|_| "could not load private key")).transpose()?;
    match (public, private) {
        (Some(public), Some(private)) if !private.belongs_to(&public) => {
            Err("public key does not match private key".to_owned())
        }
        _ => Ok(()),
    }
}

/// A JWK is JSON, has the `kid` of the record and the members that its type needs.
pub fn formats(record: &Record) -> Result<(), String> {
    let Some(text) = record.get("jwk").and_then(Value::as_str).filter(|text| !text.starts_with("{vault://")) else {
        return Ok(());
    };
    let jwk: Value = serde_json::from_str(text).map_err(|_| "could not json decode jwk string")?;
    if jwk.get("kid").filter(|kid| !kid.is_null()) != record.get("kid") {
        return Err("kid in jwk.kid must be equal to keys.kid".to_owned());
    }
    let needed: &[&str] = match jwk.get("kty").and_then(Value::as_str) {
        Some("RSA") => &["n", "e"],
        Some("EC") => &["crv", "x", "y"],
        Some("OKP") => &["crv", "x"],
        _ => &["kty of a known type"],
    };
    if needed.iter().all(|member| jwk.get(member).is_some_and(Value::is_string)) {
        return Ok(());
    }
    Err("could not load JWK, likely not a valid key".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::test_keys::made;
    use super::*;
    use serde_json::json;

    #[test]
    fn jwks_have_the_kid_of_their_record() {
        let check = |jwk: &str, kid: &str| {
            formats(json!({"jwk": jwk, "kid": kid}).as_object().unwrap_or(&Record::new())).err().unwrap_or_default()
        };
        assert_eq!(check("x", "1"), "could not json decode jwk string");
        assert_eq!(check(r#"{"kid":"2","kty":"RSA"}"#, "1"), "kid in jwk.kid must be equal to keys.kid");
        assert_eq!(check(r#"{"kid":"1","kty":"RSA"}"#, "1"), "could not load JWK, likely not a valid key");
        assert_eq!(check(r#"{"kid":"1","kty":"RSA","n":"AQAB","e":"AQAB"}"#, "1"), "");
    }

    #[test]
    fn pem_pairs() {
        let Ok(key) = rcgen::KeyPair::generate() else { panic!("no key") };
        let Ok(other) = rcgen::KeyPair::generate() else { panic!("no key") };
        let public = |key: &rcgen::KeyPair| rcgen::PublicKeyData::subject_public_key_info(key);
        let pem_of = |key: &rcgen::KeyPair| {
            format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", base64(&public(key)))
        };
        assert_eq!(pem(&json!({"private_key": key.serialize_pem(), "public_key": pem_of(&key)})), Ok(()));
        assert_eq!(
            pem(&json!({"private_key": key.serialize_pem(), "public_key": pem_of(&other)})),
            Err("public key does not match private key".to_owned())
        );
        let (pkcs1, halves) = (made("PKCS1", "public"), |name| json!({"private_key": made(name, "private")}));
        let with = |mut pair: Value, public: &str| {
            pair["public_key"] = json!(public);
            pem(&pair)
        };
        assert_eq!(with(halves("PKCS1"), pkcs1), Ok(()));
        assert!(with(halves("RSA-1024"), pkcs1).is_err());
        assert_eq!(pem(&json!({"public_key": "x"})), Err("could not load public key".to_owned()));
    }

    fn base64(bytes: &[u8]) -> String {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut out = String::new();
        for chunk in bytes.chunks(3) {
            let n = chunk.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
            for i in 0..4 {
                out.push(if i <= chunk.len() { char::from(ALPHABET[(n >> (18 - 6 * i) & 63) as usize]) } else { '=' });
            }
        }
        out
    }
}
