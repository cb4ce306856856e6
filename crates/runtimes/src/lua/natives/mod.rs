//! What code asks that is about no exchange: functions of Rust under short names, in one table.

mod addresses;
mod certificates;
mod ciphers;
mod compression;
mod der;
mod digests;
mod files;
mod issuance;
pub(super) mod json;
pub(super) mod json_read;
mod keys;
pub(super) mod log;
pub(super) mod patterns;
mod protobuf;
mod regex;
mod schemas;
mod secrecy;
pub(super) mod shared;
mod text;
mod time;
mod urls;
mod yaml;

use super::value::record;
use super::vm::words;
use super::{events, generations, permissions, records, sockets, sources, surroundings, timers};
use mlua::{Lua, LuaString, Result, Table, Value};

/// The table that the code of the run time itself sees as `slot.native`.
pub fn table(lua: &Lua) -> Result<Table> {
    let native = lua.create_table()?;
    text::add(lua, &native)?;
    addresses::add(lua, &native)?;
    digests::add(lua, &native)?;
    ciphers::add(lua, &native)?;
    compression::add(lua, &native)?;
    files::add(lua, &native)?;
    keys::add(lua, &native)?;
    certificates::add(lua, &native)?;
    issuance::add(lua, &native)?;
    json::add(lua, &native)?;
    protobuf::add(lua, &native)?;
    regex::add(lua, &native)?;
    schemas::add(lua, &native)?;
    secrecy::add(lua, &native)?;
    shared::add(lua, &native)?;
    time::add(lua, &native)?;
    urls::add(lua, &native)?;
    yaml::add(lua, &native)?;
    timers::add(lua, &native)?;
    sockets::add(lua, &native)?;
    sources::add(lua, &native)?;
    events::add(lua, &native)?;
    records::add(lua, &native)?;
    let generation = |_: &Lua, key: LuaString| Ok(generations::of(&key.as_bytes()));
    native.raw_set("generation", lua.create_function(generation)?)?;
    let invalidate = |_: &Lua, key: Option<LuaString>| {
        key.map_or_else(generations::invalidate_all, |key| generations::invalidate(&key.as_bytes()));
        Ok(())
    };
    let told = |_: &Lua, error: Value| Ok(error.as_error().map(words));
    native.raw_set("words", lua.create_function(told)?)?;
    native.raw_set("invalidate", lua.create_function(invalidate)?)?;
    let node = surroundings::node();
    native.raw_set("node_id", node.id.as_str())?;
    native.raw_set("hostname", node.hostname.as_str())?;
    native.raw_set("prefix", node.prefix.as_str())?;
    native.raw_set("workers", node.workers)?;
    native.raw_set("untrusted_lua", permissions().trust.name())?;
    native.raw_set("shares_database", node.shares_database)?;
    // Workers are threads here; a number that each has of its own is what code makes ids of.
    native.raw_set("pid", rustix::thread::gettid().as_raw_nonzero().get())?;
    native.raw_set("is_trusted", lua.create_function(|_, address: String| Ok(surroundings::is_trusted(&address)))?)?;
    let configuration = lua.create_function(|lua, ()| record(lua, &surroundings::node().configuration))?;
    native.raw_set("configuration", configuration)?;
    native.raw_set("statistics", lua.create_function(statistics)?)?;
    native.raw_set("upstream_health", lua.create_function(upstream_health)?)?;
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

/// An upstream as the balancer sees it: of each target its addresses, and how they are, in Kong's words. `nil`: there
/// is none of that name.
fn upstream_health(lua: &Lua, name: String) -> Result<Option<Table>> {
    let Some(facts) = surroundings::env().and_then(|env| env.facts()) else { return Ok(None) };
    let found = facts.upstreams().into_iter().find(|(known, _)| *known == name);
    let Some((_, health)) = found else { return Ok(None) };
    let word = |checked: bool, healthy: bool| match (checked, healthy) {
        (false, _) => "HEALTHCHECKS_OFF",
        (true, true) => "HEALTHY",
        (true, false) => "UNHEALTHY",
    };
    let targets = lua.create_table()?;
    for host in &health.hosts {
        let addresses = lua.create_table()?;
        for address in &host.addresses {
            let told = lua.create_table()?;
            told.raw_set("ip", address.ip.as_str())?;
            told.raw_set("port", address.port)?;
            told.raw_set("weight", address.weight)?;
            told.raw_set("health", word(health.checked && address.weight > 0, address.healthy))?;
            addresses.raw_push(told)?;
        }
        let target = lua.create_table()?;
        target.raw_set("host", host.host.as_str())?;
        target.raw_set("port", host.port)?;
        target.raw_set("dns", host.dns.as_str())?;
        target.raw_set("nodeWeight", host.node_weight)?;
        target.raw_set("weight", weights(lua, [host.weight.total, host.weight.available, host.weight.unavailable])?)?;
        target.raw_set("addresses", addresses)?;
        targets.raw_set(format!("{}:{}", host.host, host.port), target)?;
    }
    let whole = lua.create_table()?;
    whole.raw_set("targets", targets)?;
    whole.raw_set("health", word(health.checked, health.healthy))?;
    whole
        .raw_set("weight", weights(lua, [health.weight.total, health.weight.available, health.weight.unavailable])?)?;
    Ok(Some(whole))
}

fn weights(lua: &Lua, [total, available, unavailable]: [u64; 3]) -> Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("total", total)?;
    table.raw_set("available", available)?;
    table.raw_set("unavailable", unavailable)?;
    Ok(table)
}
