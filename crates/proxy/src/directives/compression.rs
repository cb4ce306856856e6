//! `gzip`, `brotli` and `zstd`: responses compressed in the first of these codings that is on and that the client
//! takes, in the order brotli, zstd, gzip.

use super::gzip::{self, Gzip};
use std::fmt;
use std::io::Write;
use wire::{Fields, Known, Version, field_value};

/// What is compressed, in which codings.
#[derive(Clone, Debug, Default)]
pub struct Compression {
    pub gzip: Option<Gzip>,
    pub brotli: Option<Coding>,
    pub zstd: Option<Coding>,
    /// `gzip_vary`: responses that could be compressed have `Vary: Accept-Encoding`.
    pub vary: bool,
}

/// `brotli` or `zstd` and what belongs to it: as for gzip, without the rules for old clients and for proxies.
#[derive(Clone, Debug)]
pub struct Coding {
    kinds: Kinds,
    min_length: u64,
    level: u32,
    /// The logarithm of the window's octets.
    window: u32,
}

/// What a request says about compression, noted before its head is made one for a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepts {
    gzip: gzip::Accepts,
    brotli: bool,
    zstd: bool,
}

/// Compresses one response.
pub enum Encoder {
    Gzip(gzip::Encoder),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
}

/// Types of content.
#[derive(Clone, Debug)]
pub(super) struct Kinds(Option<Vec<String>>);

const DEFAULT_MIN_LENGTH: u64 = 20;
const DEFAULT_LEVEL: u32 = 6;
const DEFAULT_ZSTD_LEVEL: u32 = 3;
/// 512 KiB, ngx_brotli's default. It bounds what an encoder holds.
const DEFAULT_WINDOW: u32 = 19;
/// What brotli passes on at once.
const PIECE: usize = 4096;

impl Compression {
    /// Whether any coding is on.
    pub fn is_on(&self) -> bool {
        self.gzip.is_some() || self.brotli.is_some() || self.zstd.is_some()
    }

    /// What a request that has just been read says.
    pub fn accepts(&self, request: &Fields, version: Version) -> Accepts {
        let line = request.get("accept-encoding").unwrap_or_default();
        Accepts {
            gzip: self.gzip.as_ref().map(|gzip| gzip.accepts(request, version)).unwrap_or_default(),
            brotli: self.brotli.is_some() && takes(line, b"br"),
            zstd: self.zstd.is_some() && takes(line, b"zstd"),
        }
    }

    /// Decides about a response with content, and changes its lines. `length`: octets of the content, where that is
    /// known. With an encoder, the content that goes to the client is what that makes, and its length is not known.
    pub fn begin(&self, accepts: Accepts, status: u16, length: Option<u64>, fields: &mut Fields) -> Option<Encoder> {
        if !matches!(status, 200 | 403 | 404) || fields.get("content-encoding").is_some_and(|value| !value.is_empty()) {
            return None;
        }
        let kind = field_value::without_charset(fields.known(Known::ContentType)?);
        let suits =
            |kinds: &Kinds, min_length: u64| kinds.has(kind) && length.is_none_or(|length| length >= min_length);
        let brotli = self.brotli.as_ref().filter(|coding| suits(&coding.kinds, coding.min_length));
        let zstd = self.zstd.as_ref().filter(|coding| suits(&coding.kinds, coding.min_length));
        let gzip = self.gzip.as_ref().filter(|gzip| suits(&gzip.kinds, gzip.min_length));
        if brotli.is_none() && zstd.is_none() && gzip.is_none() {
            return None;
        }
        let (name, encoder) = if let Some(brotli) = brotli.filter(|_| accepts.brotli) {
            ("br", Some(brotli.brotli()))
        } else if let Some(zstd) = zstd.filter(|_| accepts.zstd) {
            ("zstd", zstd.zstd())
        } else if let Some(gzip) = gzip.filter(|gzip| gzip.suits(accepts.gzip, fields)) {
            ("gzip", Some(Encoder::Gzip(gzip.encoder())))
        } else {
            ("", None)
        };
        if self.vary {
            fields.append("Vary", b"Accept-Encoding");
        }
        let encoder = encoder?;
        fields.append("Content-Encoding", name.as_bytes());
        fields.remove_known(Known::ContentLength);
        fields.remove("Accept-Ranges");
        weaken_etag(fields);
        Some(encoder)
    }
}

impl Coding {
    /// `brotli on` with nothing else said.
    pub fn for_brotli() -> Coding {
        Coding { kinds: Kinds::default(), min_length: DEFAULT_MIN_LENGTH, level: DEFAULT_LEVEL, window: DEFAULT_WINDOW }
    }

    /// `zstd on` with nothing else said.
    pub fn for_zstd() -> Coding {
        Coding { level: DEFAULT_ZSTD_LEVEL, ..Coding::for_brotli() }
    }

    /// `brotli_types`, `zstd_types`.
    pub fn with_types(self, types: &[String]) -> Coding {
        Coding { kinds: Kinds::new(types), ..self }
    }

    /// `brotli_min_length`, `zstd_min_length`.
    pub fn with_min_length(self, min_length: u64) -> Coding {
        Coding { min_length, ..self }
    }

    /// `brotli_comp_level` (0 to 11), `zstd_comp_level` (1 to 22), as `bounds` say.
    pub fn with_level(self, level: u64, bounds: std::ops::RangeInclusive<u32>) -> Result<Coding, String> {
        match u32::try_from(level) {
            Ok(level) if bounds.contains(&level) => Ok(Coding { level, ..self }),
            _ => Err(format!("value must be between {} and {}, got {level}", bounds.start(), bounds.end())),
        }
    }

    /// `brotli_window`: a power of two from 1 KiB to 16 MiB.
    pub fn with_window(self, octets: u64) -> Result<Coding, String> {
        if octets.is_power_of_two() && (10..=24).contains(&octets.ilog2()) {
            return Ok(Coding { window: octets.ilog2(), ..self });
        }
        Err("must be 1k, 2k, 4k, ... 16m".to_owned())
    }

    fn brotli(&self) -> Encoder {
        Encoder::Brotli(Box::new(brotli::CompressorWriter::new(Vec::new(), PIECE, self.level, self.window)))
    }

    fn zstd(&self) -> Option<Encoder> {
        let level = i32::try_from(self.level).unwrap_or_default();
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), level).ok()?;
        encoder.window_log(self.window).ok()?;
        Some(Encoder::Zstd(Box::new(encoder)))
    }
}

impl Encoder {
    /// Takes content; what can be said already goes to `out`.
    pub fn push(&mut self, content: &[u8], out: &mut Vec<u8>) {
        // A list of octets takes everything.
        match self {
            Encoder::Gzip(gzip) => gzip.push(content, out),
            Encoder::Brotli(brotli) => {
                let _ = brotli.write_all(content);
                out.append(brotli.get_mut());
            }
            Encoder::Zstd(zstd) => {
                let _ = zstd.write_all(content);
                out.append(zstd.get_mut());
            }
        }
    }

    /// What has been taken so far goes to `out`, whatever it costs.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        match self {
            Encoder::Gzip(gzip) => gzip.flush(out),
            Encoder::Brotli(brotli) => {
                let _ = brotli.flush();
                out.append(brotli.get_mut());
            }
            Encoder::Zstd(zstd) => {
                let _ = zstd.flush();
                out.append(zstd.get_mut());
            }
        }
    }

    /// The rest, when there is no more content.
    pub fn finish(self, out: &mut Vec<u8>) {
        match self {
            Encoder::Gzip(gzip) => gzip.finish(out),
            Encoder::Brotli(brotli) => out.append(&mut brotli.into_inner()),
            Encoder::Zstd(zstd) => out.append(&mut zstd.finish().unwrap_or_default()),
        }
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Encoder::Gzip(_) => "gzip",
            Encoder::Brotli(_) => "brotli",
            Encoder::Zstd(_) => "zstd",
        })
    }
}

impl Kinds {
    /// These, and `text/html`; `*` stands for all.
    pub fn new(types: &[String]) -> Kinds {
        let html = std::iter::once("text/html".to_owned());
        let all = types.iter().any(|kind| kind == "*");
        Kinds((!all).then(|| html.chain(types.iter().map(|kind| kind.to_ascii_lowercase())).collect()))
    }

    fn has(&self, kind: &[u8]) -> bool {
        match &self.0 {
            None => !kind.is_empty(),
            Some(types) => types.iter().any(|listed| listed.as_bytes().eq_ignore_ascii_case(kind)),
        }
    }
}

impl Default for Kinds {
    fn default() -> Kinds {
        Kinds::new(&[])
    }
}

/// Whether `Accept-Encoding` names a coding, with a weight other than 0.
pub(super) fn takes(line: &[u8], coding: &[u8]) -> bool {
    field_value::list(line).any(|item| {
        field_value::essence(item).eq_ignore_ascii_case(coding)
            && field_value::parameters(item).all(|parameter| field_value::weight(parameter).is_some_and(|w| w > 0))
    })
}

/// What is compressed is no longer the same octet by octet.
fn weaken_etag(fields: &mut Fields) {
    let Some(tag) = fields.get("etag") else { return };
    if tag.starts_with(b"W/") {
        return;
    }
    let weak = [b"W/", tag].concat();
    if tag.starts_with(b"\"") {
        fields.set("ETag", &weak);
    } else {
        fields.remove("ETag");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn all() -> Compression {
        Compression {
            gzip: Some(Gzip::default()),
            brotli: Some(Coding::for_brotli()),
            zstd: Some(Coding::for_zstd()),
            vary: false,
        }
    }

    fn begun(compression: &Compression, accept: &str, response: &[(&str, &str)]) -> (Option<Encoder>, Fields) {
        let request: Fields = [("Accept-Encoding", accept)].into_iter().collect();
        let mut fields: Fields = response.iter().copied().collect();
        let accepts = compression.accepts(&request, Version::Http11);
        (compression.begin(accepts, 200, None, &mut fields), fields)
    }

    const HTML: &[(&str, &str)] = &[("Content-Type", "text/html"), ("ETag", "\"a\"")];

    #[test]
    fn the_first_that_a_client_takes() {
        let chosen = |compression: &Compression, accept: &str| {
            let (encoder, fields) = begun(compression, accept, HTML);
            let named = fields.get("content-encoding").map(|name| String::from_utf8_lossy(name).into_owned());
            assert_eq!(encoder.is_some(), named.is_some());
            assert_eq!(fields.get("etag"), Some(if named.is_some() { &b"W/\"a\""[..] } else { b"\"a\"" }));
            named.unwrap_or_default()
        };
        for (accept, expected) in [
            ("gzip, deflate, br, zstd", "br"),
            ("zstd, gzip", "zstd"),
            ("br;q=0, gzip", "gzip"),
            ("identity", ""),
            ("brotli", ""),
        ] {
            assert_eq!(chosen(&all(), accept), expected, "{accept}");
        }
        assert_eq!(chosen(&Compression { brotli: None, zstd: None, ..all() }, "br, zstd"), "");
        let json_only = Coding::for_brotli().with_min_length(20);
        let compression = Compression { brotli: Some(json_only), gzip: None, zstd: None, vary: true };
        assert_eq!(begun(&compression, "gzip", HTML).1.get("vary"), Some(&b"Accept-Encoding"[..]));
        assert_eq!(begun(&compression, "br", &[("Content-Type", "text/plain")]).1.get("vary"), None);
    }

    #[test]
    fn what_comes_out_can_be_read() {
        let random: Vec<u8> = (0..100_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for content in [&b""[..], b"hello", &b"abc".repeat(100_000), &random] {
            for accept in ["br", "zstd"] {
                let mut encoder = begun(&all(), accept, HTML).0.unwrap();
                let (mut out, mut decoded) = (Vec::new(), Vec::new());
                for (number, piece) in content.chunks(1000).enumerate() {
                    encoder.push(piece, &mut out);
                    if number % 7 == 0 {
                        encoder.flush(&mut out);
                    }
                }
                encoder.finish(&mut out);
                if accept == "br" {
                    brotli::Decompressor::new(&out[..], 4096).read_to_end(&mut decoded).unwrap();
                } else {
                    zstd::stream::read::Decoder::new(&out[..]).unwrap().read_to_end(&mut decoded).unwrap();
                }
                assert!(decoded == content, "{accept}: {} octets", content.len());
            }
        }
    }

    #[test]
    fn a_flush_lets_everything_out() {
        let mut encoder = begun(&all(), "br", HTML).0.unwrap();
        let (mut out, mut decoded) = (Vec::new(), [0; 5]);
        encoder.push(b"first", &mut out);
        encoder.flush(&mut out);
        brotli::Decompressor::new(&out[..], 4096).read_exact(&mut decoded).unwrap();
        assert_eq!(&decoded, b"first");
        let mut encoder = begun(&all(), "zstd", HTML).0.unwrap();
        out.clear();
        encoder.push(b"first", &mut out);
        encoder.flush(&mut out);
        zstd::stream::read::Decoder::new(&out[..]).unwrap().read_exact(&mut decoded).unwrap();
        assert_eq!(&decoded, b"first");
    }

    #[test]
    fn values_out_of_bounds() {
        assert!(Coding::for_brotli().with_level(12, 0..=11).is_err());
        assert!(Coding::for_zstd().with_level(0, 1..=22).is_err());
        assert!(Coding::for_brotli().with_window(1000).is_err());
        assert!(Coding::for_brotli().with_window(1 << 25).is_err());
        assert!(Coding::for_brotli().with_window(1 << 24).is_ok());
    }
}
