//! YAML, as the gateway reads and writes it (`lyaml`).

use crate::lua::value::{Nulls, to_json, to_lua};
use mlua::{Error, Lua, LuaString, Result, Table, Value};
use sdk::yaml;

/// Octets of a text, at most.
const LONGEST: usize = 8 << 20;

pub fn add(lua: &Lua, native: &Table) -> Result<()> {
    native.raw_set("yaml_read", lua.create_function(read)?)?;
    native.raw_set("yaml_write", lua.create_function(write)?)
}

fn read(lua: &Lua, text: LuaString) -> Result<Value> {
    let text = text.to_str()?;
    if text.len() > LONGEST {
        return Err(Error::runtime("the text is too long"));
    }
    to_lua(lua, &yaml::read(&text).map_err(Error::runtime)?, Nulls::Kept, None)
}

/// A document with its marks at both ends.
fn write(_: &Lua, value: Value) -> Result<String> {
    let json = to_json(&value)?;
    let mut text = "---".to_owned();
    match &json {
        serde_json::Value::Object(fields) if !fields.is_empty() => {
            text.push('\n');
            yaml::write(&mut text, &json, 0);
        }
        serde_json::Value::Array(items) if !items.is_empty() => {
            text.push('\n');
            yaml::write(&mut text, &json, 0);
        }
        // What is no table is written as in JSON, which YAML is, too.
        single => text.push_str(&format!(" {single}\n")),
    }
    text.push_str("...\n");
    Ok(text)
}
