//! Entries of declarative files: records as the Admin API takes them, but for how they refer to others.

use super::Schema;
use super::field::{Field, FieldType};
use super::process::{self, Context};
use super::validate::{self, Scope, View};
use crate::{Catalog, Record};
use serde_json::Value;

/// How the foreign keys of a record are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum References {
    /// As `{"id": ...}`: in the Admin API, and in what is stored.
    Keys,
    /// By a text, which is an id or a name: in an entry at the top of a file.
    Names,
    /// As `{"id": ...}` in an entry of a file, when all that it refers to has been found.
    Resolved,
    /// Not at all: the entry stands inside of the one that it refers to.
    Parent,
}

impl References {
    /// Whether a field must not be given.
    pub(super) fn leave_out(self, field: &Field) -> bool {
        self == References::Parent && matches!(field.kind, FieldType::Foreign(_))
    }
}

impl Schema {
    /// A complete record from an entry of a declarative file, or the tree of what is wrong with it. References stay as
    /// they are given, and nothing is derived ([`Schema::transform`]).
    pub fn process_declared(&self, catalog: &Catalog, input: Record, references: References) -> Result<Record, Record> {
        let scope = Scope { references, ..Scope::new(catalog) };
        let view = self.view(catalog, &input).unwrap_or(View::of(&self.shape));
        let record = process::shape(scope, view, input, Context::Insert)?;
        let errors = validate::record(scope, self, &record, true);
        if errors.is_empty() { Ok(record) } else { Err(errors) }
    }

    /// Checks the value of one field.
    pub(crate) fn check_field(&self, catalog: &Catalog, name: &str, value: &Value) -> Result<(), Value> {
        self.field(name).map_or(Ok(()), |field| validate::field(Scope::new(catalog), field, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn error(entity: &str, entry: Value, references: References) -> Option<Value> {
        let catalog = Catalog::core();
        let input = entry.as_object().cloned().unwrap_or_default();
        catalog.entity(entity)?.process_declared(&catalog, input, references).err().map(Value::Object)
    }

    #[test]
    fn references_are_texts_at_the_top() {
        let route = |service: Value| json!({"paths": ["/a"], "service": service});
        assert_eq!(error("routes", route(json!("s")), References::Names), None);
        assert_eq!(error("routes", route(Value::Null), References::Names), None);
        let not_text = json!({"service": "expected a string"});
        assert_eq!(error("routes", route(json!({"id": "x"})), References::Names), Some(not_text));
        let missing = json!({"upstream": "required field missing"});
        assert_eq!(error("targets", json!({"target": "h:80"}), References::Names), Some(missing));
    }

    #[test]
    fn entries_inside_of_others_do_not_say_where_they_belong() {
        assert_eq!(error("targets", json!({"target": "h:80"}), References::Parent), None);
        assert_eq!(
            error("targets", json!({"target": "h:x", "weight": -1}), References::Parent),
            Some(json!({
                "target": "Invalid target ('h:x'); not a valid hostname or ip address",
                "weight": "value should be between 0 and 65535",
            }))
        );
        let given = json!({"target": "h:80", "upstream": "u"});
        assert_eq!(error("targets", given, References::Parent), Some(json!({"upstream": "value must be null"})));
    }
}
