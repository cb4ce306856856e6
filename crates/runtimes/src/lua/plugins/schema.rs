//! Schemas of Lua in the schema language of `model`: what is data becomes JSON, what is a function gets a name.

use super::functions::SchemaFunction;
use crate::json_type::JsonType;
use crate::lua::value::text;
use mlua::{Function, Table, Value};
use sdk::Foreign;
use serde_json::{Map, Value as Json};
use std::cell::RefCell;

/// Tables inside each other in a schema, at most.
const MAX_DEPTH: usize = 48;
/// Keys whose values are lists, even empty ones.
const LISTS: [&str; 14] = [
    "cache_key",
    "entity_checks",
    "fields",
    "field_sources",
    "input",
    "match_all",
    "match_none",
    "mutually_exclusive_subsets",
    "needs",
    "not_one_of",
    "one_of",
    "primary_key",
    "shorthand_fields",
    "transformations",
];

/// A schema that is being read, and the functions that have been found in it.
pub struct Description<'m> {
    /// All functions of the machine, by their numbers.
    functions: &'m RefCell<Vec<Function>>,
    /// By the names that the described schemas have for them.
    pub found: Vec<(String, &'static dyn Foreign)>,
}

impl<'m> Description<'m> {
    pub fn new(functions: &'m RefCell<Vec<Function>>) -> Description<'m> {
        Description { functions, found: Vec::new() }
    }

    /// The schema of a plugin: what it says of records of `plugins`.
    pub fn of_plugin(&mut self, schema: &Table) -> Result<Json, String> {
        let mut described = self.object(schema, MAX_DEPTH).map_err(|error| format!("schema: {error}"))?;
        described.remove("name");
        let fields = described.get("fields").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
        let has_config = fields.iter().any(|field| field.get("config").is_some());
        if !has_config {
            return Err("its schema has no field 'config' of type record".to_owned());
        }
        require_records(described.get_mut("fields"));
        described.entry("entity_checks").or_insert_with(|| Json::Array(Vec::new()));
        Ok(Json::Object(described))
    }

    /// The schema of an entity of a plugin's own (`daos.lua`).
    pub fn of_entity(&mut self, schema: &Table) -> Result<Json, String> {
        let mut described = self.object(schema, MAX_DEPTH).map_err(|error| format!("daos: {error}"))?;
        let name = described.get("name").and_then(Json::as_str).ok_or("daos: an entity has no name")?;
        let key = described.get("primary_key").and_then(Json::as_array).cloned().unwrap_or_default();
        let Some(first) = key.first() else { return Err(format!("daos: {name} has no primary key")) };
        let fields = described.get("fields").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
        let keyed = fields.iter().find_map(|field| field.get(first.as_str()?));
        let Some(keyed) = keyed else { return Err(format!("daos: {name} has no field for its primary key")) };
        // The feed of changes knows records by UUIDs only.
        if keyed["uuid"] != true || first != "id" || key.len() > 1 {
            described.insert("in_snapshot".to_owned(), false.into());
        }
        require_records(described.get_mut("fields"));
        Ok(Json::Object(described))
    }

    fn object(&mut self, table: &Table, deeper: usize) -> Result<Map<String, Json>, String> {
        let deeper = deeper.checked_sub(1).ok_or("it is nested too deeply")?;
        let kind = table.get::<Value>("type").ok().and_then(|kind| text(&kind));
        let is_list = matches!(kind.as_deref(), Some(b"array" | b"set"));
        let mut object = Map::new();
        for pair in table.pairs::<Value, Value>() {
            let (name, value) = pair.map_err(|error| error.to_string())?;
            let name = text(&name).and_then(|name| String::from_utf8(name).ok()).ok_or("a name is not text")?;
            if let Value::Function(function) = &value {
                let place = match name.as_str() {
                    "custom_validator" | "validator" => "validator",
                    "fn" => "check",
                    "func" | "on_write" => "func",
                    "on_read" => return Err("transformations with 'on_read' are not there in this version".to_owned()),
                    // What is only about how records are shown, or how Kong keeps them.
                    _ => continue,
                };
                let names = |key: &str| table.get::<Vec<String>>(key).unwrap_or_default();
                let input = [names("input"), names("needs")].concat();
                object.insert(place.to_owned(), self.function(function, input).into());
                continue;
            }
            let described = match &value {
                Value::Table(inner) if inner.raw_len() > 0 => Json::Array(self.list(inner, deeper)?),
                Value::Table(inner) if inner.is_empty() && (is_list && name == "default" || is_list_key(&name)) => {
                    Json::Array(Vec::new())
                }
                Value::Table(inner) => Json::Object(self.object(inner, deeper)?),
                scalar => scalar_of(scalar)?,
            };
            object.insert(name, described);
        }
        if let Some(json_schema) = object.get("json_schema").filter(|_| kind.as_deref() == Some(b"json")) {
            let own = object.get("validator").and_then(Json::as_str);
            let own =
                own.and_then(|own| self.found.iter().find(|(name, _)| name == own)).map(|(_, function)| *function);
            let json_type: &'static JsonType = Box::leak(Box::new(JsonType::new(json_schema, own)?));
            let name = format!("json:{}", self.found.len());
            self.found.push((name.clone(), json_type));
            object.insert("validator".to_owned(), name.into());
        }
        object.sort_keys();
        Ok(object)
    }

    fn list(&mut self, table: &Table, deeper: usize) -> Result<Vec<Json>, String> {
        let deeper = deeper.checked_sub(1).ok_or("it is nested too deeply")?;
        let items = table.sequence_values::<Value>();
        items
            .map(|item| match item.map_err(|error| error.to_string())? {
                Value::Table(inner) if inner.raw_len() > 0 => self.list(&inner, deeper).map(Json::Array),
                Value::Table(inner) => self.object(&inner, deeper).map(Json::Object),
                scalar => scalar_of(&scalar),
            })
            .collect()
    }

    fn function(&mut self, function: &Function, input: Vec<String>) -> String {
        let mut all = self.functions.borrow_mut();
        let found = SchemaFunction { number: all.len(), input };
        all.push(function.clone());
        let name = found.name();
        self.found.push((name.clone(), Box::leak(Box::new(found))));
        name
    }
}

/// Records are required unless they say otherwise, those in them, too: so they have their defaults.
fn require_records(fields: Option<&mut Json>) {
    let fields = fields.and_then(Json::as_array_mut).into_iter().flatten().filter_map(Json::as_object_mut);
    for field in fields.flat_map(|field| field.values_mut()).filter_map(Json::as_object_mut) {
        if field.get("type").is_some_and(|kind| kind == "record") {
            field.entry("required").or_insert(Json::Bool(true));
            require_records(field.get_mut("fields"));
        }
    }
}

fn is_list_key(name: &str) -> bool {
    LISTS.contains(&name)
}

fn scalar_of(value: &Value) -> Result<Json, String> {
    Ok(match value {
        Value::Boolean(flag) => Json::Bool(*flag),
        Value::Integer(number) => Json::from(*number),
        Value::Number(number) if number.fract() == 0.0 && number.abs() < 1e15 => Json::from(*number as i64),
        Value::Number(number) => Json::from(*number),
        Value::String(text) => Json::String(text.to_str().map_err(|_| "a text is not UTF-8")?.to_owned()),
        value if value.is_null() => Json::Null,
        Value::Function(_) => return Err("a function is in a list".to_owned()),
        other => return Err(format!("a value of type {} cannot be in a schema", other.type_name())),
    })
}
