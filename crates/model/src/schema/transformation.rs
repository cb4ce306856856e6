//! Fields that are computed from others when a record is written (`transformations`).

use super::functions::{Function, Functions};
use super::{checks, path};
use crate::{Error, Record};
use serde_json::{Value, json};

/// A function of fields, computed when one of them is given.
#[derive(Debug)]
pub(super) struct Transformation {
    pub(super) input: Vec<String>,
    /// What it depends on beside its input: it changes only together with that. Both are dotted paths.
    needs: Vec<String>,
    derive: Function,
}

impl Transformation {
    /// Computes what follows from its input, if all of that is there.
    pub(super) fn run(&self, record: &mut Record) -> Result<(), Error> {
        let is_there = |field: &String| path::get(record, field).is_some_and(|value| !value.is_null());
        if self.input.iter().all(is_there) {
            self.derive.derive(record).map_err(Error::transformation)?;
        }
        Ok(())
    }

    pub(super) fn parse(raw: &Value, functions: &Functions) -> Result<Transformation, String> {
        let texts = |key: &str| {
            let list = raw.get(key).and_then(Value::as_array);
            list.map_or_else(Vec::new, |l| l.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        };
        let (input, needs) = (texts("input"), texts("needs"));
        let name = raw["func"].as_str().ok_or("a transformation without 'func'")?;
        match functions.find(name) {
            Some(derive) if derive.is_derive() => Ok(Transformation { input, needs, derive: *derive }),
            _ => Err(format!("no transformation '{name}'")),
        }
    }

    /// Without new input, what the result depends on must be what it was.
    pub(super) fn check_needs(&self, record: &Record, before: &Record) -> Result<(), Error> {
        if self.needs.iter().all(|field| path::get(record, field) == path::get(before, field)) {
            return Ok(());
        }
        Err(self.incomplete())
    }

    /// With new input, what the result depends on must be given, too: what is stored may be a result itself. Owners
    /// (`consumer.id`) are known by the path of a request.
    pub(super) fn check_given(&self, given: &Record) -> Result<(), Error> {
        let is_owners = |field: &String| field.ends_with(".id");
        let is_given =
            |field: &String| is_owners(field) || path::get(given, field).is_some_and(|value| !value.is_null());
        if self.needs.iter().all(is_given) { Ok(()) } else { Err(self.incomplete()) }
    }

    fn incomplete(&self) -> Error {
        let fields: Vec<String> = self.input.iter().chain(&self.needs).cloned().collect();
        let words = format!("all or none of these fields must be set: {}", checks::quoted(&fields));
        Error::schema_violation(Record::from_iter([("@entity".to_owned(), json!([words]))]))
    }
}
