//! What patterns of routes are held against: octets of a request, and a text in which a regex can look for something.

use crate::path;
use std::borrow::Cow;

/// A part of a request. Comparisons take its octets; regexes take its text, in which octets that are no UTF-8 stand for
/// the characters of Latin-1, so that `.` fits each of them.
#[derive(Debug)]
pub struct Subject<'a> {
    text: Cow<'a, str>,
    notation: Notation,
}

/// How the text stands for the octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Notation {
    Utf8,
    Latin1,
    /// Of a normal path: octets that are no UTF-8 are escaped.
    Path,
}

impl<'a> Subject<'a> {
    /// Something that is text anyway.
    pub fn from_text(text: &'a str) -> Subject<'a> {
        Subject { text: Cow::Borrowed(text), notation: Notation::Utf8 }
    }

    /// A normal path, or a part of it. It is compared as it is: as routes have paths.
    pub fn of_path(path: &'a str) -> Subject<'a> {
        Subject { text: Cow::Borrowed(path), notation: Notation::Path }
    }

    /// Any octets.
    pub fn from_octets(octets: impl Into<Cow<'a, [u8]>>) -> Subject<'a> {
        let latin1 = |octets: &[u8]| Subject {
            text: octets.iter().map(|&b| char::from(b)).collect(),
            notation: Notation::Latin1,
        };
        match octets.into() {
            Cow::Borrowed(octets) => std::str::from_utf8(octets).map_or_else(|_| latin1(octets), Subject::from_text),
            Cow::Owned(octets) => match String::from_utf8(octets) {
                Ok(text) => Subject { text: Cow::Owned(text), notation: Notation::Utf8 },
                Err(error) => latin1(error.as_bytes()),
            },
        }
    }

    /// What regexes look at.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What comparisons look at.
    pub fn octets(&self) -> Cow<'_, [u8]> {
        match self.notation {
            Notation::Utf8 | Notation::Path => Cow::Borrowed(self.text.as_bytes()),
            Notation::Latin1 => Cow::Owned(latin1_octets(&self.text)),
        }
    }

    /// The octets that a part of [`Subject::text`] stands for.
    pub fn octets_of(&self, part: &str) -> Vec<u8> {
        match self.notation {
            Notation::Utf8 => part.as_bytes().to_vec(),
            Notation::Latin1 => latin1_octets(part),
            Notation::Path => path::octets(part).into_owned(),
        }
    }

    /// The same in lower case; of what is no text, the letters of ASCII.
    pub fn to_lowercase(&self) -> Subject<'_> {
        let text = if !self.text.bytes().any(|b| b.is_ascii_uppercase() || !b.is_ascii()) {
            Cow::Borrowed(&*self.text)
        } else if self.notation == Notation::Latin1 {
            Cow::Owned(self.text.to_ascii_lowercase())
        } else {
            Cow::Owned(self.text.to_lowercase())
        };
        Subject { text, notation: self.notation }
    }

    /// One that borrows nothing.
    pub fn to_owned(&self) -> Subject<'static> {
        Subject { text: Cow::Owned(self.text.clone().into_owned()), notation: self.notation }
    }
}

/// Every character of such a text is one octet.
fn latin1_octets(text: &str) -> Vec<u8> {
    text.chars().map(|c| c as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::tests::{Ask, route};
    use crate::router::{Flavor, Router};
    use model::entities::Route;
    use std::sync::Arc;

    /// The number of the route and the groups of its path.
    fn find(flavor: Flavor, routes: Vec<Route>, ask: &Ask) -> Option<(u128, Vec<(String, Vec<u8>)>)> {
        let put: Vec<_> = routes.into_iter().map(|route| (Arc::new(route), None)).collect();
        let (router, errors) = Router::new(flavor).apply(&put, &[]);
        assert_eq!(errors, []);
        router.find(&ask.query()).map(|found| (found.route().id.as_u128(), found.captures))
    }

    fn id(found: Option<(u128, Vec<(String, Vec<u8>)>)>) -> Option<u128> {
        found.map(|(id, _)| id)
    }

    #[test]
    fn hosts_that_are_no_text_are_hosts() {
        let routes =
            || vec![Route { hosts: vec!["*.a.test".into()], paths: vec!["/".into()], ..route(1) }, route_of_all()];
        for flavor in [Flavor::Traditional, Flavor::TraditionalCompatible] {
            let mut ask = Ask::get("", "/");
            ask.host = b"\xe9.a.test".to_vec();
            assert_eq!(id(find(flavor, routes(), &ask)), Some(1));
            ask.host = b"a.test\xe9".to_vec();
            assert_eq!(id(find(flavor, routes(), &ask)), Some(2));
        }
    }

    #[test]
    fn headers_that_are_no_text_have_their_octets() {
        let by_header = |value: &str| Route { headers: vec![("x-v".into(), vec![value.into()])], ..route(1) };
        let found = |value: &str, sent: &[u8]| {
            let mut ask = Ask::get("", "/");
            ask.fields.append("X-V", sent);
            id(find(Flavor::default(), vec![by_header(value), route_of_all()], &ask))
        };
        assert_eq!(found("~*^caf.$", b"caf\xe9"), Some(1));
        assert_eq!(found("~*^.*admin", b"\xe9\xff-admin"), Some(1));
        assert_eq!(found("caf\u{fffd}", b"caf\xe9"), Some(2));
        assert_eq!(found("caf\u{e9}", b"caf\xe9"), Some(2));
        assert_eq!(found("caf\u{e9}", "caf\u{e9}".as_bytes()), Some(1));
    }

    #[test]
    fn expressions_see_octets() {
        let found = |expression: &str, header: &[u8], query: &'static str| {
            let mut ask = Ask::get("h", "/");
            ask.fields.append("X-V", header);
            ask.search = Some(query);
            let by = Route { expression: Some(expression.into()), ..route(1) };
            find(Flavor::Expressions, vec![by], &ask).map(|(_, captures)| captures)
        };
        assert_eq!(found("http.queries.q == \"\u{fffd}\"", b"", "q=%E9"), None);
        assert_eq!(found("http.queries.q == \"\u{e9}\"", b"", "q=%E9"), None);
        assert!(found("http.queries.q == \"\u{e9}\"", b"", "q=%C3%A9").is_some());
        assert!(found(r#"lower(http.headers.x_v) ^= "ab""#, b"AB\xe9", "").is_some());
        assert!(found(r#"http.headers.x_v contains "b""#, b"\xe9b", "").is_some());
        let groups = found(r#"http.headers.x_v ~ "^a(?<rest>.+)""#, b"a\xe9\xff", "").unwrap();
        let [whole, rest] = [&b"a\xe9\xff"[..], b"\xe9\xff"];
        assert_eq!(groups, [("0", whole), ("1", rest), ("rest", rest)].map(|(name, v)| (name.to_owned(), v.to_vec())));
        let many = "a=1&".repeat(500) + "q=1";
        assert!(found(r#"http.queries.q == "1""#, b"", many.leak()).is_some());
    }

    #[test]
    fn groups_of_paths_are_octets() {
        let by = Route { paths: vec!["~/u/(?<name>[^/]+)$".into()], ..route(1) };
        let path = path::normalise("/u/%E9%2f%c3%a9").unwrap().into_owned();
        let (_, captures) = find(Flavor::default(), vec![by], &Ask::get("", &path)).unwrap();
        assert_eq!(captures[2], ("name".to_owned(), b"\xe9%2F\xc3\xa9".to_vec()));
    }

    fn route_of_all() -> Route {
        Route { paths: vec!["/".into()], ..route(2) }
    }

    #[test]
    fn octets_are_told_apart_and_come_back() {
        let (e, letter) = (Subject::from_octets(&b"A\xe9"[..]), Subject::from_octets("A\u{e9}".as_bytes()));
        assert_eq!(*e.octets(), *b"A\xe9");
        assert_eq!(*letter.octets(), *b"A\xc3\xa9");
        assert_eq!(*e.to_lowercase().octets(), *b"a\xe9");
        assert_eq!(e.octets_of(&e.text()[1..]), b"\xe9");
        assert_eq!(letter.octets_of(&letter.text()[1..]), b"\xc3\xa9");
        assert_eq!(Subject::of_path("/%E9").octets_of("%E9"), b"\xe9");
        assert_eq!(Subject::from_text("%E9").octets_of("%E9"), b"%E9");
    }
}
