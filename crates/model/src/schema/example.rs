//! Examples of records, for those who read OpenAPI: what a schema asks for, its defaults left out.

use super::shape::named;
use super::{Schema, path};
use crate::{Catalog, Record};
use serde_json::{Map, Value, json};

/// What a reference refers to, and what an id is.
const ID: &str = "9f3c2a4e-5b1d-4c8e-9a7f-0d6b2e1c3a45";

impl Schema {
    /// A new record that is valid, with the fields that must be given; those of the text's own `example` come first.
    /// `None`: what the fields say of themselves does not suffice.
    pub fn example(&self, catalog: &Catalog, refinement: Option<(&str, &Schema)>) -> Option<Record> {
        let mut example = record(self.describe().as_object()?);
        if let (Some(key), Some((kind, refinement))) = (self.subschema_key(), refinement) {
            example.insert(key.to_owned(), kind.into());
            let own = record(refinement.describe().as_object()?);
            example.extend(own.into_iter().filter(|(name, _)| self.field(name).is_some()));
            lay(&mut example, refinement.text.get("example").unwrap_or(&Value::Null));
        }
        lay(&mut example, self.text.get("example").unwrap_or(&Value::Null));
        self.validate(catalog, example.clone()).is_ok().then_some(example)
    }
}

/// Lays the fields of a record over those of another.
fn lay(under: &mut Record, over: &Value) {
    for (name, value) in over.as_object().into_iter().flatten() {
        match (under.get_mut(name), value) {
            (Some(Value::Object(under)), Value::Object(_)) => lay(under, value),
            _ => drop(under.insert(name.clone(), value.clone())),
        }
    }
}

/// The fields of a record that must be given, and of each `at_least_one_of` the first.
fn record(raw: &Map<String, Value>) -> Record {
    let fields = named(raw, "fields").unwrap_or_default();
    let checks = raw.get("entity_checks").and_then(Value::as_array).into_iter().flatten();
    let wanted: Vec<&str> = checks
        .filter_map(|check| check.get("at_least_one_of").or(check.get("only_one_of"))?.as_array()?.first()?.as_str())
        .collect();
    let mut example = Record::new();
    for (name, field) in fields {
        if field["required"] == true && field["auto"] != true && field.get("default").is_none() {
            let value = value(field);
            // A record that is made of defaults need not be there.
            if field["type"] != "record" || value != json!({}) {
                example.insert(name.clone(), value);
            }
        }
    }
    for at in wanted {
        if let Some(field) = field_at(raw, at).filter(|field| field["type"] != "record") {
            path::set(&mut example, at, value(field));
        }
    }
    example
}

fn field_at<'a>(raw: &'a Map<String, Value>, at: &str) -> Option<&'a Value> {
    let (first, rest) = at.split_once('.').map_or((at, None), |(first, rest)| (first, Some(rest)));
    let (_, field) = named(raw, "fields").ok()?.into_iter().find(|(name, _)| *name == first)?;
    rest.map_or(Some(field), |rest| field_at(field.as_object()?, rest))
}

fn value(raw: &Value) -> Value {
    if let Some(value) = raw.get("default").or(raw.get("eq")) {
        return value.clone();
    }
    if let Some(first) = raw["one_of"].as_array().and_then(|options| options.first()) {
        return first.clone();
    }
    let least = raw["between"][0].as_f64().or(raw["gt"].as_f64()).unwrap_or(0.0);
    let inner = |key: &str| raw.get(key).map_or(Value::Null, value);
    match raw["type"].as_str().unwrap_or_default() {
        "string" if raw["uuid"] == true => ID.into(),
        "string" => format!("{}example", raw["starts_with"].as_str().unwrap_or_default()).into(),
        "integer" | "number" => json!(least as i64 + 1),
        "boolean" => true.into(),
        "array" | "set" => json!([inner("elements")]),
        "map" => Value::Object(Record::from_iter([(
            inner("keys").as_str().unwrap_or("example").to_owned(),
            inner("values"),
        )])),
        "record" => raw.as_object().map(record).unwrap_or_default().into(),
        "foreign" => json!({ "id": ID }),
        _ => json!({}),
    }
}
