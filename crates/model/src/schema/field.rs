//! Fields: their types, the rules for their values, and how they are read from a schema's text.

use super::Shape;
use super::deprecation::Deprecation;
use super::functions::{Function, Functions};
use serde_json::{Map, Value};

/// A field of a record, or the elements, keys or values of a collection.
#[derive(Clone, Debug)]
pub struct Field {
    /// Empty for elements, keys and values.
    pub name: String,
    pub kind: FieldType,
    pub required: bool,
    /// Filled in by the gateway: ids, time stamps, generated keys.
    pub auto: bool,
    pub default: Option<Value>,
    pub unique: bool,
    pub unique_across_ws: bool,
    pub immutable: bool,
    /// Accepts `{vault://...}` in place of a value.
    pub referenceable: bool,
    pub encrypted: bool,
    /// Taken as input, never stored with the record.
    pub transient: bool,
    /// Stands for what a subschema says about it.
    pub is_abstract: bool,
    /// Records have it only where it is not null: a field of Kong's Enterprise edition, which the records of its
    /// open-source edition lack.
    pub omit_null: bool,
    pub on_delete: OnDelete,
    pub(super) deprecation: Option<Box<Deprecation>>,
    pub(super) rules: Rules,
}

/// The type of a field.
#[derive(Clone, Debug)]
pub enum FieldType {
    /// Only the rules are checked.
    Any,
    String,
    Integer,
    Number,
    Boolean,
    Array(Box<Field>),
    /// An array without duplicates.
    Set(Box<Field>),
    /// Keys and values.
    Map(Box<Field>, Box<Field>),
    Record(Box<Shape>),
    /// A reference to a record of that entity.
    Foreign(String),
    /// Any JSON value.
    Json,
}

/// What happens to a record when the one that it refers to is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDelete {
    /// The deletion is refused.
    #[default]
    Restrict,
    Cascade,
    /// The reference becomes null.
    Null,
}

/// Rules for one value, checked in the order of [`super::validate`].
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    pub eq: Option<Value>,
    pub ne: Option<Value>,
    pub one_of: Option<Vec<Value>>,
    /// Values beyond those, of which clients are told nothing: each is taken where the field that it names is set, too,
    /// or (`true`) in any case.
    pub also_one_of: Option<Map<String, Value>>,
    pub not_one_of: Option<Vec<Value>>,
    /// Values beyond those, of which clients are told nothing.
    pub also_not_one_of: Option<Vec<Value>>,
    pub gt: Option<f64>,
    pub timestamp: bool,
    pub uuid: bool,
    pub is_regex: bool,
    pub between: Option<(f64, f64)>,
    pub len_eq: Option<usize>,
    pub len_min: Option<usize>,
    pub len_max: Option<usize>,
    pub starts_with: Option<String>,
    pub not_match: Option<String>,
    pub pattern: Option<String>,
    /// Patterns with the error that each one causes.
    pub match_none: Vec<(String, String)>,
    pub match_all: Vec<(String, String)>,
    pub match_any: Option<(Vec<String>, Option<String>)>,
    pub contains: Option<Value>,
    pub subsets: Vec<Vec<Value>>,
    pub validator: Option<Function>,
    /// Checks the value by the rest of the record that it is in, which is valid by itself.
    pub record_validator: Option<Function>,
    /// Takes the place of the rules' own messages.
    pub err: Option<String>,
}

impl Field {
    /// Whether it is a UUID.
    pub fn is_uuid(&self) -> bool {
        self.rules.uuid
    }

    /// Whether it is a time, in seconds since 1970.
    pub fn is_timestamp(&self) -> bool {
        self.rules.timestamp
    }

    /// Whether it has one of a few values.
    pub fn is_one_of(&self) -> bool {
        self.rules.one_of.is_some()
    }

    /// The entity that it refers to.
    pub fn reference(&self) -> Option<&str> {
        match &self.kind {
            FieldType::Foreign(entity) => Some(entity),
            _ => None,
        }
    }

    /// The fields of a record.
    pub fn shape(&self) -> Option<&Shape> {
        match &self.kind {
            FieldType::Record(shape) => Some(shape),
            _ => None,
        }
    }

    /// What elements of an array or set must be.
    pub fn elements(&self) -> Option<&Field> {
        match &self.kind {
            FieldType::Array(elements) | FieldType::Set(elements) => Some(elements),
            _ => None,
        }
    }

    /// Reads a field from its description.
    pub(super) fn parse(name: &str, raw: &Value, functions: &Functions, depth: usize) -> Result<Field, String> {
        let at = |what: &str| format!("{name}: {what}");
        let map = raw.as_object().ok_or_else(|| at("not an object"))?;
        let depth = depth.checked_sub(1).ok_or_else(|| at("nested too deeply"))?;
        let inner = |key: &str| {
            Field::parse("", map.get(key).ok_or_else(|| at(&format!("no '{key}'")))?, functions, depth)
                .map_err(|e| at(&e))
                .map(Box::new)
        };
        let kind = match map.get("type").and_then(Value::as_str) {
            None | Some("any") => FieldType::Any,
            Some("string") => FieldType::String,
            Some("integer") => FieldType::Integer,
            Some("number") => FieldType::Number,
            Some("boolean") => FieldType::Boolean,
            Some("array") => FieldType::Array(inner("elements")?),
            Some("set") => FieldType::Set(inner("elements")?),
            Some("map") => FieldType::Map(inner("keys")?, inner("values")?),
            Some("record") => {
                FieldType::Record(Box::new(Shape::parse(map, None, functions, depth).map_err(|e| at(&e))?))
            }
            Some("foreign") => FieldType::Foreign(
                map.get("reference").and_then(Value::as_str).ok_or_else(|| at("no 'reference'"))?.to_owned(),
            ),
            Some("json") => FieldType::Json,
            Some(other) => return Err(at(&format!("unknown type '{other}'"))),
        };
        let flag = |key: &str| map.get(key).and_then(Value::as_bool).unwrap_or(false);
        Ok(Field {
            name: name.to_owned(),
            kind,
            required: flag("required"),
            auto: flag("auto"),
            default: map.get("default").cloned(),
            unique: flag("unique"),
            unique_across_ws: flag("unique_across_ws"),
            immutable: flag("immutable"),
            referenceable: flag("referenceable"),
            encrypted: flag("encrypted"),
            transient: flag("transient"),
            is_abstract: flag("abstract"),
            omit_null: flag("omit_null"),
            on_delete: match map.get("on_delete").and_then(Value::as_str) {
                Some("cascade") => OnDelete::Cascade,
                Some("null") => OnDelete::Null,
                _ => OnDelete::Restrict,
            },
            deprecation: Deprecation::parse(map),
            rules: Rules::parse(map, functions).map_err(|e| at(&e))?,
        })
    }
}

impl Rules {
    /// Whether it is a value beyond `one_of` that is taken in any case.
    pub fn also_takes(&self, value: &Value) -> bool {
        let also = self.also_one_of.as_ref().and_then(|also| also.get(value.as_str()?));
        also == Some(&Value::Bool(true))
    }

    fn parse(map: &Map<String, Value>, functions: &Functions) -> Result<Rules, String> {
        let flag = |key: &str| map.get(key).and_then(Value::as_bool).unwrap_or(false);
        let text = |key: &str| map.get(key).and_then(Value::as_str).map(str::to_owned);
        let list = |key: &str| map.get(key).and_then(Value::as_array).cloned();
        let size = |key: &str| map.get(key).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
        let patterns = |key: &str| -> Vec<(String, String)> {
            let entry = |v: &Value| {
                Some((
                    v.get("pattern")?.as_str()?.to_owned(),
                    v.get("err").and_then(Value::as_str).unwrap_or_default().to_owned(),
                ))
            };
            list(key).unwrap_or_default().iter().filter_map(entry).collect()
        };
        let strings = |value: &Value| {
            value.as_array().map_or_else(Vec::new, |v| v.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        };
        let between = match map.get("between").and_then(Value::as_array).map(Vec::as_slice) {
            Some([low, high]) => Some((low.as_f64().ok_or("bad 'between'")?, high.as_f64().ok_or("bad 'between'")?)),
            Some(_) => return Err("bad 'between'".to_owned()),
            None => None,
        };
        let validator = match map.get("validator").and_then(Value::as_str) {
            Some(name) => match functions.find(name) {
                Some(validator) if validator.is_validator() => Some(*validator),
                _ => return Err(format!("no validator '{name}'")),
            },
            None => None,
        };
        let record_validator = match map.get("record_validator").and_then(Value::as_str) {
            Some(name) => match functions.find(name) {
                Some(check) if check.is_check() => Some(*check),
                _ => return Err(format!("no check '{name}'")),
            },
            None => None,
        };
        Ok(Rules {
            eq: map.get("eq").cloned(),
            ne: map.get("ne").cloned(),
            one_of: list("one_of"),
            also_one_of: map.get("also_one_of").and_then(Value::as_object).cloned(),
            not_one_of: list("not_one_of"),
            also_not_one_of: list("also_not_one_of"),
            gt: map.get("gt").and_then(Value::as_f64),
            timestamp: flag("timestamp"),
            uuid: flag("uuid"),
            is_regex: flag("is_regex"),
            between,
            len_eq: size("len_eq"),
            len_min: size("len_min"),
            len_max: size("len_max"),
            starts_with: text("starts_with"),
            not_match: text("not_match"),
            pattern: text("match"),
            match_none: patterns("match_none"),
            match_all: patterns("match_all"),
            match_any: map.get("match_any").map(|any| {
                (
                    any.get("patterns").map_or_else(Vec::new, strings),
                    any.get("err").and_then(Value::as_str).map(str::to_owned),
                )
            }),
            contains: map.get("contains").cloned(),
            subsets: list("mutually_exclusive_subsets")
                .unwrap_or_default()
                .iter()
                .filter_map(Value::as_array)
                .cloned()
                .collect(),
            validator,
            record_validator,
            err: text("err"),
        })
    }
}
