//! Schemas that code makes itself (`kong.db.schema`), judged as all others are.

use crate::lua::value::{Nulls, to_json, to_lua};
use mlua::{Error, Lua, LuaString, Result, Table, Value};
use serde_json::Value as Json;

pub fn add(lua: &Lua, native: &Table) -> Result<()> {
    native.raw_set("judge", lua.create_function(judge)?)
}

/// What is wrong with a record by a schema in JSON: errors by fields, or nil.
fn judge(lua: &Lua, (schema, record): (LuaString, Table)) -> Result<Value> {
    let schema = sdk::Schema::parse(&schema.to_str()?).map_err(Error::runtime)?;
    let Json::Object(record) = to_json(&Value::Table(record))? else { return Ok(Value::Nil) };
    match schema.validate(&sdk::Catalog::default(), record) {
        Ok(()) => Ok(Value::Nil),
        Err(error) => to_lua(lua, &error.fields, Nulls::LeftOut, None),
    }
}
