//! Reading typed values out of validated records.

use crate::Record;
use serde_json::Value;
use uuid::Uuid;

/// A string field; null and absent are `None`.
pub fn string(record: &Record, field: &str) -> Option<String> {
    record.get(field).and_then(Value::as_str).map(str::to_owned)
}

/// A string field that the schema requires or gives a default.
pub fn required(record: &Record, field: &str) -> Result<String, String> {
    string(record, field).ok_or_else(|| format!("{field}: missing"))
}

/// The primary key.
pub fn id(record: &Record) -> Result<Uuid, String> {
    let text = record.get("id").and_then(Value::as_str).ok_or("id: missing")?;
    Uuid::parse_str(text).map_err(|e| format!("id: {e}"))
}

/// The id inside a foreign key field; null and absent are `None`.
pub fn foreign(record: &Record, field: &str) -> Result<Option<Uuid>, String> {
    match record.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let text = value.get("id").and_then(Value::as_str).ok_or_else(|| format!("{field}: not a foreign key"))?;
            Uuid::parse_str(text).map(Some).map_err(|e| format!("{field}: {e}"))
        }
    }
}

/// An integer field within the range of its type; null and absent are `default`.
pub fn integer<T: TryFrom<i64>>(record: &Record, field: &str, default: T) -> Result<T, String> {
    match record.get(field) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => {
            let n = value
                .as_i64()
                .or_else(|| value.as_f64().map(|f| f as i64))
                .ok_or_else(|| format!("{field}: not a number"))?;
            T::try_from(n).map_err(|_| format!("{field}: out of range"))
        }
    }
}

/// A number field; null and absent are `default`.
pub fn number(record: &Record, field: &str, default: f64) -> f64 {
    record.get(field).and_then(Value::as_f64).unwrap_or(default)
}

/// A boolean field; null and absent are `default`.
pub fn boolean(record: &Record, field: &str, default: bool) -> bool {
    record.get(field).and_then(Value::as_bool).unwrap_or(default)
}

/// A list of strings; null and absent are empty.
pub fn strings(record: &Record, field: &str) -> Vec<String> {
    record.get(field).and_then(Value::as_array).map_or_else(Vec::new, |list| {
        // There may be very many of them, and none of them grows.
        let mut strings = Vec::with_capacity(list.len());
        strings.extend(list.iter().filter_map(Value::as_str).map(str::to_owned));
        strings
    })
}

/// A list of integers; null and absent are empty.
pub fn integers(record: &Record, field: &str) -> Vec<u16> {
    record.get(field).and_then(Value::as_array).map_or_else(Vec::new, |list| {
        list.iter().filter_map(Value::as_u64).filter_map(|n| u16::try_from(n).ok()).collect()
    })
}

/// A nested record; null and absent are empty.
pub fn record<'a>(record: &'a Record, field: &str) -> Option<&'a Record> {
    record.get(field).and_then(Value::as_object)
}
