//! Schemas as JSON Schema (2020-12), for those who read OpenAPI. It says what can be said there: rules between fields
//! and functions that check values stay behind, so that what it allows may still be refused.

use super::field::Field;
use super::shape::named;
use super::{Schema, pattern};
use serde_json::{Map, Value, json};

/// What a JSON Schema is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// A record as it is answered.
    Answer,
    /// A new record.
    New,
    /// The fields of a record that change.
    Change,
}

/// A reference to a vault in place of a value.
const REFERENCE: &str = r"^\{vault://.*\}$";

impl Schema {
    /// The records of this schema. `refinement` is the schema of a plugin, a vault or a partial, whose fields take the
    /// place of those that it refines.
    pub fn json_schema(&self, refinement: Option<&Schema>, usage: Usage) -> Value {
        let (shown, refined) = (self.describe(), refinement.map(Schema::describe));
        let refined = refined.as_ref().map(|shown| fields_of(shown.as_object())).unwrap_or_default();
        let mut described = record_of(
            fields_of(shown.as_object()).into_iter().map(|(name, field)| {
                let found = refined.iter().find(|(known, _)| *known == name);
                found.cloned().unwrap_or((name, field))
            }),
            usage,
        );
        for field in self.fields() {
            if let Some(described) = described["properties"].get_mut(&field.name) {
                add_untold(described, field, usage);
            }
        }
        if usage != Usage::Answer {
            for (name, shorthand) in named_values(self.text.get("shorthand_fields").unwrap_or(&Value::Null)) {
                described["properties"][name] = field(shorthand, Usage::Change);
            }
            if self.ttl {
                described["properties"]["ttl"] = json!({
                    "type": ["integer", "null"], "minimum": 0, "description": "Seconds until the record expires."
                });
            }
        }
        if usage == Usage::New {
            let alternatives: Vec<Value> = alternatives(&shown, &described);
            if !alternatives.is_empty() {
                described["anyOf"] = Value::Array(alternatives);
            }
        }
        described
    }
}

/// Of `at_least_one_of`, one field each.
fn alternatives(shown: &Value, described: &Value) -> Vec<Value> {
    let checks = shown["entity_checks"].as_array().into_iter().flatten();
    let list = checks.filter_map(|check| check.get("at_least_one_of")?.as_array()).next();
    let names = list
        .into_iter()
        .flatten()
        .filter(|name| name.as_str().is_some_and(|name| described["properties"].get(name).is_some()));
    names.map(|name| json!({ "required": [name] })).collect()
}

/// Adds values of which `GET /schemas/*` tells nothing: in answers any, else those that nothing else must go with.
fn add_untold(described: &mut Value, field: &Field, usage: Usage) {
    let also = field.rules.also_one_of.iter().flatten();
    if let Some(options) = described.get_mut("enum").and_then(Value::as_array_mut) {
        let values = also.filter(|(_, with)| usage == Usage::Answer || **with == true);
        options.extend(values.map(|(value, _)| Value::from(value.as_str())));
    }
    if let (Some(elements), Some(items)) = (field.elements(), described.get_mut("items")) {
        add_untold(items, elements, usage);
    }
}

fn fields_of(raw: Option<&Map<String, Value>>) -> Vec<(&str, &Value)> {
    let lists = raw.into_iter().flat_map(|raw| [named(raw, "fields"), named(raw, "optional_fields")]);
    lists.flat_map(Result::unwrap_or_default).map(|(name, field)| (name.as_str(), field)).collect()
}

fn named_values(list: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let entries = list.as_array().into_iter().flatten().filter_map(Value::as_object);
    entries.filter_map(|entry| entry.iter().next()).map(|(name, field)| (name.as_str(), field))
}

fn record_of<'a>(fields: impl Iterator<Item = (&'a str, &'a Value)>, usage: Usage) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (name, raw) in fields {
        // Records that are left out are made of the defaults of their fields.
        let given = raw["required"] == true && raw["auto"] != true && raw["type"] != "record";
        if given && raw.get("default").is_none() && usage == Usage::New {
            required.push(Value::from(name));
        }
        properties.insert(name.to_owned(), field(raw, usage));
    }
    let mut described = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        described["required"] = Value::Array(required);
    }
    if usage != Usage::Answer {
        described["additionalProperties"] = Value::Bool(false);
    }
    described
}

/// One field, or what the elements, keys or values of a collection are.
fn field(raw: &Value, usage: Usage) -> Value {
    if raw.get("eq").is_some_and(Value::is_null) {
        return json!({ "type": "null" });
    }
    let mut described = typed(raw, usage);
    rules(raw, &mut described);
    if raw["referenceable"] == true && raw["type"] == "string" {
        described = json!({ "anyOf": [described, { "type": "string", "pattern": REFERENCE }] });
    }
    if raw["required"] != true {
        described = nullable(described);
    }
    if let Some(default) = raw.get("default").filter(|_| usage == Usage::New) {
        described["default"] = default.clone();
    }
    if let Some(text) = raw.get("description") {
        described["description"] = text.clone();
    }
    if let Some(deprecation) = raw.get("deprecation") {
        described["deprecated"] = Value::Bool(true);
        if let Some(text) = deprecation.get("message") {
            described["description"] = text.clone();
        }
    }
    described
}

fn typed(raw: &Value, usage: Usage) -> Value {
    let size = |key: &str| raw.get(key).and_then(Value::as_u64);
    let (least, most) = (size("len_eq").or(size("len_min")), size("len_eq").or(size("len_max")));
    let sized = |mut described: Value, names: [&str; 2], least: Option<u64>| {
        for (name, length) in names.into_iter().zip([least, most]) {
            if let Some(length) = length {
                described[name] = Value::from(length);
            }
        }
        described
    };
    let inner = |key: &str| raw.get(key).map_or(Value::Bool(true), |raw| field(&of_collection(raw), usage));
    match raw["type"].as_str().unwrap_or_default() {
        "string" => {
            let open = ["one_of", "eq", "uuid", "match", "starts_with"].iter().all(|rule| raw.get(rule).is_none());
            sized(json!({ "type": "string" }), ["minLength", "maxLength"], least.or(open.then_some(1)))
        }
        kind @ ("integer" | "number" | "boolean") => json!({ "type": kind }),
        // What is repeated in a set counts once.
        "array" | "set" => {
            sized(json!({ "type": "array", "items": inner("elements") }), ["minItems", "maxItems"], least)
        }
        "map" => {
            let described = json!({ "type": "object", "additionalProperties": inner("values") });
            let mut described = sized(described, ["minProperties", "maxProperties"], least);
            let keys = inner("keys");
            if keys != json!({ "type": "string", "minLength": 1 }) {
                described["propertyNames"] = keys;
            }
            described
        }
        "record" => {
            // Lists of records are replaced, not merged.
            let mut described = record_of(fields_of(raw.as_object()).into_iter(), usage);
            if usage != Usage::Answer {
                for (name, shorthand) in named_values(&raw["shorthand_fields"]) {
                    described["properties"][name] = field(shorthand, Usage::Change);
                }
            }
            described
        }
        "foreign" => json!({ "type": "object", "properties": { "id": { "type": "string", "format": "uuid" } } }),
        _ => json!({}),
    }
}

/// What is in a collection is never null.
fn of_collection(raw: &Value) -> Value {
    let mut raw = raw.clone();
    if let Some(map) = raw.as_object_mut() {
        map.insert("required".to_owned(), Value::Bool(true));
    }
    raw
}

fn rules(raw: &Value, described: &mut Value) {
    let mut set = |name: &str, value: Value| described[name] = value;
    if let Some(only) = raw.get("eq") {
        set("const", only.clone());
    }
    if let Some(options) = raw.get("one_of").filter(|_| raw["type"] != "array" && raw["type"] != "set") {
        set("enum", options.clone());
    }
    if let Some([low, high]) = raw["between"].as_array().map(Vec::as_slice) {
        set("minimum", low.clone());
        set("maximum", high.clone());
    }
    if let Some(limit) = raw.get("gt") {
        set("exclusiveMinimum", limit.clone());
    }
    if raw["uuid"] == true {
        set("format", "uuid".into());
    }
    if raw["timestamp"] == true {
        set("exclusiveMinimum", 0.into());
    }
    if raw["is_regex"] == true {
        set("format", "regex".into());
    }
    if let Some(start) = raw["starts_with"].as_str() {
        set("pattern", format!("^{}", regex::escape(start)).into());
    }
    let mut all = Vec::new();
    let translated = |pattern: &Value| pattern.as_str().and_then(pattern::to_regex);
    if let Some(pattern) = translated(&raw["match"]) {
        all.push(json!({ "pattern": pattern }));
    }
    let listed = |name: &str| raw[name].as_array().cloned().unwrap_or_default();
    all.extend(listed("match_all").iter().filter_map(|m| Some(json!({ "pattern": translated(&m["pattern"])? }))));
    let any = raw["match_any"]["patterns"].as_array();
    let any = any.and_then(|list| list.iter().map(|p| Some(json!({ "pattern": translated(p)? }))).collect());
    if let Some(any) = any.map(Value::Array) {
        all.push(json!({ "anyOf": any }));
    }
    let none = listed("match_none");
    let none = none.iter().map(|m| &m["pattern"]).chain(raw.get("not_match")).filter_map(translated);
    all.extend(none.map(|pattern| json!({ "not": { "pattern": pattern } })));
    all.extend(raw.get("ne").map(|value| json!({ "not": { "const": value } })));
    all.extend(raw.get("not_one_of").map(|values| json!({ "not": { "enum": values } })));
    match &mut all[..] {
        [] => {}
        [Value::Object(one)] if one.keys().all(|key| described.get(key).is_none()) => {
            one.iter().for_each(|(key, value)| described[key] = value.clone());
        }
        _ => described["allOf"] = Value::Array(all),
    }
}

fn nullable(mut described: Value) -> Value {
    match described.get("type").cloned() {
        Some(kind @ Value::String(_)) => {
            described["type"] = json!([kind, "null"]);
            if let Some(options) = described.get_mut("enum").and_then(Value::as_array_mut) {
                options.push(Value::Null);
            }
            if described.get("const").is_some() || described.get("allOf").is_some() || described.get("not").is_some() {
                return json!({ "anyOf": [with_type(described, kind), { "type": "null" }] });
            }
            described
        }
        _ => match described.get_mut("anyOf").and_then(Value::as_array_mut) {
            Some(any) => {
                any.push(json!({ "type": "null" }));
                described
            }
            // Without a type it can be null as it is.
            None => described,
        },
    }
}

fn with_type(mut described: Value, kind: Value) -> Value {
    described["type"] = kind;
    if let Some(options) = described.get_mut("enum").and_then(Value::as_array_mut) {
        options.retain(|option| !option.is_null());
    }
    described
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Catalog;

    fn of(entity: &str, usage: Usage) -> Value {
        Catalog::core().entity(entity).map(|schema| schema.json_schema(None, usage)).unwrap_or_default()
    }

    #[test]
    fn new_records_say_what_they_need() {
        let services = of("services", Usage::New);
        assert_eq!(services["required"], json!(["host"]));
        assert_eq!(services["additionalProperties"], false);
        assert_eq!(services["properties"]["retries"]["default"], 5);
        assert_eq!(services["properties"]["port"]["maximum"], 65535);
        assert!(services["properties"]["url"].is_object());
    }

    #[test]
    fn changes_need_nothing() {
        let services = of("services", Usage::Change);
        assert_eq!(services.get("required"), None);
        assert_eq!(services["properties"]["port"].get("default"), None);
    }

    #[test]
    fn what_is_not_required_can_be_null() {
        let services = of("services", Usage::Answer);
        assert_eq!(services["properties"]["tags"]["type"], json!(["array", "null"]));
        assert_eq!(services["properties"]["host"]["type"], "string");
        assert_eq!(services["properties"].get("url"), None);
    }

    #[test]
    fn rules_become_keywords() {
        let routes = of("routes", Usage::New);
        assert_eq!(routes["properties"]["methods"]["items"]["pattern"], "^[A-Z]+$");
        let paths = &routes["properties"]["paths"]["items"]["allOf"];
        assert_eq!(paths[0]["anyOf"][0]["pattern"], "^/");
        assert_eq!(paths[1], json!({ "not": { "pattern": "//" } }));
    }

    #[test]
    fn a_field_or_another() {
        assert_eq!(
            of("consumers", Usage::New)["anyOf"],
            json!([{ "required": ["custom_id"] }, { "required": ["username"] }])
        );
    }
}
