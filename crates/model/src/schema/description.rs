//! What clients see of a schema (`GET /schemas/*`): all but what the gateway keeps to itself.

use serde_json::{Map, Value, json};

/// What clients see of a schema.
pub(super) fn of(raw: &Map<String, Value>) -> Value {
    let mut description = json!({
        "fields": visible(raw.get("fields").unwrap_or(&Value::Null)),
        "entity_checks": visible(raw.get("entity_checks").unwrap_or(&json!([]))),
    });
    if let Some(supported) = raw.get("supported_partials") {
        description["supported_partials"] = supported.clone();
    }
    description
}

/// A description without the keys that clients do not see.
fn visible(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(visible).collect()),
        Value::Object(map) => {
            // `check` and the validators name functions; a field of that name has an object as its value.
            let hidden = |(key, value): &(&String, &Value)| match key.as_str() {
                "check" | "validator" | "record_validator" | "func" => value.is_string(),
                "omit_null" => value.is_boolean(),
                "also_one_of" => value.is_object(),
                "also_not_one_of" => value.is_array(),
                _ => false,
            };
            let (optional, fields): (Vec<Value>, Vec<Value>) =
                map.get("fields").and_then(Value::as_array).into_iter().flatten().cloned().partition(is_optional);
            let mut shown = Map::new();
            for (key, value) in map.iter().filter(|entry| !hidden(entry)) {
                let value = match key.as_str() {
                    "default" => value.clone(),
                    "fields" if value.is_array() => fields.iter().map(visible).collect(),
                    _ => visible(value),
                };
                shown.insert(key.clone(), value);
            }
            if !optional.is_empty() {
                shown.insert("optional_fields".to_owned(), optional.iter().map(visible).collect());
            }
            Value::Object(shown)
        }
        other => other.clone(),
    }
}

/// Whether records lack the field while it is not set. Inside of records such fields are listed apart: decK takes it
/// that all others are there, with null if need be, and would find a difference that there is not.
fn is_optional(field: &Value) -> bool {
    field.as_object().is_some_and(|named| named.values().any(|field| field["omit_null"] == true))
}
