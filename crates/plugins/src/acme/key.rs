//! The key of an account: what requests to an ACME server are signed with (RFC 8555, section 6.2).

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// An RSA or P-256 key.
pub enum AccountKey {
    Rsa(Box<RsaKeyPair>),
    Ec(Box<EcdsaKeyPair>),
}

/// Makes a new key, in PEM. Takes seconds.
pub fn generate() -> Result<String, String> {
    let key = RsaKeyPair::generate(KeySize::Rsa4096).map_err(|_| "no key can be made")?;
    let der = key.as_der().map_err(|_| "no key can be made")?;
    Ok(pem("PRIVATE KEY", der.as_ref()))
}

/// Octets of that kind in PEM.
pub fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in BASE64_STANDARD.encode(der).as_bytes().chunks(64) {
        text.extend(line.iter().copied().map(char::from));
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

pub fn base64url(octets: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(octets)
}

impl AccountKey {
    /// Reads a key in PEM. The error shows nothing of it.
    pub fn read(text: &str) -> Result<AccountKey, &'static str> {
        let key = model::pem::private_key(text)?;
        let der = key.secret_der();
        let rsa = RsaKeyPair::from_pkcs8(der).or_else(|_| RsaKeyPair::from_der(der));
        if let Ok(rsa) = rsa {
            return Ok(AccountKey::Rsa(Box::new(rsa)));
        }
        let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let ec = EcdsaKeyPair::from_pkcs8(kind, der).or_else(|_| EcdsaKeyPair::from_private_key_der(kind, der));
        ec.map(|ec| AccountKey::Ec(Box::new(ec))).map_err(|_| "the account's key is neither RSA nor P-256")
    }

    /// The public key (RFC 7517), with its members in the order of RFC 7638.
    pub fn public(&self) -> Value {
        match self {
            AccountKey::Rsa(key) => {
                let (modulus, exponent) = rsa_numbers(key.public_key().as_ref()).unwrap_or_default();
                json!({ "e": base64url(exponent), "kty": "RSA", "n": base64url(modulus) })
            }
            AccountKey::Ec(key) => {
                // An uncompressed point.
                let (x, y) = key.public_key().as_ref().get(1..).unwrap_or_default().split_at(32);
                json!({ "crv": "P-256", "kty": "EC", "x": base64url(x), "y": base64url(y) })
            }
        }
    }

    /// The digest of the public key (RFC 7638), by which challenges name an account.
    pub fn thumbprint(&self) -> String {
        base64url(digest(&SHA256, self.public().to_string().as_bytes()))
    }

    /// A signed request. `payload` is empty where something is only asked for.
    pub fn sign(&self, mut header: Value, payload: &str) -> Result<Value, String> {
        header["alg"] = if matches!(self, AccountKey::Rsa(_)) { "RS256" } else { "ES256" }.into();
        let (header, payload) = (base64url(header.to_string()), base64url(payload));
        let text = format!("{header}.{payload}");
        let random = SystemRandom::new();
        let signature = match self {
            AccountKey::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature).map_err(|_| "no signature")?;
                signature
            }
            AccountKey::Ec(key) => key.sign(&random, text.as_bytes()).map_err(|_| "no signature")?.as_ref().to_vec(),
        };
        Ok(json!({ "protected": header, "payload": payload, "signature": base64url(signature) }))
    }

    /// What ties an account to one that the server's operator has made (RFC 8555, section 7.3.4); `secret` is
    /// base64url.
    pub fn bind(&self, kid: &str, secret: &str, url: &str) -> Result<Value, String> {
        let secret = sdk::decode_base64url(secret).ok_or("eab_hmac_key: not base64url")?;
        let header = base64url(json!({ "alg": "HS256", "kid": kid, "url": url }).to_string());
        let payload = base64url(self.public().to_string());
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        let signature = base64url(hmac::sign(&key, format!("{header}.{payload}").as_bytes()));
        Ok(json!({ "protected": header, "payload": payload, "signature": signature }))
    }
}

/// Modulus and exponent of an `RSAPublicKey`.
fn rsa_numbers(der: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (_, inside, _) = element(der)?;
    let (_, modulus, rest) = element(inside)?;
    let (_, exponent, _) = element(rest)?;
    let number = |octets: &[u8]| octets.strip_prefix(&[0]).unwrap_or(octets).to_vec();
    Some((number(modulus), number(exponent)))
}

/// Tag, content and what follows of a DER element.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = match first {
        0..=127 => (usize::from(first), rest),
        _ => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 127).min(4))?;
            (digits.iter().fold(0, |length, &digit| length << 8 | usize::from(digit)), rest)
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    #[test]
    fn what_is_signed_can_be_verified() {
        let rsa = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
        let ec = rcgen::KeyPair::generate().unwrap();
        for pem in [rsa.serialize_pem(), ec.serialize_pem()] {
            let key = AccountKey::read(&pem).unwrap();
            let signed = key.sign(json!({ "nonce": "n" }), "{}").unwrap();
            let text = format!("{}.{}", signed["protected"].as_str().unwrap(), signed["payload"].as_str().unwrap());
            let signature = sdk::decode_base64url(signed["signature"].as_str().unwrap()).unwrap();
            let verified = match &key {
                AccountKey::Rsa(key) => UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref())
                    .verify(text.as_bytes(), &signature),
                AccountKey::Ec(key) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.public_key().as_ref())
                    .verify(text.as_bytes(), &signature),
            };
            assert!(verified.is_ok());
            assert_eq!(sdk::decode_base64url(key.thumbprint()).unwrap().len(), 32);
        }
        assert!(AccountKey::read("secret").is_err_and(|error| !error.contains("secret")));
    }
}
