//! Keys of `resty.openssl.pkey`: read, made, used and written.

use super::der;
use crate::lua::value::text;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{self as sig, EcdsaKeyPair, Ed25519KeyPair, KeyPair, ParsedPublicKey};
use aws_lc_rs::signature::{EcdsaSigningAlgorithm, RsaEncoding, VerificationAlgorithm};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mlua::{AnyUserData, Lua, LuaString, Result, Table, UserData, Value};
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo, X509Certificate};
use x509_parser::public_key::PublicKey;

/// A key, or only its public half.
pub struct Key {
    kind: Kind,
    /// As `PrivateKeyInfo` of PKCS #8.
    private: Option<Vec<u8>>,
    /// As `SubjectPublicKeyInfo`.
    public: Vec<u8>,
}

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Rsa,
    P256,
    P384,
    P521,
    Ed25519,
}

type Failed = String;

impl UserData for Key {}

pub fn add(lua: &Lua, native: &Table) -> Result<()> {
    native.raw_set("key", lua.create_function(|_, given: LuaString| Ok(told(Key::parse(&given.as_bytes()))))?)?;
    native.raw_set("key_of_parts", lua.create_function(|_, parts: Table| Ok(told(of_parts(&parts))))?)?;
    native.raw_set("key_made", lua.create_function(|_, (kind, bits)| Ok(told(made(kind, bits))))?)?;
    native.raw_set("key_info", lua.create_function(info)?)?;
    native.raw_set("key_der", lua.create_function(written)?)?;
    native.raw_set("key_sign", lua.create_function(sign)?)?;
    native.raw_set("key_verify", lua.create_function(verify)?)
}

/// What there is, or nil and why there is not.
fn told<T>(outcome: std::result::Result<T, Failed>) -> (Option<T>, Option<Failed>) {
    match outcome {
        Ok(value) => (Some(value), None),
        Err(why) => (None, Some(why)),
    }
}

impl Key {
    /// A key in PEM or DER: private, public, or that of a certificate.
    pub fn parse(given: &[u8]) -> std::result::Result<Key, Failed> {
        let Some((label, octets)) = of_pem(given) else { return Key::of_der(given) };
        match label.as_str() {
            "ENCRYPTED PRIVATE KEY" => Err("the key is encrypted".to_owned()),
            "RSA PUBLIC KEY" => Key::of_public(der::public_key(der::RSA, &octets)),
            "CERTIFICATE" => {
                let (_, certificate) = X509Certificate::from_der(&octets).map_err(|error| error.to_string())?;
                Key::of_public(certificate.public_key().raw.to_vec())
            }
            _ => Key::of_der(&octets),
        }
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// As `PrivateKeyInfo`, if it is there.
    pub fn private(&self) -> Option<&[u8]> {
        self.private.as_deref()
    }

    /// As `SubjectPublicKeyInfo`.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// The point of a key of a curve.
    pub fn point(&self) -> Option<Vec<u8>> {
        let (_, info) = SubjectPublicKeyInfo::from_der(&self.public).ok()?;
        match info.parsed() {
            Ok(PublicKey::EC(point)) => Some(point.data().to_vec()),
            _ => None,
        }
    }

    fn of_der(octets: &[u8]) -> std::result::Result<Key, Failed> {
        let rsa = rsa::KeyPair::from_pkcs8(octets).or_else(|_| rsa::KeyPair::from_der(octets));
        if let Ok(pair) = rsa {
            return Key::of_pair(Kind::Rsa, &pair, pair.public_key());
        }
        for kind in [Kind::P256, Kind::P384, Kind::P521] {
            let Some((algorithm, _)) = kind.signing(None) else { continue };
            if let Ok(pair) = EcdsaKeyPair::from_private_key_der(algorithm, octets) {
                let private = pair.to_pkcs8v1().map_err(|error| error.to_string())?;
                let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|error| error.to_string())?;
                return Ok(Key { kind, private: Some(private.as_ref().to_vec()), public: public.as_ref().to_vec() });
            }
        }
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(octets) {
            return Key::of_pair(Kind::Ed25519, &pair, pair.public_key());
        }
        Key::of_public(octets.to_vec())
    }

    /// The public half alone.
    fn of_public(spki: Vec<u8>) -> std::result::Result<Key, Failed> {
        let (_, info) = SubjectPublicKeyInfo::from_der(&spki).map_err(|_| "it is no key in PEM or DER")?;
        let kind = match (info.parsed(), info.algorithm.algorithm.to_id_string().as_str()) {
            (Ok(PublicKey::RSA(_)), _) => Kind::Rsa,
            (Ok(PublicKey::EC(point)), _) if point.data().len() == 65 => Kind::P256,
            (Ok(PublicKey::EC(point)), _) if point.data().len() == 97 => Kind::P384,
            (Ok(PublicKey::EC(point)), _) if point.data().len() == 133 => Kind::P521,
            (_, "1.3.101.112") => Kind::Ed25519,
            (_, other) => return Err(format!("keys of the algorithm {other} are not there in this version")),
        };
        Ok(Key { kind, private: None, public: spki })
    }

    fn of_pair<Pair, Public>(kind: Kind, pair: &Pair, public: &Public) -> std::result::Result<Key, Failed>
    where
        Pair: AsDer<Pkcs8V1Der<'static>>,
        Public: AsDer<PublicKeyX509Der<'static>>,
    {
        let private = pair.as_der().map_err(|error| error.to_string())?.as_ref().to_vec();
        let public = public.as_der().map_err(|error| error.to_string())?.as_ref().to_vec();
        Ok(Key { kind, private: Some(private), public })
    }

    fn sign(&self, data: &[u8], hash: Option<&str>, pss: bool, fixed: bool) -> std::result::Result<Vec<u8>, Failed> {
        let private = self.private.as_deref().ok_or("the key has no private half")?;
        let failed = |error: &dyn std::fmt::Display| error.to_string();
        match self.kind {
            Kind::Rsa => {
                let pair = rsa::KeyPair::from_pkcs8(private).map_err(|error| failed(&error))?;
                let encoding: &'static dyn RsaEncoding = match (hash.unwrap_or("sha256"), pss) {
                    ("sha256", false) => &sig::RSA_PKCS1_SHA256,
                    ("sha384", false) => &sig::RSA_PKCS1_SHA384,
                    ("sha512", false) => &sig::RSA_PKCS1_SHA512,
                    ("sha256", true) => &sig::RSA_PSS_SHA256,
                    ("sha384", true) => &sig::RSA_PSS_SHA384,
                    ("sha512", true) => &sig::RSA_PSS_SHA512,
                    (other, _) => return Err(format!("signatures with {other} are not there in this version")),
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &SystemRandom::new(), data, &mut signature).map_err(|error| failed(&error))?;
                Ok(signature)
            }
            Kind::Ed25519 => {
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(private).map_err(|error| failed(&error))?;
                Ok(pair.sign(data).as_ref().to_vec())
            }
            curve => {
                let wanted = curve.signing(hash).ok_or("the hash does not go with the curve in this version")?;
                let algorithm = if fixed { wanted.1 } else { wanted.0 };
                let pair = EcdsaKeyPair::from_pkcs8(algorithm, private).map_err(|error| failed(&error))?;
                let signature = pair.sign(&SystemRandom::new(), data).map_err(|error| failed(&error))?;
                Ok(signature.as_ref().to_vec())
            }
        }
    }

    fn verify(&self, signature: &[u8], data: &[u8], hash: Option<&str>, pss: bool, fixed: bool) -> bool {
        let Some(algorithm) = self.kind.verification(hash, pss, fixed) else { return false };
        ParsedPublicKey::new(algorithm, &self.public).is_ok_and(|key| key.verify_sig(data, signature).is_ok())
    }
}

impl Kind {
    fn named(name: &str) -> Option<Kind> {
        Some(match name {
            "RSA" => Kind::Rsa,
            "P-256" | "prime256v1" => Kind::P256,
            "P-384" | "secp384r1" => Kind::P384,
            "P-521" | "secp521r1" => Kind::P521,
            "Ed25519" => Kind::Ed25519,
            _ => return None,
        })
    }

    /// As JOSE calls it.
    fn name(self) -> &'static str {
        match self {
            Kind::Rsa => "RSA",
            Kind::P256 => "P-256",
            Kind::P384 => "P-384",
            Kind::P521 => "P-521",
            Kind::Ed25519 => "Ed25519",
        }
    }

    /// How a curve signs: as ASN.1, and as two numbers of a fixed length. Without a hash, by that which goes with it.
    fn signing(self, hash: Option<&str>) -> Option<(&'static EcdsaSigningAlgorithm, &'static EcdsaSigningAlgorithm)> {
        Some(match (self, hash) {
            (Kind::P256, None | Some("sha256")) => {
                (&sig::ECDSA_P256_SHA256_ASN1_SIGNING, &sig::ECDSA_P256_SHA256_FIXED_SIGNING)
            }
            (Kind::P384, None | Some("sha384")) => {
                (&sig::ECDSA_P384_SHA384_ASN1_SIGNING, &sig::ECDSA_P384_SHA384_FIXED_SIGNING)
            }
            (Kind::P521, None | Some("sha512")) => {
                (&sig::ECDSA_P521_SHA512_ASN1_SIGNING, &sig::ECDSA_P521_SHA512_FIXED_SIGNING)
            }
            _ => return None,
        })
    }

    fn verification(self, hash: Option<&str>, pss: bool, fixed: bool) -> Option<&'static dyn VerificationAlgorithm> {
        let rsa = if self == Kind::Rsa { hash.or(Some("sha256")) } else { hash };
        Some(match (self, rsa, pss || fixed) {
            (Kind::Rsa, Some("sha1"), false) => &sig::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
            (Kind::Rsa, Some("sha256"), false) => &sig::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
            (Kind::Rsa, Some("sha384"), false) => &sig::RSA_PKCS1_2048_8192_SHA384,
            (Kind::Rsa, Some("sha512"), false) => &sig::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
            (Kind::Rsa, Some("sha256"), true) => &sig::RSA_PSS_2048_8192_SHA256,
            (Kind::Rsa, Some("sha384"), true) => &sig::RSA_PSS_2048_8192_SHA384,
            (Kind::Rsa, Some("sha512"), true) => &sig::RSA_PSS_2048_8192_SHA512,
            (Kind::P256, None | Some("sha256"), false) => &sig::ECDSA_P256_SHA256_ASN1,
            (Kind::P256, None | Some("sha256"), true) => &sig::ECDSA_P256_SHA256_FIXED,
            (Kind::P384, None | Some("sha384"), false) => &sig::ECDSA_P384_SHA384_ASN1,
            (Kind::P384, None | Some("sha384"), true) => &sig::ECDSA_P384_SHA384_FIXED,
            (Kind::P521, None | Some("sha512"), false) => &sig::ECDSA_P521_SHA512_ASN1,
            (Kind::P521, None | Some("sha512"), true) => &sig::ECDSA_P521_SHA512_FIXED,
            (Kind::Ed25519, ..) => &sig::ED25519,
            _ => return None,
        })
    }
}

/// The label and the content of the first part of a text in PEM.
pub fn of_pem(given: &[u8]) -> Option<(String, Vec<u8>)> {
    let pem = std::str::from_utf8(given).ok()?;
    let (label, rest) = pem.split_once("-----BEGIN ")?.1.split_once("-----")?;
    let (body, _) = rest.split_once("-----END ")?;
    let octets = STANDARD.decode(body.split_ascii_whitespace().collect::<String>()).ok()?;
    Some((label.to_owned(), octets))
}

/// A key of numbers, as a JSON Web Key has them: `kty`, `crv`, and octets by the names of RFC 7518.
fn of_parts(parts: &Table) -> std::result::Result<Key, Failed> {
    let part = |name: &str| parts.raw_get::<Value>(name).ok().as_ref().and_then(text);
    let named = |name: &str| part(name).map(|name| String::from_utf8_lossy(&name).into_owned()).unwrap_or_default();
    let wanted = |name: &str| part(name).ok_or_else(|| format!("the key has no '{name}'"));
    match named("kty").as_str() {
        "RSA" => {
            let public = der::numbers(&[&wanted("n")?, &wanted("e")?]);
            let Some(d) = part("d") else { return Key::of_public(der::public_key(der::RSA, &public)) };
            let (n, e) = (wanted("n")?, wanted("e")?);
            let (p, q) = (wanted("p")?, wanted("q")?);
            let (dp, dq, qi) = (wanted("dp")?, wanted("dq")?, wanted("qi")?);
            Key::of_der(&der::numbers(&[&[0], &n, &e, &d, &p, &q, &dp, &dq, &qi]))
        }
        "EC" => {
            let kind = Kind::named(&named("crv")).filter(|kind| kind.signing(None).is_some());
            let kind = kind.ok_or_else(|| format!("the curve '{}' is not there", named("crv")))?;
            let point = [vec![4], wanted("x")?, wanted("y")?].concat();
            match (part("d"), kind.signing(None)) {
                (Some(d), Some((algorithm, _))) => {
                    let pair = EcdsaKeyPair::from_private_key_and_public_key(algorithm, &d, &point);
                    let pair = pair.map_err(|error| error.to_string())?;
                    Key::of_der(pair.to_pkcs8v1().map_err(|error| error.to_string())?.as_ref())
                }
                _ => Key::of_public(der::public_key(der::curve(kind.name()), &point)),
            }
        }
        "OKP" if named("crv") == "Ed25519" => match part("d") {
            Some(seed) => {
                let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|error| error.to_string())?;
                Key::of_pair(Kind::Ed25519, &pair, pair.public_key())
            }
            None => Key::of_public(der::public_key(der::ED25519, &wanted("x")?)),
        },
        other => Err(format!("keys of the type '{other}' are not there in this version")),
    }
}

/// A new key.
fn made(kind: String, bits: Option<u32>) -> std::result::Result<Key, Failed> {
    let failed = |error: aws_lc_rs::error::Unspecified| error.to_string();
    match Kind::named(&kind) {
        Some(Kind::Rsa) => {
            let size = match bits.unwrap_or(2048) {
                2048 => KeySize::Rsa2048,
                3072 => KeySize::Rsa3072,
                4096 => KeySize::Rsa4096,
                other => return Err(format!("RSA keys of {other} bits are not made")),
            };
            let pair = rsa::KeyPair::generate(size).map_err(failed)?;
            Key::of_pair(Kind::Rsa, &pair, pair.public_key())
        }
        Some(Kind::Ed25519) => {
            let pair = Ed25519KeyPair::generate().map_err(failed)?;
            Key::of_pair(Kind::Ed25519, &pair, pair.public_key())
        }
        Some(curve) => {
            let (algorithm, _) = curve.signing(None).ok_or("there is no such curve")?;
            let pair = EcdsaKeyPair::generate(algorithm).map_err(failed)?;
            Key::of_der(pair.to_pkcs8v1().map_err(failed)?.as_ref())
        }
        None => Err(format!("keys of the type '{kind}' are not there in this version")),
    }
}

/// What is to be known of a key: its kind, whether it has a private half, and its public numbers.
fn info(lua: &Lua, key: AnyUserData) -> Result<Table> {
    let key = key.borrow::<Key>()?;
    let table = lua.create_table()?;
    table.raw_set("name", key.kind.name())?;
    table.raw_set("private", key.private.is_some())?;
    let Ok((_, spki)) = SubjectPublicKeyInfo::from_der(&key.public) else { return Ok(table) };
    match spki.parsed() {
        Ok(PublicKey::RSA(rsa)) => {
            table.raw_set("n", lua.create_string(without_zeros(rsa.modulus))?)?;
            table.raw_set("e", lua.create_string(without_zeros(rsa.exponent))?)?;
        }
        Ok(PublicKey::EC(point)) => {
            let (x, y) = point.data()[1..].split_at((point.data().len() - 1) / 2);
            table.raw_set("x", lua.create_string(x)?)?;
            table.raw_set("y", lua.create_string(y)?)?;
        }
        _ => table.raw_set("x", lua.create_string(&*spki.subject_public_key.data)?)?,
    }
    Ok(table)
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let from = number.iter().position(|octet| *octet != 0).unwrap_or(0);
    &number[from..]
}

fn written(lua: &Lua, (key, private): (AnyUserData, bool)) -> Result<Option<LuaString>> {
    let key = key.borrow::<Key>()?;
    let octets = if private { key.private.as_ref() } else { Some(&key.public) };
    octets.map(|octets| lua.create_string(octets)).transpose()
}

/// Data, its hash, whether an RSA signature is padded by PSS, and whether one of a curve is of a fixed length.
type Signed = (AnyUserData, LuaString, Option<String>, Option<bool>, Option<bool>);

fn sign(lua: &Lua, (key, data, hash, pss, fixed): Signed) -> Result<(Option<LuaString>, Option<Failed>)> {
    let key = key.borrow::<Key>()?;
    let signed = key.sign(&data.as_bytes(), hash.as_deref(), pss == Some(true), fixed == Some(true));
    let (signature, why) = told(signed);
    Ok((signature.map(|signature| lua.create_string(signature)).transpose()?, why))
}

/// The same, with the signature behind.
type Verified = (AnyUserData, LuaString, Option<String>, Option<bool>, Option<bool>, LuaString);

fn verify(_: &Lua, (key, data, hash, pss, fixed, signature): Verified) -> Result<bool> {
    let key = key.borrow::<Key>()?;
    Ok(key.verify(&signature.as_bytes(), &data.as_bytes(), hash.as_deref(), pss == Some(true), fixed == Some(true)))
}
