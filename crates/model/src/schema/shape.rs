//! The fields of a record together with the checks that span them.

use super::checks::Check;
use super::field::Field;
use super::functions::{Function, Functions};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// What a record, or a part of one, is made of.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    fields: Vec<Field>,
    index: HashMap<String, usize>,
    pub(super) checks: Vec<Check>,
    pub(super) shorthands: Vec<Shorthand>,
}

/// A name that is accepted in place of others.
#[derive(Clone, Debug)]
pub(super) struct Shorthand {
    pub field: Field,
    /// Computes the fields; without it, the value is copied to each path of `replaced_with`.
    pub expand: Option<Function>,
    /// Deprecated names yield to the fields that replace them, and are shown with their values.
    pub deprecated: bool,
    pub replaced_with: Vec<Vec<String>>,
}

impl Shape {
    /// All fields in the order of the schema.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    pub(super) fn fields_mut(&mut self) -> &mut [Field] {
        &mut self.fields
    }

    /// A field by name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.index.get(name).map(|&i| &self.fields[i])
    }

    /// A field by dotted path (`config.redis.host`).
    pub fn field_at(&self, path: &str) -> Option<&Field> {
        match path.split_once('.') {
            Some((head, rest)) => self.field(head)?.shape()?.field_at(rest),
            None => self.field(path),
        }
    }

    /// Reads fields, entity checks and shorthands. `parent` is the description of the schema that a subschema refines:
    /// its checks may name the parent's fields.
    pub(super) fn parse(
        raw: &Map<String, Value>,
        parent: Option<&Map<String, Value>>,
        functions: &Functions,
        depth: usize,
    ) -> Result<Shape, String> {
        let mut shape = Shape::default();
        for (name, field) in named(raw, "fields")? {
            shape.index.insert(name.clone(), shape.fields.len());
            shape.fields.push(Field::parse(name, field, functions, depth)?);
        }
        for (name, shorthand) in named(raw, "shorthand_fields")? {
            shape.shorthands.push(Shorthand::parse(name, shorthand, functions, depth)?);
        }
        for check in raw.get("entity_checks").and_then(Value::as_array).into_iter().flatten() {
            shape.checks.extend(Check::parse(check, raw, parent, functions, depth)?);
        }
        Ok(shape)
    }
}

impl Shorthand {
    fn parse(name: &str, raw: &Value, functions: &Functions, depth: usize) -> Result<Shorthand, String> {
        let deprecation = raw.get("deprecation");
        let path = |path: &Value| {
            path.as_array().map(|p| p.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>())
        };
        let mut replaced_with: Vec<_> = deprecation
            .and_then(|d| d.get("replaced_with"))
            .and_then(Value::as_array)
            .map_or_else(Vec::new, |list| list.iter().filter_map(|entry| path(entry.get("path")?)).collect());
        if replaced_with.is_empty() {
            replaced_with.extend(raw.get("translate_backwards").and_then(path));
        }
        let expand = match raw.get("func").and_then(Value::as_str) {
            Some(name) => match functions.find(name) {
                Some(expand) if expand.is_expand() => Some(*expand),
                _ => return Err(format!("no shorthand function '{name}'")),
            },
            None if replaced_with.is_empty() => return Err(format!("shorthand '{name}' stands for nothing")),
            None => None,
        };
        Ok(Shorthand {
            field: Field::parse(name, raw, functions, depth)?,
            expand,
            deprecated: deprecation.is_some(),
            replaced_with,
        })
    }
}

/// The entries of a list of one-key objects.
pub(super) fn named<'a>(raw: &'a Map<String, Value>, key: &str) -> Result<Vec<(&'a String, &'a Value)>, String> {
    let list = match raw.get(key) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(list) => list.as_array().ok_or_else(|| format!("'{key}' is not a list"))?,
    };
    list.iter()
        .map(|entry| {
            entry.as_object().and_then(|e| e.iter().next()).ok_or_else(|| format!("an entry of '{key}' has no name"))
        })
        .collect()
}
