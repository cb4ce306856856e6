//! What `ffi-zlib` and `zlib` ask: deflate in its three wrappings.

use flate2::Compression;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use mlua::{Lua, LuaString, Result, Table};
use std::io::{self, Read, Write};

/// Octets that come of a text, at most.
const MOST: u64 = 64 << 20;

type Outcome = (Option<LuaString>, Option<String>);

pub fn add(lua: &Lua, native: &Table) -> Result<()> {
    native.raw_set("deflate", lua.create_function(deflate)?)?;
    native.raw_set("inflate", lua.create_function(inflate)?)
}

/// A text, its wrapping (`raw`, `zlib` or `gzip`), and how hard it is tried, up to 9.
fn deflate(lua: &Lua, (text, wrapping, level): (LuaString, String, Option<u32>)) -> Result<Outcome> {
    let (text, level) = (text.as_bytes(), Compression::new(level.unwrap_or(6).min(9)));
    let deflated = match wrapping.as_str() {
        "raw" => finished(DeflateEncoder::new(Vec::new(), level), &text, DeflateEncoder::finish),
        "zlib" => finished(ZlibEncoder::new(Vec::new(), level), &text, ZlibEncoder::finish),
        _ => finished(GzEncoder::new(Vec::new(), level), &text, GzEncoder::finish),
    };
    told(lua, deflated)
}

fn inflate(lua: &Lua, (text, wrapping): (LuaString, String)) -> Result<Outcome> {
    let text = text.as_bytes();
    let inflated = match wrapping.as_str() {
        "raw" => whole(DeflateDecoder::new(&text[..])),
        "zlib" => whole(ZlibDecoder::new(&text[..])),
        _ => whole(MultiGzDecoder::new(&text[..])),
    };
    told(lua, inflated)
}

fn finished<E: Write>(
    mut encoder: E,
    text: &[u8],
    finish: impl FnOnce(E) -> io::Result<Vec<u8>>,
) -> io::Result<Vec<u8>> {
    encoder.write_all(text)?;
    finish(encoder)
}

fn whole(decoder: impl Read) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    decoder.take(MOST + 1).read_to_end(&mut out)?;
    if out.len() as u64 > MOST {
        return Err(io::Error::other("too much comes of it"));
    }
    Ok(out)
}

fn told(lua: &Lua, outcome: io::Result<Vec<u8>>) -> Result<Outcome> {
    match outcome {
        Ok(octets) => Ok((Some(lua.create_string(octets)?), None)),
        Err(error) => Ok((None, Some(error.to_string()))),
    }
}
