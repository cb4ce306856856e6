//! `gzip` and what belongs to it: responses compressed for clients that take that. The conditions are nginx's.

use super::compression::{Kinds, takes};
use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use regex::bytes::{RegexSet, RegexSetBuilder};
use std::time::SystemTime;
use wire::{Fields, Known, Version, field_value};

/// What is compressed for whom.
#[derive(Clone, Debug)]
pub struct Gzip {
    pub(super) kinds: Kinds,
    level: Compression,
    pub(super) min_length: u64,
    /// Requests in HTTP/1.0 too.
    http_1_0: bool,
    /// `None`: nothing to those.
    proxied: Option<Proxied>,
    /// Clients that get nothing compressed.
    disabled: Option<RegexSet>,
}

/// `gzip_proxied`: which responses to requests with `Via` are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Proxied {
    any: bool,
    expired: bool,
    no_cache: bool,
    no_store: bool,
    private: bool,
    no_last_modified: bool,
    no_etag: bool,
    auth: bool,
}

/// What a request says about compression, noted before its head is made one for a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepts {
    gzip: bool,
    via: bool,
    authorization: bool,
}

/// Compresses one response.
#[derive(Debug)]
pub struct Encoder {
    deflate: Compress,
    sum: Crc,
    begun: bool,
}

/// A member's head (RFC 1952): deflate, no name, no time, made on Unix.
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
const DEFAULT_MIN_LENGTH: u64 = 20;

impl Default for Gzip {
    fn default() -> Gzip {
        Gzip {
            kinds: Kinds::default(),
            level: Compression::new(1),
            min_length: DEFAULT_MIN_LENGTH,
            http_1_0: false,
            proxied: None,
            disabled: None,
        }
    }
}

impl Gzip {
    /// `gzip_types`.
    pub fn with_types(self, types: &[String]) -> Gzip {
        Gzip { kinds: Kinds::new(types), ..self }
    }

    /// `gzip_comp_level`.
    pub fn with_level(self, level: u64) -> Result<Gzip, String> {
        match u32::try_from(level) {
            Ok(level @ 1..=9) => Ok(Gzip { level: Compression::new(level), ..self }),
            _ => Err(format!("value must be between 1 and 9, got {level}")),
        }
    }

    /// `gzip_min_length`.
    pub fn with_min_length(self, min_length: u64) -> Gzip {
        Gzip { min_length, ..self }
    }

    /// `gzip_http_version`: `1.0` or `1.1`.
    pub fn with_http_version(self, version: &str) -> Gzip {
        Gzip { http_1_0: version == "1.0", ..self }
    }

    /// `gzip_proxied`.
    pub fn with_proxied(self, words: &[String]) -> Result<Gzip, String> {
        let mut proxied = Proxied::default();
        for word in words {
            let flag = match word.as_str() {
                "off" => continue,
                "any" => &mut proxied.any,
                "expired" => &mut proxied.expired,
                "no-cache" => &mut proxied.no_cache,
                "no-store" => &mut proxied.no_store,
                "private" => &mut proxied.private,
                "no_last_modified" => &mut proxied.no_last_modified,
                "no_etag" => &mut proxied.no_etag,
                "auth" => &mut proxied.auth,
                _ => return Err(format!("invalid value \"{word}\"")),
            };
            *flag = true;
        }
        let off = words.iter().any(|word| word == "off");
        Ok(Gzip { proxied: (!off).then_some(proxied), ..self })
    }

    /// `gzip_disable`: regular expressions, or `msie6`.
    pub fn with_disabled(self, expressions: &[String]) -> Result<Gzip, String> {
        let expressions = expressions.iter().map(|text| if text == "msie6" { "MSIE [4-6]\\." } else { text });
        let disabled = RegexSetBuilder::new(expressions).case_insensitive(true).unicode(false).build();
        Ok(Gzip { disabled: Some(disabled.map_err(|e| e.to_string())?), ..self })
    }

    /// What a request that has just been read says.
    pub fn accepts(&self, request: &Fields, version: Version) -> Accepts {
        let disabled = |set: &RegexSet| request.get("user-agent").is_some_and(|agent| set.is_match(agent));
        Accepts {
            gzip: (self.http_1_0 || version >= Version::Http11)
                && request.get("accept-encoding").is_some_and(|line| takes(line, b"gzip"))
                && !self.disabled.as_ref().is_some_and(disabled),
            via: request.has(Known::Via),
            authorization: request.has(Known::Authorization),
        }
    }

    /// Whether the content of such a response may be compressed for that client.
    pub(super) fn suits(&self, accepts: Accepts, response: &Fields) -> bool {
        accepts.gzip && (!accepts.via || self.suits_proxies(accepts, response))
    }

    /// Compresses one response.
    pub(super) fn encoder(&self) -> Encoder {
        Encoder { deflate: Compress::new(self.level, false), sum: Crc::new(), begun: false }
    }

    /// Whether a response may be compressed for a client behind a proxy that may keep it for others.
    fn suits_proxies(&self, accepts: Accepts, fields: &Fields) -> bool {
        let Some(proxied) = self.proxied else { return false };
        if proxied.any || accepts.authorization && proxied.auth {
            return true;
        }
        if let Some(expires) = fields.known(Known::Expires) {
            let date = fields.known(Known::Date).map_or_else(|| Some(SystemTime::now()), field_value::date);
            let expires = field_value::date(expires);
            return proxied.expired && matches!((expires, date), (Some(expires), Some(date)) if expires < date);
        }
        if fields.contains("cache-control") {
            let has = |directive| fields.get_all("cache-control").any(|line| field_value::list_has(line, directive));
            return proxied.no_cache && has("no-cache")
                || proxied.no_store && has("no-store")
                || proxied.private && has("private");
        }
        let barred =
            proxied.no_last_modified && fields.contains("last-modified") || proxied.no_etag && fields.contains("etag");
        !barred
    }
}

impl Encoder {
    /// Takes content; what can be said already goes to `out`.
    pub fn push(&mut self, content: &[u8], out: &mut Vec<u8>) {
        self.sum.update(content);
        self.deflate(content, FlushCompress::None, out);
    }

    /// What has been taken so far goes to `out`, whatever it costs.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        self.deflate(&[], FlushCompress::Sync, out);
    }

    /// The rest, when there is no more content.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        self.deflate(&[], FlushCompress::Finish, out);
        out.extend_from_slice(&self.sum.sum().to_le_bytes());
        out.extend_from_slice(&self.sum.amount().to_le_bytes());
    }

    fn deflate(&mut self, mut content: &[u8], flush: FlushCompress, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.begun, true) {
            out.extend_from_slice(&HEAD);
        }
        loop {
            // Content that does not get smaller grows by a little.
            out.reserve(content.len() / 2 + 512);
            let before = self.deflate.total_in();
            let status = self.deflate.compress_vec(content, out, flush);
            let taken = usize::try_from(self.deflate.total_in() - before).unwrap_or(content.len());
            content = &content[taken..];
            let full = out.len() == out.capacity();
            match status {
                // Only room may be missing: the state is ours alone.
                Ok(Status::Ok | Status::BufError) if full || !content.is_empty() => {}
                Ok(Status::Ok) if flush == FlushCompress::Finish => {}
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directives::Compression;
    use flate2::read::GzDecoder;
    use std::io::Read;

    const BROWSER: &[(&str, &str)] = &[("Accept-Encoding", "gzip, deflate")];

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    fn begun(
        gzip: &Gzip,
        request: &[(&str, &str)],
        status: u16,
        length: Option<u64>,
        response: &[(&str, &str)],
    ) -> (bool, Fields) {
        let compression = Compression { gzip: Some(gzip.clone()), vary: true, ..Compression::default() };
        let accepts = compression.accepts(&request.iter().copied().collect(), Version::Http11);
        let mut fields: Fields = response.iter().copied().collect();
        (compression.begin(accepts, status, length, &mut fields).is_some(), fields)
    }

    fn html(gzip: &Gzip, request: &[(&str, &str)], more: &[(&str, &str)]) -> bool {
        let response: Vec<_> = [("Content-Type", "text/html")].iter().chain(more).copied().collect();
        begun(gzip, request, 200, None, &response).0
    }

    #[test]
    fn what_comes_out_can_be_read() {
        let random: Vec<u8> = (0..100_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let texts: [&[u8]; 4] = [b"", b"hello", &b"abc".repeat(100_000), &random];
        for (content, level) in texts.iter().flat_map(|content| [1, 6, 9].map(|level| (*content, level))) {
            let gzip = Gzip::default().with_level(level).unwrap();
            for piece in [1000, 65_536] {
                let mut encoder = gzip.encoder();
                let (mut out, mut decoded) = (Vec::new(), Vec::new());
                for (number, piece) in content.chunks(piece).enumerate() {
                    encoder.push(piece, &mut out);
                    if number % 7 == 0 {
                        encoder.flush(&mut out);
                    }
                }
                encoder.finish(&mut out);
                GzDecoder::new(&out[..]).read_to_end(&mut decoded).unwrap();
                assert!(decoded == content, "{} octets at level {level}", content.len());
            }
        }
    }

    #[test]
    fn a_flush_lets_everything_out() {
        let mut encoder = Gzip::default().encoder();
        let mut out = Vec::new();
        encoder.push(b"first", &mut out);
        encoder.flush(&mut out);
        let mut decoded = [0; 5];
        GzDecoder::new(&out[..]).read_exact(&mut decoded).unwrap();
        assert_eq!(&decoded, b"first");
    }

    #[test]
    fn clients_that_take_it() {
        for (value, expected) in [
            ("gzip", true),
            ("deflate, GZIP", true),
            ("br;q=1, gzip;q=0.1", true),
            ("gzip; q = 1.0", true),
            ("gzip;q=0", false),
            ("gzip;q=0.000", false),
            ("gzip;q=2", false),
            ("x-gzip", false),
            ("gzipped", false),
            ("*", false),
            ("", false),
        ] {
            assert_eq!(takes(value.as_bytes(), b"gzip"), expected, "{value}");
        }
        let usual = Gzip::default();
        let old = |gzip: &Gzip| gzip.accepts(&BROWSER.iter().copied().collect(), Version::Http10).gzip;
        assert!(!old(&usual));
        assert!(old(&usual.clone().with_http_version("1.0")));
        let disabled = usual.with_disabled(&words("msie6 curl/[0-6]")).unwrap();
        for (agent, expected) in [("Mozilla/4.0 (MSIE 6.0)", false), ("CURL/5.1", false), ("curl/8", true)] {
            let request = [BROWSER[0], ("User-Agent", agent)];
            assert_eq!(html(&disabled, &request, &[]), expected, "{agent}");
        }
        assert!(Gzip::default().with_disabled(&words("(")).is_err());
    }

    #[test]
    fn responses_that_are_worth_it() {
        let usual = Gzip::default();
        for (status, length, kind, expected) in [
            (200, None, "text/html", true),
            (200, Some(20), "text/html; charset=UTF-8", true),
            (200, Some(19), "text/html", false),
            (404, None, "text/html", true),
            (500, None, "text/html", false),
            (206, None, "text/html", false),
            (200, None, "application/json", false),
        ] {
            let response = [("Content-Type", kind)];
            assert_eq!(begun(&usual, BROWSER, status, length, &response).0, expected, "{status} {length:?} {kind}");
        }
        assert!(!html(&usual, BROWSER, &[("Content-Encoding", "br")]));
        let json = [("Content-Type", "Application/JSON")];
        assert!(begun(&usual.clone().with_types(&words("application/json")), BROWSER, 200, None, &json).0);
        assert!(begun(&usual.clone().with_types(&words("*")), BROWSER, 200, None, &json).0);
        assert!(usual.with_level(10).is_err());
    }

    #[test]
    fn the_head_says_so() {
        let usual = Gzip::default();
        let response =
            [("Content-Type", "text/html"), ("Content-Length", "500"), ("Accept-Ranges", "bytes"), ("ETag", "\"a\"")];
        let lines = |fields: &Fields| {
            fields.iter().map(|(name, value)| format!("{name}: {}", str::from_utf8(value).unwrap())).collect::<Vec<_>>()
        };
        let (_, fields) = begun(&usual, BROWSER, 200, Some(500), &response);
        let expected = ["Content-Type: text/html", "ETag: W/\"a\"", "Vary: Accept-Encoding", "Content-Encoding: gzip"];
        assert_eq!(lines(&fields), expected);
        let (_, fields) = begun(&usual, &[], 200, Some(500), &response);
        assert_eq!(fields.get("vary"), Some(&b"Accept-Encoding"[..]));
        let (_, fields) = begun(&usual, BROWSER, 200, None, &[("Content-Type", "text/html"), ("ETag", "bare")]);
        assert_eq!(fields.get("etag"), None);
    }

    #[test]
    fn clients_behind_proxies() {
        let behind = [BROWSER[0], ("Via", "1.1 x"), ("Authorization", "y")];
        let no_auth = &behind[..2];
        let gzip = |text: &str| Gzip::default().with_proxied(&words(text)).unwrap();
        for (proxied, request, response, expected) in [
            ("off", no_auth, &[][..], false),
            ("any", no_auth, &[], true),
            ("any off", no_auth, &[], false),
            ("auth", no_auth, &[], true),
            ("auth", no_auth, &[("Cache-Control", "private")], false),
            ("auth", &behind, &[("Cache-Control", "private")], true),
            ("expired", no_auth, &[("Expires", "Thu, 01 Jan 1970 00:00:01 GMT")], true),
            ("expired", no_auth, &[("Expires", "Thu, 01 Jan 2090 00:00:01 GMT")], false),
            ("expired", no_auth, &[("Expires", "0")], false),
            ("no-cache private", no_auth, &[("Cache-Control", "public, Private")], true),
            ("no-cache", no_auth, &[("Cache-Control", "no-store")], false),
            ("no-store", no_auth, &[("Cache-Control", "no-store")], true),
            ("no_etag", no_auth, &[], true),
            ("no_etag", no_auth, &[("ETag", "\"a\"")], false),
            ("no_last_modified", no_auth, &[("Last-Modified", "x")], false),
        ] {
            assert_eq!(html(&gzip(proxied), request, response), expected, "{proxied} {response:?}");
        }
        assert!(Gzip::default().with_proxied(&words("some")).is_err());
    }
}
