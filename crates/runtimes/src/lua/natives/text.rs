//! Encodings: base64, URIs, arguments, hexadecimal digits.

use crate::lua::host::request::{args_of, named_args};
use crate::lua::value::text;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use mlua::{Error, Lua, LuaString, MultiValue, Result, Table, Value};
use sdk::Args;

pub fn add(lua: &Lua, native: &Table) -> Result<()> {
    native.raw_set("encode_base64", lua.create_function(encode_base64)?)?;
    native.raw_set("decode_base64", lua.create_function(decode_base64)?)?;
    native.raw_set("encode_base64url", lua.create_function(encode_base64url)?)?;
    native.raw_set("decode_base64url", lua.create_function(decode_base64url)?)?;
    native.raw_set("escape_uri", lua.create_function(escape_uri)?)?;
    native.raw_set("unescape_uri", lua.create_function(unescape_uri)?)?;
    native.raw_set("encode_args", lua.create_function(encode_args)?)?;
    native.raw_set("decode_args", lua.create_function(decode_args)?)?;
    native.raw_set("hex", lua.create_function(hex)?)?;
    native.raw_set("unhex", lua.create_function(unhex)?)
}

fn octets(value: &Value) -> Result<Vec<u8>> {
    match value {
        Value::Nil => Ok(Vec::new()),
        value => text(value).ok_or_else(|| Error::runtime("string argument only")),
    }
}

fn encode_base64(lua: &Lua, (given, no_padding): (Value, Option<bool>)) -> Result<LuaString> {
    let engine = if no_padding == Some(true) { STANDARD_NO_PAD } else { STANDARD };
    lua.create_string(engine.encode(octets(&given)?))
}

/// With or without padding.
fn decode_base64(lua: &Lua, given: Value) -> Result<Option<LuaString>> {
    let Value::String(given) = given else { return Err(Error::runtime("string argument only")) };
    let given = given.as_bytes();
    let digits: &[u8] = &given;
    let end = digits.iter().rposition(|octet| *octet != b'=').map_or(0, |at| at + 1);
    STANDARD_NO_PAD.decode(&digits[..end]).ok().map(|octets| lua.create_string(octets)).transpose()
}

fn encode_base64url(lua: &Lua, given: Value) -> Result<LuaString> {
    lua.create_string(URL_SAFE_NO_PAD.encode(octets(&given)?))
}

fn decode_base64url(lua: &Lua, given: Value) -> Result<Option<LuaString>> {
    sdk::decode_base64url(&octets(&given)?).map(|octets| lua.create_string(octets)).transpose()
}

/// As nginx escapes arguments: all but what never means anything; of kind 0, as it escapes paths.
fn escape_uri(lua: &Lua, (given, kind): (Value, Option<i64>)) -> Result<LuaString> {
    let of_path = kind == Some(0);
    let mut out = Vec::new();
    for octet in octets(&given)? {
        let is_plain = match of_path {
            true => octet.is_ascii_graphic() && !b"#%?".contains(&octet),
            false => octet.is_ascii_alphanumeric() || b"-._~!'()*".contains(&octet),
        };
        if is_plain {
            out.push(octet);
        } else {
            out.extend_from_slice(format!("%{octet:02X}").as_bytes());
        }
    }
    lua.create_string(out)
}

fn unescape_uri(lua: &Lua, given: Value) -> Result<LuaString> {
    lua.create_string(&*sdk::decode(&octets(&given)?))
}

fn encode_args(lua: &Lua, args: Table) -> Result<LuaString> {
    lua.create_string(args_of(&args)?.to_query().unwrap_or_default())
}

fn decode_args(lua: &Lua, (given, max): (Value, Option<usize>)) -> Result<MultiValue> {
    named_args(lua, &Args::parse(octets(&given)?), max.unwrap_or(100))
}

fn hex(lua: &Lua, given: Value) -> Result<LuaString> {
    let mut out = String::new();
    for octet in octets(&given)? {
        out.push_str(&format!("{octet:02x}"));
    }
    lua.create_string(out)
}

fn unhex(lua: &Lua, given: Value) -> Result<Option<LuaString>> {
    let given = octets(&given)?;
    let digit = |octet: u8| char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    let out: Option<Vec<u8>> = given.chunks(2).map(pair).collect();
    out.map(|octets| lua.create_string(octets)).transpose()
}
