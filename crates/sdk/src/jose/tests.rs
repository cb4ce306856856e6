//! Tokens of all algorithms, good and bad.

use super::*;
use crate::decode_base64url;
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaEncoding, RsaKeyPair,
};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// RFC 7515, appendix A.1.
const RFC_TOKEN: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0\
                         dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const RFC_SECRET: &str = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";

/// Signs a message.
type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

fn pem(key: &impl AsDer<PublicKeyX509Der<'static>>) -> String {
    let der = BASE64_STANDARD.encode(key.as_der().unwrap().as_ref());
    format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        der.as_bytes().chunks(64).map(text).collect::<Vec<_>>().join("\n")
    )
}

fn text(octets: &[u8]) -> &str {
    std::str::from_utf8(octets).unwrap()
}

fn rsa_pair(bits: KeySize) -> RsaKeyPair {
    rsa::KeyPair::generate(bits).unwrap()
}

fn rsa(encoding: &'static dyn RsaEncoding) -> (String, Sign) {
    let pair = rsa_pair(KeySize::Rsa2048);
    let pem = pem(pair.public_key());
    let sign = move |message: &[u8]| {
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(encoding, &SystemRandom::new(), message, &mut signature).unwrap();
        signature
    };
    (pem, Box::new(sign))
}

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> (String, Sign) {
    let pair = EcdsaKeyPair::generate(algorithm).unwrap();
    let pem = pem(pair.public_key());
    (pem, Box::new(move |message| pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()))
}

fn ed25519() -> (String, Sign) {
    let pair = Ed25519KeyPair::generate().unwrap();
    let pem = pem(pair.public_key());
    (pem, Box::new(move |message| pair.sign(message).as_ref().to_vec()))
}

/// A public key for an algorithm, and who signs for it.
fn signer(algorithm: Algorithm) -> (String, Sign) {
    match algorithm {
        Algorithm::Rs256 => rsa(&signature::RSA_PKCS1_SHA256),
        Algorithm::Rs384 => rsa(&signature::RSA_PKCS1_SHA384),
        Algorithm::Rs512 => rsa(&signature::RSA_PKCS1_SHA512),
        Algorithm::Ps256 => rsa(&signature::RSA_PSS_SHA256),
        Algorithm::Ps384 => rsa(&signature::RSA_PSS_SHA384),
        Algorithm::Ps512 => rsa(&signature::RSA_PSS_SHA512),
        Algorithm::Es256 => ecdsa(&signature::ECDSA_P256_SHA256_FIXED_SIGNING),
        Algorithm::Es384 => ecdsa(&signature::ECDSA_P384_SHA384_FIXED_SIGNING),
        Algorithm::Es512 => ecdsa(&signature::ECDSA_P521_SHA512_FIXED_SIGNING),
        Algorithm::EdDsa => ed25519(),
        other => panic!("{} has no public keys", other.name()),
    }
}

fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

fn signed(algorithm: Algorithm, sign: &Sign) -> String {
    let message = unsigned(&json!({ "alg": algorithm.name() }), &json!({ "iss": "me" }));
    format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(sign(message.as_bytes())))
}

fn verify(key: &VerificationKey, token: &str) -> bool {
    key.verify(&Token::parse(token.as_bytes()).unwrap())
}

fn malformed(token: &str) -> Malformed {
    Token::parse(token.as_bytes()).unwrap_err()
}

#[test]
fn the_token_of_the_rfc() {
    let token = Token::parse(RFC_TOKEN.as_bytes()).unwrap();
    assert_eq!(token.claims["iss"], "joe");
    assert_eq!(token.header["typ"], "JWT");
    let secret = decode_base64url(RFC_SECRET).unwrap();
    assert!(VerificationKey::secret(Algorithm::Hs256, &secret).unwrap().verify(&token));
    assert!(!VerificationKey::secret(Algorithm::Hs256, b"another").unwrap().verify(&token));
    assert!(!VerificationKey::secret(Algorithm::Hs512, &secret).unwrap().verify(&token));
}

#[test]
fn signatures_of_all_algorithms() {
    for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| !algorithm.is_symmetric()) {
        let name = algorithm.name();
        let (pem, sign) = signer(algorithm);
        let key = VerificationKey::public(algorithm, &pem).unwrap();
        let token = signed(algorithm, &sign);
        assert!(verify(&key, &token), "{name}");
        let (_, other) = signer(algorithm);
        assert!(!verify(&key, &signed(algorithm, &other)), "{name}, another key");
        assert!(is_public_key(&pem), "{name}");
        let (message, _) = token.rsplit_once('.').unwrap();
        assert!(!verify(&key, &format!("{message}.")), "{name}, no signature");
        assert!(!verify(&key, &format!("{message}.AAAA")), "{name}, a short signature");
    }
}

#[test]
fn a_public_key_is_no_secret() {
    let (pem, _) = signer(Algorithm::Rs256);
    let key = VerificationKey::public(Algorithm::Rs256, &pem).unwrap();
    let hmac = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, pem.as_bytes());
    let forge: Sign = Box::new(move |message| aws_lc_rs::hmac::sign(&hmac, message).as_ref().to_vec());
    assert!(!verify(&key, &signed(Algorithm::Hs256, &forge)));
}

#[test]
fn keys_fit_their_algorithm() {
    let (rsa, _) = signer(Algorithm::Rs256);
    let (p256, _) = signer(Algorithm::Es256);
    assert!(VerificationKey::public(Algorithm::Ps512, &rsa).is_ok());
    for (algorithm, pem) in [
        (Algorithm::Es256, &rsa),
        (Algorithm::EdDsa, &rsa),
        (Algorithm::Rs256, &p256),
        (Algorithm::Es384, &p256),
        (Algorithm::Hs256, &rsa),
    ] {
        assert!(VerificationKey::public(algorithm, pem).is_err(), "{}", algorithm.name());
    }
    for pem in ["", "no pem", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", &rsa.replace("PUBLIC", "A")]
    {
        assert!(!is_public_key(pem), "{pem}");
    }
    assert!(VerificationKey::secret(Algorithm::Rs256, b"secret").is_none());
    assert!(VerificationKey::secret(Algorithm::Hs256, b"").is_none(), "everybody knows that secret");
}

#[test]
fn rsa_keys_in_the_form_of_pkcs1() {
    let pair = rsa_pair(KeySize::Rsa2048);
    let der = BASE64_STANDARD.encode(pair.public_key().as_ref());
    let pem = format!("-----BEGIN RSA PUBLIC KEY-----\r\n{der}\r\n-----END RSA PUBLIC KEY-----\r\n");
    assert!(VerificationKey::public(Algorithm::Rs256, &pem).is_ok());
}

#[test]
fn rsa_keys_of_1024_bits_are_too_weak() {
    const WEAK: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDHIg0/i2P9RuVGJahAb5WF60C6
ublK6gwxvXN164Lr8Vp3KoGJ/Z8ttFmkogaNrCQZpDhifA0/YJcdWoDhyk5RQo47
lHJKVoQrjRaNhg7EJzyiVQWG1KzsjPMSHftZbcaWWiIDeFt2vNcn9hHT17qwoAl3
TZwqJ5D0ONiXTxMvUwIDAQAB
-----END PUBLIC KEY-----";
    assert!(VerificationKey::public(Algorithm::Rs256, WEAK).unwrap_err().starts_with("an RSA key has to have 2048"));
}

#[test]
fn what_is_no_token() {
    let token = |header: Value, claims: Value| format!("{}.AA", unsigned(&header, &claims));
    let alg = || json!({ "alg": "HS256" });
    for text in ["", "abc", "a.b.c", "e30.e30", "é.é.é"] {
        assert_eq!(malformed(text), Malformed::Json, "{text}");
    }
    assert_eq!(malformed(&token(json!("HS256"), json!({}))), Malformed::Json);
    assert_eq!(malformed(&token(json!({}), json!({}))), Malformed::Algorithm);
    assert_eq!(malformed(&token(json!({ "alg": "none" }), json!({}))), Malformed::Algorithm);
    assert_eq!(malformed(&token(json!({ "alg": 1 }), json!({}))), Malformed::Algorithm);
    assert_eq!(malformed(&token(alg(), json!([]))), Malformed::Claims);
    assert_eq!(malformed(&format!("{}.a%", unsigned(&alg(), &json!({})))), Malformed::Signature);
    assert_eq!(malformed(&format!("{}.AA.AA", unsigned(&alg(), &json!({})))), Malformed::Signature);
    assert_eq!(malformed(&token(json!({ "alg": "HS256", "crit": ["b64"] }), json!({}))), Malformed::Critical);
}
