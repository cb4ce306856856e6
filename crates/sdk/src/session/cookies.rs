//! How sessions lie in cookies: in several, where one would be too large for browsers.

use super::header::ENCODED;
use crate::Fields;
use std::fmt::Write;
use wire::field_value;

/// A cookie for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetCookie {
    pub name: String,
    /// The whole value of the line.
    pub line: String,
}

/// What all cookies of a session have in common.
#[derive(Clone, Debug)]
pub struct Attributes {
    pub domain: Option<String>,
    pub path: String,
    pub same_site: String,
    pub secure: bool,
    pub http_only: bool,
}

/// How large a cookie may be, name included.
const LARGEST: usize = 4096;
/// How many there may be.
const MOST: usize = 9;
/// What ends a cookie.
const ENDED: &str = "; Expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=0";

impl Attributes {
    /// As they stand behind the value.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if let Some(domain) = self.domain.as_deref().filter(|domain| !matches!(*domain, "" | "localhost")) {
            let _ = write!(text, "; Domain={domain}");
        }
        let _ = write!(text, "; Path={}; SameSite={}", self.path, self.same_site);
        if self.secure || self.same_site == "None" {
            text.push_str("; Secure");
        }
        if self.http_only {
            text.push_str("; HttpOnly");
        }
        text
    }
}

/// How many cookies content of that length takes; `None`: more than there may be.
pub fn count(name: &str, length: usize) -> Option<usize> {
    let space = name.len() + 1 + ENCODED + length;
    let mut counts = (1..=MOST).map(|count| (count, space + (count - 1) * (name.len() + 2)));
    counts.find(|(count, space)| *space <= count * LARGEST).map(|(count, _)| count)
}

/// The cookies of a header and the content behind it, with those attributes.
pub fn split(name: &str, header: &str, content: &str, attributes: &str) -> Option<Vec<SetCookie>> {
    let count = count(name, content.len())?;
    let first = if count == 1 { content.len() } else { LARGEST - ENCODED - name.len() - 1 };
    let (here, mut rest) = content.split_at(first);
    let mut cookies = vec![SetCookie::new(name, &format!("{header}{here}"), attributes)];
    for number in 2..=count {
        let (here, left) = rest.split_at(rest.len().min(LARGEST - name.len() - 2));
        cookies.push(SetCookie::new(&format!("{name}{number}"), here, attributes));
        rest = left;
    }
    Some(cookies)
}

/// The content behind a header, in all cookies of a request; `None` when it is not all there.
pub fn join(fields: &Fields, name: &str, first: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut content = first.get(ENCODED..)?.to_vec();
    for number in 2..=count(name, length)? {
        content.extend_from_slice(field_value::cookie(fields, &format!("{name}{number}"))?);
    }
    (content.len() == length).then_some(content)
}

/// Ends a session's cookies from that number on.
pub fn end(name: &str, from: usize, count: usize, attributes: &str) -> impl Iterator<Item = SetCookie> {
    (from..=count).map(move |number| {
        let name = if number == 1 { name.to_owned() } else { format!("{name}{number}") };
        SetCookie::new(&name, "", &format!("{attributes}{ENDED}"))
    })
}

/// Puts cookies into the lines of a response, in the place of those of the same name.
pub fn apply(cookies: &[SetCookie], fields: &mut Fields) {
    const SET_COOKIE: &str = "Set-Cookie";
    let mut lines: Vec<Vec<u8>> = fields.get_all(SET_COOKIE).map(<[u8]>::to_vec).collect();
    for SetCookie { name, line } in cookies {
        let is = |other: &Vec<u8>| other.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"="));
        match lines.iter_mut().find(|other| is(other)) {
            Some(other) => *other = line.clone().into_bytes(),
            None => lines.push(line.clone().into_bytes()),
        }
    }
    fields.remove(SET_COOKIE);
    lines.iter().filter(|line| Fields::is_valid_value(line)).for_each(|line| fields.append(SET_COOKIE, line));
}

impl SetCookie {
    fn new(name: &str, value: &str, attributes: &str) -> SetCookie {
        SetCookie { name: name.to_owned(), line: format!("{name}={value}{attributes}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a client sends back.
    fn returned(cookies: &[SetCookie]) -> Fields {
        let pairs: Vec<&str> = cookies.iter().filter_map(|cookie| cookie.line.split(';').next()).collect();
        Fields::from_iter([("Cookie", pairs.join("; ").as_str())])
    }

    #[test]
    fn content_takes_as_many_cookies_as_it_needs() {
        let header = "h".repeat(ENCODED);
        for (length, count) in [(0, 1), (3000, 1), (3978, 1), (3979, 2), (8000, 2), (30_000, 8)] {
            let content = "c".repeat(length);
            let cookies = split("session", &header, &content, "; Path=/").unwrap();
            assert_eq!(cookies.len(), count, "{length}");
            assert!(cookies.iter().all(|cookie| cookie.line.len() <= LARGEST + "; Path=/".len()));
            let fields = returned(&cookies);
            let first = field_value::cookie(&fields, "session").unwrap();
            assert_eq!(join(&fields, "session", first, length).unwrap(), content.as_bytes());
        }
        assert!(split("session", &header, &"c".repeat(40_000), "").is_none());
    }

    #[test]
    fn a_missing_part_is_noticed() {
        let cookies = split("s", &"h".repeat(ENCODED), &"c".repeat(8000), "").unwrap();
        let fields = returned(&cookies[..1]);
        let first = field_value::cookie(&fields, "s").unwrap();
        assert_eq!(join(&fields, "s", first, 8000), None);
        assert_eq!(join(&fields, "s", first, 100), None);
    }

    #[test]
    fn cookies_take_the_place_of_former_ones() {
        let mut fields: Fields = [("Set-Cookie", "a=1"), ("Set-Cookie", "ab=2")].into_iter().collect();
        apply(&[SetCookie::new("a", "3", ""), SetCookie::new("c", "4", "")], &mut fields);
        let lines: Vec<_> = fields.get_all("Set-Cookie").collect();
        assert_eq!(lines, [&b"a=3"[..], b"ab=2", b"c=4"]);
    }
}
