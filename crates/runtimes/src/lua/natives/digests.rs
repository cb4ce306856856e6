//! Digests, keyed ones, checksums and random octets.

use aws_lc_rs::digest::{self, Algorithm};
use aws_lc_rs::{hmac, rand};
use md5::{Digest, Md5};
use mlua::{Error, Lua, LuaString, Result, Table};

pub fn add(lua: &Lua, native: &Table) -> Result<()> {
    native.raw_set("digest", lua.create_function(digest_of)?)?;
    native.raw_set("hmac", lua.create_function(hmac_of)?)?;
    native.raw_set("crc32", lua.create_function(|_, text: LuaString| Ok(crc32(&text.as_bytes())))?)?;
    native.raw_set("random", lua.create_function(random)?)?;
    native.raw_set("uuid", lua.create_function(|_, ()| Ok(sdk::entities::Uuid::new_v4().to_string()))?)
}

fn digest_of(lua: &Lua, (name, text): (String, LuaString)) -> Result<LuaString> {
    if name == "md5" {
        return lua.create_string(Md5::digest(&*text.as_bytes()));
    }
    let algorithm: &'static Algorithm = match name.as_str() {
        "sha1" => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        "sha224" => &digest::SHA224,
        "sha256" => &digest::SHA256,
        "sha384" => &digest::SHA384,
        "sha512" => &digest::SHA512,
        _ => return Err(Error::runtime(format!("invalid digest type \"{name}\""))),
    };
    lua.create_string(digest::digest(algorithm, &text.as_bytes()))
}

fn hmac_of(lua: &Lua, (name, key, text): (String, LuaString, LuaString)) -> Result<LuaString> {
    if name == "md5" {
        return lua.create_string(hmac_md5(&key.as_bytes(), &text.as_bytes()));
    }
    let algorithm = match name.as_str() {
        "sha1" => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        "sha224" => hmac::HMAC_SHA224,
        "sha256" => hmac::HMAC_SHA256,
        "sha384" => hmac::HMAC_SHA384,
        "sha512" => hmac::HMAC_SHA512,
        _ => return Err(Error::runtime(format!("invalid digest type \"{name}\""))),
    };
    let key = hmac::Key::new(algorithm, &key.as_bytes());
    lua.create_string(hmac::sign(&key, &text.as_bytes()))
}

/// RFC 2104.
fn hmac_md5(key: &[u8], text: &[u8]) -> [u8; 16] {
    let mut block = [0; 64];
    let hashed;
    let key = match key.len() > 64 {
        true => {
            hashed = Md5::digest(key);
            &hashed[..]
        }
        false => key,
    };
    block[..key.len()].copy_from_slice(key);
    let pad = |with: u8| block.map(|octet| octet ^ with);
    let inner = Md5::new().chain_update(pad(0x36)).chain_update(text).finalize();
    Md5::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

fn crc32(octets: &[u8]) -> u32 {
    let step = |sum: u32| if sum & 1 == 1 { (sum >> 1) ^ 0xEDB8_8320 } else { sum >> 1 };
    !octets.iter().fold(!0, |sum: u32, octet| (0..8).fold(sum ^ u32::from(*octet), |sum, _| step(sum)))
}

fn random(lua: &Lua, count: usize) -> Result<LuaString> {
    const MOST: usize = 1 << 20;
    if count > MOST {
        return Err(Error::runtime("too many random octets at once"));
    }
    let mut octets = vec![0; count];
    rand::fill(&mut octets).map_err(|_| Error::runtime("there are no random octets"))?;
    lua.create_string(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_rfcs() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        let hex: String =
            hmac_md5(b"Jefe", b"what do ya want for nothing?").iter().map(|o| format!("{o:02x}")).collect();
        assert_eq!(hex, "750c783e6ab0b503eaa86e310a5db738");
    }
}
