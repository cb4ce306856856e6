//! Values of Lua and of JSON, one as the other.

use mlua::{Error, Lua, LuaString, Result, Table, Value};
use sdk::Fields;
use serde_json::{Map, Number, Value as Json};

/// Tables inside each other, at most.
const MAX_DEPTH: usize = 64;
/// Lines or arguments that code is shown, at most.
const MAX_SHOWN: usize = 1000;

/// JSON as Lua has it.
pub fn to_lua(lua: &Lua, json: &Json) -> Result<Value> {
    Ok(match json {
        Json::Null => Value::Nil,
        Json::Bool(flag) => Value::Boolean(*flag),
        Json::Number(number) => Value::Number(number.as_f64().unwrap_or_default()),
        Json::String(text) => Value::String(lua.create_string(text)?),
        Json::Array(items) => {
            let items: Vec<Value> = items.iter().map(|item| to_lua(lua, item)).collect::<Result<_>>()?;
            Value::Table(lua.create_sequence_from(items)?)
        }
        Json::Object(fields) => {
            let table = lua.create_table()?;
            for (name, field) in fields {
                table.raw_set(name.as_str(), to_lua(lua, field)?)?;
            }
            Value::Table(table)
        }
    })
}

/// A value of Lua as JSON: a table that has a first element is a list. Text that is not UTF-8 is replaced.
pub fn to_json(value: &Value) -> Result<Json> {
    json(value, MAX_DEPTH)
}

fn json(value: &Value, deeper: usize) -> Result<Json> {
    Ok(match value {
        Value::Boolean(flag) => Json::Bool(*flag),
        Value::Integer(number) => Json::Number((*number).into()),
        Value::Number(number) if number.fract() == 0.0 && number.abs() < 1e15 => Json::Number((*number as i64).into()),
        Value::Number(number) => Number::from_f64(*number).map_or(Json::Null, Json::Number),
        Value::String(text) => Json::String(text.to_string_lossy()),
        Value::Table(table) => {
            let deeper = deeper.checked_sub(1).ok_or_else(|| Error::runtime("tables are nested too deeply"))?;
            if table.raw_len() > 0 {
                let items = table.sequence_values::<Value>();
                return items.map(|item| json(&item?, deeper)).collect::<Result<_>>().map(Json::Array);
            }
            let mut fields = Map::new();
            for pair in table.pairs::<Value, Value>() {
                let (name, field) = pair?;
                if let Some(name) = text(&name) {
                    fields.insert(String::from_utf8_lossy(&name).into_owned(), json(&field, deeper)?);
                }
            }
            fields.sort_keys();
            Json::Object(fields)
        }
        _ => Json::Null,
    })
}

/// The octets of a string, or of a number as text.
pub fn text(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        Value::Integer(number) => Some(number.to_string().into_bytes()),
        Value::Number(number) if number.fract() == 0.0 => Some(format!("{number:.0}").into_bytes()),
        Value::Number(number) => Some(number.to_string().into_bytes()),
        Value::Boolean(flag) => Some(flag.to_string().into_bytes()),
        _ => None,
    }
}

/// Names with one or several values, as Kong shows lines and arguments: a text or a list of them.
pub struct Named {
    table: Table,
    count: usize,
}

impl Named {
    pub fn new(lua: &Lua) -> Result<Named> {
        Ok(Named { table: lua.create_table()?, count: 0 })
    }

    /// Lines by lower-case names, which code may write in any case and with `_` for `-`.
    pub fn of_fields(lua: &Lua, fields: &Fields) -> Result<Value> {
        let mut named = Named::new(lua)?;
        for (name, value) in fields.iter() {
            named.add(lua, &name.to_ascii_lowercase().into_bytes(), Value::String(lua.create_string(value)?))?;
        }
        let index = lua.create_function(|_, (table, name): (Table, LuaString)| {
            let name = name.to_string_lossy().to_ascii_lowercase().replace('_', "-");
            table.raw_get::<Value>(name)
        })?;
        let metatable = lua.create_table()?;
        metatable.raw_set("__index", index)?;
        named.table.set_metatable(Some(metatable))?;
        Ok(Value::Table(named.table))
    }

    /// Adds a value to those of a name.
    pub fn add(&mut self, lua: &Lua, name: &[u8], value: Value) -> Result<()> {
        self.count += 1;
        if self.count > MAX_SHOWN {
            return Ok(());
        }
        let name = lua.create_string(name)?;
        match self.table.raw_get::<Value>(&name)? {
            Value::Nil => self.table.raw_set(name, value),
            Value::Table(list) => list.raw_push(value),
            first => self.table.raw_set(name, lua.create_sequence_from([first, value])?),
        }
    }

    pub fn finish(self) -> Value {
        Value::Table(self.table)
    }
}

/// The values that a name has in a table of code: one, or a list.
pub fn values(value: &Value) -> Result<Vec<Vec<u8>>> {
    match value {
        Value::Table(list) => {
            list.sequence_values::<Value>().filter_map(|item| item.map(|item| text(&item)).transpose()).collect()
        }
        single => Ok(text(single).into_iter().collect()),
    }
}
