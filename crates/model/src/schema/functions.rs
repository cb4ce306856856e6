//! Functions that a schema's text names: what a rule in words cannot say.

use crate::Record;
use crate::entities::rules;
use serde_json::Value;
use std::fmt;

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
