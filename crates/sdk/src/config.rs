//! Reading a plugin's configuration once, when an instance is made.

use crate::{Fields, Record};
use model::entities::Uuid;
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

    /// A string that becomes the value of a header line. Schemas check it; records that were stored before, or by
    /// others, are refused here.
    pub fn header_value(&self, field: &str) -> Result<Option<&'a str>, String> {
        self.text(field).map(|value| is_header_value(value).map_err(|e| format!("config.{field}: {e}"))).transpose()
    }

    /// Strings that become the value of a header line, joined by commas; `None` when there are none.
    pub fn header_list(&self, field: &str) -> Result<Option<String>, String> {
        let joined = self.texts(field).join(",");
        is_header_value(&joined).map_err(|e| format!("config.{field}: {e}"))?;
        Ok((!joined.is_empty()).then_some(joined))
    }

    /// Whether a field is there at all.
    pub fn is_set(&self, field: &str) -> bool {
        self.value(field).is_some_and(|value| !value.is_null())
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

    /// The id of a record of another entity.
    pub fn foreign(&self, field: &str) -> Result<Option<Uuid>, String> {
        let id = self.section(field).text("id").map(Uuid::parse_str).transpose();
        id.map_err(|error| format!("config.{field}: {error}"))
    }

    /// A record inside this one; an empty one when not set.
    pub fn section(&self, field: &str) -> Config<'a> {
        Config(self.value(field).and_then(Value::as_object))
    }

    /// All that is set in it, by name.
    pub fn pairs(&self) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.0.into_iter().flatten().map(|(name, value)| (name.as_str(), value)).filter(|(_, value)| !value.is_null())
    }

    fn value(&self, field: &str) -> Option<&'a Value> {
        self.0?.get(field)
    }
}

fn is_header_value(value: &str) -> Result<&str, String> {
    if Fields::is_valid_value(value.as_bytes()) {
        Ok(value)
    } else {
        Err(format!("'{}' cannot be the value of a header", value.escape_debug()))
    }
}
