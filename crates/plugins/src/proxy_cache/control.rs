//! `Cache-Control` and `Expires` (RFC 9111), read as Kong reads them.

use sdk::{Fields, Known, field_value};

/// The directives of all `Cache-Control` lines: names in lower case, and values.
#[derive(Debug, Default)]
pub struct Directives(Vec<(Vec<u8>, Option<Vec<u8>>)>);

/// The most seconds that are told apart, as the RFC has it.
const LONGEST: u64 = 1 << 31;

impl Directives {
    /// The directives of a message.
    pub fn of(fields: &Fields) -> Directives {
        let parse = |directive: &[u8]| match field_value::pair(directive) {
            None => (directive.to_ascii_lowercase(), None),
            Some((name, value)) => (name.to_ascii_lowercase(), Some(field_value::unquoted(value).to_vec())),
        };
        let directives = fields.get_all("Cache-Control").flat_map(field_value::list);
        Directives(directives.map(parse).filter(|(name, _)| !name.is_empty()).collect())
    }

    /// Whether the directive is there.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n == name.as_bytes())
    }

    /// The number of seconds that a directive gives; larger ones are as the largest (section 1.2.2).
    pub fn seconds(&self, name: &str) -> Option<u64> {
        let value = self.0.iter().find(|(n, _)| n == name.as_bytes())?.1.as_deref()?;
        let digits = Some(value).filter(|value| !value.is_empty() && value.iter().all(u8::is_ascii_digit))?;
        Some(std::str::from_utf8(digits).ok()?.parse().unwrap_or(LONGEST).min(LONGEST))
    }

    /// For how many seconds the response with these directives and fields may be used; 0 when it does not say.
    pub fn lifetime(&self, fields: &Fields, now: u64) -> u64 {
        self.seconds("s-maxage")
            .or_else(|| self.seconds("max-age"))
            .or_else(|| Some(expires(fields)?.saturating_sub(now)))
            .unwrap_or(0)
    }
}

fn expires(fields: &Fields) -> Option<u64> {
    let time = field_value::date(fields.known_all(Known::Expires).last()?)?;
    time.duration_since(std::time::UNIX_EPOCH).ok().map(|d| d.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifetime(lines: &[(&str, &str)]) -> u64 {
        let fields: Fields = lines.iter().copied().collect();
        Directives::of(&fields).lifetime(&fields, 1_000_000_000)
    }

    #[test]
    fn lifetimes() {
        assert_eq!(lifetime(&[("Cache-Control", "public, Max-Age=30")]), 30);
        assert_eq!(lifetime(&[("Cache-Control", "max-age=30"), ("cache-control", "s-maxage=\"5\"")]), 5);
        assert_eq!(lifetime(&[("Cache-Control", "max-age=99999999999999999999")]), LONGEST);
        assert_eq!(lifetime(&[("Cache-Control", "max-age=-1")]), 0);
        assert_eq!(lifetime(&[("Cache-Control", "public")]), 0);
        assert_eq!(lifetime(&[("Expires", "Sun, 09 Sep 2001 01:46:50 GMT")]), 10);
        assert_eq!(lifetime(&[("Expires", "Sun, 09 Sep 2001 01:46:30 GMT")]), 0);
        assert_eq!(lifetime(&[("Expires", "0")]), 0);
        assert_eq!(lifetime(&[("Cache-Control", "max-age=x"), ("Expires", "never")]), 0);
    }

    #[test]
    fn a_line_that_is_no_text_counts() {
        let mut fields = Fields::new();
        fields.append("Cache-Control", b"Private, x=\"\xe9\", max-age=5");
        let directives = Directives::of(&fields);
        assert!(directives.has("private"));
        assert_eq!(directives.seconds("max-age"), Some(5));
    }
}
