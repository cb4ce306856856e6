//! `charset`: the character set that is added to types of responses.

use smallvec::SmallVec;
use wire::{Fields, Known};

/// What is added to which types.
#[derive(Clone, Debug, Default)]
pub struct Charset {
    /// Empty: nothing.
    name: String,
    /// In lower case; `None`: all.
    types: Option<Vec<String>>,
    replaces: bool,
}

/// nginx's own list (`charset_types`).
const TYPES: &[&str] =
    &["text/html", "text/xml", "text/plain", "text/vnd.wap.wml", "application/javascript", "application/rss+xml"];

impl Charset {
    /// `charset`, `charset_types` (nginx's own when they are not given) and `override_charset`.
    pub fn new(name: &str, types: Option<&[String]>, replaces: bool) -> Charset {
        let name = if name == "off" { "" } else { name };
        let types = match types {
            None => Some(TYPES.iter().map(|kind| (*kind).to_owned()).collect()),
            Some(types) if types.iter().any(|kind| kind == "*") => None,
            Some(types) => {
                let html = std::iter::once("text/html".to_owned());
                Some(html.chain(types.iter().map(|kind| kind.to_ascii_lowercase())).collect())
            }
        };
        Charset { name: name.to_owned(), types, replaces }
    }

    /// Completes the `Content-Type` of a response.
    pub fn apply(&self, fields: &mut Fields) {
        if self.name.is_empty() {
            return;
        }
        let Some(value) = fields.known(Known::ContentType) else { return };
        let kind = match charset(value) {
            Some(at) if self.replaces => &value[..at],
            Some(_) => return,
            // As nginx: the whole value is compared, with parameters that it may have.
            None if self.is_listed(value) => value,
            None => return,
        };
        let mut completed: SmallVec<[u8; 64]> = SmallVec::from_slice(kind);
        completed.extend_from_slice(b"; charset=");
        completed.extend_from_slice(self.name.as_bytes());
        fields.set_known(Known::ContentType, &completed);
    }

    fn is_listed(&self, value: &[u8]) -> bool {
        match &self.types {
            None => !value.is_empty(),
            Some(types) => types.iter().any(|kind| kind.as_bytes().eq_ignore_ascii_case(value)),
        }
    }
}

/// Where the type ends that a `charset` follows.
fn charset(value: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = memchr::memchr(b';', &value[from..]) {
        let end = from + at;
        let parameter = value[end + 1..].trim_ascii_start();
        if parameter.get(..8).is_some_and(|name| name.eq_ignore_ascii_case(b"charset=")) {
            return Some(end);
        }
        from = end + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(charset: &Charset, kind: &str) -> String {
        let mut fields: Fields = [("Content-Type", kind)].into_iter().collect();
        charset.apply(&mut fields);
        fields.get_str("content-type").unwrap().to_owned()
    }

    #[test]
    fn text_gets_a_charset() {
        let usual = Charset::new("UTF-8", None, false);
        for (kind, expected) in [
            ("text/html", "text/html; charset=UTF-8"),
            ("Text/Plain", "Text/Plain; charset=UTF-8"),
            ("application/json", "application/json"),
            ("text/html; charset=latin1", "text/html; charset=latin1"),
            ("text/html;Charset=latin1", "text/html;Charset=latin1"),
            ("text/html; level=1", "text/html; level=1"),
            ("text/css", "text/css"),
            ("", ""),
        ] {
            assert_eq!(completed(&usual, kind), expected);
        }
        let mut none = Fields::new();
        usual.apply(&mut none);
        assert!(none.is_empty());
    }

    #[test]
    fn lists_and_replacement() {
        let json = Charset::new("koi8-r", Some(&["application/JSON".to_owned()]), true);
        assert_eq!(completed(&json, "application/json"), "application/json; charset=koi8-r");
        assert_eq!(completed(&json, "text/html"), "text/html; charset=koi8-r");
        assert_eq!(completed(&json, "text/plain"), "text/plain");
        assert_eq!(completed(&json, "text/x; a=b; charset=utf-8"), "text/x; a=b; charset=koi8-r");
        assert_eq!(completed(&Charset::new("off", None, false), "text/html"), "text/html");
        assert_eq!(completed(&Charset::new("x", Some(&["*".to_owned()]), false), "a/b"), "a/b; charset=x");
    }
}
