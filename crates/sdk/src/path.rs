//! The path of a request in its two normal forms: as routes and plugins see it, and as nginx's `$uri` has it.

use std::borrow::Cow;
use std::fmt::Write as _;

/// A path that no request may have: the client's fault, 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPath {
    /// It does not begin with a slash.
    NotAbsolute,
    /// A `%` without two hexadecimal digits, or `%00`.
    Escape,
    /// Its dot segments lead above the root.
    AboveRoot,
}

impl std::fmt::Display for BadPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            BadPath::NotAbsolute => "the path does not begin with a slash",
            BadPath::Escape => "invalid percent-encoding in the path",
            BadPath::AboveRoot => "the path leads above the root",
        })
    }
}

impl std::error::Error for BadPath {}

/// A path that code has made, as it is sent: what a request target cannot hold is escaped, what is escaped already
/// stays; so does a `?`, which begins a query (`kong.service.request.set_path`), and a `#` does not begin a fragment.
pub fn escape(path: &[u8]) -> String {
    let mut out = String::with_capacity(path.len());
    for &octet in path {
        if octet.is_ascii_alphanumeric() || b"!$&'()*+,/:;=?@[]-_.~%".contains(&octet) {
            out.push(octet.into());
        } else {
            let _ = write!(out, "%{octet:02X}");
        }
    }
    out
}

/// The path (without query) as routes see it: escapes decoded unless they stand for a reserved character (then in
/// upper case) or for bytes that are not UTF-8, dot segments resolved, runs of slashes merged. Refuses what nginx
/// refuses, which judges dot segments after decoding everything.
pub fn normalise(path: &str) -> Result<Cow<'_, str>, BadPath> {
    if !path.starts_with('/') {
        return Err(BadPath::NotAbsolute);
    }
    if is_normal(path.as_bytes()) {
        return Ok(Cow::Borrowed(path));
    }
    check(path.as_bytes())?;
    let normal = text(resolve(&decode(path.as_bytes())));
    // An escaped slash may still hide a way above the root, for an upstream that decodes it.
    if normal.contains("%2F") {
        check(normal.as_bytes())?;
    }
    Ok(Cow::Owned(normal))
}

/// The path as `$uri` has it, in octets: all escapes decoded, dot segments resolved, runs of slashes merged.
pub fn uri(path: &str) -> Cow<'_, [u8]> {
    if is_normal(path.as_bytes()) || !path.starts_with('/') {
        return Cow::Borrowed(path.as_bytes());
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some(&first) = rest.first() {
        let (byte, length) = escaped(rest).map_or((first, 1), |byte| (byte, 3));
        decoded.push(byte);
        rest = &rest[length..];
    }
    Cow::Owned(resolve(&decoded))
}

/// A part of a normal path in octets: what [`normalise`] has left escaped because it is no text, decoded.
pub fn octets(part: &str) -> Cow<'_, [u8]> {
    if !part.contains('%') {
        return Cow::Borrowed(part.as_bytes());
    }
    let mut out = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some(&first) = rest.first() {
        let (byte, length) = escaped(rest).filter(|byte| !byte.is_ascii()).map_or((first, 1), |byte| (byte, 3));
        out.push(byte);
        rest = &rest[length..];
    }
    Cow::Owned(out)
}

/// Reserved characters of RFC 3986, section 2.2, and the percent sign itself: their escapes stay.
const RESERVED: &[u8] = b"!*'();:@&=+$,/?%#[]";

/// Whether a path that begins with a slash has no escapes, no dot segments and no empty segments but the last.
fn is_normal(path: &[u8]) -> bool {
    let mut at = 0;
    while at < path.len() {
        match path[at] {
            b'%' => return false,
            b'/' => match path.get(at + 1..).unwrap_or_default() {
                [b'/', ..] | [b'.'] | [b'.', b'/', ..] | [b'.', b'.'] | [b'.', b'.', b'/', ..] => return false,
                _ => {}
            },
            _ => {}
        }
        at += 1;
    }
    true
}

/// The escape that stands at the start of `text`.
fn escaped(text: &[u8]) -> Option<u8> {
    match text {
        [b'%', high, low, ..] => Some((char::from(*high).to_digit(16)? << 4 | char::from(*low).to_digit(16)?) as u8),
        _ => None,
    }
}

/// Refuses broken escapes, and ways above the root once all escapes are decoded.
fn check(path: &[u8]) -> Result<(), BadPath> {
    let (mut depth, mut segment, mut only_dots) = (0usize, 0usize, true);
    let mut end = |segment: usize, only_dots: bool| match (segment, only_dots) {
        (0, _) | (1, true) => Ok(()),
        (2, true) => depth.checked_sub(1).map(|d| depth = d).ok_or(BadPath::AboveRoot),
        _ => {
            depth += 1;
            Ok(())
        }
    };
    let mut at = 0;
    while at < path.len() {
        let byte = match path[at] {
            b'%' => {
                let byte = escaped(&path[at..]).filter(|&b| b != 0).ok_or(BadPath::Escape)?;
                at += 2;
                byte
            }
            byte => byte,
        };
        at += 1;
        if byte == b'/' {
            end(segment, only_dots)?;
            (segment, only_dots) = (0, true);
        } else {
            segment += 1;
            only_dots &= byte == b'.';
        }
    }
    end(segment, only_dots)
}

/// Decodes the escapes that need not stay, and writes the others in upper case.
fn decode(path: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut at = 0;
    while at < path.len() {
        match escaped(&path[at..]) {
            None => {
                bytes.push(path[at]);
                at += 1;
            }
            Some(byte) => {
                if RESERVED.contains(&byte) {
                    bytes.extend(path[at..at + 3].iter().map(u8::to_ascii_uppercase));
                } else {
                    bytes.push(byte);
                }
                at += 3;
            }
        }
    }
    bytes
}

/// Resolves dot segments and merges slashes.
fn resolve(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut segments = path.split(|&b| b == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            b"" | b"." => {}
            b".." => out.truncate(out.iter().rposition(|&b| b == b'/').unwrap_or(0)),
            name => {
                out.push(b'/');
                out.extend_from_slice(name);
                continue;
            }
        }
        if last {
            out.push(b'/');
        }
    }
    out
}

/// Escapes the octets that are no text.
fn text(octets: Vec<u8>) -> String {
    String::from_utf8(octets).unwrap_or_else(|error| {
        let mut text = String::with_capacity(error.as_bytes().len() + 8);
        for chunk in error.as_bytes().utf8_chunks() {
            text.push_str(chunk.valid());
            for byte in chunk.invalid() {
                // Writing to a string cannot fail.
                let _ = write!(text, "%{byte:02X}");
            }
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(path: &str) -> String {
        normalise(path).unwrap_or_else(|e| panic!("{path}: {e}")).into_owned()
    }

    #[test]
    fn leaves_normal_paths_alone() {
        for path in ["/", "/a", "/a/", "/a/.b/..c/d./...", "/a:@!$&()*+,;='\"\\x", "/é/[x]{y}"] {
            assert!(matches!(normalise(path), Ok(Cow::Borrowed(p)) if p == path), "{path}");
        }
    }

    #[test]
    fn normalises() {
        for (path, expected) in [
            ("/a/./x", "/a/x"),
            ("/a/x/../y", "/a/y"),
            ("/a/..", "/"),
            ("/a/.", "/a/"),
            ("/a/x/..", "/a/"),
            ("/.", "/"),
            ("//a///x//", "/a/x/"),
            ("/a/%2e%2e/a", "/a"),
            ("/a%2F..%2fb", "/a%2F..%2Fb"),
            ("/a/%41%62%7E", "/a/Ab~"),
            ("/a/%3a%40%21%24%25", "/a/%3A%40%21%24%25"),
            ("/%2541", "/%2541"),
            ("/sp%20ace/%c3%a9", "/sp ace/é"),
            ("/%ff%41/%c3x", "/%FFA/%C3x"),
        ] {
            assert_eq!(normal(path), expected, "{path}");
        }
    }

    #[test]
    fn refuses_what_nginx_refuses() {
        for path in ["/a/%", "/a/%2", "/a/%zz", "/%00"] {
            assert_eq!(normalise(path), Err(BadPath::Escape), "{path}");
        }
        for path in ["/..", "/../a", "/a/../..", "/..%2Fa", "/%2F../a", "/x%2Fy/../%2F.."] {
            assert_eq!(normalise(path), Err(BadPath::AboveRoot), "{path}");
        }
        for path in ["", "*", "a"] {
            assert_eq!(normalise(path), Err(BadPath::NotAbsolute), "{path}");
        }
    }

    #[test]
    fn uris_are_those_of_nginx() {
        for (path, expected) in [
            ("/bob", &b"/bob"[..]),
            ("/x/../bob", b"/bob"),
            ("//bob", b"/bob"),
            ("/x/%2e%2e/b%6Fb", b"/bob"),
            ("/a%2Fb%3f%20", b"/a/b? "),
            ("/a%2f..%2fb/", b"/b/"),
            ("/%E9", b"/\xe9"),
            ("*", b"*"),
        ] {
            assert_eq!(*uri(path), *expected, "{path}");
        }
    }

    #[test]
    fn octets_that_are_no_text_come_back() {
        assert_eq!(*octets(&normal("/%e9%c3%a9/%25E9%2f")), *b"/\xe9\xc3\xa9/%25E9%2F");
    }
}
