//! Media types (RFC 2045): `type/subtype; parameter=value`.

use crate::{Fields, field_value};

/// A media type or range, in lower case but for the values of parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct MediaType {
    pub kind: String,
    pub subtype: String,
    /// Sorted by name; values are octets.
    pub parameters: Vec<(String, Vec<u8>)>,
}

impl MediaType {
    /// The types to which nginx adds a charset unless it is told others (`charset_types`).
    pub const WITH_CHARSET: [&str; 6] =
        ["text/html", "text/xml", "text/plain", "text/vnd.wap.wml", "application/javascript", "application/rss+xml"];

    /// A media type, or `*` for any; `None` when it is not one.
    pub fn parse(text: impl AsRef<[u8]>) -> Option<MediaType> {
        let text = text.as_ref();
        let range = field_value::essence(text);
        let (kind, subtype) = if range == b"*" { (range, range) } else { cut(range, b'/')? };
        let (kind, subtype) = (token(kind)?, token(subtype)?);
        let mut parameters = Vec::new();
        for parameter in field_value::parameters(text) {
            let (name, value) = cut(parameter, b'=')?;
            let value = match value.strip_prefix(b"\"") {
                Some(quoted) => quoted.strip_suffix(b"\"")?,
                None => token(value).map(|_| value)?,
            };
            parameters.push((token(name)?, value.to_vec()));
        }
        parameters.sort();
        Some(MediaType { kind, subtype, parameters })
    }

    /// Whether `other` is of this type or range, and has the same parameters.
    pub fn matches(&self, other: &MediaType) -> bool {
        let part = |mine: &str, theirs: &str| mine == "*" || mine == theirs;
        part(&self.kind, &other.kind) && part(&self.subtype, &other.subtype) && self.parameters == other.parameters
    }

    /// Whether it is JSON, by itself or by its suffix (`application/problem+json`).
    pub fn is_json(&self) -> bool {
        self.kind == "application" && (self.subtype == "json" || self.subtype.ends_with("+json"))
    }
}

/// What stands before and behind the first of these octets.
fn cut(text: &[u8], octet: u8) -> Option<(&[u8], &[u8])> {
    memchr::memchr(octet, text).map(|at| (&text[..at], &text[at + 1..]))
}

/// A token in lower case.
fn token(octets: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(octets).ok().filter(|_| Fields::is_valid_name(octets))?;
    Some(text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_matches() {
        let parse = |text: &str| MediaType::parse(text).unwrap();
        assert!(
            parse("image/*").matches(&parse("IMAGE/png"))
                && parse("*").matches(&parse("a/b"))
                && parse("*/*").matches(&parse("a/b"))
        );
        assert!(parse("a/b; x=1; y=\"2;3\"").matches(&parse("A/B;y=\"2;3\" ;X=1")));
        assert!(!parse("a/b").matches(&parse("a/b; x=1")) && !parse("a/b; x=1").matches(&parse("a/b; x=2")));
        assert!(
            parse("application/json; charset=utf-8").is_json()
                && parse("application/hal+json").is_json()
                && !parse("text/json").is_json()
        );
        assert!(MediaType::parse(b"application/json; x=\"\xe9\"").unwrap().is_json());
        assert!(
            ["", "a", "a/", "a/b/c", "a/b; x", "a/b; x=\"1", "a b/c"]
                .iter()
                .all(|text| MediaType::parse(text).is_none())
        );
    }
}
