//! Request targets and paths: splitting them, and building the path for the service.

use model::entities::PathHandling;
pub use sdk::path::{BadPath, normalise, octets};
use std::fmt::Write as _;

/// A request target in its parts; a fragment, which has no place there, is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    pub path: &'a str,
    /// What follows the `?`, if there is one.
    pub query: Option<&'a str>,
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

    #[test]
    fn splits_targets() {
        assert_eq!(Target::split("/a?b?c#d"), Target { path: "/a", query: Some("b?c") });
        assert_eq!(Target::split("/a#b?c"), Target { path: "/a", query: None });
        assert_eq!(Target::split("/?"), Target { path: "/", query: Some("") });
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
