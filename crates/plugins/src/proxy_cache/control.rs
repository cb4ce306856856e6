//! `Cache-Control` and `Expires` (RFC 9111), read as Kong reads them.

use sdk::Fields;

/// The directives of all `Cache-Control` lines: names in lower case, and values.
#[derive(Debug, Default)]
pub struct Directives(Vec<(Vec<u8>, Option<Vec<u8>>)>);

impl Directives {
    /// The directives of a message.
    pub fn of(fields: &Fields) -> Directives {
        let parse = |directive: &[u8]| match directive.iter().position(|&b| b == b'=') {
            None => (directive.trim_ascii().to_ascii_lowercase(), None),
            Some(at) => {
                let value = directive[at + 1..].trim_ascii();
                let value = value.strip_prefix(b"\"").unwrap_or(value);
                let value = value.strip_suffix(b"\"").unwrap_or(value);
                (directive[..at].trim_ascii().to_ascii_lowercase(), Some(value.to_vec()))
            }
        };
        let directives = fields.get_all("Cache-Control").flat_map(|line| line.split(|&b| b == b','));
        Directives(directives.map(parse).filter(|(name, _)| !name.is_empty()).collect())
    }

    /// Whether the directive is there.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n == name.as_bytes())
    }

    /// The number of seconds that a directive gives.
    pub fn seconds(&self, name: &str) -> Option<u64> {
        let value = self.0.iter().find(|(n, _)| n == name.as_bytes())?.1.as_deref()?;
        std::str::from_utf8(value).ok()?.parse().ok()
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
    let last = std::str::from_utf8(fields.get_all("Expires").last()?).ok()?;
    let time = httpdate::parse_http_date(last).ok()?;
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
