//! Fields that are still taken and are not to be used any more.

use super::Schema;
use super::field::{Field, FieldType};
use super::validate::View;
use crate::{Catalog, Record};
use serde_json::{Map, Value};

/// What is said of such a field.
#[derive(Clone, Debug)]
pub(super) struct Deprecation {
    message: String,
    /// The version in which it goes away.
    after: Option<String>,
    /// A value by which nobody shows that they use it.
    old_default: Option<Value>,
}

impl Deprecation {
    pub fn parse(field: &Map<String, Value>) -> Option<Box<Deprecation>> {
        let deprecation = field.get("deprecation")?;
        let text = |name: &str| deprecation.get(name).and_then(Value::as_str).map(str::to_owned);
        Some(Box::new(Deprecation {
            message: text("message")?,
            after: text("removal_in_version"),
            old_default: deprecation.get("old_default").cloned(),
        }))
    }
}

impl Schema {
    /// What is to be said of the fields that a client sets in a record, or changes in a stored one, in Kong's words:
    /// nothing mostly.
    pub fn deprecations(&self, catalog: &Catalog, input: &Record, stored: Option<&Record>) -> Vec<String> {
        let mut told = Vec::new();
        let is_said = self.subschema_key().is_none_or(|key| input.contains_key(key));
        let whole = stored.filter(|_| !is_said).unwrap_or(input);
        tell(self.known_view(catalog, whole), input, &mut told);
        told
    }
}

fn tell(view: View, record: &Map<String, Value>, told: &mut Vec<String>) {
    for (name, value) in record {
        let shorthand = view.base.shorthands.iter().find(|shorthand| shorthand.field.name == *name);
        if let Some(field) = view.field(name).or(shorthand.map(|shorthand| &shorthand.field)) {
            tell_of(field, value, told);
        }
    }
}

fn tell_of(field: &Field, value: &Value, told: &mut Vec<String>) {
    if let Some(deprecation) = &field.deprecation
        && !value.is_null()
        && deprecation.old_default.as_ref() != Some(value)
    {
        let Deprecation { message, after, .. } = &**deprecation;
        let line = match after {
            Some(after) => format!("{message} (deprecated after {after})"),
            None => message.clone(),
        };
        if !told.contains(&line) {
            told.push(line);
        }
    }
    match (&field.kind, value) {
        (FieldType::Record(shape), Value::Object(record)) => tell(View::of(shape), record, told),
        (FieldType::Array(inner) | FieldType::Set(inner), Value::Array(values)) => {
            values.iter().for_each(|value| tell_of(inner, value, told));
        }
        (FieldType::Map(_, inner), Value::Object(values)) => {
            values.values().for_each(|value| tell_of(inner, value, told));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(record: Value) -> Vec<String> {
        let description = json!({ "name": "things", "primary_key": ["id"], "fields": [
            { "id": { "type": "string", "uuid": true, "auto": true } },
            { "new": { "type": "string" } },
            { "list": { "type": "array", "elements": { "type": "record", "fields": [
                { "inner": { "type": "integer", "deprecation": {
                    "message": "inner is old", "removal_in_version": "4.0", "old_default": 1 } } } ] } } },
        ], "shorthand_fields": [
            { "old": { "type": "string", "deprecation": {
                "message": "use new", "replaced_with": [{ "path": ["new"] }] } } },
        ] });
        let schema = Schema::parse(&description.to_string()).unwrap();
        let record: Record = record.as_object().unwrap().clone();
        schema.deprecations(&Catalog::core(), &record, None)
    }

    #[test]
    fn fields_that_go_away_are_named_where_they_are_set() {
        assert_eq!(told(json!({ "new": "a", "list": [{ "inner": 1 }, { "inner": null }] })), Vec::<String>::new());
        let line = "inner is old (deprecated after 4.0)";
        assert_eq!(told(json!({ "list": [{ "inner": 2 }, { "inner": 3 }] })), [line]);
        assert_eq!(told(json!({ "old": "a" })), ["use new"]);
    }
}
