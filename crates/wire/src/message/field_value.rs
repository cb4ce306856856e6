//! Values of field lines, taken apart (RFC 9110, section 5.6) as leniently as nginx and Kong do it. Nothing here
//! allocates.

use super::{Fields, Known};
use std::time::SystemTime;

/// The members of a comma-separated list, without empty ones (section 5.6.1). Commas in quoted strings separate, too.
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// Whether a list has that member, in whatever case.
pub fn list_has(value: &[u8], member: &str) -> bool {
    list(value).any(|found| found.eq_ignore_ascii_case(member.as_bytes()))
}

/// What stands before the parameters: `text/html` of `text/html; charset=utf-8`.
pub fn essence(value: &[u8]) -> &[u8] {
    value.split(|&b| b == b';').next().unwrap_or_default().trim_ascii()
}

/// The parameters of a value (section 5.6.6) as they stand, empty ones too. Semicolons in quoted strings do not
/// separate.
pub fn parameters(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let parts = value.split(move |&b| {
        quoted ^= b == b'"';
        b == b';' && !quoted
    });
    parts.skip(1).map(<[u8]>::trim_ascii)
}

/// The value of a parameter, without quotes.
pub fn parameter<'a>(value: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut pairs = parameters(value).filter_map(pair);
    pairs.find(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| unquoted(value))
}

/// Name and value of `name=value`; white space around either goes.
pub fn pair(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(b'=', text)?;
    Some((text[..at].trim_ascii(), text[at + 1..].trim_ascii()))
}

/// A value without the quotes around it, if there are any. Escapes within stay.
pub fn unquoted(value: &[u8]) -> &[u8] {
    let value = value.strip_prefix(b"\"").unwrap_or(value);
    value.strip_suffix(b"\"").unwrap_or(value)
}

/// The thousandths of a weight, `q=0.5` (section 12.4.2); `None` for what is none.
pub fn weight(parameter: &[u8]) -> Option<u32> {
    let (name, value) = pair(parameter)?;
    let (whole, fraction) = match value {
        [whole] => (*whole, &[][..]),
        [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (*whole, fraction),
        _ => return None,
    };
    if !name.eq_ignore_ascii_case(b"q") || !matches!(whole, b'0' | b'1') || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = std::iter::once(&whole).chain(fraction).zip([1000, 100, 10, 1]);
    let thousandths = digits.map(|(digit, value)| u32::from(digit - b'0') * value).sum();
    (thousandths <= 1000).then_some(thousandths)
}

/// A point in time, in any of the forms of HTTP (section 5.6.7).
pub fn date(value: &[u8]) -> Option<SystemTime> {
    httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()
}

/// The first cookie of that name, whose case counts, in the lines of a request (RFC 6265, section 4.2).
pub fn cookie<'a>(fields: &'a Fields, name: &str) -> Option<&'a [u8]> {
    let mut pairs = fields.known_all(Known::Cookie).flat_map(|line| line.split(|&b| b == b';'));
    pairs.find_map(|pair| pair.trim_ascii_start().strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// A media type without the charset that it may come with; other parameters are part of it, as for nginx.
pub fn without_charset(value: &[u8]) -> &[u8] {
    for at in memchr::memchr_iter(b';', value) {
        let parameter = value[at + 1..].trim_ascii_start();
        if parameter.get(..8).is_some_and(|name| name.eq_ignore_ascii_case(b"charset=")) {
            return &value[..at];
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Vec<&'a str> {
        parts.map(|part| std::str::from_utf8(part).unwrap()).collect()
    }

    #[test]
    fn lists() {
        assert_eq!(texts(list(b"a, b\t,, ,c d,")), ["a", "b", "c d"]);
        assert!(list_has(b"a, Keep-Alive", "keep-alive"));
        assert!(!list_has(b"a, keep-alive;x", "keep-alive"));
        assert_eq!(list(b" ").count(), 0);
    }

    #[test]
    fn values_with_parameters() {
        let value = br#"form-data ; a=1;; Name = "x;y" ;b"#;
        assert_eq!(essence(value), b"form-data");
        assert_eq!(texts(parameters(value)), ["a=1", "", r#"Name = "x;y""#, "b"]);
        assert_eq!(parameter(value, "name"), Some(&b"x;y"[..]));
        assert_eq!(parameter(value, "b"), None);
        assert_eq!(parameter(b"a=1", "a"), None);
        assert_eq!(unquoted(b"\"a\\\"b\""), b"a\\\"b");
        assert_eq!(essence(b""), b"");
    }

    #[test]
    fn weights() {
        for (text, expected) in [
            ("q=1", Some(1000)),
            ("Q = 0.5", Some(500)),
            ("q=0.001", Some(1)),
            ("q=0.", Some(0)),
            ("q=1.000", Some(1000)),
            ("q=1.001", None),
            ("q=0.0001", None),
            ("q=2", None),
            ("q=-1", None),
            ("q=", None),
            ("q", None),
            ("level=1", None),
            ("", None),
        ] {
            assert_eq!(weight(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn dates() {
        let seconds =
            |text: &[u8]| date(text).map(|time| time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs());
        assert_eq!(seconds(b"Sun, 09 Sep 2001 01:46:40 GMT"), Some(1_000_000_000));
        assert_eq!(seconds(b"Sun Sep  9 01:46:40 2001"), Some(1_000_000_000));
        assert_eq!(seconds(b"0"), None);
        assert_eq!(seconds(b"\xff"), None);
    }

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let fields: Fields = [("Cookie", "ab=1; a=2 ;b=3"), ("Cookie", "c=4")].into_iter().collect();
        assert_eq!(cookie(&fields, "a"), Some(&b"2 "[..]));
        assert_eq!(cookie(&fields, "c"), Some(&b"4"[..]));
        assert_eq!(cookie(&fields, "C"), None);
    }

    #[test]
    fn charsets() {
        assert_eq!(without_charset(b"text/html; a=b;Charset=x; c=d"), b"text/html; a=b");
        assert_eq!(without_charset(b"text/html; a=b"), b"text/html; a=b");
    }
}
