//! JSON Schema, for the plugins that validate: its drafts, parameters of requests as OpenAPI writes them, and words for
//! what does not conform.

mod parameter;
mod shape;
mod words;

pub use jsonschema::Draft;
pub use parameter::{Location, Parameter, Style};
pub use shape::Shape;

use jsonschema::{PatternOptions, Registry, ValidationOptions, Validator};
use serde_json::{Number, Value, json};
use std::borrow::Cow;
use std::sync::LazyLock;

/// A schema that was compiled. It refers to nothing outside its own text.
pub struct JsonSchema {
    validator: Validator,
    draft: Draft,
    /// What its places begin with: the way to it in a document.
    way: &'static str,
}

/// Where a value does not conform, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// In words, without the value itself.
    pub words: String,
    /// JSON pointers into the value, and into the schema; none: it was no value for the schema.
    pub place: Option<(String, String)>,
}

/// How often the match of one pattern may go back: octets of clients must not cost seconds.
const MAX_BACKTRACKS: usize = 100_000;

impl JsonSchema {
    /// Compiles a schema of that draft; the error says what is wrong with it.
    pub fn compile(draft: Draft, schema: &Value) -> Result<JsonSchema, String> {
        let built = options(draft).build(schema);
        built.map(|validator| JsonSchema { validator, draft, way: "" }).map_err(|error| error.to_string())
    }

    /// As [`JsonSchema::compile`], from a text.
    pub fn parse(draft: Draft, text: &str) -> Result<JsonSchema, String> {
        let schema = serde_json::from_str(text).map_err(|_| "failed decoding schema".to_owned())?;
        JsonSchema::compile(draft, &schema)
    }

    /// Whether a value conforms; the error says where it does not, without the value itself.
    pub fn validate(&self, value: &Value) -> Result<(), String> {
        let value = self.whole(value);
        self.validator.validate(&value).map_err(|error| words::describe(&error))
    }

    /// Where a value does not conform, so many places at most.
    pub fn faults(&self, value: &Value, most: usize) -> Vec<Fault> {
        let value = self.whole(value);
        let fault = |error: jsonschema::ValidationError<'_>| {
            let keyword = error.evaluation_path().to_string();
            let keyword = keyword.strip_prefix(self.way).unwrap_or(&keyword).to_owned();
            let place = (error.instance_path().to_string(), keyword);
            Fault { words: words::describe(&error), place: Some(place) }
        };
        self.validator.iter_errors(&value).take(most).map(fault).collect()
    }

    /// The value as its draft is to see it: as in Kong, `3.0` is an integer in draft 4, too.
    fn whole<'v>(&self, value: &'v Value) -> Cow<'v, Value> {
        if self.draft == Draft::Draft4 && has_whole_fractions(value) {
            let mut value = value.clone();
            make_whole(&mut value);
            Cow::Owned(value)
        } else {
            Cow::Borrowed(value)
        }
    }
}

impl From<String> for Fault {
    fn from(words: String) -> Fault {
        Fault { words, place: None }
    }
}

fn has_whole_fractions(value: &Value) -> bool {
    match value {
        Value::Number(number) => whole_number(number).is_some(),
        Value::Array(items) => items.iter().any(has_whole_fractions),
        Value::Object(members) => members.values().any(has_whole_fractions),
        _ => false,
    }
}

fn make_whole(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(whole) = whole_number(number) {
                *number = whole.into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(make_whole),
        Value::Object(members) => members.values_mut().for_each(make_whole),
        _ => {}
    }
}

/// The integer that a number is which was written as a fraction.
fn whole_number(number: &Number) -> Option<i64> {
    let fraction = number.as_f64().filter(|_| number.is_f64())?;
    // All integers up to there are exact.
    (fraction.fract() == 0.0 && fraction.abs() <= 9_007_199_254_740_992.0).then_some(fraction as i64)
}

/// A document with schemas in it that refer to each other.
pub struct Document<'d> {
    draft: Draft,
    registry: Registry<'d>,
}

/// The name of a document within itself.
const DOCUMENT: &str = "urn:document";

impl<'d> Document<'d> {
    pub fn new(draft: Draft, root: &'d Value) -> Result<Document<'d>, String> {
        let registry = Registry::new().draft(draft).add(DOCUMENT, root).and_then(|registry| registry.prepare());
        registry.map(|registry| Document { draft, registry }).map_err(|error| error.to_string())
    }

    /// Compiles the schema to which a JSON pointer leads.
    pub fn compile(&self, pointer: &str) -> Result<JsonSchema, String> {
        let mut fragment = String::new();
        for octet in pointer.bytes() {
            match octet {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                    fragment.push(char::from(octet));
                }
                _ => fragment.push_str(&format!("%{octet:02X}")),
            }
        }
        let schema = json!({ "$ref": format!("{DOCUMENT}#{fragment}") });
        let built = options(self.draft).with_registry(&self.registry).build(&schema);
        built
            .map(|validator| JsonSchema { validator, draft: self.draft, way: "/$ref" })
            .map_err(|error| error.to_string())
    }
}

fn options<'r>(draft: Draft) -> ValidationOptions<'r> {
    let patterns = PatternOptions::fancy_regex().backtrack_limit(MAX_BACKTRACKS);
    let options = jsonschema::options().with_draft(draft).with_pattern_options(patterns);
    if draft != Draft::Draft4 {
        return options;
    }
    // Kong knows these in the draft that does not have them.
    options.should_validate_formats(true).with_format("date", is_date).with_format("time", is_time)
}

/// A date of RFC 3339.
pub fn is_date(text: &str) -> bool {
    static DATE: LazyLock<Option<Validator>> = LazyLock::new(|| format("date"));
    DATE.as_ref().is_some_and(|date| date.is_valid(&text.into()))
}

/// A date with a time, of RFC 3339.
pub fn is_date_time(text: &str) -> bool {
    static DATE_TIME: LazyLock<Option<Validator>> = LazyLock::new(|| format("date-time"));
    DATE_TIME.as_ref().is_some_and(|time| time.is_valid(&text.into()))
}

/// A time of RFC 3339.
pub fn is_time(text: &str) -> bool {
    static TIME: LazyLock<Option<Validator>> = LazyLock::new(|| format("time"));
    TIME.as_ref().is_some_and(|time| time.is_valid(&text.into()))
}

fn format(name: &str) -> Option<Validator> {
    jsonschema::options().with_draft(Draft::Draft7).should_validate_formats(true).build(&json!({ "format": name })).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draft_4_has_dates_and_times() {
        let conforms = |format: &str, text: &str| {
            let schema = json!({ "type": "string", "format": format });
            JsonSchema::compile(Draft::Draft4, &schema).unwrap().validate(&text.into()).is_ok()
        };
        assert!(conforms("date", "2024-02-29"));
        assert!(!conforms("date", "2023-02-29"));
        assert!(conforms("date-time", "2009-07-20T08:30:37.012Z"));
        assert!(!conforms("date-time", "2009-07-20"));
        assert!(conforms("time", "08:30:37Z"));
        assert!(!conforms("time", "8h"));
        assert!(is_date("2024-02-29") && is_date_time("2009-07-20T08:30:37Z") && is_time("08:30:37Z"));
    }

    #[test]
    fn whole_numbers_are_integers_however_they_are_written() {
        let schema = json!({ "type": "object", "additionalProperties": { "type": "integer", "maximum": 100 } });
        for draft in [Draft::Draft4, Draft::Draft7] {
            let conforms = |text: &str| {
                let value = serde_json::from_str(text).unwrap();
                JsonSchema::compile(draft, &schema).unwrap().validate(&value).is_ok()
            };
            assert!(conforms(r#"{"a":3.0,"b":1e2,"c":-0.0,"d":4}"#), "{draft:?}");
            assert!(!conforms(r#"{"a":3.5}"#), "{draft:?}");
            assert!(!conforms(r#"{"a":1e3}"#), "{draft:?}");
        }
    }

    #[test]
    fn all_faults_have_their_places() {
        let schema = json!({ "properties": { "a": { "type": "string" } }, "required": ["b"] });
        let schema = JsonSchema::compile(Draft::Draft4, &schema).unwrap();
        let faults = schema.faults(&json!({ "a": 1 }), 9);
        let mut places: Vec<_> = faults.iter().filter_map(|fault| fault.place.clone()).collect();
        places.sort();
        let place = |value: &str, schema: &str| (value.to_owned(), schema.to_owned());
        assert_eq!(places, [place("", "/required"), place("/a", "/properties/a/type")]);
        assert_eq!(schema.faults(&json!({ "a": 1 }), 1).len(), 1);
    }

    #[test]
    fn what_is_elsewhere_is_not_fetched() {
        let elsewhere = json!({ "$ref": "http://127.0.0.1:9/schema.json" });
        assert!(JsonSchema::compile(Draft::Draft7, &elsewhere).is_err());
        assert!(JsonSchema::compile(Draft::Draft7, &json!({ "$ref": "file:///etc/passwd" })).is_err());
        assert!(JsonSchema::compile(Draft::Draft4, &json!({ "type": "strin" })).is_err());
    }

    #[test]
    fn patterns_that_never_end_do_not_conform() {
        let schema = json!({ "type": "string", "pattern": "^(?=(a+)+$)(a|aa)+\\1b$" });
        let schema = JsonSchema::compile(Draft::Draft7, &schema).unwrap();
        assert!(schema.validate(&"a".repeat(200).into()).is_err());
    }
}
