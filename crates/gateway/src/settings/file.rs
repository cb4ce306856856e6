//! The syntax of `kong.conf`.
//!
//! `key = value` lines; lines that begin with `#` or `;` are comments; a `#` later in a line begins one unless it is
//! written `\#`; a line that ends in a backslash goes on in the next; `[section]` lines have no meaning. Of a key that
//! is given twice, the last value counts.

use std::collections::BTreeMap;

/// The pairs of a file, values as they will be parsed by type.
pub fn parse(text: &str) -> BTreeMap<String, String> {
    let mut pairs = BTreeMap::new();
    let mut begun = String::new();
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(part) = line.trim_end().strip_suffix('\\') {
            begun.push_str(part);
            continue;
        }
        begun.push_str(line);
        if let Some((key, value)) = pair(&begun) {
            pairs.insert(key, value);
        }
        begun.clear();
    }
    if let Some((key, value)) = pair(&begun) {
        pairs.insert(key, value);
    }
    pairs
}

/// A value as it is written in a file.
pub fn escape(value: &str) -> String {
    value.replace('#', "\\#")
}

fn pair(line: &str) -> Option<(String, String)> {
    let line = line.trim_start();
    if line.starts_with('[') {
        return None;
    }
    let (key, value) = line.split_once('=')?;
    let key = key.trim_end().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    Some((key, uncomment(value)))
}

/// The value without a comment behind it, and with `\#` made `#`.
fn uncomment(value: &str) -> String {
    let bytes = value.as_bytes();
    let comment = bytes.iter().enumerate().find(|(i, b)| **b == b'#' && (*i == 0 || bytes[i - 1] != b'\\'));
    let value = comment.map_or(value, |(at, _)| &value[..at]);
    value.trim().replace("\\#", "#")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let pairs = parse(
            "# a comment\n; another\n\n  database = sqlite  # where\nlog.level=debug\n[section]\n\
             pg_password = a\\#b #c\ntrusted_ips = 10.0.0.0/8, \\\n  # between\n  192.168.0.0/16\n\
             prefix=a\nprefix = b=c\njunk\nempty =\n",
        );
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(
            pairs,
            [
                ("database", "sqlite"),
                ("empty", ""),
                ("log_level", "debug"),
                ("pg_password", "a#b"),
                ("prefix", "b=c"),
                ("trusted_ips", "10.0.0.0/8,   192.168.0.0/16"),
            ]
        );
    }

    #[test]
    fn escaping_is_undone() {
        for value in ["a#b", "#", "plain", "a \\ b"] {
            assert_eq!(parse(&format!("x = {}\n", escape(value)))["x"], value);
        }
    }

    #[test]
    fn odd_input() {
        for text in ["=", "\\", "\\\n", "[", "a\\", "\u{0}=\u{0}", "é = ü", "=\n=#\\#"] {
            parse(text);
        }
    }
}
