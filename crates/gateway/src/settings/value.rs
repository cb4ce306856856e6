//! Values of settings: from text by type, and to JSON.

use super::definition::{Setting, ValueType};
use serde_json::{Value as Json, json};
use std::time::Duration;

/// The value of a setting that is set.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(String),
    Boolean(bool),
    Number(f64),
    List(Vec<String>),
}

impl Value {
    /// The value that a text stands for; `None`: not set. Errors name the setting.
    pub fn parse(setting: &Setting, text: &str) -> Result<Option<Value>, String> {
        let (name, text) = (setting.name, text.trim());
        match setting.kind {
            ValueType::List => return Ok(Some(Value::List(split(text)))),
            ValueType::Boolean if text.is_empty() && !setting.deprecated => return Ok(Some(Value::Boolean(false))),
            _ if text.is_empty() => return Ok(None),
            _ => {}
        }
        Ok(Some(match setting.kind {
            ValueType::Text | ValueType::List => Value::Text(text.to_owned()),
            ValueType::Boolean => Value::Boolean(truth(text)),
            ValueType::NginxBoolean => Value::Text(if truth(text) { "on" } else { "off" }.to_owned()),
            ValueType::Number => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Value::Number(number),
                _ => return Err(format!("{name} is not a number: '{}'", shown(setting, text))),
            },
            ValueType::Choice(words) if words.contains(&text) => Value::Text(text.to_owned()),
            ValueType::Choice(words) => {
                return Err(format!("{name} has an invalid value: '{text}' ({})", words.join(", ")));
            }
        }))
    }

    /// As `GET /` shows it. An empty list is an empty object there: Lua knows no difference.
    pub fn json(&self) -> Json {
        match self {
            Value::Text(text) => json!(text),
            Value::Boolean(value) => json!(value),
            Value::Number(number) if number.fract() == 0.0 && number.abs() < 9e15 => json!(*number as i64),
            Value::Number(number) => json!(number),
            Value::List(items) if items.is_empty() => json!({}),
            Value::List(items) => json!(items),
        }
    }

    /// As it is written in a file.
    pub fn text(&self) -> String {
        match self {
            Value::Text(text) => text.clone(),
            Value::Boolean(value) => if *value { "on" } else { "off" }.to_owned(),
            Value::Number(number) => number.to_string(),
            Value::List(items) => items.join(", "),
        }
    }
}

/// Bytes from nginx's notation: `8k`, `10m`, `1g`.
pub fn size(name: &str, text: &str) -> Result<u64, String> {
    let text = text.trim();
    let (digits, factor) = match text.bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1 << 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1 << 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    let number = digits.parse::<u64>().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()));
    number.and_then(|n| n.checked_mul(factor)).ok_or_else(|| format!("{name} is not a size: '{text}'"))
}

/// A time in nginx's notation: `30s`, `1h30m`, `1d`; seconds without a unit.
pub fn time(name: &str, text: &str) -> Result<Duration, String> {
    let wrong = || format!("{name} is not a time: '{text}'");
    let (mut total, mut rest) = (0u64, text.trim());
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        let units = [
            ("ms", 1),
            ("s", 1000),
            ("m", 60_000),
            ("h", 3_600_000),
            ("d", 86_400_000),
            ("w", 604_800_000),
            ("M", 2_592_000_000),
            ("y", 31_536_000_000),
        ];
        let unit = units.iter().find(|(unit, _)| rest[digits..].starts_with(unit));
        let (length, millis) = match unit {
            Some((unit, millis)) => (unit.len(), *millis),
            None if digits == rest.len() => (0, 1000),
            None => return Err(wrong()),
        };
        total = number.checked_mul(millis).and_then(|n| total.checked_add(n)).ok_or_else(wrong)?;
        rest = rest[digits + length..].trim_start();
    }
    Ok(Duration::from_millis(total))
}

/// A text of several lines, such as a certificate, in base64, by which it fits into a line and has no commas; others as
/// they are.
pub fn one_line(text: &str) -> String {
    use base64::Engine;
    let text = text.trim();
    if text.contains('\n') { base64::engine::general_purpose::STANDARD.encode(text) } else { text.to_owned() }
}

/// The elements of a list.
pub fn split(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// Kong takes everything else for `off`.
fn truth(text: &str) -> bool {
    text == "on" || text == "true"
}

fn shown<'a>(setting: &Setting, text: &'a str) -> &'a str {
    if setting.secret { "******" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::table::setting;

    #[test]
    fn kinds() {
        let parse = |name: &str, text: &str| Value::parse(setting(name).unwrap(), text);
        assert_eq!(parse("pg_port", " 5432 "), Ok(Some(Value::Number(5432.0))));
        assert_eq!(parse("pg_port", ""), Ok(None));
        assert_eq!(parse("pg_port", "x").unwrap_err(), "pg_port is not a number: 'x'");
        assert!(parse("pg_port", "inf").is_err());
        assert_eq!(parse("wasm", "true"), Ok(Some(Value::Boolean(true))));
        assert_eq!(parse("wasm", "yes"), Ok(Some(Value::Boolean(false))));
        assert_eq!(parse("real_ip_recursive", "true"), Ok(Some(Value::Text("on".to_owned()))));
        assert_eq!(parse("trusted_ips", " a, ,b,"), Ok(Some(Value::List(vec!["a".to_owned(), "b".to_owned()]))));
        assert_eq!(parse("trusted_ips", "").unwrap().unwrap().json(), json!({}));
        assert_eq!(
            parse("role", "x").unwrap_err(),
            "role has an invalid value: 'x' (data_plane, control_plane, traditional)"
        );
        assert_eq!(parse("tracing_sampling_rate", "0.01").unwrap().unwrap().json(), json!(0.01));
    }

    #[test]
    fn times() {
        let seconds = |text| time("x", text).map(|t| t.as_secs());
        assert_eq!(
            [seconds("30"), seconds("30s"), seconds("1h 30m"), seconds("1d")],
            [Ok(30), Ok(30), Ok(5400), Ok(86_400)]
        );
        assert_eq!(time("x", "1s 500ms"), Ok(Duration::from_millis(1500)));
        for text in ["", "m", "-1", "1x", "1h30x", "99999999999999999999", "18446744073709551615y", "ä"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(
            [size("x", "0"), size("x", "10k"), size("x", "8M"), size("x", "2g")],
            [Ok(0), Ok(10 << 10), Ok(8 << 20), Ok(2 << 30)]
        );
        for text in ["", "k", "-1", "+1k", "1.5m", "99999999999999999999", "18446744073709551615g", "ä"] {
            assert!(size("x", text).is_err(), "{text}");
        }
    }
}
