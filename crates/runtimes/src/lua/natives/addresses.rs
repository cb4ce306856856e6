//! Addresses and networks, and paths as routes see them.

use crate::lua::value::text;
use mlua::{Error, Function, Lua, LuaString, Result, Table, Value};
use sdk::address::Cidr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Networks that one matcher may hold.
const MOST_NETWORKS: usize = 1 << 16;

pub fn add(lua: &Lua, native: &Table) -> Result<()> {
    native.raw_set("address_kind", lua.create_function(|_, given: Value| Ok(address(&given).map(family)))?)?;
    native
        .raw_set("address_text", lua.create_function(|_, octets: LuaString| Ok(address_text(&octets.as_bytes())))?)?;
    native.raw_set("address_octets", lua.create_function(address_octets)?)?;
    native.raw_set("whole_ipv6", lua.create_function(|_, given: String| Ok(whole_ipv6(&given)))?)?;
    native.raw_set("networks", lua.create_function(networks)?)?;
    native.raw_set("escape_path", lua.create_function(escape_path)?)
}

fn address(given: &Value) -> Option<IpAddr> {
    std::str::from_utf8(&text(given)?).ok()?.parse().ok()
}

fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { 4 } else { 6 }
}

/// An address of its octets (`ngx.var.binary_remote_addr`).
fn address_text(octets: &[u8]) -> Option<String> {
    let address = match <[u8; 4]>::try_from(octets) {
        Ok(octets) => IpAddr::V4(Ipv4Addr::from(octets)),
        Err(_) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?)),
    };
    Some(address.to_string())
}

fn address_octets(lua: &Lua, given: Value) -> Result<Option<LuaString>> {
    match address(&given) {
        Some(IpAddr::V4(address)) => lua.create_string(address.octets()).map(Some),
        Some(IpAddr::V6(address)) => lua.create_string(address.octets()).map(Some),
        None => Ok(None),
    }
}

/// With all of its digits.
fn whole_ipv6(given: &str) -> Option<String> {
    let address: Ipv6Addr = given.parse().ok()?;
    Some(address.segments().map(|segment| format!("{segment:04x}")).join(":"))
}

/// A function that finds the narrowest of these networks with an address: its place, false for none, nil for what is
/// no address. Where one of them is no network, nil and that one.
fn networks(lua: &Lua, given: Table) -> Result<(Option<Function>, Option<String>)> {
    let mut all: Vec<(usize, Cidr)> = Vec::new();
    for (at, network) in given.sequence_values::<String>().enumerate() {
        let network = network?;
        match Cidr::parse(&network) {
            Some(network) => all.push((at + 1, network)),
            None => return Ok((None, Some(network))),
        }
        if at >= MOST_NETWORKS {
            return Err(Error::runtime("there are too many networks"));
        }
    }
    all.sort_by_key(|(_, network)| std::cmp::Reverse(network.length()));
    let find = lua.create_function(move |_, given: Value| {
        let Some(address) = address(&given) else { return Ok(Value::Nil) };
        let found = all.iter().find(|(_, network)| network.contains(address));
        Ok(found.map_or(Value::Boolean(false), |(place, _)| Value::Integer(*place as i64)))
    })?;
    Ok((Some(find), None))
}

/// What a path or a header line cannot have is escaped; escapes stay.
fn escape_path(lua: &Lua, given: LuaString) -> Result<LuaString> {
    let mut out = Vec::new();
    for &octet in &*given.as_bytes() {
        match octet.is_ascii_alphanumeric() || b"!#$&'()*+,/:;=?@[]-_.~%".contains(&octet) {
            true => out.push(octet),
            false => out.extend_from_slice(format!("%{octet:02X}").as_bytes()),
        }
    }
    lua.create_string(out)
}
