//! What code asks that is about no exchange: functions of Rust under short names, in one table.

mod digests;
pub(super) mod json;
mod log;
mod regex;
pub(super) mod shared;
mod text;
mod time;

use super::value::record;
use super::{sockets, surroundings, timers};
use mlua::{Lua, Result, Table};

/// The table that the code of the run time itself sees as `slot.native`.
pub fn table(lua: &Lua) -> Result<Table> {
    let native = lua.create_table()?;
    text::add(lua, &native)?;
    digests::add(lua, &native)?;
    json::add(lua, &native)?;
    log::add(lua, &native)?;
    regex::add(lua, &native)?;
    shared::add(lua, &native)?;
    time::add(lua, &native)?;
    timers::add(lua, &native)?;
    sockets::add(lua, &native)?;
    let node = surroundings::node();
    native.raw_set("node_id", node.id.as_str())?;
    native.raw_set("hostname", node.hostname.as_str())?;
    native.raw_set("prefix", node.prefix.as_str())?;
    native.raw_set("workers", node.workers)?;
    native.raw_set("pid", std::process::id())?;
    native.raw_set("is_trusted", lua.create_function(|_, address: String| Ok(surroundings::is_trusted(&address)))?)?;
    let configuration = lua.create_function(|lua, ()| record(lua, &surroundings::node().configuration))?;
    native.raw_set("configuration", configuration)?;
    native.raw_set("statistics", lua.create_function(statistics)?)?;
    Ok(native)
}

/// Connections of clients, as `kong.nginx.get_statistics` has them.
fn statistics(lua: &Lua, (): ()) -> Result<Table> {
    let counts = surroundings::connections();
    let table = lua.create_table()?;
    for (name, count) in [
        ("connections_accepted", counts.accepted),
        ("connections_active", counts.active),
        ("connections_handled", counts.handled),
        ("connections_reading", counts.reading),
        ("connections_waiting", counts.waiting),
        ("connections_writing", counts.writing),
        ("total_requests", counts.requests),
    ] {
        table.raw_set(name, count)?;
    }
    Ok(table)
}
