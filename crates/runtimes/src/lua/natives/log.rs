//! `kong.log` and `ngx.log`.

use crate::lua::value::{self, number, text};
use mlua::{Lua, LuaString, MultiValue, Result, Table, Value};

/// What a line is not much longer than, in octets.
const LONGEST: usize = 4096;

pub fn add(lua: &Lua, native: &Table) -> Result<()> {
    native.raw_set("log", lua.create_function(|_, (level, values): (String, MultiValue)| write(&level, &values))?)?;
    native.raw_set("inspect", lua.create_function(|_, values: MultiValue| inspect(&values))?)?;
    native.raw_set("traceback", lua.create_function(traceback)?)?;
    native.raw_set("getinfo", lua.create_function(getinfo)?)
}

/// `debug.traceback`.
fn traceback(lua: &Lua, given: MultiValue) -> Result<LuaString> {
    let message = given.iter().find_map(text).map(|message| String::from_utf8_lossy(&message).into_owned());
    lua.traceback(message.as_deref(), 1)
}

/// `debug.getinfo`, as far as it says where code is.
fn getinfo(lua: &Lua, (level, _): (Value, Value)) -> Result<Option<Table>> {
    let level = number(&level).map_or(0, |level| level as usize);
    let found = lua.inspect_stack(level, |debug| {
        let source = debug.source();
        let short = source.short_src.unwrap_or_default().into_owned();
        let source = source.source.unwrap_or_default().into_owned();
        let name = debug.names().name.map(|name| name.into_owned());
        (source, short, debug.current_line(), name)
    });
    let Some((source, short, line, name)) = found else { return Ok(None) };
    let table = lua.create_table()?;
    table.raw_set("source", source)?;
    table.raw_set("short_src", short)?;
    table.raw_set("currentline", line.unwrap_or_default())?;
    table.raw_set("name", name)?;
    Ok(Some(table))
}

fn write(level: &str, values: &MultiValue) -> Result<()> {
    let line = line(values, false)?;
    match level {
        // As the log has them: what is `info` to nginx is one step below what is to us.
        "debug" => tracing::trace!(code = "lua", "{line}"),
        "info" => tracing::debug!(code = "lua", "{line}"),
        "notice" => tracing::info!(code = "lua", "{line}"),
        "warn" => tracing::warn!(code = "lua", "{line}"),
        _ => tracing::error!(code = "lua", "{line}"),
    }
    Ok(())
}

fn inspect(values: &MultiValue) -> Result<()> {
    let line = line(values, true)?;
    tracing::trace!(code = "lua", "{line}");
    Ok(())
}

fn line(values: &MultiValue, inspected: bool) -> Result<String> {
    let mut line = String::new();
    for value in values {
        line.push_str(&shown(value, inspected)?);
        if line.len() > LONGEST {
            break;
        }
    }
    Ok(line)
}

/// A value as a message has it.
fn shown(value: &Value, inspected: bool) -> Result<String> {
    Ok(match (value, text(value)) {
        (Value::Table(_), _) if inspected => value::to_json(value)?.to_string(),
        (Value::Nil, _) => "nil".to_owned(),
        (_, Some(text)) => String::from_utf8_lossy(&text).into_owned(),
        (other, None) => other.to_string()?,
    })
}
