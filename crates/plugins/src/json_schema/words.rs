//! What does not conform, in Kong's words where it has them.

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::paths::LocationSegment;
use serde_json::Value;
use std::fmt::Write as _;

/// Where a value does not conform, and how. The value itself stays out: it is the client's, of any length.
pub fn describe(error: &ValidationError<'_>) -> String {
    let mut words = String::new();
    for segment in error.instance_path().segments() {
        // Writing to a string does not fail.
        let _ = match segment {
            LocationSegment::Property(name) => write!(words, "property {name} validation failed: "),
            LocationSegment::Index(index) => write!(words, "failed to validate item {}: ", index + 1),
        };
    }
    words + &kind(error)
}

fn kind(error: &ValidationError<'_>) -> String {
    let value = error.instance();
    match error.kind() {
        Kind::Type { kind } => {
            let expected: Vec<&str> = match kind {
                TypeKind::Single(one) => vec![one.as_str()],
                TypeKind::Multiple(several) => several.iter().map(|one| one.as_str()).collect(),
            };
            format!("wrong type: expected {}, got {}", expected.join(" or "), type_of(value))
        }
        Kind::Required { property } => format!("property {} is required", property.as_str().unwrap_or_default()),
        Kind::AdditionalProperties { unexpected } => {
            format!("additional properties forbidden, found {}", unexpected.first().map_or("", String::as_str))
        }
        Kind::FalseSchema => "no value is allowed".to_owned(),
        Kind::Enum { .. } => "matches none of the enum values".to_owned(),
        Kind::MinLength { limit } => {
            format!("string too short, expected at least {limit}, got {}", characters(value))
        }
        Kind::MaxLength { limit } => {
            format!("string too long, expected at most {limit}, got {}", characters(value))
        }
        Kind::Minimum { limit } => format!("expected a number of at least {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("expected a number greater than {limit}"),
        Kind::Maximum { limit } => format!("expected a number of at most {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("expected a number smaller than {limit}"),
        Kind::MinItems { limit } => format!("expect array to have at least {limit} items"),
        Kind::MaxItems { limit } => format!("expect array to have at most {limit} items"),
        Kind::Pattern { pattern } => format!("failed to match pattern {pattern:?}"),
        Kind::Format { format } => format!("expected format {format}"),
        Kind::AnyOf { .. } => "object needs to match any of the subschemas".to_owned(),
        Kind::OneOfMultipleValid { .. } | Kind::OneOfNotValid { .. } => {
            "value should match only one schema, but matches another number of them".to_owned()
        }
        _ => error.masked().to_string(),
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn characters(value: &Value) -> usize {
    value.as_str().map_or(0, |text| text.chars().count())
}

#[cfg(test)]
mod tests {
    use super::super::{Draft, JsonSchema};
    use serde_json::{Value, json};

    fn words(schema: Value, value: Value) -> String {
        JsonSchema::compile(Draft::Draft4, &schema).unwrap().validate(&value).unwrap_err()
    }

    #[test]
    fn say_what_and_where() {
        let schema = json!({ "type": "string" });
        assert_eq!(words(schema.clone(), json!(1)), "wrong type: expected string, got number");
        let object = json!({ "properties": { "l": { "items": schema } }, "required": ["l"] });
        assert_eq!(words(object.clone(), json!({})), "property l is required");
        assert_eq!(
            words(object, json!({ "l": ["a", 1] })),
            "property l validation failed: failed to validate item 2: wrong type: expected string, got number"
        );
        let closed = json!({ "properties": { "a": {} }, "additionalProperties": false });
        assert_eq!(words(closed, json!({ "x": 1 })), "additional properties forbidden, found x");
        assert_eq!(words(json!({ "minLength": 3 }), json!("é")), "string too short, expected at least 3, got 1");
    }

    #[test]
    fn do_not_repeat_the_value() {
        let secret = json!({ "password": "hunter2" });
        let schema = json!({ "not": { "type": "object" } });
        assert!(!words(schema, secret.clone()).contains("hunter2"));
        assert!(!words(json!({ "properties": { "password": { "enum": ["a"] } } }), secret).contains("hunter2"));
    }
}
