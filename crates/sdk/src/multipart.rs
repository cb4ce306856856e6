//! `multipart/form-data` bodies that plugins read and edit.

use std::ops::Range;

/// The parts of a multipart body; untouched parts keep their bytes.
#[derive(Clone, Debug)]
pub struct Multipart {
    boundary: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
struct Part {
    name: Option<String>,
    /// Header lines, the empty line, and the content.
    bytes: Vec<u8>,
    content: Range<usize>,
}

impl Multipart {
    /// More parts than that make a body unreadable.
    const LIMIT: usize = 1000;

    /// The parts of `body`; `None` when it is no multipart body with the boundary that `content_type` names.
    pub fn parse(content_type: &str, body: &[u8]) -> Option<Multipart> {
        let boundary = parameter(content_type, "boundary")?;
        if boundary.is_empty() || boundary.len() > 70 {
            return None;
        }
        let delimiter = format!("--{boundary}");
        let delimiter = delimiter.as_bytes();
        let mut parts = Vec::new();
        let mut at = find(body, delimiter)? + delimiter.len();
        loop {
            if body[at..].starts_with(b"--") {
                return Some(Multipart { boundary, parts });
            }
            let start = at + find(&body[at..], b"\r\n")? + 2;
            // A part without header lines begins with the empty line itself.
            let end = start + find(&body[start..], &[b"\r\n", delimiter].concat())?;
            if parts.len() == Multipart::LIMIT {
                return None;
            }
            parts.push(Part::parse(&body[start..end])?);
            at = end + 2 + delimiter.len();
        }
    }

    /// The contents of the parts of that name.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.parts.iter().filter(move |p| p.name.as_deref() == Some(name)).map(|p| &p.bytes[p.content.clone()])
    }

    /// Names and contents of all named parts.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.parts.iter().filter_map(|p| p.name.as_deref().map(|name| (name, &p.bytes[p.content.clone()])))
    }

    /// Drops the parts of that name; says whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.parts.len();
        self.parts.retain(|p| p.name.as_deref() != Some(name));
        self.parts.len() != before
    }

    /// Replaces the parts of that name by one with nothing but a name and content.
    pub fn set(&mut self, name: &str, content: &[u8]) {
        let at = self.parts.iter().position(|p| p.name.as_deref() == Some(name));
        self.remove(name);
        let quoted: String = name
            .chars()
            .filter(|c| !matches!(c, '\r' | '\n'))
            .map(|c| if c == '"' { "%22".to_owned() } else { c.to_string() })
            .collect();
        let mut bytes = format!("Content-Disposition: form-data; name=\"{quoted}\"\r\n\r\n").into_bytes();
        let start = bytes.len();
        bytes.extend_from_slice(content);
        let part = Part { name: Some(name.to_owned()), content: start..bytes.len(), bytes };
        self.parts.insert(at.unwrap_or(self.parts.len()).min(self.parts.len()), part);
    }

    /// As it is sent.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for part in &self.parts {
            out.extend_from_slice(format!("--{}\r\n", self.boundary).as_bytes());
            out.extend_from_slice(&part.bytes);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(format!("--{}--\r\n", self.boundary).as_bytes());
        out
    }
}

impl Part {
    fn parse(bytes: &[u8]) -> Option<Part> {
        let head_end = if bytes.starts_with(b"\r\n") { 0 } else { find(bytes, b"\r\n\r\n")? + 2 };
        let head = String::from_utf8_lossy(&bytes[..head_end]);
        let disposition = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("content-disposition"));
        let name = disposition.and_then(|(_, value)| parameter(value, "name"));
        Some(Part { name, bytes: bytes.to_vec(), content: head_end + 2..bytes.len() })
    }
}

/// A parameter of a header value such as `form-data; name="x"`.
fn parameter(value: &str, name: &str) -> Option<String> {
    value.split(';').skip(1).find_map(|part| {
        let (key, value) = part.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
    })
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=\"b b\"";
    const BODY: &[u8] =
        b"pre\r\n--b b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b b\r\ncontent-disposition: form-data; filename=f; name=x\r\nX: y\r\n\r\nl1\r\nl2\r\n--b b--\r\n";

    #[test]
    fn parses_and_edits() {
        let mut form = Multipart::parse(TYPE, BODY).unwrap();
        assert_eq!(form.iter().collect::<Vec<_>>(), [("a", &b"1"[..]), ("x", b"l1\r\nl2")]);
        assert!(form.remove("a") && !form.remove("a"));
        form.set("n", b"v");
        let again = Multipart::parse(TYPE, &form.encode()).unwrap();
        assert_eq!(again.iter().collect::<Vec<_>>(), [("x", &b"l1\r\nl2"[..]), ("n", b"v")]);
    }

    #[test]
    fn refuses_what_is_not_multipart() {
        assert!(Multipart::parse("multipart/form-data", BODY).is_none());
        assert!(Multipart::parse(TYPE, b"--b b\r\n").is_none());
        assert!(Multipart::parse(TYPE, b"").is_none());
        assert!(Multipart::parse(TYPE, b"--b b\r\nno end of head\r\n--b b--").is_none());
        assert_eq!(Multipart::parse(TYPE, b"--b b\r\n\r\nv\r\n--b b--").unwrap().iter().count(), 0);
    }
}
