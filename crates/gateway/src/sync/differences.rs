//! How a record of a node differs from what a file wants.

use super::plan::{HASHED, TIMES};
use model::schema::FieldType;
use model::{Catalog, Record, Schema};
use serde_json::Value;
use std::sync::Arc;

/// The fields of a record that are not as the file wants them.
pub(super) fn differences(
    catalog: &Catalog,
    schema: &Schema,
    current: &Record,
    wanted: &Record,
    transform: bool,
) -> Result<Vec<(String, Value, Value)>, String> {
    let mut stored = wanted.clone();
    if transform {
        schema.transform(&mut stored).map_err(|error| format!("{}: {error}", schema.name))?;
    }
    let mut fields = Vec::new();
    for field in schema.fields().iter().filter(|field| !field.transient) {
        let is_time = TIMES.contains(&field.name.as_str()) && !wanted.contains_key(&field.name);
        if is_time || field.name == "id" || field.name == "ttl" {
            continue;
        }
        let (is, is_to_be) = (current.get(&field.name), stored.get(&field.name));
        let (is, is_to_be) = (is.unwrap_or(&Value::Null), is_to_be.unwrap_or(&Value::Null));
        let config = refined(catalog, schema, wanted).and_then(|kind| kind.field(&field.name));
        if !same(Some(&config.unwrap_or(field).kind), is, is_to_be) {
            if !transform && schema.name == "basicauth_credentials" && field.name == "password" {
                return Err(HASHED.to_owned());
            }
            fields.push((field.name.clone(), is.clone(), is_to_be.clone()));
        }
    }
    Ok(fields)
}

/// What a plugin, a partial or a vault says of its fields.
fn refined<'c>(catalog: &'c Catalog, schema: &Schema, record: &Record) -> Option<&'c Schema> {
    let name = record.get(schema.subschema_key()?)?.as_str()?;
    match schema.name.as_str() {
        "plugins" => catalog.plugin(name).map(|plugin| &*plugin.schema),
        "partials" => catalog.partial(name).map(Arc::as_ref),
        _ => catalog.vault(name).map(Arc::as_ref),
    }
}

/// Whether two values mean the same: what is null need not be there, sets have no order, and of records only the fields
/// count that their schemas have: a node shows others for old clients.
fn same(kind: Option<&FieldType>, a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let of = |record: &Record, name: &str| record.get(name).cloned().unwrap_or(Value::Null);
            match kind {
                Some(FieldType::Record(shape)) => {
                    shape.fields().iter().all(|f| same(Some(&f.kind), &of(a, &f.name), &of(b, &f.name)))
                }
                Some(FieldType::Map(_, values)) => {
                    a.keys().chain(b.keys()).all(|name| same(Some(&values.kind), &of(a, name), &of(b, name)))
                }
                _ => a.keys().chain(b.keys()).all(|name| same(None, &of(a, name), &of(b, name))),
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            let elements = match kind {
                Some(FieldType::Array(of) | FieldType::Set(of)) => Some(&of.kind),
                _ => None,
            };
            let in_order = || a.iter().zip(b).all(|(a, b)| same(elements, a, b));
            let unordered = || a.iter().all(|a| b.iter().any(|b| same(elements, a, b)));
            let is_set = matches!(kind, Some(FieldType::Set(_)));
            a.len() == b.len() && (in_order() || is_set && unordered())
        }
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}
