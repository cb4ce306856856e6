//! Certificates and private keys: they parse, belong together and are what they should be.

use super::public_key::{PrivateKey, PublicKey};
use crate::{Record, pem};
use rustls_pki_types::CertificateDer;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};
use x509_parser::prelude::{FromDer, X509Certificate};

type Verdict = Result<(), String>;

/// A PEM certificate.
pub fn certificate(value: &Value) -> Verdict {
    let text = value.as_str().unwrap_or_default();
    let der = pem::certificate(text).map_err(|e| format!("invalid certificate: {e}"))?;
    parse(&der).map(drop).map_err(|e| format!("invalid certificate: {e}"))
}

/// A PEM private key.
pub fn private_key(value: &Value) -> Verdict {
    PrivateKey::read(value.as_str().unwrap_or_default()).map(drop).map_err(|e| format!("invalid key: {e}"))
}

/// `key` is the key of `cert`.
pub fn key_belongs(record: &Record) -> Verdict {
    belongs(record, "cert", "key", "certificate does not match key")
}

/// `key_alt` is the key of `cert_alt`.
pub fn alternative_key_belongs(record: &Record) -> Verdict {
    belongs(record, "cert_alt", "key_alt", "alternative certificate does not match key")
}

/// `cert` and `cert_alt` have keys of different kinds.
pub fn types_differ(record: &Record) -> Verdict {
    let algorithm = |field: &str| {
        let der = pem::certificate(record.get(field)?.as_str()?).ok()?;
        parse(&der).ok().map(|cert| cert.public_key().algorithm.algorithm.to_id_string())
    };
    match (algorithm("cert"), algorithm("cert_alt")) {
        (Some(a), Some(b)) if a == b => {
            Err("certificate and alternative certificate need to have different type (e.g. RSA and ECDSA), \
             the provided certificates were both of the same type"
                .to_owned())
        }
        _ => Ok(()),
    }
}

/// `cert` is one certificate of an authority and has not expired.
pub fn authority(record: &Record) -> Verdict {
    let text = record.get("cert").and_then(Value::as_str).unwrap_or_default();
    if text.matches("-----BEGIN CERTIFICATE-----").count() > 1 {
        return Err("please submit only one certificate at a time".to_owned());
    }
    let der = pem::certificate(text)?;
    let cert = parse(&der)?;
    let now =
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX));
    if cert.validity().not_after.timestamp() < now {
        return Err("certificate expired, \"Not After\" time is in the past".to_owned());
    }
    if cert.is_ca() {
        return Ok(());
    }
    Err("certificate does not appear to be a CA because it is missing the \"CA\" basic constraint".to_owned())
}

/// Sets `cert_digest`: SHA-256 of `cert`, in hexadecimal.
pub fn digest(record: &mut Record) -> Verdict {
    let der = pem::certificate(record.get("cert").and_then(Value::as_str).unwrap_or_default())?;
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(der.as_ref()) {
        let _ = write!(hex, "{byte:02x}");
    }
    record.insert("cert_digest".to_owned(), hex.into());
    Ok(())
}

fn belongs(record: &Record, cert: &str, key: &str, words: &str) -> Verdict {
    let text = |field: &str| record.get(field).and_then(Value::as_str);
    let (Some(cert), Some(key)) = (text(cert), text(key)) else { return Ok(()) };
    let der = pem::certificate(cert)?;
    let public = PublicKey::of_info(parse(&der)?.public_key()).ok_or("the certificate has no public key")?;
    if PrivateKey::read(key)?.belongs_to(&public) { Ok(()) } else { Err(words.to_owned()) }
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, String> {
    X509Certificate::from_der(der.as_ref()).map(|(_, cert)| cert).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::test_keys::made;
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_that_are_no_certificates_or_keys() {
        assert!(certificate(&json!("x")).is_err_and(|e| e.starts_with("invalid certificate: ")));
        assert!(private_key(&json!("y")).is_err_and(|e| e.starts_with("invalid key: ")));
        let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(certificate(&json!(empty)).is_err());
        let two = json!({ "cert": empty.repeat(2) });
        assert_eq!(
            two.as_object().map(authority),
            Some(Err("please submit only one certificate at a time".to_owned()))
        );
    }

    #[test]
    fn certificates_with_keys_that_nobody_would_make_today_are_taken() {
        for name in ["RSA-1024", "RSA-PSS", "P-224", "secp256k1", "Ed448"] {
            let record = |key: &str| {
                let pair = json!({"cert": made(name, "certificate"), "key": made(key, "private")});
                pair.as_object().cloned().unwrap_or_default()
            };
            assert_eq!(certificate(&json!(made(name, "certificate"))), Ok(()), "{name}");
            assert_eq!(private_key(&json!(made(name, "private"))), Ok(()), "{name}");
            assert_eq!(key_belongs(&record(name)), Ok(()), "{name}");
            assert_eq!(key_belongs(&record("P-256")), Err("certificate does not match key".to_owned()), "{name}");
        }
    }

    #[test]
    fn keys_belong_to_their_certificates() {
        let pair = |algorithm| {
            let key = rcgen::KeyPair::generate_for(algorithm).ok()?;
            let cert = rcgen::CertificateParams::new(vec!["a.test".to_owned()]).ok()?.self_signed(&key).ok()?;
            Some((cert.pem(), key.serialize_pem()))
        };
        let Some((cert, key)) = pair(&rcgen::PKCS_ECDSA_P256_SHA256) else { panic!("no key") };
        let Some((other_cert, other_key)) = pair(&rcgen::PKCS_ED25519) else { panic!("no key") };
        let record = |value: Value| value.as_object().cloned().unwrap_or_default();
        let good = record(json!({"cert": cert, "key": key, "cert_alt": other_cert, "key_alt": other_key}));
        assert_eq!(key_belongs(&good), Ok(()));
        assert_eq!(alternative_key_belongs(&good), Ok(()));
        assert_eq!(types_differ(&good), Ok(()));
        let crossed = record(json!({"cert": cert, "key": other_key, "cert_alt": cert}));
        assert_eq!(key_belongs(&crossed), Err("certificate does not match key".to_owned()));
        assert!(types_differ(&crossed).is_err());
        assert!(authority(&crossed).is_err_and(|e| e.contains("basic constraint")));
        let mut digested = crossed.clone();
        assert_eq!(digest(&mut digested), Ok(()));
        assert_eq!(digested["cert_digest"].as_str().map(str::len), Some(64));
    }
}
