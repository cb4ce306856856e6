//! Certificates and private keys: they parse, belong together and are what they should be.

use crate::Record;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};
use x509_parser::prelude::{FromDer, X509Certificate};

type Verdict = Result<(), String>;

/// A PEM certificate.
pub fn certificate(value: &Value) -> Verdict {
    let der = certificate_der(value.as_str().unwrap_or_default()).map_err(|e| format!("invalid certificate: {e}"))?;
    parse(&der).map(drop).map_err(|e| format!("invalid certificate: {e}"))
}

/// A PEM private key.
pub fn private_key(value: &Value) -> Verdict {
    public_of(value.as_str().unwrap_or_default()).map(drop).map_err(|e| format!("invalid key: {e}"))
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
        let der = certificate_der(record.get(field)?.as_str()?).ok()?;
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
    let pem = record.get("cert").and_then(Value::as_str).unwrap_or_default();
    if pem.matches("-----BEGIN CERTIFICATE-----").count() > 1 {
        return Err("please submit only one certificate at a time".to_owned());
    }
    let der = certificate_der(pem)?;
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
    let der = certificate_der(record.get("cert").and_then(Value::as_str).unwrap_or_default())?;
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(der.as_ref()) {
        let _ = write!(hex, "{byte:02x}");
    }
    record.insert("cert_digest".to_owned(), hex.into());
    Ok(())
}

/// The public half of a PEM private key, as a certificate's key info holds it.
pub fn public_of(pem: &str) -> Result<Vec<u8>, String> {
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|e| e.to_string())?;
    let bytes = key.secret_der();
    if let Ok(pair) = aws_lc_rs::rsa::KeyPair::from_pkcs8(bytes).or_else(|_| aws_lc_rs::rsa::KeyPair::from_der(bytes)) {
        return Ok(pair.public_key().as_ref().to_vec());
    }
    let curves = [
        &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
        &signature::ECDSA_P384_SHA384_ASN1_SIGNING,
        &signature::ECDSA_P521_SHA512_ASN1_SIGNING,
        &signature::ECDSA_P256K1_SHA256_ASN1_SIGNING,
    ];
    for curve in curves {
        if let Ok(pair) =
            EcdsaKeyPair::from_pkcs8(curve, bytes).or_else(|_| EcdsaKeyPair::from_private_key_der(curve, bytes))
        {
            return Ok(pair.public_key().as_ref().to_vec());
        }
    }
    match Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes) {
        Ok(pair) => Ok(pair.public_key().as_ref().to_vec()),
        Err(_) => Err("not an RSA, ECDSA or Ed25519 private key".to_owned()),
    }
}

fn belongs(record: &Record, cert: &str, key: &str, words: &str) -> Verdict {
    let text = |field: &str| record.get(field).and_then(Value::as_str);
    let (Some(cert), Some(key)) = (text(cert), text(key)) else { return Ok(()) };
    let der = certificate_der(cert)?;
    let cert = parse(&der)?;
    if cert.public_key().subject_public_key.data.as_ref() == public_of(key)?.as_slice() {
        Ok(())
    } else {
        Err(words.to_owned())
    }
}

fn certificate_der(pem: &str) -> Result<CertificateDer<'static>, String> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|e| e.to_string())
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, String> {
    X509Certificate::from_der(der.as_ref()).map(|(_, cert)| cert).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
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
