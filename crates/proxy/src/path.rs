//! Request targets and paths: splitting, normalising for matching, and building the path for the service.

use model::entities::PathHandling;
use std::borrow::Cow;
use std::fmt::Write as _;

/// A request target in its parts; a fragment, which has no place there, is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    pub path: &'a str,
    /// What follows the `?`, if there is one.
    pub query: Option<&'a str>,
}

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

impl<'a> Target<'a> {
    /// Splits a request target in origin form.
    pub fn split(target: &'a str) -> Target<'a> {
        let Some(at) = memchr::memchr2(b'?', b'#', target.as_bytes()) else {
            return Target { path: target, query: None };
        };
        let (path, rest) = target.split_at(at);
        let query = rest.strip_prefix('?').map(|query| query.split_once('#').map_or(query, |(query, _)| query));
        Target { path, query }
    }
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
    let normal = resolve(&decode(path.as_bytes()));
    // An escaped slash may still hide a way above the root, for an upstream that decodes it.
    if normal.contains("%2F") {
        check(normal.as_bytes())?;
    }
    Ok(Cow::Owned(normal))
}

/// Appends a path with every byte escaped that may not stand in a request target; escapes in it stay.
pub fn escape(path: &str, out: &mut String) {
    if path.bytes().all(|b| SAFE[b as usize]) {
        out.push_str(path);
        return;
    }
    for b in path.bytes() {
        if SAFE[b as usize] {
            out.push(b as char);
        } else {
            push_escape(b, out);
        }
    }
}

/// Appends the path for a service to `out`, escaped: `base` is the service's path, `path` the request's, of which the
/// route matched the first `matched` bytes (`None`: the route has no paths).
pub fn join(handling: PathHandling, base: &str, path: &str, matched: Option<usize>, strip: bool, out: &mut String) {
    // A route without paths matches the slash that every path begins with.
    let rest = path.get(matched.unwrap_or(1).min(path.len())..).unwrap_or_default();
    let rest = without_leading_dots(rest);
    let start = out.len();
    let without_slash = base.strip_suffix('/');
    let (head, tail) = match (handling, strip, without_slash) {
        (PathHandling::V1, true, Some(base)) if rest.starts_with('/') => (base, rest),
        (PathHandling::V1, true, _) => (base, rest),
        (PathHandling::V1, false, _) | (PathHandling::V0, false, Some(_)) => (base, path.get(1..).unwrap_or_default()),
        (PathHandling::V0, false, None) => (base, if path == "/" { "" } else { path }),
        // The end of the path decides between `/base` and `/base/` when nothing is left of it.
        (PathHandling::V0, true, Some("")) if rest.is_empty() => (base, ""),
        (PathHandling::V0, true, Some(cut)) if rest.is_empty() => (if path.ends_with('/') { base } else { cut }, ""),
        (PathHandling::V0, true, None) if rest.is_empty() => {
            (base, if path.len() > 1 && path.ends_with('/') { "/" } else { "" })
        }
        (PathHandling::V0, true, Some(cut)) if rest.starts_with('/') => (cut, rest),
        (PathHandling::V0, true, None) if !rest.starts_with('/') => {
            escape(base, out);
            ("/", rest)
        }
        (PathHandling::V0, true, _) => (base, rest),
    };
    escape(head, out);
    escape(tail, out);
    if out.len() == start {
        out.push('/');
    }
}

/// Reserved characters of RFC 3986, section 2.2, and the percent sign itself: their escapes stay.
const RESERVED: &[u8] = b"!*'();:@&=+$,/?%#[]";

/// Bytes that go to a service as they are.
const SAFE: [bool; 256] = {
    let mut safe = [false; 256];
    let marks = b"!#$&'()*+,/:;=?@[]-_.~%";
    let mut i = 0;
    while i < 256 {
        safe[i] = (i as u8).is_ascii_alphanumeric();
        i += 1;
    }
    i = 0;
    while i < marks.len() {
        safe[marks[i] as usize] = true;
        i += 1;
    }
    safe
};

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
fn decode(path: &[u8]) -> String {
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
    match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let mut text = String::with_capacity(path.len());
            for chunk in error.as_bytes().utf8_chunks() {
                text.push_str(chunk.valid());
                chunk.invalid().iter().for_each(|&b| push_escape(b, &mut text));
            }
            text
        }
    }
}

/// Resolves dot segments and merges slashes.
fn resolve(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "" | "." => {}
            ".." => out.truncate(out.rfind('/').unwrap_or(0)),
            name => {
                out.push('/');
                out.push_str(name);
                continue;
            }
        }
        if last {
            out.push('/');
        }
    }
    out
}

/// A rest that begins with a dot segment loses it: `/a` stripped off `/a../b` must not lead upwards.
fn without_leading_dots(rest: &str) -> &str {
    match rest {
        "." | ".." => "",
        _ => rest.strip_prefix("./").or_else(|| rest.strip_prefix("../")).unwrap_or(rest),
    }
}

fn push_escape(byte: u8, out: &mut String) {
    // Writing to a string cannot fail.
    let _ = write!(out, "%{byte:02X}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(path: &str) -> String {
        normalise(path).unwrap_or_else(|e| panic!("{path}: {e}")).into_owned()
    }

    #[test]
    fn splits_targets() {
        assert_eq!(Target::split("/a?b?c#d"), Target { path: "/a", query: Some("b?c") });
        assert_eq!(Target::split("/a#b?c"), Target { path: "/a", query: None });
        assert_eq!(Target::split("/?"), Target { path: "/", query: Some("") });
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
    fn escapes_what_may_not_be_sent() {
        let mut out = String::new();
        escape("/a b/é\"<>|{}\\^`\n%2F'[]?", &mut out);
        assert_eq!(out, "/a%20b/%C3%A9%22%3C%3E%7C%7B%7D%5C%5E%60%0A%2F'[]?");
    }

    #[test]
    fn joins_service_and_request_path() {
        let joined = |handling, base, path, matched, strip| {
            let mut out = String::new();
            join(handling, base, path, matched, strip, &mut out);
            out
        };
        // base, path, length matched; v0 keep, v0 strip, v1 keep, v1 strip
        for (base, path, matched, expected) in [
            ("/", "/", Some(1), ["/", "/", "/", "/"]),
            ("/", "/rt", Some(3), ["/rt", "/", "/rt", "/"]),
            ("/", "/rtx", Some(3), ["/rtx", "/x", "/rtx", "/x"]),
            ("/", "/rt/x/", Some(3), ["/rt/x/", "/x/", "/rt/x/", "/x/"]),
            ("/svc", "/", Some(1), ["/svc", "/svc", "/svc", "/svc"]),
            ("/svc", "/x", Some(1), ["/svc/x", "/svc/x", "/svcx", "/svcx"]),
            ("/svc", "/rt", Some(3), ["/svc/rt", "/svc", "/svcrt", "/svc"]),
            ("/svc", "/rt/", Some(3), ["/svc/rt/", "/svc/", "/svcrt/", "/svc/"]),
            ("/svc", "/rt/", Some(4), ["/svc/rt/", "/svc/", "/svcrt/", "/svc"]),
            ("/svc", "/rtx", Some(3), ["/svc/rtx", "/svc/x", "/svcrtx", "/svcx"]),
            ("/svc/", "/", Some(1), ["/svc/", "/svc/", "/svc/", "/svc/"]),
            ("/svc/", "/rt", Some(3), ["/svc/rt", "/svc", "/svc/rt", "/svc/"]),
            ("/svc/", "/rt/x", Some(3), ["/svc/rt/x", "/svc/x", "/svc/rt/x", "/svc/x"]),
            ("/svc/", "/rt/x", Some(4), ["/svc/rt/x", "/svc/x", "/svc/rt/x", "/svc/x"]),
            ("/svc/", "/x", None, ["/svc/x", "/svc/x", "/svc/x", "/svc/x"]),
            ("/svc", "/a../b", Some(2), ["/svc/a../b", "/svc/b", "/svca../b", "/svcb"]),
        ] {
            let got = [
                joined(PathHandling::V0, base, path, matched, false),
                joined(PathHandling::V0, base, path, matched, true),
                joined(PathHandling::V1, base, path, matched, false),
                joined(PathHandling::V1, base, path, matched, true),
            ];
            assert_eq!(got, expected, "{base} {path} {matched:?}");
        }
        assert_eq!(joined(PathHandling::V0, "/a b", "/é", None, true), "/a%20b/%C3%A9");
    }
}
