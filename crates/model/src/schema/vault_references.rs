//! References to vaults in records: which texts they are, and putting something in their place.

use super::Schema;
use super::field::{Field, FieldType};
use super::validate::{View, is_reference};
use crate::{Catalog, Record};
use serde_json::Value;

impl Schema {
    /// Puts something in the place of references to vaults, where fields accept them. Where `replace` knows nothing,
    /// the reference stays.
    pub fn replace_vault_references(
        &self,
        catalog: &Catalog,
        record: &mut Record,
        replace: &mut dyn FnMut(&str) -> Option<String>,
    ) {
        let view = self.known_view(catalog, record);
        fields(view, record, replace);
    }
}

/// Whether any text in a record looks like a reference to a vault.
pub fn names_vault(record: &Record) -> bool {
    record.values().any(within)
}

fn within(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(within),
        Value::Object(map) => names_vault(map),
        value => is_reference(value),
    }
}

fn fields(view: View, record: &mut Record, replace: &mut dyn FnMut(&str) -> Option<String>) {
    for (name, value) in record {
        if let Some(known) = view.field(name) {
            field(known, value, replace);
        }
    }
}

fn field(known: &Field, value: &mut Value, replace: &mut dyn FnMut(&str) -> Option<String>) {
    match (&known.kind, value) {
        (FieldType::String, value) if known.referenceable && is_reference(value) => {
            if let Some(found) = value.as_str().and_then(replace) {
                *value = Value::String(found);
            }
        }
        (FieldType::Array(elements) | FieldType::Set(elements), Value::Array(items)) => {
            items.iter_mut().for_each(|item| field(elements, item, replace));
        }
        (FieldType::Map(_, values), Value::Object(map)) => {
            map.values_mut().for_each(|item| field(values, item, replace));
        }
        (FieldType::Record(inner), Value::Object(map)) => fields(View::of(inner), map, replace),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SCHEMA: &str = r#"{
        "name": "tests",
        "fields": [
            {"id": {"type": "string"}},
            {"note": {"type": "string"}},
            {"secret": {"type": "string", "referenceable": true}},
            {"list": {"type": "array", "elements": {"type": "string", "referenceable": true}}},
            {"map": {
                "type": "map",
                "keys": {"type": "string"},
                "values": {"type": "string", "referenceable": true}
            }},
            {"inner": {"type": "array", "elements": {
                "type": "record",
                "fields": [{"secret": {"type": "string", "referenceable": true}}]
            }}}
        ]
    }"#;

    #[test]
    fn references_are_replaced_where_the_schema_accepts_them() {
        let schema = Schema::parse(SCHEMA).unwrap();
        let reference = |name: &str| format!("{{vault://env/{name}}}");
        let record = json!({
            "note": reference("note"),
            "secret": reference("a"),
            "list": ["x", reference("b")],
            "map": {"k": reference("c"), "l": "y"},
            "inner": [{"secret": reference("d")}, {"secret": reference("unknown")}],
        });
        let mut record = record.as_object().unwrap().clone();
        assert!(names_vault(&record));
        let mut seen = Vec::new();
        schema.replace_vault_references(&Catalog::core(), &mut record, &mut |text| {
            seen.push(text.to_owned());
            (!text.contains("unknown")).then(|| text[13..text.len() - 1].to_owned())
        });
        assert_eq!(seen, ["a", "b", "c", "d", "unknown"].map(reference));
        let expected = json!({
            "note": reference("note"),
            "secret": "a",
            "list": ["x", "b"],
            "map": {"k": "c", "l": "y"},
            "inner": [{"secret": "d"}, {"secret": reference("unknown")}],
        });
        assert_eq!(Value::Object(record), expected);
        assert!(!names_vault(json!({"a": ["vault://", {"b": "{vault://x"}]}).as_object().unwrap()));
    }
}
