//! Functions that a schema's text names: what a rule in words cannot say.

use crate::Record;
use crate::entities::rules;
use serde_json::Value;
use std::cell::Cell;
use std::fmt;
use uuid::Uuid;

/// Checks one value that already has the right type; the error is what the client sees.
pub type Validator = fn(&Value) -> Result<(), String>;
/// Checks a whole record (with nulls for what is not set); the error goes under `@entity`.
pub type Check = fn(&Record) -> Result<(), String>;
/// The fields that a shorthand stands for.
pub type Expand = fn(&Value) -> Option<Record>;
/// Computes fields from others just before a record is stored.
pub type Derive = fn(&mut Record) -> Result<(), String>;

/// A function that a plugin brings along in another language.
pub trait Foreign: fmt::Debug + Send + Sync {
    /// As a [`Validator`].
    fn validate(&self, value: &Value) -> Result<(), String>;
    /// As a [`Check`].
    fn check(&self, record: &Record) -> Result<(), String>;
    /// As an [`Expand`]; the error is what the client sees.
    fn expand(&self, value: &Value) -> Result<Option<Record>, String>;
    /// As a [`Derive`].
    fn derive(&self, record: &mut Record) -> Result<(), String>;
}

thread_local! {
    static WORKSPACE: Cell<Option<Uuid>> = const { Cell::new(None) };
}

/// For functions that are called on this thread until it is dropped, the workspace that a record is in.
#[derive(Debug)]
pub struct InWorkspace(Option<Uuid>);

impl InWorkspace {
    pub fn enter(workspace: Option<Uuid>) -> InWorkspace {
        InWorkspace(WORKSPACE.replace(workspace))
    }

    /// The workspace of the record that is being checked, where that is known.
    pub fn current() -> Option<Uuid> {
        WORKSPACE.get()
    }
}

impl Drop for InWorkspace {
    fn drop(&mut self) {
        WORKSPACE.set(self.0);
    }
}

/// A function by its kind.
#[derive(Clone, Copy, Debug)]
pub enum Function {
    /// `"validator": NAME` in a field.
    Validator(Validator),
    /// `"check": NAME` in a `custom_entity_check`.
    Check(Check),
    /// `"func": NAME` in a shorthand field.
    Expand(Expand),
    /// `"func": NAME` in one of `transformations`.
    Derive(Derive),
    /// In any of these places.
    Foreign(&'static dyn Foreign),
}

impl Function {
    pub(super) fn is_validator(&self) -> bool {
        matches!(self, Function::Validator(_) | Function::Foreign(_))
    }

    pub(super) fn is_check(&self) -> bool {
        matches!(self, Function::Check(_) | Function::Foreign(_))
    }

    pub(super) fn is_expand(&self) -> bool {
        matches!(self, Function::Expand(_) | Function::Foreign(_))
    }

    pub(super) fn is_derive(&self) -> bool {
        matches!(self, Function::Derive(_) | Function::Foreign(_))
    }

    pub(super) fn validate(&self, value: &Value) -> Result<(), String> {
        match self {
            Function::Validator(validate) => validate(value),
            Function::Foreign(function) => function.validate(value),
            _ => Ok(()),
        }
    }

    pub(super) fn check(&self, record: &Record) -> Result<(), String> {
        match self {
            Function::Check(check) => check(record),
            Function::Foreign(function) => function.check(record),
            _ => Ok(()),
        }
    }

    pub(super) fn expand(&self, value: &Value) -> Result<Option<Record>, String> {
        match self {
            Function::Expand(expand) => Ok(expand(value)),
            Function::Foreign(function) => function.expand(value),
            _ => Ok(None),
        }
    }

    pub(super) fn derive(&self, record: &mut Record) -> Result<(), String> {
        match self {
            Function::Derive(derive) => derive(record),
            Function::Foreign(function) => function.derive(record),
            _ => Ok(()),
        }
    }
}

/// The functions that a schema may name: the model's own, and a plugin's.
pub(super) struct Functions {
    pub own: &'static [(&'static str, Function)],
}

impl Functions {
    pub fn find(&self, name: &str) -> Option<&'static Function> {
        self.own.iter().chain(rules::FUNCTIONS).find(|(known, _)| *known == name).map(|(_, function)| function)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::tests::{accepted, fields, insert, update};
    use crate::{Catalog, Schema};
    use serde_json::json;

    #[test]
    fn what_derives_from_a_field_is_computed_when_it_is_given() {
        fn seal(record: &mut Record) -> Result<(), String> {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let sealed = format!("{}+{}", text(&record["secret"]), text(&record["owner"]));
            record.insert("secret".to_owned(), sealed.into());
            Ok(())
        }
        const SCHEMA: &str = r#"{
            "name": "sealed",
            "fields": [
                {"id": {"type": "string", "auto": true, "uuid": true}},
                {"owner": {"type": "string", "required": true}},
                {"secret": {"type": "string", "required": true}},
                {"note": {"type": "string"}}
            ],
            "transformations": [{"input": ["secret"], "needs": ["owner"], "func": "seal"}]
        }"#;
        let schema = Schema::parse_with(SCHEMA, &[("seal", Function::Derive(seal))]).unwrap();
        let mut catalog = Catalog::core();
        catalog.add_entity(schema);
        let stored = accepted(insert(&catalog, "sealed", json!({ "owner": "a", "secret": "s" })));
        assert_eq!(stored["secret"], "s+a");
        let update = |input: Value| update(&catalog, "sealed", &stored, input);
        assert_eq!(accepted(update(json!({ "note": "n" })))["secret"], "s+a");
        assert_eq!(accepted(update(json!({ "owner": "a" })))["secret"], "s+a");
        assert_eq!(accepted(update(json!({ "secret": "t", "owner": "a" })))["secret"], "t+a");
        assert_eq!(accepted(update(json!({ "secret": "t", "owner": "b" })))["secret"], "t+b");
        let incomplete = json!({ "@entity": ["all or none of these fields must be set: 'secret', 'owner'"] });
        assert_eq!(fields(update(json!({ "owner": "b" }))), incomplete);
        assert_eq!(fields(update(json!({ "secret": "t" }))), incomplete);
    }
}
