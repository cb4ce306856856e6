//! What bodies must be: a schema in Kong's own language, or a JSON Schema.

use crate::json_schema::{Draft, JsonSchema, is_date, is_date_time, is_time};
use model::{Catalog, Function, Schema};
use serde_json::{Map, Value, json};

/// A schema for bodies.
pub enum BodySchema {
    Kong(Box<Schema>),
    Json(JsonSchema),
}

/// The words for `format` in schemas of Kong's language, and who checks.
const FORMATS: &[(&str, Function)] = &[
    ("date", Function::Validator(|value| check("date", is_date, value))),
    ("date-time", Function::Validator(|value| check("date-time", is_date_time, value))),
    ("time", Function::Validator(|value| check("time", is_time, value))),
];

const TYPES: [&str; 8] = ["string", "number", "integer", "boolean", "array", "set", "map", "record"];

impl BodySchema {
    /// A schema in the language of that version, as `config.version` names it.
    pub fn parse(version: &str, text: &str) -> Result<BodySchema, String> {
        let draft = match version {
            "draft4" => Draft::Draft4,
            "draft6" => Draft::Draft6,
            "draft7" => Draft::Draft7,
            "draft201909" => Draft::Draft201909,
            "draft202012" => Draft::Draft202012,
            _ => return kong(text).map(|schema| BodySchema::Kong(Box::new(schema))),
        };
        JsonSchema::parse(draft, text).map(BodySchema::Json)
    }

    /// Whether a body conforms; the error says where it does not, by fields or in words.
    pub fn validate(&self, body: Value) -> Result<(), Value> {
        match (self, body) {
            (BodySchema::Json(schema), body) => schema.validate(&body).map_err(Value::from),
            (BodySchema::Kong(schema), Value::Object(body)) => {
                schema.validate(&Catalog::default(), body).map_err(|error| error.fields)
            }
            (BodySchema::Kong(_), _) => Err("expected a record".into()),
        }
    }
}

/// A list of fields. What only the gateway's own schemas can have is refused.
fn kong(text: &str) -> Result<Schema, String> {
    let mut fields = serde_json::from_str(text).map_err(|_| "failed decoding schema".to_owned())?;
    adapt_fields(&mut fields)?;
    Schema::parse_with(&json!({ "name": "body", "fields": fields }).to_string(), FORMATS)
}

fn adapt_fields(fields: &mut Value) -> Result<(), String> {
    let fields = fields.as_array_mut().ok_or("schema violation: expected a list of fields")?;
    for field in fields {
        let field = field.as_object_mut().filter(|field| field.len() == 1);
        let Some((name, field)) = field.and_then(|field| field.iter_mut().next()) else {
            return Err("schema violation: each field is an object with its name alone".to_owned());
        };
        let field = field.as_object_mut().ok_or_else(|| format!("schema violation: {name}: expected a record"))?;
        adapt(field).map_err(|error| format!("schema violation: {name}: {error}"))?;
    }
    Ok(())
}

fn adapt(field: &mut Map<String, Value>) -> Result<(), String> {
    let kind = field.get("type").and_then(Value::as_str).ok_or("type: required field missing")?;
    if !TYPES.contains(&kind) {
        return Err(format!("type: expected one of: {}", TYPES.join(", ")));
    }
    if let Some(unknown) = ["validator", "auto", "shorthand_fields"].into_iter().find(|key| field.contains_key(*key)) {
        return Err(format!("{unknown}: unknown field"));
    }
    if let Some(format) = field.remove("format") {
        let known = format.as_str().filter(|name| FORMATS.iter().any(|(format, _)| format == name));
        field.insert("validator".to_owned(), known.ok_or("format: expected one of: date, date-time, time")?.into());
    }
    for part in ["elements", "keys", "values"] {
        match field.get_mut(part) {
            None => {}
            Some(Value::Object(inner)) => adapt(inner).map_err(|error| format!("{part}: {error}"))?,
            Some(_) => return Err(format!("{part}: expected a record")),
        }
    }
    field.get_mut("fields").map_or(Ok(()), adapt_fields)
}

fn check(name: &str, is: fn(&str) -> bool, value: &Value) -> Result<(), String> {
    match value.as_str() {
        Some(text) if !is(text) => Err(format!("expected format {name}")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(schema: Value) -> Result<BodySchema, String> {
        BodySchema::parse("kong", &schema.to_string())
    }

    #[test]
    fn schemas_in_the_language_of_kong() {
        let schema = fields(json!([
            { "name": { "type": "string", "required": true, "match": "^%a" } },
            { "age": { "type": "integer", "between": [0, 150] } },
            { "born": { "type": "string", "format": "date-time" } },
            { "marks": { "type": "array", "elements": { "type": "number" } } },
            { "address": { "type": "record", "fields": [{ "zip": { "type": "string", "required": true } }] } },
            { "flags": { "type": "map", "keys": { "type": "string" }, "values": { "type": "boolean" } } }
        ]))
        .unwrap();
        let wrong = |body: Value| schema.validate(body).err().unwrap_or_default();
        assert_eq!(wrong(json!({ "name": "ada", "age": 36, "born": "1815-12-10T00:00:00Z" })), Value::Null);
        assert_eq!(wrong(json!({ "name": "ada", "address": { "zip": "1" }, "flags": { "a": true } })), Value::Null);
        assert_eq!(wrong(json!({})), json!({ "name": "required field missing" }));
        assert_eq!(wrong(json!({ "name": 1 })), json!({ "name": "expected a string" }));
        assert_eq!(wrong(json!({ "name": "a", "x": 1 })), json!({ "x": "unknown field" }));
        assert_eq!(wrong(json!({ "name": "a", "born": "never" })), json!({ "born": "expected format date-time" }));
        assert_eq!(wrong(json!({ "name": "a", "marks": [1, "b"] })), json!({ "marks": [null, "expected a number"] }));
        assert_eq!(wrong(json!([])), json!("expected a record"));
    }

    #[test]
    fn schemas_are_checked() {
        for wrong in [
            json!({ "name": { "type": "string" } }),
            json!([{ "a": { "type": "string" }, "b": { "type": "string" } }]),
            json!([{ "a": {} }]),
            json!([{ "a": { "type": "foreign", "reference": "consumers" } }]),
            json!([{ "a": { "type": "string", "validator": "date" } }]),
            json!([{ "a": { "type": "string", "format": "email" } }]),
            json!([{ "a": { "type": "array", "elements": { "type": "any" } } }]),
            json!([{ "a": { "type": "record", "fields": [{ "b": 1 }] } }]),
        ] {
            assert!(fields(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn drafts_differ() {
        let conforms = |version: &str| {
            let schema = BodySchema::parse(version, r#"{ "prefixItems": [{ "type": "string" }], "const": [1] }"#);
            schema.unwrap().validate(json!([1])).is_ok()
        };
        assert!(conforms("draft4") && conforms("draft7") && conforms("draft201909"));
        assert!(!conforms("draft202012"));
    }
}
