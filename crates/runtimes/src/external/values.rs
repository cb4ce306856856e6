//! Values of Lua and of MessagePack, one as the other.

use mlua::{Lua, Result, Value as LuaValue};
use rmpv::Value;

/// Tables inside each other, and values in one, at most.
const MAX_DEPTH: usize = 64;
const MAX_VALUES: usize = 1 << 20;

/// A value as Lua has it; nothing is nil.
pub fn to_lua(lua: &Lua, value: &Value) -> Result<LuaValue> {
    Ok(match value {
        Value::Nil | Value::Ext(..) => LuaValue::Nil,
        Value::Boolean(flag) => LuaValue::Boolean(*flag),
        Value::Integer(number) => LuaValue::Number(number.as_f64().unwrap_or_default()),
        Value::F32(number) => LuaValue::Number(f64::from(*number)),
        Value::F64(number) => LuaValue::Number(*number),
        Value::String(text) => LuaValue::String(lua.create_string(text.as_bytes())?),
        Value::Binary(octets) => LuaValue::String(lua.create_string(octets)?),
        Value::Array(items) => {
            let table = lua.create_table()?;
            for (place, item) in items.iter().enumerate() {
                table.raw_set(place + 1, to_lua(lua, item)?)?;
            }
            LuaValue::Table(table)
        }
        Value::Map(pairs) => {
            let table = lua.create_table()?;
            for (name, item) in pairs {
                let name = to_lua(lua, name)?;
                if !name.is_nil() {
                    table.raw_set(name, to_lua(lua, item)?)?;
                }
            }
            LuaValue::Table(table)
        }
    })
}

/// A value of Lua: a table that has a first element, or none at all, is a list.
pub fn from_lua(value: &LuaValue) -> Result<Value> {
    convert(value, MAX_DEPTH, &mut { MAX_VALUES })
}

/// Names with one or several values, as plugins want them: always lists, an empty one where there is only the name.
pub fn multi_map(value: &LuaValue) -> Result<Value> {
    let LuaValue::Table(table) = value else { return from_lua(value) };
    let mut pairs = Vec::new();
    for pair in table.pairs::<LuaValue, LuaValue>() {
        let (name, value) = pair?;
        let values = match &value {
            LuaValue::Boolean(_) => Value::Array(Vec::new()),
            LuaValue::Table(_) => from_lua(&value)?,
            single => Value::Array(vec![from_lua(single)?]),
        };
        pairs.push((from_lua(&name)?, values));
    }
    Ok(Value::Map(pairs))
}

/// Octets, whatever they are.
pub fn binary(value: &LuaValue) -> Result<Value> {
    match value {
        LuaValue::String(text) => Ok(Value::Binary(text.as_bytes().to_vec())),
        other => from_lua(other),
    }
}

/// `left` bounds how many values there are: the same table may be in others many times.
fn convert(value: &LuaValue, deeper: usize, left: &mut usize) -> Result<Value> {
    *left = left.checked_sub(1).ok_or_else(|| mlua::Error::runtime("there are too many values"))?;
    Ok(match value {
        LuaValue::Boolean(flag) => Value::Boolean(*flag),
        LuaValue::Integer(number) => Value::from(*number),
        LuaValue::Number(number) if number.fract() == 0.0 && number.abs() < 9e15 => Value::from(*number as i64),
        LuaValue::Number(number) => Value::F64(*number),
        // Octets that are no text are none for the other side, either.
        LuaValue::String(text) => match text.to_str() {
            Ok(text) => Value::from(&*text),
            Err(_) => Value::Binary(text.as_bytes().to_vec()),
        },
        LuaValue::Table(table) => {
            let deeper = deeper.checked_sub(1).ok_or_else(|| mlua::Error::runtime("tables are nested too deeply"))?;
            if table.raw_len() > 0 || table.is_empty() {
                let items = table.sequence_values::<LuaValue>();
                return items.map(|item| convert(&item?, deeper, left)).collect::<Result<_>>().map(Value::Array);
            }
            let mut pairs = Vec::new();
            for pair in table.pairs::<LuaValue, LuaValue>() {
                let (name, item) = pair?;
                pairs.push((convert(&name, deeper, left)?, convert(&item, deeper, left)?));
            }
            Value::Map(pairs)
        }
        _ => Value::Nil,
    })
}
