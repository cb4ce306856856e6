//! What scalars without quotes stand for: the rules of lyaml, by which Kong reads files. They are those of YAML 1.1 for
//! the most part.

use serde_json::{Number, Value};

/// A scalar without tag and quotes.
pub fn plain(text: &str) -> Value {
    null(text)
        .or_else(|| octal(text))
        .or_else(|| decimal(text))
        .or_else(|| float(text))
        .or_else(|| boolean(text))
        .or_else(|| hexadecimal(text))
        .or_else(|| binary(text))
        .or_else(|| sexagesimal(text))
        // Infinity and what is no number have no form in JSON: they stay texts.
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

/// A scalar with a tag of YAML's own: the value, or `None` when it is no such value. The outer `None`: an unknown tag.
pub fn tagged(tag: &str, text: &str) -> Option<Option<Value>> {
    Some(match tag {
        "str" => Some(Value::String(text.to_owned())),
        "null" => Some(Value::Null),
        "bool" => boolean(text).or(match text {
            "y" | "Y" => Some(Value::Bool(true)),
            "n" | "N" => Some(Value::Bool(false)),
            _ => None,
        }),
        "int" => integer(text).or_else(|| sexagesimal(text)),
        "float" => float(text).or_else(|| integer(text).and_then(|n| real(n.as_f64()?))).or_else(|| sexagesimal(text)),
        _ => return None,
    })
}

fn null(text: &str) -> Option<Value> {
    ["", "~", "null", "Null", "NULL"].contains(&text).then_some(Value::Null)
}

fn boolean(text: &str) -> Option<Value> {
    match text {
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(Value::Bool(true)),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(Value::Bool(false)),
        _ => None,
    }
}

fn integer(text: &str) -> Option<Value> {
    octal(text).or_else(|| decimal(text)).or_else(|| hexadecimal(text)).or_else(|| binary(text))
}

/// `017`; a zero alone is decimal.
fn octal(text: &str) -> Option<Value> {
    let (sign, digits) = signed(text);
    digits_of(digits.strip_prefix('0')?, 8).and_then(|digits| number(sign, &digits, 8))
}

fn decimal(text: &str) -> Option<Value> {
    let (sign, digits) = signed(text);
    digits_of(digits, 10).and_then(|digits| number(sign, &digits, 10))
}

fn hexadecimal(text: &str) -> Option<Value> {
    let (sign, digits) = signed(text);
    digits_of(digits.strip_prefix("0x")?, 16).and_then(|digits| number(sign, &digits, 16))
}

fn binary(text: &str) -> Option<Value> {
    let (sign, digits) = signed(text);
    let digits = digits_of(digits.strip_prefix("0b")?, 2)?;
    // One digit alone is a text to lyaml.
    if digits.len() < 2 { None } else { number(sign, &digits, 2) }
}

/// `1.5`, `1e3`, `.5`.
fn float(text: &str) -> Option<Value> {
    if !text.contains(['.', 'e', 'E']) || !text.bytes().all(|b| b.is_ascii_digit() || b"+-._eE".contains(&b)) {
        return None;
    }
    real(text.replace('_', "").parse().ok()?)
}

/// Base 60: `12:30` is 750, `1:30.5` is 90.5.
fn sexagesimal(text: &str) -> Option<Value> {
    let (sign, rest) = signed(text);
    let (whole, fraction) = match rest.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit()) => {
            (whole, format!("0.{fraction}").parse().ok()?)
        }
        Some(_) => return None,
        None => (rest, 0.0),
    };
    let (first, others) = whole.split_once(':')?;
    if first.is_empty() || !whole.bytes().all(|b| b.is_ascii_digit() || b == b':') || !others.starts_with(digit) {
        return None;
    }
    let parts = whole.split(':').filter(|part| !part.is_empty());
    let total = parts.fold(0.0_f64, |total, part| total * 60.0 + part.parse().unwrap_or(0.0)) + fraction;
    let total = if sign == Sign::Minus { -total } else { total };
    if total.fract() == 0.0 && total.abs() < 9e15 { Some((total as i64).into()) } else { real(total) }
}

fn digit(c: char) -> bool {
    c.is_ascii_digit()
}

#[derive(Clone, Copy, PartialEq)]
enum Sign {
    Plus,
    Minus,
}

fn signed(text: &str) -> (Sign, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (Sign::Minus, rest),
        None => (Sign::Plus, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// Digits of that base with underscores between them, or before them.
fn digits_of(text: &str, base: u32) -> Option<String> {
    let digits: String = text.chars().filter(|c| *c != '_').collect();
    (!digits.is_empty() && digits.chars().all(|c| c.is_digit(base))).then_some(digits)
}

fn number(sign: Sign, digits: &str, base: u32) -> Option<Value> {
    match (i64::from_str_radix(digits, base), sign) {
        (Ok(number), Sign::Plus) => Some(number.into()),
        (Ok(number), Sign::Minus) => Some((-number).into()),
        (Err(_), _) => {
            let digit = |c: char| f64::from(c.to_digit(base).unwrap_or(0));
            let large = match base {
                10 => digits.parse().ok()?,
                _ => digits.chars().fold(0.0, |number, c| number * f64::from(base) + digit(c)),
            };
            real(if sign == Sign::Minus { -large } else { large })
        }
    }
}

fn real(number: f64) -> Option<Value> {
    Number::from_f64(number).map(Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn plain_scalars() {
        for (text, value) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("Null", json!(null)),
            ("nULL", json!("nULL")),
            ("yes", json!(true)),
            ("On", json!(true)),
            ("OFF", json!(false)),
            ("y", json!("y")),
            ("yEs", json!("yEs")),
            ("0", json!(0)),
            ("00", json!(0)),
            ("-7", json!(-7)),
            ("+1_000", json!(1000)),
            ("017", json!(15)),
            ("08", json!(8)),
            ("0x1F", json!(31)),
            ("0o17", json!("0o17")),
            ("0b101", json!(5)),
            ("0b1", json!("0b1")),
            ("1.5", json!(1.5)),
            (".5", json!(0.5)),
            ("1e3", json!(1000.0)),
            ("1.2.3", json!("1.2.3")),
            ("12:30", json!(750)),
            ("1:30.5", json!(90.5)),
            ("127.0.0.1:80", json!("127.0.0.1:80")),
            ("a:80", json!("a:80")),
            (".inf", json!(".inf")),
            (".nan", json!(".nan")),
            ("e", json!("e")),
            ("-", json!("-")),
            ("_", json!("_")),
            ("9223372036854775808", json!(9223372036854775808.0)),
        ] {
            assert_eq!(plain(text), value, "{text}");
        }
    }

    #[test]
    fn tags() {
        assert_eq!(tagged("str", "yes"), Some(Some(json!("yes"))));
        assert_eq!(tagged("bool", "n"), Some(Some(json!(false))));
        assert_eq!(tagged("int", "1.5"), Some(None));
        assert_eq!(tagged("float", "2"), Some(Some(json!(2.0))));
        assert_eq!(tagged("set", "x"), None);
    }
}
