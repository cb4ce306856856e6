//! Functions that a schema's text names: what a rule in words cannot say.

use crate::Record;
use crate::entities::rules;
use serde_json::Value;

/// Checks one value that already has the right type; the error is what the client sees.
pub type Validator = fn(&Value) -> Result<(), String>;
/// Checks a whole record (with nulls for what is not set); the error goes under `@entity`.
pub type Check = fn(&Record) -> Result<(), String>;
/// The fields that a shorthand stands for.
pub type Expand = fn(&Value) -> Option<Record>;
/// Computes fields from others just before a record is stored.
pub type Derive = fn(&mut Record) -> Result<(), String>;

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
