//! What keys do beside signing: `encrypt` and `decrypt` of RSA, and secrets that two keys of a curve have in common.

use super::keys::{Key, Kind};
use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OAEP_SHA512_MGF1SHA512, OaepAlgorithm,
    OaepPrivateDecryptingKey, OaepPublicEncryptingKey, Pkcs1PrivateDecryptingKey, Pkcs1PublicEncryptingKey,
    PrivateDecryptingKey, PublicEncryptingKey,
};
use mlua::{AnyUserData, Lua, LuaString, Result, Table};

type Failed = &'static str;

pub fn add(lua: &Lua, native: &Table) -> Result<()> {
    native.raw_set("key_encrypt", lua.create_function(encrypt)?)?;
    native.raw_set("key_decrypt", lua.create_function(decrypt)?)?;
    native.raw_set("key_derive", lua.create_function(derive)?)
}

/// OAEP with that hash; without one, the padding of PKCS #1 1.5.
fn padding(hash: Option<&str>) -> std::result::Result<Option<&'static OaepAlgorithm>, Failed> {
    Ok(Some(match hash {
        None => return Ok(None),
        Some("sha1") => &OAEP_SHA1_MGF1SHA1,
        Some("sha256") => &OAEP_SHA256_MGF1SHA256,
        Some("sha384") => &OAEP_SHA384_MGF1SHA384,
        Some("sha512") => &OAEP_SHA512_MGF1SHA512,
        Some(_) => return Err("there is no such padding in this version"),
    }))
}

fn told(lua: &Lua, done: std::result::Result<Vec<u8>, Failed>) -> Result<(Option<LuaString>, Option<Failed>)> {
    match done {
        Ok(octets) => Ok((Some(lua.create_string(octets)?), None)),
        Err(why) => Ok((None, Some(why))),
    }
}

/// A key, octets, and the hash of the padding.
type Given = (AnyUserData, LuaString, Option<String>);

fn encrypt(lua: &Lua, (key, text, hash): Given) -> Result<(Option<LuaString>, Option<Failed>)> {
    let key = key.borrow::<Key>()?;
    let failed = |_| "it cannot be encrypted";
    let work = || -> std::result::Result<Vec<u8>, Failed> {
        let public = PublicEncryptingKey::from_der(key.public()).map_err(|_| "it is no key of RSA")?;
        let text = text.as_bytes();
        let mut out = vec![0; public.key_size_bytes()];
        let length = match padding(hash.as_deref())? {
            Some(oaep) => {
                let public = OaepPublicEncryptingKey::new(public).map_err(failed)?;
                public.encrypt(oaep, &text, &mut out, None).map_err(failed)?.len()
            }
            None => {
                let public = Pkcs1PublicEncryptingKey::new(public).map_err(failed)?;
                public.encrypt(&text, &mut out).map_err(failed)?.len()
            }
        };
        out.truncate(length);
        Ok(out)
    };
    told(lua, work())
}

fn decrypt(lua: &Lua, (key, text, hash): Given) -> Result<(Option<LuaString>, Option<Failed>)> {
    let key = key.borrow::<Key>()?;
    let failed = |_| "it cannot be decrypted";
    let work = || -> std::result::Result<Vec<u8>, Failed> {
        let private = key.private().ok_or("the key has no private half")?;
        let private = PrivateDecryptingKey::from_pkcs8(private).map_err(|_| "it is no key of RSA")?;
        let text = text.as_bytes();
        let mut out = vec![0; private.key_size_bytes()];
        let length = match padding(hash.as_deref())? {
            Some(oaep) => {
                let private = OaepPrivateDecryptingKey::new(private).map_err(failed)?;
                private.decrypt(oaep, &text, &mut out, None).map_err(failed)?.len()
            }
            None => {
                let private = Pkcs1PrivateDecryptingKey::new(private).map_err(failed)?;
                private.decrypt(&text, &mut out).map_err(failed)?.len()
            }
        };
        out.truncate(length);
        Ok(out)
    };
    told(lua, work())
}

/// What a key and another one's public half have in common (ECDH).
fn derive(lua: &Lua, (own, other): (AnyUserData, AnyUserData)) -> Result<(Option<LuaString>, Option<Failed>)> {
    let (own, other) = (own.borrow::<Key>()?, other.borrow::<Key>()?);
    let work = || -> std::result::Result<Vec<u8>, Failed> {
        let algorithm = match own.kind() {
            Kind::P256 => &agreement::ECDH_P256,
            Kind::P384 => &agreement::ECDH_P384,
            Kind::P521 => &agreement::ECDH_P521,
            _ => return Err("keys of that type have nothing in common"),
        };
        let private = own.private().ok_or("the key has no private half")?;
        let private = PrivateKey::from_private_key_der(algorithm, private).map_err(|_| "the key cannot be read")?;
        let point = other.point().ok_or("the other key cannot be read")?;
        let public = UnparsedPublicKey::new(algorithm, point);
        agreement::agree(&private, public, "the keys are of different curves", |secret| Ok(secret.to_vec()))
    };
    told(lua, work())
}
