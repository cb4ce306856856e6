//! Values in the notation of Lua tables, as Kong shows keys and nested errors inside its messages.

use serde_json::Value;
use std::fmt::Write as _;

/// Deeper values are cut off; records are never nested that deep.
const DEPTH: usize = 64;

/// On one line: `{id="x",name="y"}`.
pub fn compact(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value, None, 0);
    out
}

/// Over several lines, indented by two blanks.
pub fn indented(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value, Some("  "), 0);
    out
}

/// A number as Lua prints it: at most 14 significant digits, integers without a point.
pub fn number(value: &serde_json::Number) -> String {
    if let Some(n) = value.as_i64()
        && n.unsigned_abs() < 100_000_000_000_000
    {
        return n.to_string();
    }
    float(value.as_f64().unwrap_or(0.0))
}

/// A floating-point number in the form of C's `%.14g`.
pub fn float(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if !value.is_finite() {
        return value.to_string();
    }
    let scientific = format!("{value:.13e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if (-5..14).contains(&exponent) {
        trim(&format!("{value:.*}", usize::try_from(13 - exponent).unwrap_or(0)))
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", trim(mantissa), exponent.abs())
    }
}

fn write(out: &mut String, value: &Value, indent: Option<&str>, depth: usize) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => out.push_str(&number(n)),
        Value::String(s) => quote(out, s),
        Value::Array(_) | Value::Object(_) if depth >= DEPTH => out.push_str("{}"),
        Value::Array(items) => {
            // A list with holes goes on with explicit indices after the first hole.
            let dense = items.iter().position(Value::is_null).unwrap_or(items.len());
            let entries = items.iter().enumerate().filter(|(_, item)| !item.is_null());
            table(out, indent, depth, entries.map(|(i, item)| ((i >= dense).then(|| format!("[{}]", i + 1)), item)));
        }
        Value::Object(fields) => {
            let mut entries: Vec<_> = fields.iter().collect();
            entries.sort_by_key(|(name, _)| *name);
            table(out, indent, depth, entries.into_iter().map(|(name, value)| (Some(key(name)), value)));
        }
    }
}

fn table<'a>(
    out: &mut String,
    indent: Option<&str>,
    depth: usize,
    entries: impl Iterator<Item = (Option<String>, &'a Value)>,
) {
    let newline = |out: &mut String, depth: usize| {
        if let Some(indent) = indent {
            out.push('\n');
            (0..depth).for_each(|_| out.push_str(indent));
        }
    };
    out.push('{');
    for (n, (key, value)) in entries.enumerate() {
        if n > 0 {
            out.push(',');
        }
        newline(out, depth + 1);
        if let Some(key) = key {
            out.push_str(&key);
            out.push_str(if indent.is_some() { " = " } else { "=" });
        }
        write(out, value, indent, depth + 1);
    }
    newline(out, depth);
    out.push('}');
}

fn key(name: &str) -> String {
    const KEYWORDS: [&str; 22] = [
        "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in", "local", "nil",
        "not", "or", "repeat", "return", "then", "true", "until", "while",
    ];
    let identifier =
        name.bytes().enumerate().all(|(i, b)| b == b'_' || b.is_ascii_alphabetic() || (i > 0 && b.is_ascii_digit()));
    if identifier && !name.is_empty() && !KEYWORDS.contains(&name) {
        name.to_owned()
    } else {
        let mut out = String::from("[");
        quote(&mut out, name);
        out.push(']');
        out
    }
}

fn quote(out: &mut String, text: &str) {
    if text.contains('\n') && !text.contains('\r') {
        let mut level = String::new();
        while text.contains(&format!("]{level}]")) {
            level.push('=');
        }
        let _ = write!(out, "[{level}[{text}]{level}]");
        return;
    }
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\r' => out.push_str("\\r"),
            '\0' => out.push_str("\\0"),
            '\n' => out.push_str("\\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_sorted_and_quoted_when_needed() {
        assert_eq!(
            compact(&json!({"target": "h:80", "upstream": {"id": "u"}})),
            r#"{target="h:80",upstream={id="u"}}"#
        );
        assert_eq!(compact(&json!({"x-a": 1, "route": null, "end": true})), r#"{["end"]=true,route=null,["x-a"]=1}"#);
    }

    #[test]
    fn nested_errors_are_indented() {
        let errors = json!({"unhealthy": {"http_statuses": [null, "bad"]}});
        assert_eq!(indented(&errors), "{\n  unhealthy = {\n    http_statuses = {\n      [2] = \"bad\"\n    }\n  }\n}");
        assert_eq!(indented(&json!(["a", "b"])), "{\n  \"a\",\n  \"b\"\n}");
    }

    #[test]
    fn numbers_look_as_in_lua() {
        for (n, text) in [
            (0.5, "0.5"),
            (5.0, "5"),
            (1e15, "1e+15"),
            (0.1, "0.1"),
            (-2.25, "-2.25"),
            (1e-7, "1e-07"),
            (2147483646.0, "2147483646"),
        ] {
            assert_eq!(float(n), text);
        }
    }
}
