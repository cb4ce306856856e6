//! `charset`: the character set that is added to types of responses.

use sdk::MediaType;
use wire::{Fields, Known, field_value};

/// What is added to which types.
#[derive(Clone, Debug, Default)]
pub struct Charset {
    /// What is put behind a type; empty: nothing.
    parameter: String,
    /// In lower case; `None`: all.
    types: Option<Vec<String>>,
}

impl Charset {
    /// `charset`, and `charset_types` (nginx's own when they are not given).
    pub fn new(name: &str, types: Option<&[String]>) -> Charset {
        let name = if name == "off" { "" } else { name };
        let types = match types {
            None => Some(MediaType::WITH_CHARSET.map(str::to_owned).to_vec()),
            Some(types) if types.iter().any(|kind| kind == "*") => None,
            Some(types) => {
                let html = std::iter::once("text/html".to_owned());
                Some(html.chain(types.iter().map(|kind| kind.to_ascii_lowercase())).collect())
            }
        };
        let parameter = if name.is_empty() { String::new() } else { format!("; charset={name}") };
        Charset { parameter, types }
    }

    /// Completes the `Content-Type` of a response. As in nginx, not of a redirection by 301 or 302: old browsers took
    /// its charset for that of where it leads.
    pub fn apply(&self, status: u16, fields: &mut Fields) {
        if self.parameter.is_empty() || matches!(status, 301 | 302) {
            return;
        }
        if fields.known(Known::ContentType).is_some_and(|value| self.is_listed(value)) {
            fields.extend_known(Known::ContentType, self.parameter.as_bytes());
        }
    }

    /// Whether a type is to be completed.
    fn is_listed(&self, value: &[u8]) -> bool {
        match &self.types {
            None => !value.is_empty() && field_value::without_charset(value).len() == value.len(),
            // A type that comes with a charset is none of these. Most are in lower case, and compared at once.
            Some(types) => {
                types.iter().map(String::as_bytes).any(|kind| kind == value || kind.eq_ignore_ascii_case(value))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(charset: &Charset, kind: &str) -> String {
        let mut fields: Fields = [("Content-Type", kind)].into_iter().collect();
        charset.apply(200, &mut fields);
        fields.get_str("content-type").unwrap().to_owned()
    }

    #[test]
    fn text_gets_a_charset() {
        let usual = Charset::new("UTF-8", None);
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
        usual.apply(200, &mut none);
        assert!(none.is_empty());
    }

    #[test]
    fn redirections_get_none() {
        for (status, expected) in [(301, "text/html"), (302, "text/html"), (303, "text/html; charset=UTF-8")] {
            let mut fields: Fields = [("Content-Type", "text/html")].into_iter().collect();
            Charset::new("UTF-8", None).apply(status, &mut fields);
            assert_eq!(fields.get_str("content-type"), Some(expected), "{status}");
        }
    }

    #[test]
    fn lists() {
        let json = Charset::new("koi8-r", Some(&["application/JSON".to_owned()]));
        assert_eq!(completed(&json, "application/json"), "application/json; charset=koi8-r");
        assert_eq!(completed(&json, "text/html"), "text/html; charset=koi8-r");
        assert_eq!(completed(&json, "text/plain"), "text/plain");
        let all = Charset::new("x", Some(&["*".to_owned()]));
        assert_eq!(completed(&all, "a/b"), "a/b; charset=x");
        assert_eq!(completed(&all, "a/b; c=d; charset=y"), "a/b; c=d; charset=y");
        assert_eq!(completed(&Charset::new("off", None), "text/html"), "text/html");
    }
}
