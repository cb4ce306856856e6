//! Fields of type `json`: their values are what their JSON Schema (draft 4, as in Kong) says.

use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::paths::LocationSegment;
use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use sdk::{Foreign, Record};
use serde_json::Value as Json;
use std::fmt::Write as _;

/// What values of a field must be.
#[derive(Debug)]
pub struct JsonType {
    validator: Validator,
    /// What the field's own function says of values that conform.
    also: Option<&'static dyn Foreign>,
}

/// How often the match of one pattern may go back.
const MAX_BACKTRACKS: usize = 100_000;

impl JsonType {
    /// By the `json_schema` of a field; the error says what is wrong with it.
    pub fn new(json_schema: &Json, also: Option<&'static dyn Foreign>) -> Result<JsonType, String> {
        let inline = json_schema.get("inline").ok_or("json_schema: only 'inline' is there in this version")?;
        let patterns = PatternOptions::fancy_regex().backtrack_limit(MAX_BACKTRACKS);
        let options = jsonschema::options().with_draft(Draft::Draft4).with_pattern_options(patterns);
        let validator = options.build(inline).map_err(|error| format!("json_schema: {error}"))?;
        Ok(JsonType { validator, also })
    }
}

impl Foreign for JsonType {
    fn validate(&self, value: &Json) -> Result<(), String> {
        self.validator.validate(value).map_err(|error| describe(&error))?;
        self.also.map_or(Ok(()), |also| also.validate(value))
    }

    fn check(&self, _record: &Record) -> Result<(), String> {
        Ok(())
    }

    fn expand(&self, _value: &Json) -> Result<Option<Record>, String> {
        Ok(None)
    }

    fn derive(&self, _record: &mut Record) -> Result<(), String> {
        Ok(())
    }
}

/// Where a value does not conform, and how, in Kong's words for the usual cases. The value stays out: it may be secret.
fn describe(error: &ValidationError<'_>) -> String {
    let mut words = String::new();
    for segment in error.instance_path().segments() {
        // Writing to a string does not fail.
        let _ = match segment {
            LocationSegment::Property(name) => write!(words, "property {name} validation failed: "),
            LocationSegment::Index(index) => write!(words, "failed to validate item {}: ", index + 1),
        };
    }
    words
        + &match error.kind() {
            Kind::Type { kind: TypeKind::Single(expected) } => {
                format!("wrong type: expected {}, got {}", expected.as_str(), type_of(error.instance()))
            }
            Kind::Type { kind: TypeKind::Multiple(expected) } => {
                let mut expected: Vec<&str> = expected.into_iter().map(|kind| kind.as_str()).collect();
                // Who lets a value be left out usually says so last.
                expected.sort_by_key(|kind| *kind == "null");
                format!("wrong type: expected one of {}, got {}", expected.join(", "), type_of(error.instance()))
            }
            Kind::Required { property } => format!("property {} is required", property.as_str().unwrap_or_default()),
            Kind::Enum { .. } => "matches none of the enum values".to_owned(),
            _ => error.masked().to_string(),
        }
}

fn type_of(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_conform_to_the_schema() {
        let schema = json!({ "type": "object", "properties": { "a": { "type": "integer" } }, "required": ["a"] });
        let json_type = JsonType::new(&json!({ "inline": schema }), None).unwrap();
        let said = |value: Json| json_type.validate(&value).err().unwrap_or_default();
        assert_eq!(said(json!({ "a": 1 })), "");
        assert_eq!(said(json!({})), "property a is required");
        assert_eq!(said(json!("x")), "wrong type: expected object, got string");
        let inner = "property a validation failed: wrong type: expected integer, got string";
        assert_eq!(said(json!({ "a": "x" })), inner);
        let either = JsonType::new(&json!({ "inline": { "type": ["string", "null"] } }), None).unwrap();
        let words = either.validate(&json!({})).unwrap_err();
        assert_eq!(words, "wrong type: expected one of string, null, got object");
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        assert!(JsonType::new(&json!({ "inline": { "type": "nothing" } }), None).is_err());
        assert!(JsonType::new(&json!({ "namespace": "n" }), None).is_err());
    }
}
