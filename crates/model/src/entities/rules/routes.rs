//! Rules of routes: paths, and what the router must be able to compile.

use super::text;
use crate::expression::Expression;
use crate::regex_budget::{RegexBudget, verdict};
use crate::{Error, Record};
use serde_json::Value;

/// How many values a route may list in one field. Kong sets no limit; the router takes memory for each of them.
const MAX_VALUES: usize = 10_000;

const CRITERIA: &str = "'methods', 'hosts', 'paths', 'headers', 'snis', 'sources' or 'destinations'";

/// Characters that stay escaped, for they mean something else than themselves (RFC 3986).
const RESERVED: &[u8] = b"!*'();:@&=+$,/?%#[]";

/// A list, or a map of lists, of no more values than a route may have.
pub fn bounded(value: &Value) -> Result<(), String> {
    let values = match value {
        Value::Array(items) => items.len(),
        Value::Object(map) => map.values().map(|list| list.as_array().map_or(1, Vec::len)).sum(),
        _ => 0,
    };
    if values > MAX_VALUES { Err(Error::too_long(MAX_VALUES)) } else { Ok(()) }
}

/// `/prefix` in normal form, or `~/regex`.
pub fn path(value: &Value) -> Result<(), String> {
    let path = value.as_str().ok_or("expected a string")?;
    if path.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_~/%:@!$&'()*+,;=".contains(&b)) && path.starts_with('/') {
        text::percent_encoding(path)?;
    }
    match path.strip_prefix('~') {
        None => {
            let normal = normalize(path.as_bytes());
            if normal == path.as_bytes() {
                Ok(())
            } else {
                Err(format!("non-normalized path, consider use '{}' instead", String::from_utf8_lossy(&normal)))
            }
        }
        Some(regex) => match RegexBudget::new().compile(regex, false) {
            // Valid for the library that Kong asks first; the router refuses it afterwards.
            Err(error) if !is_unsupported(&error) => {
                Err(format!("invalid regex: '{regex}' (PCRE returned: {})", verdict(&error)))
            }
            _ => Ok(()),
        },
    }
}

/// Whether the router can compile the route.
pub fn expression(route: &Record) -> Result<(), String> {
    let failed = |why: String| Err(format!("Router Expression failed validation: {why}"));
    let empty = |field: &str| match route.get(field) {
        None | Some(Value::Null) => true,
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(map)) => map.is_empty(),
        Some(_) => false,
    };
    let others =
        ["snis", "sources", "destinations", "methods", "hosts", "paths", "headers"].iter().any(|field| !empty(field));
    let number = |field: &str| route.get(field).and_then(Value::as_f64).unwrap_or(0.0);
    if let Some(Value::String(text)) = route.get("expression") {
        if others {
            return failed(format!("cannot set 'expression' with {CRITERIA} simultaneously"));
        }
        if number("regex_priority") != 0.0 {
            return failed("cannot set 'regex_priority' with 'expression' simultaneously".to_owned());
        }
        let stream = strings(route.get("protocols"))
            .first()
            .is_some_and(|p| ["tcp", "tls", "udp", "tls_passthrough"].contains(p));
        return Expression::parse(text, stream).map(drop).or_else(failed);
    }
    if others && number("priority") != 0.0 {
        return failed(format!("cannot set 'priority' with {CRITERIA} simultaneously"));
    }
    let mut budget = RegexBudget::new();
    for path in strings(route.get("paths")) {
        if let Some(Err(error)) = path.strip_prefix('~').map(|regex| budget.compile(&format!("^{regex}"), false)) {
            return failed(verdict(&error));
        }
    }
    for (name, values) in route.get("headers").and_then(Value::as_object).into_iter().flatten() {
        let values = strings(Some(values));
        if values.is_empty() {
            return failed(format!("no values for header '{name}'"));
        }
        // A value alone may be a pattern: `~*regex`.
        for regex in values.iter().filter_map(|v| v.strip_prefix("~*")) {
            if let Err(error) = budget.compile(&regex.to_lowercase(), false) {
                return failed(verdict(&error));
            }
        }
    }
    Ok(())
}

/// A path as it was before version 3.0 of declarative files, when its characters said whether it is a regular
/// expression: in the form of today.
pub fn upgraded(path: &str) -> String {
    if path.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-~/%".contains(&b)) {
        let normal = if path.starts_with('/') { normalize(path.as_bytes()) } else { path.into() };
        // What no text can hold stays escaped.
        return String::from_utf8(normal).unwrap_or_else(|_| path.to_owned());
    }
    let mut regex = String::from("~");
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        let (before, escape) = rest.split_at(at);
        regex.push_str(before);
        let octet = escape.get(1..3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let length = if octet.is_some() { 3 } else { 1 };
        match octet {
            Some(octet) if RESERVED.contains(&octet) => regex.push_str(&escape[..3].to_ascii_uppercase()),
            Some(octet) if b".^-{}\\|".contains(&octet) => regex.extend(['\\', char::from(octet)]),
            Some(octet) if octet.is_ascii() => regex.push(char::from(octet)),
            _ => regex.push_str(&escape[..length]),
        }
        rest = &escape[length..];
    }
    regex + rest
}

/// A path with percent-encodings of unreserved characters decoded, dot segments resolved and slashes merged.
fn normalize(path: &[u8]) -> Vec<u8> {
    let decoded = decode(path);
    let mut segments: Vec<&[u8]> = Vec::new();
    let mut parts = decoded.split(|&b| b == b'/').skip(1).peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        match part {
            b"." | b".." => {
                if part == b".." {
                    segments.pop();
                }
                if last {
                    segments.push(b"");
                }
            }
            // Empty only at the end, where it is the trailing slash.
            b"" if !last => {}
            part => segments.push(part),
        }
    }
    segments.iter().flat_map(|segment| std::iter::once(b'/').chain(segment.iter().copied())).collect()
}

fn decode(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut i = 0;
    while i < path.len() {
        let hex = |at: usize| path.get(at).and_then(|&b| char::from(b).to_digit(16));
        match (path[i], hex(i + 1), hex(i + 2)) {
            (b'%', Some(high), Some(low)) => {
                let byte = u8::try_from(high * 16 + low).unwrap_or_default();
                if RESERVED.contains(&byte) {
                    out.push(b'%');
                    out.extend(path[i + 1..i + 3].to_ascii_uppercase());
                } else {
                    out.push(byte);
                }
                i += 3;
            }
            (byte, ..) => {
                out.push(byte);
                i += 1;
            }
        }
    }
    out
}

/// Look-around and back-references: correct, but nothing that the router can do.
fn is_unsupported(error: &regex::Error) -> bool {
    let text = error.to_string();
    matches!(error, regex::Error::CompiledTooBig(_)) || text.contains("look-around") || text.contains("backreferences")
}

fn strings(value: Option<&Value>) -> Vec<&str> {
    value.and_then(Value::as_array).map_or_else(Vec::new, |list| list.iter().filter_map(Value::as_str).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn error(path_text: &str) -> String {
        path(&json!(path_text)).err().unwrap_or_default()
    }

    #[test]
    fn paths_in_normal_form() {
        for good in ["/", "/a", "/a/", "/a.b/c", "/a%2Fb", "/é", "~/a(b)?$"] {
            assert_eq!(error(good), "", "{good}");
        }
        assert_eq!(error("/a%20b"), "non-normalized path, consider use '/a b' instead");
        assert_eq!(error("/a/../b"), "non-normalized path, consider use '/b' instead");
        assert_eq!(error("/a/."), "non-normalized path, consider use '/a/' instead");
        assert_eq!(error("/a%zz"), "invalid url-encoded value: '%zz'");
        assert_eq!(error("/a%2f"), "non-normalized path, consider use '/a%2F' instead");
    }

    #[test]
    fn paths_of_before() {
        for (before, today) in [
            ("/a", "/a"),
            ("/a//b/../c", "/a/c"),
            ("/a%20b", "/a b"),
            ("/a%ff", "/a%ff"),
            ("no/slash", "no/slash"),
            (r"/a/\d+", r"~/a/\d+"),
            ("/a(b)%2e%2f%41%zz%", r"~/a(b)\.%2FA%zz%"),
        ] {
            assert_eq!(upgraded(before), today, "{before}");
        }
    }

    #[test]
    fn patterns_must_suit_the_router() {
        assert!(error("~/(a").starts_with("invalid regex: '/(a' (PCRE returned: "));
        assert_eq!(error("~/a(?=b)"), "");
        let route = |value: Value| expression(value.as_object().unwrap_or(&Record::new())).err().unwrap_or_default();
        assert!(route(json!({"paths": ["~/a(?=b)"]})).starts_with("Router Expression failed validation: "));
        assert!(
            !route(json!({"headers": {"x-a": []}})).is_empty()
                && !route(json!({"headers": {"x-a": ["~*("]}})).is_empty()
        );
        assert_eq!(route(json!({"headers": {"x-a": ["a", "b"]}, "paths": null})), "");
        assert!(route(json!({"paths": ["/a"], "expression": "x"})).contains("cannot set 'expression' with"));
        assert!(route(json!({"paths": ["/a"], "priority": 1})).contains("cannot set 'priority' with"));
    }
}
