//! Ciphers, and keys that are derived: `resty.openssl.cipher`, `resty.openssl.kdf`, `resty.aes`.

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{self, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{hkdf, hmac, pbkdf2};
use mlua::{Error, Lua, LuaString, Result, Table};
use std::num::NonZeroU32;

/// Rounds of PBKDF2 at once, at most: they cannot be interrupted.
const MOST_ROUNDS: u32 = 2_000_000;
/// Octets of a derived key, at most.
const LONGEST_KEY: usize = 1 << 16;
const BLOCK: usize = 16;
const TAG: usize = 16;

/// What is wanted of a cipher.
struct Task {
    key: Vec<u8>,
    iv: Vec<u8>,
    text: Vec<u8>,
    aad: Vec<u8>,
    tag: Vec<u8>,
    is_padded: bool,
}

type Failed = &'static str;
type Outcome<T> = std::result::Result<T, Failed>;

pub fn add(lua: &Lua, native: &Table) -> Result<()> {
    native.raw_set("cipher", lua.create_function(cipher)?)?;
    native.raw_set("pbkdf2", lua.create_function(pbkdf2_of)?)?;
    native.raw_set("hkdf", lua.create_function(hkdf_of)?)
}

/// Enciphers or deciphers by a name such as `aes-256-gcm`: the text and the tag, or nil and why not.
fn cipher(
    lua: &Lua,
    (name, enciphers, given): (String, bool, Table),
) -> Result<(Option<LuaString>, Option<LuaString>, Option<Failed>)> {
    let part = |name: &str| -> Result<Vec<u8>> {
        Ok(given.raw_get::<Option<LuaString>>(name)?.map(|part| part.as_bytes().to_vec()).unwrap_or_default())
    };
    let is_padded = given.raw_get::<Option<bool>>("no_padding")? != Some(true);
    let task = Task {
        key: part("key")?,
        iv: part("iv")?,
        text: part("text")?,
        aad: part("aad")?,
        tag: part("tag")?,
        is_padded,
    };
    let done = match name.to_ascii_lowercase().as_str() {
        "aes-128-gcm" => task.authenticated(&aead::AES_128_GCM, enciphers),
        "aes-256-gcm" => task.authenticated(&aead::AES_256_GCM, enciphers),
        "chacha20-poly1305" => task.authenticated(&aead::CHACHA20_POLY1305, enciphers),
        other => task.by_blocks(other, enciphers).map(|text| (text, None)),
    };
    match done {
        Ok((text, tag)) => {
            let tag = tag.map(|tag| lua.create_string(tag)).transpose()?;
            Ok((Some(lua.create_string(text)?), tag, None))
        }
        Err(why) => Ok((None, None, Some(why))),
    }
}

impl Task {
    fn authenticated(
        mut self,
        algorithm: &'static aead::Algorithm,
        enciphers: bool,
    ) -> Outcome<(Vec<u8>, Option<Vec<u8>>)> {
        let key = UnboundKey::new(algorithm, &self.key).map_err(|_| "invalid key length")?;
        let key = LessSafeKey::new(key);
        let nonce = Nonce::try_assume_unique_for_key(&self.iv).map_err(|_| "the iv must have 12 octets")?;
        let aad = Aad::from(&self.aad);
        if enciphers {
            let tag =
                key.seal_in_place_separate_tag(nonce, aad, &mut self.text).map_err(|_| "it cannot be enciphered")?;
            return Ok((self.text, Some(tag.as_ref().to_vec())));
        }
        if self.tag.len() != TAG {
            return Err("the tag must have 16 octets");
        }
        self.text.extend_from_slice(&self.tag);
        let text = key.open_in_place(nonce, aad, &mut self.text).map_err(|_| "the tag does not match")?;
        Ok((text.to_vec(), None))
    }

    fn by_blocks(mut self, name: &str, enciphers: bool) -> Outcome<Vec<u8>> {
        let (algorithm, mode) = match name.rsplit_once('-') {
            Some(("aes-128", mode)) => (&cipher::AES_128, mode),
            Some(("aes-192", mode)) => (&cipher::AES_192, mode),
            Some(("aes-256", mode)) => (&cipher::AES_256, mode),
            _ => return Err("there is no such cipher in this version"),
        };
        let pads = self.is_padded && matches!(mode, "cbc" | "ecb");
        let key = UnboundCipherKey::new(algorithm, &self.key).map_err(|_| "invalid key length")?;
        let iv = || FixedLength::<BLOCK>::try_from(self.iv.as_slice()).map_err(|_| "the iv must have 16 octets");
        if enciphers && pads {
            let missing = BLOCK - self.text.len() % BLOCK;
            self.text.extend(std::iter::repeat_n(missing as u8, missing));
        }
        let failed = |_| "it cannot be done with that text";
        if enciphers {
            let (key, context) = match mode {
                "cbc" => (EncryptingKey::cbc(key), EncryptionContext::Iv128(iv()?)),
                "ctr" => (EncryptingKey::ctr(key), EncryptionContext::Iv128(iv()?)),
                "ecb" => (EncryptingKey::ecb(key), EncryptionContext::None),
                _ => return Err("there is no such cipher in this version"),
            };
            key.map_err(failed)?.less_safe_encrypt(&mut self.text, context).map_err(failed)?;
            return Ok(self.text);
        }
        let (key, context) = match mode {
            "cbc" => (DecryptingKey::cbc(key), DecryptionContext::Iv128(iv()?)),
            "ctr" => (DecryptingKey::ctr(key), DecryptionContext::Iv128(iv()?)),
            "ecb" => (DecryptingKey::ecb(key), DecryptionContext::None),
            _ => return Err("there is no such cipher in this version"),
        };
        key.map_err(failed)?.decrypt(&mut self.text, context).map_err(failed)?;
        if pads {
            let padding = usize::from(self.text.last().copied().unwrap_or_default());
            let kept = self.text.len().checked_sub(padding).filter(|_| (1..=BLOCK).contains(&padding));
            let kept = kept.filter(|kept| self.text[*kept..].iter().all(|octet| usize::from(*octet) == padding));
            self.text.truncate(kept.ok_or("bad decrypt")?);
        }
        Ok(self.text)
    }
}

fn pbkdf2_of(
    lua: &Lua,
    (hash, secret, salt, rounds, length): (String, LuaString, LuaString, u32, usize),
) -> Result<LuaString> {
    let algorithm = match hash.as_str() {
        "sha1" => pbkdf2::PBKDF2_HMAC_SHA1,
        "sha256" => pbkdf2::PBKDF2_HMAC_SHA256,
        "sha384" => pbkdf2::PBKDF2_HMAC_SHA384,
        "sha512" => pbkdf2::PBKDF2_HMAC_SHA512,
        other => return Err(Error::runtime(format!("invalid digest type \"{other}\""))),
    };
    let rounds = NonZeroU32::new(rounds).filter(|rounds| rounds.get() <= MOST_ROUNDS);
    let (Some(rounds), 1..=LONGEST_KEY) = (rounds, length) else {
        return Err(Error::runtime("too many rounds, or too long a key"));
    };
    let mut key = vec![0; length];
    pbkdf2::derive(algorithm, rounds, &salt.as_bytes(), &secret.as_bytes(), &mut key);
    lua.create_string(key)
}

/// RFC 5869; the mode says which of both steps are taken.
fn hkdf_of(
    lua: &Lua,
    (hash, secret, salt, info, length, mode): (String, LuaString, LuaString, LuaString, usize, String),
) -> Result<LuaString> {
    let algorithm = match hash.as_str() {
        "sha1" => hkdf::HKDF_SHA1_FOR_LEGACY_USE_ONLY,
        "sha256" => hkdf::HKDF_SHA256,
        "sha384" => hkdf::HKDF_SHA384,
        "sha512" => hkdf::HKDF_SHA512,
        other => return Err(Error::runtime(format!("invalid digest type \"{other}\""))),
    };
    if mode == "extract" {
        let extracted = hmac::sign(&hmac::Key::new(algorithm.hmac_algorithm(), &salt.as_bytes()), &secret.as_bytes());
        return lua.create_string(extracted);
    }
    let key = match mode.as_str() {
        "expand" => hkdf::Prk::new_less_safe(algorithm, &secret.as_bytes()),
        _ => hkdf::Salt::new(algorithm, &salt.as_bytes()).extract(&secret.as_bytes()),
    };
    struct Length(usize);
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let info = info.as_bytes();
    let info = [&info[..]];
    let expanded = key.expand(&info, Length(length)).map_err(|_| Error::runtime("too long a key"))?;
    let mut out = vec![0; length];
    expanded.fill(&mut out).map_err(|_| Error::runtime("too long a key"))?;
    lua.create_string(out)
}
