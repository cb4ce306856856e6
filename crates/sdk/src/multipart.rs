//! `multipart/form-data` bodies that plugins read and edit.

use crate::{Bytes, field_value};

/// The parts of a multipart body; untouched parts keep their octets.
#[derive(Clone, Debug)]
pub struct Multipart {
    boundary: Vec<u8>,
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
struct Part {
    name: Option<Vec<u8>>,
    /// Header lines, the empty line, and the content, which begins at `content`.
    octets: Bytes,
    content: usize,
}

impl Multipart {
    /// More parts than that make a body unreadable.
    const LIMIT: usize = 1000;

    /// The parts of `body`; `None` when it is no multipart body with the boundary that `content_type` names.
    pub fn parse(content_type: &[u8], body: &Bytes) -> Option<Multipart> {
        let boundary = boundary(content_type)?.to_vec();
        let delimiter = [b"--", &boundary[..]].concat();
        let ending = [b"\r\n", &delimiter[..]].concat();
        let mut parts = Vec::new();
        let mut at = find(body, &delimiter)? + delimiter.len();
        loop {
            if body[at..].starts_with(b"--") {
                return Some(Multipart { boundary, parts });
            }
            let start = at + find(&body[at..], b"\r\n")? + 2;
            // A part without header lines begins with the empty line itself.
            let end = start + find(&body[start..], &ending)?;
            if parts.len() == Multipart::LIMIT {
                return None;
            }
            parts.push(Part::parse(body.slice(start..end))?);
            at = end + ending.len();
        }
    }

    /// A body without parts, with the boundary that `content_type` names.
    pub fn empty(content_type: &[u8]) -> Option<Multipart> {
        let boundary = boundary(content_type)?.to_vec();
        Some(Multipart { boundary, parts: Vec::new() })
    }

    /// Whether there is no part.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The contents of the parts of that name.
    pub fn get_all<'a, N: AsRef<[u8]> + ?Sized>(&'a self, name: &'a N) -> impl Iterator<Item = &'a [u8]> {
        self.parts.iter().filter(|p| p.is(name.as_ref())).map(Part::content)
    }

    /// Names and contents of all named parts.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.parts.iter().filter_map(|p| p.name.as_deref().map(|name| (name, p.content())))
    }

    /// Drops the parts of that name; says whether there was one.
    pub fn remove(&mut self, name: impl AsRef<[u8]>) -> bool {
        let before = self.parts.len();
        self.parts.retain(|p| !p.is(name.as_ref()));
        self.parts.len() != before
    }

    /// Replaces the parts of that name by one with nothing but a name and content.
    pub fn set(&mut self, name: impl AsRef<[u8]>, content: &[u8]) {
        let name = name.as_ref();
        let at = self.parts.iter().position(|p| p.is(name));
        self.remove(name);
        let mut octets = b"Content-Disposition: form-data; name=\"".to_vec();
        for &octet in name.iter().filter(|b| !matches!(b, b'\r' | b'\n')) {
            match octet {
                b'"' => octets.extend_from_slice(b"%22"),
                other => octets.push(other),
            }
        }
        octets.extend_from_slice(b"\"\r\n\r\n");
        let start = octets.len();
        octets.extend_from_slice(content);
        let part = Part { name: Some(name.to_vec()), content: start, octets: octets.into() };
        self.parts.insert(at.unwrap_or(self.parts.len()).min(self.parts.len()), part);
    }

    /// As it is sent.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for part in &self.parts {
            for piece in [b"--", &self.boundary[..], b"\r\n", &part.octets, b"\r\n"] {
                out.extend_from_slice(piece);
            }
        }
        for piece in [b"--", &self.boundary[..], b"--\r\n"] {
            out.extend_from_slice(piece);
        }
        out
    }
}

/// The boundary that is named, if it can be one (RFC 2046, section 5.1.1).
fn boundary(content_type: &[u8]) -> Option<&[u8]> {
    field_value::parameter(content_type, "boundary").filter(|boundary| (1..=70).contains(&boundary.len()))
}

impl Part {
    fn parse(octets: Bytes) -> Option<Part> {
        let head_end = if octets.starts_with(b"\r\n") { 0 } else { find(&octets, b"\r\n\r\n")? + 2 };
        let lines = octets[..head_end].split(|&b| b == b'\n');
        let mut fields =
            lines.filter_map(|line| line.iter().position(|&b| b == b':').map(|colon| line.split_at(colon)));
        let disposition = fields.find(|(name, _)| name.trim_ascii().eq_ignore_ascii_case(b"content-disposition"));
        let name = disposition.and_then(|(_, value)| field_value::parameter(value, "name")).map(<[u8]>::to_vec);
        Some(Part { name, content: head_end + 2, octets })
    }

    fn is(&self, name: &[u8]) -> bool {
        self.name.as_deref() == Some(name)
    }

    fn content(&self) -> &[u8] {
        &self.octets[self.content..]
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &[u8] = b"multipart/form-data; boundary=\"b b\"";
    const BODY: &[u8] = b"pre\r\n--b b\r\nContent-Disposition: form-data; name=\"a;\xe9\"\r\n\r\n\xe91\r\n--b \
            b\r\ncontent-disposition: form-data; filename=f; name=x\r\nX: y\r\n\r\nl1\r\nl2\r\n--b b--\r\n";

    fn parse(content_type: &[u8], body: &'static [u8]) -> Option<Multipart> {
        Multipart::parse(content_type, &Bytes::from_static(body))
    }

    #[test]
    fn parses_and_edits() {
        let mut form = parse(TYPE, BODY).unwrap();
        assert_eq!(form.iter().collect::<Vec<_>>(), [(&b"a;\xe9"[..], &b"\xe91"[..]), (b"x", b"l1\r\nl2")]);
        assert!(form.remove(b"a;\xe9") && !form.remove("a;\u{fffd}"));
        form.set("n", b"\xff");
        let again = Multipart::parse(TYPE, &form.encode().into()).unwrap();
        assert_eq!(again.iter().collect::<Vec<_>>(), [(&b"x"[..], &b"l1\r\nl2"[..]), (b"n", b"\xff")]);
    }

    #[test]
    fn refuses_what_is_not_multipart() {
        assert!(parse(b"multipart/form-data", BODY).is_none());
        assert!(parse(TYPE, b"--b b\r\n").is_none());
        assert!(parse(TYPE, b"").is_none());
        assert!(parse(TYPE, b"--b b\r\nno end of head\r\n--b b--").is_none());
        assert_eq!(parse(TYPE, b"--b b\r\n\r\nv\r\n--b b--").unwrap().iter().count(), 0);
    }
}
