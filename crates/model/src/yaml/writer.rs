//! From a value to YAML that Kong reads as the same value.

use super::scalar;
use serde_json::Value;
use std::fmt::Write as _;

/// Appends the entries of a table (or the items of a list) in block style, each line indented by that much.
pub fn write(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(table) => {
            for (name, value) in table {
                let _ = write!(out, "{:indent$}", "");
                text(out, name);
                out.push(':');
                nested(out, value, indent);
            }
        }
        Value::Array(items) => {
            for item in items {
                let _ = write!(out, "{:indent$}-", "");
                match item {
                    Value::Object(table) if !table.is_empty() => {
                        // The first line stands behind the dash.
                        let at = out.len();
                        write(out, item, indent + 2);
                        out.replace_range(at..at + indent + 2, " ");
                    }
                    other => nested(out, other, indent),
                }
            }
        }
        other => {
            scalar(out, other, indent);
            out.push('\n');
        }
    }
}

/// A value behind `key:` or `-`.
fn nested(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(table) if !table.is_empty() => {
            out.push('\n');
            write(out, value, indent + 2);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            // Kong's lists are not indented in tables; in lists they must be.
            let inner = if out[..out.len() - 1].ends_with('-') { indent + 2 } else { indent };
            write(out, value, inner);
        }
        other => {
            out.push(' ');
            scalar(out, other, indent);
            out.push('\n');
        }
    }
}

fn scalar(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Null => out.push('~'),
        Value::String(words) if is_block(words) => block(out, words, indent + 2),
        Value::String(words) => text(out, words),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
        other => {
            let _ = write!(out, "{other}");
        }
    }
}

/// A text on one line.
fn text(out: &mut String, text: &str) {
    if is_plain(text) {
        out.push_str(text);
    } else if text.chars().all(is_printable) {
        let _ = write!(out, "'{}'", text.replace('\'', "''"));
    } else {
        out.push('"');
        for c in text.chars() {
            match c {
                '"' | '\\' => {
                    out.push('\\');
                    out.push(c);
                }
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                c if is_printable(c) => out.push(c),
                c if u32::from(c) <= 0xffff => {
                    let _ = write!(out, "\\u{:04x}", u32::from(c));
                }
                c => {
                    let _ = write!(out, "\\U{:08x}", u32::from(c));
                }
            }
        }
        out.push('"');
    }
}

/// Several lines as they are. The last one ends with the text.
fn block(out: &mut String, text: &str, indent: usize) {
    let ending = match (text.ends_with("\n\n"), text.ends_with('\n')) {
        (true, _) => "|+",
        (_, true) => "|",
        _ => "|-",
    };
    out.push_str(ending);
    let lines = text.strip_suffix('\n').unwrap_or(text);
    for line in lines.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            let _ = write!(out, "{:indent$}{line}", "");
        }
    }
}

/// Whether a text needs no quotes. What would be read as something else does.
fn is_plain(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b"_./@-".contains(&b);
    let first = |b: u8| b.is_ascii_alphanumeric() || b"_/".contains(&b);
    text.bytes().next().is_some_and(first) && text.bytes().all(inner) && scalar::plain(text).is_string()
}

/// Whether a text can stand as it is over several lines.
fn is_block(text: &str) -> bool {
    text.trim_end_matches('\n').contains('\n')
        && text.chars().all(|c| c == '\n' || is_printable(c))
        && !text.starts_with([' ', '\n'])
        && !text.split('\n').any(|line| line.ends_with(' '))
}

fn is_printable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;
    use serde_json::json;

    fn yaml(value: &Value) -> String {
        let mut out = String::new();
        write(&mut out, value, 0);
        out
    }

    #[test]
    fn tables_and_lists() {
        let value = json!({
            "_format_version": "3.0",
            "_transform": false,
            "services": [{"name": "a", "tags": ["x", "y"], "path": null, "config": {"a": {}, "b": [],
            "c": {"d": 1.5}}}],
        });
        let text = "_format_version: '3.0'\n_transform: false\nservices:\n- name: a\n  tags:\n  - x\n  - y\n  \
                    path: ~\n  config:\n    a: {}\n    b: []\n    c:\n      d: 1.5\n";
        assert_eq!(yaml(&value), text);
        assert_eq!(read(text), Ok(value));
        let lists = json!({"a": [[1, [2]], [], [{"b": [3]}]]});
        assert_eq!(read(&yaml(&lists)), Ok(lists));
    }

    #[test]
    fn texts_come_back_as_they_were() {
        let pem = "-----BEGIN CERTIFICATE-----\nAAAA\nBBBB\n-----END CERTIFICATE-----";
        for text in [
            "",
            "a",
            "/a/b",
            "yes",
            "On",
            "null",
            "~",
            "1",
            "1.5",
            "0x1f",
            "12:30",
            "1e3",
            "3.0",
            "- a",
            "a: b",
            "a #b",
            "#",
            "it's",
            "\"x\"",
            "\\",
            "{vault://env/x}",
            "*",
            "&a",
            "!b",
            "%",
            "@x",
            "`",
            "a ",
            " a",
            "é",
            "a\tb",
            "a\nb",
            "a\n",
            "\n",
            "\na",
            " a\nb",
            "a \nb",
            "a\n\nb\n\n",
            "a\r\nb",
            "\u{0}",
            "\u{85}",
            "\u{2028}",
            "\u{feff}x",
            "\u{1f600}",
            "---",
            "...",
            "<<",
            "=",
            "?",
            ":",
            pem,
        ] {
            let value = json!({"k": text, text: [text, {"x": text}]});
            let written = yaml(&value);
            assert_eq!(read(&written).as_ref(), Ok(&value), "{written}");
        }
        let longer = format!("{pem}\n");
        assert_eq!(yaml(&json!({"cert": longer})).lines().nth(1), Some("  -----BEGIN CERTIFICATE-----"));
    }
}
