//! Whether a stored record can be read by its schema. Its values were checked when they were written, and rules may
//! have changed since; but whoever reads it counts on their types.

use super::Schema;
use super::field::{Field, FieldType};
use super::validate::{Scope, View, is_reference, is_uuid, mistyped};
use crate::Record;
use serde_json::Value;

/// The first field whose value is of another type than the schema says, and what it should be.
pub(super) fn check(scope: Scope, schema: &Schema, record: &Record) -> Result<(), String> {
    fields(scope, schema.known_view(scope.catalog, record), record).map_err(|error| error[1..].to_owned())
}

/// Errors begin with the path, each name in it with a full stop.
fn fields(scope: Scope, view: View, record: &Record) -> Result<(), String> {
    for (name, value) in record {
        if let Some(known) = view.field(name) {
            field(scope, known, value).map_err(|error| format!(".{name}{error}"))?;
        }
    }
    Ok(())
}

fn field(scope: Scope, field: &Field, value: &Value) -> Result<(), String> {
    if value.is_null() || field.is_abstract || field.referenceable && is_reference(value) {
        return Ok(());
    }
    if let Some(words) = mistyped(&field.kind, value) {
        return Err(format!(": {words}"));
    }
    if field.is_uuid() && !value.as_str().is_some_and(is_uuid) {
        return Err(": expected a valid UUID".to_owned());
    }
    match (&field.kind, value) {
        (FieldType::Array(elements) | FieldType::Set(elements), Value::Array(items)) => items
            .iter()
            .enumerate()
            .try_for_each(|(at, item)| element(scope, elements, item).map_err(|error| format!("[{at}]{error}"))),
        (FieldType::Map(_, values), Value::Object(map)) => map
            .iter()
            .try_for_each(|(key, item)| element(scope, values, item).map_err(|error| format!(".{key}{error}"))),
        (FieldType::Record(inner), Value::Object(map)) => fields(scope, View::of(inner), map),
        (FieldType::Map(..), Value::Array(items)) if !items.is_empty() => Err(": expected a map".to_owned()),
        (FieldType::Record(_), Value::Array(items)) if !items.is_empty() => Err(": expected a record".to_owned()),
        (FieldType::Foreign(entity), _) => foreign(scope, entity, value),
        _ => Ok(()),
    }
}

fn element(scope: Scope, elements: &Field, item: &Value) -> Result<(), String> {
    if item.is_null() { Err(": a value is missing".to_owned()) } else { field(scope, elements, item) }
}

fn foreign(scope: Scope, entity: &str, value: &Value) -> Result<(), String> {
    let Some(schema) = scope.catalog.entity(entity) else { return Ok(()) };
    schema.primary_key().iter().filter_map(|name| schema.field(name)).try_for_each(|key| {
        let item = value.get(&key.name).unwrap_or(&Value::Null);
        element(scope, key, item).map_err(|error| format!(".{}{error}", key.name))
    })
}

#[cfg(test)]
mod tests {
    use crate::schema::tests::{accepted, insert, record, with_plugin};
    use serde_json::{Value, json};

    #[test]
    fn a_stored_record_has_the_types_of_its_schema() {
        let catalog = with_plugin();
        let schema = catalog.entity("plugins").unwrap();
        let plugin = accepted(insert(&catalog, "plugins", json!({ "name": "limits", "config": { "minute": 1 } })));
        let check = |change: Value| {
            let mut changed = record(plugin.clone());
            changed.extend(record(change));
            schema.check_stored(&catalog, &changed).err().unwrap_or_default()
        };
        for fine in [
            json!({}),
            json!({ "protocols": null, "tags": {}, "config": null, "consumer": null }),
            json!({ "config": { "minute": 1.5, "policy": "none that is known", "unknown": [], "redis": null } }),
            json!({ "config": { "redis": { "port": 1.0, "password": "{vault://env/secret}" } } }),
            json!({ "config": { "redis": [] } }),
        ] {
            assert_eq!(check(fine.clone()), "", "{fine}");
        }
        for (damaged, said) in [
            (json!({ "id": "x" }), "id: expected a valid UUID"),
            (json!({ "route": { "id": "x" } }), "route.id: expected a valid UUID"),
            (json!({ "route": {} }), "route.id: a value is missing"),
            (json!({ "enabled": 1 }), "enabled: expected a boolean"),
            (json!({ "protocols": "http" }), "protocols: expected a set"),
            (json!({ "protocols": [null] }), "protocols[0]: a value is missing"),
            (json!({ "config": "x" }), "config: expected a record"),
            (json!({ "config": [1] }), "config: expected a record"),
            (json!({ "config": { "minute": "1" } }), "config.minute: expected a number"),
            (json!({ "config": { "redis": { "port": 1.5 } } }), "config.redis.port: expected an integer"),
            (json!({ "config": { "redis": { "password": 1 } } }), "config.redis.password: expected a string"),
        ] {
            assert_eq!(check(damaged), said);
        }
    }
}
