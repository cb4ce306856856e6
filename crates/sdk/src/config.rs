//! Reading a plugin's configuration once, when an instance is made.

use crate::Record;
use serde_json::Value;

/// A configuration record, or a record inside one, that the plugin's schema has completed. Null and absent are the
/// same.
#[derive(Clone, Copy, Debug)]
pub struct Config<'a>(Option<&'a Record>);

impl<'a> Config<'a> {
    /// The configuration of an instance.
    pub fn new(record: &'a Record) -> Config<'a> {
        Config(Some(record))
    }

    /// A string.
    pub fn text(&self, field: &str) -> Option<&'a str> {
        self.value(field)?.as_str()
    }

    /// A boolean; false when not set.
    pub fn flag(&self, field: &str) -> bool {
        self.value(field).and_then(Value::as_bool).unwrap_or(false)
    }

    /// A number.
    pub fn number(&self, field: &str) -> Option<f64> {
        self.value(field)?.as_f64()
    }

    /// An integer within the range of its type.
    pub fn integer<T: TryFrom<i64>>(&self, field: &str) -> Option<T> {
        let value = self.value(field)?;
        T::try_from(value.as_i64().or_else(|| value.as_f64().map(|f| f as i64))?).ok()
    }

    /// A list of strings; empty when not set.
    pub fn texts(&self, field: &str) -> Vec<String> {
        self.list(field).iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// A list; empty when not set.
    pub fn list(&self, field: &str) -> &'a [Value] {
        self.value(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// A record inside this one; an empty one when not set.
    pub fn section(&self, field: &str) -> Config<'a> {
        Config(self.value(field).and_then(Value::as_object))
    }

    fn value(&self, field: &str) -> Option<&'a Value> {
        self.0?.get(field)
    }
}
