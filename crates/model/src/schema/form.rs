//! Forms: strings become what the fields want.

use super::Schema;
use super::field::{Field, FieldType};
use super::validate::View;
use crate::{Catalog, Record};
use serde_json::{Number, Value};

/// See [`Schema::coerce_form`].
pub(super) fn coerce(schema: &Schema, catalog: &Catalog, input: Record) -> Record {
    let view = schema.known_view(catalog, &input);
    let mut out = record(view, catalog, input);
    if schema.ttl()
        && let Some(ttl) = out.get("ttl").and_then(number)
    {
        out.insert("ttl".to_owned(), ttl);
    }
    out
}

fn record(view: View, catalog: &Catalog, input: Record) -> Record {
    let coerce = |(name, value): (String, Value)| {
        let mut value = value;
        for field in view
            .field(&name)
            .into_iter()
            .chain(view.base.shorthands.iter().map(|s| &s.field).filter(|f| f.name == name))
        {
            value = coerced(field, catalog, value);
        }
        (name, value)
    };
    input.into_iter().map(coerce).collect()
}

fn coerced(field: &Field, catalog: &Catalog, value: Value) -> Value {
    if value.is_null() || value.as_str() == Some("") {
        return Value::Null;
    }
    match (&field.kind, value) {
        (FieldType::Integer | FieldType::Number, value) => number(&value).unwrap_or(value),
        (FieldType::Boolean, Value::String(text)) => match text.as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => Value::String(text),
        },
        (FieldType::Array(elements) | FieldType::Set(elements), Value::Array(items)) => {
            Value::Array(items.into_iter().map(|item| coerced(elements, catalog, item)).collect())
        }
        (FieldType::Array(_) | FieldType::Set(_), Value::Object(map)) => Value::Object(map),
        (FieldType::Array(elements) | FieldType::Set(elements), scalar) => {
            Value::Array(vec![coerced(elements, catalog, scalar)])
        }
        (FieldType::Map(_, values), Value::Object(map)) => {
            Value::Object(map.into_iter().map(|(key, value)| (key, coerced(values, catalog, value))).collect())
        }
        (FieldType::Record(inner), Value::Object(map)) if !field.is_abstract => {
            Value::Object(record(View::of(inner), catalog, map))
        }
        (FieldType::Foreign(entity), Value::Object(map)) => match catalog.entity(entity) {
            Some(schema) => Value::Object(coerce(schema, catalog, map)),
            None => Value::Object(map),
        },
        (_, value) => value,
    }
}

/// A number as Lua reads it: decimal, with fraction and exponent, or hexadecimal; blanks around it do not matter.
fn number(value: &Value) -> Option<Value> {
    let text = value.as_str()?.trim();
    if let Ok(n) = text.parse::<i64>() {
        return Some(n.into());
    }
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        let n = i64::from_str_radix(hex, 16).ok().filter(|_| !hex.starts_with(['+', '-']))?;
        return Some(if negative { -n } else { n }.into());
    }
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    Number::from_f64(text.parse().ok()?).map(Value::Number)
}
