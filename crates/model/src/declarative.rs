//! What is valid in a declarative file beside the records themselves, and the words for what is not.

pub use crate::entities::rules::upgraded_path;

use crate::schema::References;
use crate::{Catalog, Record, Schema};
use serde_json::Value;
use std::fmt::Write as _;

/// The head of a declarative file: the fields that begin with an underscore.
#[derive(Debug)]
pub struct Head {
    schema: Schema,
    none: Catalog,
}

/// The fields of the head. Those that every entry may have too are `_comment` and `_ignore`.
const HEAD: &str = r#"{
  "name": "declarative_config",
  "primary_key": [],
  "fields": [
    {"_format_version": {"type": "string", "required": true, "one_of": ["1.1", "2.1", "3.0"]}},
    {"_transform": {"type": "boolean", "default": true}},
    {"_comment": {"type": "string"}},
    {"_ignore": {"type": "array", "elements": {"type": "any"}}}
  ]
}"#;

impl Default for Head {
    fn default() -> Head {
        let schema = Schema::parse(HEAD).expect("it is part of the program, and a test reads it");
        Head { schema, none: Catalog::default() }
    }
}

impl Head {
    /// Checks everything of a file that is no list of entries; the error is the tree of fields.
    pub fn check(&self, fields: Record) -> Result<(), Record> {
        self.schema.process_declared(&self.none, fields, References::Keys).map(drop)
    }

    /// Checks a remark in an entry (`_comment`, `_ignore`). `None`: the field is no remark.
    pub fn check_remark(&self, name: &str, value: &Value) -> Option<Result<(), Value>> {
        if !["_comment", "_ignore"].contains(&name) {
            return None;
        }
        Some(self.schema.check_field(&self.none, name, value))
    }
}

/// The entries of an entity, in a file or in another entry. An empty table may stand for an empty list.
pub fn entries(value: &Value) -> Result<&[Value], Value> {
    match value {
        Value::Array(entries) => Ok(entries),
        Value::Object(table) if table.is_empty() => Ok(&[]),
        Value::Null => Ok(&[]),
        _ => Err("expected an array".into()),
    }
}

/// The fields of an entry.
pub fn entry(value: &Value) -> Result<&Record, Value> {
    match value {
        Value::Object(fields) => Ok(fields),
        Value::Null => Err("required field missing".into()),
        _ => Err("expected a record".into()),
    }
}

/// An entry has a value that another one has already. `field` names several fields where only together they are unique.
pub fn already_declared(entity: &str, field: &str, value: &str) -> String {
    format!("uniqueness violation: '{entity}' entity with {field} set to '{value}' already declared")
}

/// A reference leads to no entry of the entity `to`.
pub fn invalid_reference(field: &str, value: &Value, to: &str) -> String {
    let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    format!("invalid reference '{field}: {shown}' (no such entry in '{to}')")
}

/// A text that cannot be read.
pub fn unreadable(why: &str) -> String {
    format!("failed parsing declarative configuration: {why}")
}

/// A file is neither JSON nor YAML by its name.
pub fn unknown_file_type(name: &str) -> String {
    format!("unknown file type: {name}. (Accepted types: json, yaml)")
}

/// The text is no table of entities.
pub const EXPECTED_OBJECT: &str = "expected an object";

/// A tree of errors over several lines, for people.
pub fn describe(errors: &Record) -> String {
    let mut out = String::new();
    for (name, error) in errors {
        describe_one(&mut out, &format!("in '{name}'"), name, error, 0);
    }
    out.truncate(out.trim_end().len());
    out
}

fn describe_one(out: &mut String, place: &str, name: &str, error: &Value, indent: usize) {
    let _ = write!(out, "{:indent$}{place}:", "");
    match error {
        Value::Array(items) => {
            out.push('\n');
            for (i, item) in items.iter().enumerate().filter(|(_, item)| !item.is_null()) {
                describe_one(out, &format!("- in entry {} of '{name}'", i + 1), name, item, indent + 2);
            }
        }
        Value::Object(fields) => {
            out.push('\n');
            for (name, error) in fields {
                describe_one(out, &format!("in '{name}'"), name, error, indent + 2);
            }
        }
        Value::String(words) => {
            let _ = writeln!(out, " {words}");
        }
        other => {
            let _ = writeln!(out, " {other}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(value: Value) -> Record {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn heads() {
        let check = |fields: Value| Head::default().check(record(fields)).err().map(Value::Object);
        assert_eq!(check(json!({"_format_version": "3.0", "_comment": "c", "_ignore": [1, {}]})), None);
        assert_eq!(check(json!({})), Some(json!({"_format_version": "required field missing"})));
        let unknown = json!({"_format_version": "9", "_transform": 1, "foo": []});
        assert_eq!(
            check(unknown),
            Some(json!({
                "_format_version": "expected one of: 1.1, 2.1, 3.0",
                "_transform": "expected a boolean",
                "foo": "unknown field",
            }))
        );
    }

    #[test]
    fn remarks() {
        let head = Head::default();
        assert_eq!(head.check_remark("_comment", &json!("x")), Some(Ok(())));
        assert_eq!(head.check_remark("_comment", &json!(1)), Some(Err("expected a string".into())));
        assert_eq!(head.check_remark("_ignore", &json!(1)), Some(Err("expected an array".into())));
        assert_eq!(head.check_remark("_format_version", &json!("3.0")), None);
    }

    #[test]
    fn errors_for_people() {
        let errors = json!({"services": [null, {"host": "required field missing", "routes": [{"paths": ["bad"]}]}]});
        let text = "in 'services':\n  - in entry 2 of 'services':\n    in 'host': required field missing\n    \
                    in 'routes':\n      - in entry 1 of 'routes':\n        in 'paths':\n          \
                    - in entry 1 of 'paths': bad";
        assert_eq!(describe(&record(errors)), text);
    }
}
