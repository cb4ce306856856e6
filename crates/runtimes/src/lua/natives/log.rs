//! `kong.log` and `ngx.log`.

use crate::lua::host::{Host, telemetry};
use crate::lua::surroundings;
use crate::lua::value::{number, text};
use mlua::{Lua, LuaString, MultiValue, Result, Table, Value};
use sdk::{Exchange, Version};
use std::cell::RefCell;
use std::rc::Rc;
use tracing::Level;

/// Where messages of code come from: the log has all of them, as many as code writes.
const CODE: &str = sdk::LOG_OF_CODE;
/// The same of what is worse than an error.
const CRIT: &str = sdk::SEVERE_LOGS_OF_CODE[0].1;
const ALERT: &str = sdk::SEVERE_LOGS_OF_CODE[1].1;
const EMERG: &str = sdk::SEVERE_LOGS_OF_CODE[2].1;
/// What a line is not longer than, in characters.
const LONGEST: usize = 8192;

pub fn add(lua: &Lua, native: &Table, host: &Rc<RefCell<Host>>) -> Result<()> {
    let host = Rc::clone(host);
    let write = lua.create_function(move |_, (level, line): (LuaString, LuaString)| {
        // Nobody else has it while code runs; without it the line says nothing of a request.
        let host = host.try_borrow();
        let exchange = host.as_ref().ok().filter(|host| host.is_lent).map(|host| &host.exchange);
        write(&level.to_string_lossy(), &line.to_string_lossy(), exchange);
        Ok(())
    });
    native.raw_set("write", write?)?;
    native.raw_set("is_logged", lua.create_function(|_, level: LuaString| Ok(is_logged(&level.to_string_lossy())))?)?;
    let is_heard = |_: &Lua, ()| Ok(surroundings::env().is_some_and(|env| env.log().is_heard()));
    native.raw_set("has_telemetry", lua.create_function(is_heard)?)?;
    let tell = |_: &Lua, (message, attributes): (Value, Value)| telemetry(&message, &attributes, None, None);
    native.raw_set("telemetry", lua.create_function(tell)?)?;
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
        let names = debug.names();
        let name = names.name.map(|name| name.into_owned());
        let what = (debug.source().what, names.name_what.unwrap_or_default());
        (source, short, debug.current_line(), name, what)
    });
    let Some((source, short, line, name, (what, name_what))) = found else { return Ok(None) };
    let table = lua.create_table()?;
    table.raw_set("source", source)?;
    table.raw_set("short_src", short)?;
    table.raw_set("currentline", line.unwrap_or_default())?;
    table.raw_set("name", name)?;
    table.raw_set("what", what)?;
    table.raw_set("namewhat", name_what)?;
    Ok(Some(table))
}

/// Whether lines of that level are written. What is `info` to nginx is one step below what is to us.
fn is_logged(level: &str) -> bool {
    match level {
        "debug" => tracing::enabled!(target: CODE, Level::TRACE),
        "info" => tracing::enabled!(target: CODE, Level::DEBUG),
        "notice" => tracing::enabled!(target: CODE, Level::INFO),
        "warn" => tracing::enabled!(target: CODE, Level::WARN),
        "crit" => tracing::enabled!(target: CRIT, Level::ERROR),
        "alert" => tracing::enabled!(target: ALERT, Level::ERROR),
        "emerg" => tracing::enabled!(target: EMERG, Level::ERROR),
        _ => tracing::enabled!(target: CODE, Level::ERROR),
    }
}

/// A line, with what nginx says of the request that is being served.
fn write(level: &str, line: &str, exchange: Option<&Exchange>) {
    let line = line.char_indices().nth(LONGEST).map_or(line, |(end, _)| &line[..end]);
    let client = exchange.map(|exchange| exchange.client.ip.to_string());
    let (client, server) = (client.as_deref(), exchange.map(|_| "kong"));
    let request_id = exchange.map(|exchange| exchange.id_str());
    let request = exchange.filter(|exchange| exchange.stream.is_none()).map(|exchange| {
        let head = &exchange.request;
        let version = match head.version {
            Version::Http10 => "1.0",
            Version::Http11 => "1.1",
            Version::Http2 => "2.0",
            Version::Http3 => "3.0",
        };
        format!("\"{} {} HTTP/{version}\"", head.method.as_str(), head.path())
    });
    let request = request.as_deref();
    let host = exchange.and_then(|exchange| exchange.client_lines().get("Host"));
    let host = host.map(|host| format!("\"{}\"", String::from_utf8_lossy(host)));
    let host = host.as_deref();
    match level {
        "debug" => tracing::trace!(target: CODE, client, server, request, host, request_id, "{line}"),
        "info" => tracing::debug!(target: CODE, client, server, request, host, request_id, "{line}"),
        "notice" => tracing::info!(target: CODE, client, server, request, host, request_id, "{line}"),
        "warn" => tracing::warn!(target: CODE, client, server, request, host, request_id, "{line}"),
        "crit" => tracing::error!(target: CRIT, client, server, request, host, request_id, "{line}"),
        "alert" => tracing::error!(target: ALERT, client, server, request, host, request_id, "{line}"),
        "emerg" => tracing::error!(target: EMERG, client, server, request, host, request_id, "{line}"),
        _ => tracing::error!(target: CODE, client, server, request, host, request_id, "{line}"),
    }
}
