//! Properties, named by paths: those of proxy-wasm, Kong's own (`kong.*`), nginx's variables (`ngx.*`), and what
//! filters keep for each other while an exchange lasts.

use super::fields::{set_scheme, set_status};
use super::memory::{give, read};
use super::{Guest, Host, Stage, Status, code};
use crate::wasm::node;
use sdk::{Exchange, KONG_VERSION, Source, Version, log};
use serde_json::Value;
use std::collections::HashMap;
use wasmtime::{Linker, Result};

/// What filters have set for an exchange.
#[derive(Default)]
struct Kept(HashMap<String, Vec<u8>>);

/// How much that may be for one exchange, in values, and in octets with their names.
const MOST_KEPT: usize = 256;
const OCTETS_KEPT: usize = 1 << 20;

impl Kept {
    fn has_room(&self, path: &str, value: &[u8]) -> bool {
        let others = self.0.iter().filter(|(name, _)| *name != path);
        let (count, octets) = others.fold((1, path.len() + value.len()), |(count, octets), (name, value)| {
            (count + 1, octets + name.len() + value.len())
        });
        count <= MOST_KEPT && octets <= OCTETS_KEPT
    }
}

pub fn add(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_property",
        |mut guest: Guest<'_>, path: u32, size: u32, place: u32, length: u32| {
            code((|| {
                let path = path_of(&read(&mut guest, path, size)?)?;
                let value = get(guest.data_mut(), &path).ok_or(Status::NotFound)?;
                give(&mut guest, &value, place, length)
            })())
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_property",
        |mut guest: Guest<'_>, path: u32, size: u32, value: u32, length: u32| {
            code((|| {
                let path = path_of(&read(&mut guest, path, size)?)?;
                let value = match value {
                    0 => None,
                    at => Some(read(&mut guest, at, length)?),
                };
                set(guest.data_mut(), &path, value)
            })())
        },
    )?;
    Ok(())
}

/// Parts are separated by NUL; a part may have more than one of Kong's.
fn path_of(octets: &[u8]) -> std::result::Result<String, Status> {
    let text = std::str::from_utf8(octets).map_err(|_| Status::BadArgument)?;
    Ok(text.trim_end_matches('\0').replace('\0', "."))
}

fn get(host: &mut Host, path: &str) -> Option<Vec<u8>> {
    match path {
        "plugin_name" | "plugin_root_id" => return Some(host.filter.name.as_bytes().to_vec()),
        "plugin_vm_id" => return Some(Vec::new()),
        "worker_id" => return Some(host.machine.to_string().into_bytes()),
        "kong.version" => return Some(KONG_VERSION.into()),
        "kong.nginx.subsystem" => return Some("http".into()),
        "kong.node.id" => return node().map(|node| node.id.clone().into_bytes()),
        _ => {}
    }
    if let Some(name) = path.strip_prefix("kong.configuration.") {
        return text_of(node()?.configuration.get(name)?);
    }
    if !host.has_exchange() {
        return None;
    }
    let stage = host.stage;
    let exchange = &mut host.exchange;
    if let Some(name) = path.strip_prefix("kong.") {
        return of_kong(exchange, stage, name);
    }
    if let Some(name) = path.strip_prefix("ngx.") {
        return lua::variable(exchange, name);
    }
    if let Some(kept) = exchange.state::<Kept>().and_then(|kept| kept.0.get(path)) {
        return Some(kept.clone());
    }
    of_proxy_wasm(exchange, stage, path)
}

/// The properties that Envoy has, too.
fn of_proxy_wasm(exchange: &Exchange, stage: Stage, path: &str) -> Option<Vec<u8>> {
    let (client, head, lines) = (&exchange.client, &exchange.request, exchange.client_lines());
    let line = |name: &str| lines.get(name).map(<[u8]>::to_vec);
    // As nginx's variables say it: in Kong these properties are texts.
    let number = |number: u64| Some(number.to_string().into_bytes());
    let seconds = |ms: u64| Some(format!("{}.{:03}", ms / 1000, ms % 1000).into_bytes());
    let text = |text: &str| Some(text.as_bytes().to_vec());
    match path {
        "request.path" => text(&head.target),
        "request.url_path" => text(head.path()),
        "request.query" => text(head.query().unwrap_or_default()),
        "request.host" => line("Host"),
        "request.scheme" => text(scheme(exchange)),
        "request.method" => text(head.method.as_str()),
        "request.protocol" => text(protocol(head.version)),
        "request.id" => text(exchange.id_str()),
        "request.referer" => line("Referer"),
        "request.useragent" => line("User-Agent"),
        "request.time" => seconds(exchange.timing.started_unix_ms),
        "request.duration" => seconds(exchange.timing.started.elapsed().as_millis() as u64),
        "request.size" => number(exchange.body.bytes().map_or(0, |content| content.len() as u64)),
        "request.total_size" => number(exchange.traffic.received),
        path if path.starts_with("request.headers.") => line(&path["request.headers.".len()..]),
        "response.code" if stage >= Stage::ResponseHeaders => number(exchange.response.status.into()),
        "response.total_size" => number(exchange.traffic.sent),
        path if path.starts_with("response.headers.") && stage >= Stage::ResponseHeaders => {
            exchange.response.fields.get(&path["response.headers.".len()..]).map(<[u8]>::to_vec)
        }
        "source.address" => text(&client.ip.to_string()),
        "source.port" => number(client.port.into()),
        "destination.address" => text(&client.local_ip.to_string()),
        "destination.port" => number(client.local_port.into()),
        "connection.id" => number(client.connection),
        "connection.mtls" => text(if client.certificate.is_some() { "true" } else { "false" }),
        "connection.requested_server_name" => client.sni.as_deref().and_then(text),
        "connection.tls_version" => client.tls.and_then(|tls| text(tls.version)),
        "upstream.address" => exchange.tries.last().and_then(|last| text(&last.address.ip().to_string())),
        "upstream.port" => exchange.tries.last().and_then(|last| number(last.address.port().into())),
        "route_name" => exchange.route.as_ref()?.name.as_deref().and_then(text),
        "cluster_name" => exchange.service.as_ref()?.name.as_deref().and_then(text),
        _ => None,
    }
}

/// Kong's own, without their `kong.`.
fn of_kong(exchange: &mut Exchange, stage: Stage, name: &str) -> Option<Vec<u8>> {
    let text = |text: &str| Some(text.as_bytes().to_vec());
    let client = &exchange.client;
    match name {
        "client.protocol" => text(if client.tls.is_some() { "https" } else { "http" }),
        "request.forwarded_host" => text(&forwarded_host(exchange)),
        "request.forwarded_port" => text(&client.public_port.to_string()),
        "request.forwarded_scheme" => text(scheme(exchange)),
        "request.port" => text(&client.local_port.to_string()),
        "response.source" if stage >= Stage::ResponseHeaders => text(match exchange.source {
            Source::Service => "service",
            Source::Exit => "exit",
            Source::Error => "error",
        }),
        "router.route" => exchange.route.as_ref().map(|route| log::route(route)),
        "router.service" => exchange.service.as_ref().map(|service| log::service(service)),
        "route_id" => exchange.route.as_ref().and_then(|route| text(&route.id.to_string())),
        "route_name" => exchange.route.as_ref()?.name.as_deref().and_then(text),
        "service_id" => exchange.service.as_ref().and_then(|service| text(&service.id.to_string())),
        "service_name" => exchange.service.as_ref()?.name.as_deref().and_then(text),
        "service.response.status" => {
            let last = exchange.tries.last().filter(|_| exchange.source == Source::Service)?;
            text(&last.status.to_string())
        }
        "node.memory_stats" => lua::memory_stats(exchange),
        _ => lua::shared(exchange, name.strip_prefix("ctx.shared.")?),
    }
}

fn set(host: &mut Host, path: &str, value: Option<Vec<u8>>) -> std::result::Result<(), Status> {
    if !host.has_exchange() {
        return Err(Status::NotFound);
    }
    let stage = host.stage;
    let exchange = &mut host.exchange;
    let text = || value.as_deref().and_then(|value| std::str::from_utf8(value).ok()).ok_or(Status::BadArgument);
    let before_service = stage <= Stage::RequestBody;
    match path {
        "kong.response.status" if stage == Stage::ResponseHeaders => {
            let status = text()?.parse().ok().filter(|status| (200..=599).contains(status));
            set_status(exchange, status.ok_or(Status::BadArgument)?);
        }
        "kong.service.target" if before_service => {
            let (name, port) = text()?.rsplit_once(':').ok_or(Status::BadArgument)?;
            let port = port.parse().ok().filter(|port| *port > 0).ok_or(Status::BadArgument)?;
            (exchange.upstream.host, exchange.upstream.port) = (Some(name.into()), port);
        }
        "kong.service.upstream" if before_service => {
            let name = text()?;
            if !exchange.directory.has_upstream(&exchange.workspace(), name) {
                let words = format!("could not find an Upstream named '{name}'");
                return Err(host.misplaced(&words));
            }
            exchange.upstream.host = Some(name.into());
        }
        "kong.service.request.scheme" if before_service => set_scheme(exchange, text()?)?,
        path if path.starts_with("kong.ctx.shared.") => {
            let name = &path["kong.ctx.shared.".len()..];
            lua::set_shared(exchange, name, value.as_deref()).ok_or(Status::InternalFailure)?;
        }
        path if ["kong.", "ngx.", "request.", "response.", "plugin_"].iter().any(|own| path.starts_with(own)) => {
            return Err(host.misplaced(&format!("the property {path} cannot be set here")));
        }
        path => {
            if exchange.state::<Kept>().is_none() {
                exchange.put(Kept::default());
            }
            let kept = exchange.state::<Kept>().ok_or(Status::InternalFailure)?;
            match value {
                Some(value) if !kept.has_room(path, &value) => return Err(Status::InternalFailure),
                Some(value) => drop(kept.0.insert(path.to_owned(), value)),
                None => drop(kept.0.remove(path)),
            }
        }
    }
    Ok(())
}

fn scheme(exchange: &Exchange) -> &'static str {
    if exchange.client.https { "https" } else { "http" }
}

/// The host that a trusted proxy says, or the one that was asked.
fn forwarded_host(exchange: &Exchange) -> String {
    let said = exchange.client_lines().get_str("X-Forwarded-Host").filter(|_| exchange.client.trusted);
    said.map_or_else(|| exchange.host(), |hosts| hosts.split(',').next().unwrap_or(hosts).trim().to_owned())
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
        Version::Http2 => "HTTP/2",
        Version::Http3 => "HTTP/3",
    }
}

/// A setting as Kong's filters get it.
fn text_of(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone().into_bytes()),
        other => Some(other.to_string().into_bytes()),
    }
}

/// What Lua has of an exchange, and shares.
#[cfg(feature = "lua")]
mod lua {
    use crate::lua::{Called, Calls, Phase, octets_of};
    use futures_util::FutureExt;
    use mlua::{MultiValue, Value};
    use sdk::Exchange;

    fn call(exchange: &mut Exchange, name: &str, arguments: &[&[u8]]) -> Option<Value> {
        let calls = Calls::new(Phase::Access, (0, ""), "wasm").ok()?;
        let given = arguments.iter().map(|text| calls.lua().create_string(text).map(Value::String));
        let given: MultiValue = given.collect::<mlua::Result<_>>().ok()?;
        // None of these functions waits.
        match calls.call(Some(exchange), name, given).now_or_never()? {
            Called::Values(mut values) => values.pop_front(),
            Called::Answer(_) => None,
            Called::Error(error) => {
                tracing::error!("a filter's property is not to be had: {error}");
                None
            }
        }
    }

    /// One of nginx's variables.
    pub fn variable(exchange: &mut Exchange, name: &str) -> Option<Vec<u8>> {
        octets_of(&call(exchange, "kong.nginx.get_var", &[name.as_bytes()])?)
    }

    pub fn shared(exchange: &mut Exchange, name: &str) -> Option<Vec<u8>> {
        match call(exchange, "kong.ctx.shared.get", &[name.as_bytes()])? {
            Value::Nil => None,
            Value::Boolean(value) => Some(value.to_string().into_bytes()),
            value => octets_of(&value),
        }
    }

    pub fn set_shared(exchange: &mut Exchange, name: &str, value: Option<&[u8]>) -> Option<()> {
        let mut arguments = vec![name.as_bytes()];
        arguments.extend(value);
        call(exchange, "kong.ctx.shared.set", &arguments);
        Some(())
    }

    pub fn memory_stats(exchange: &mut Exchange) -> Option<Vec<u8>> {
        let stats = call(exchange, "kong.node.get_memory_stats", &[])?;
        Some(crate::lua::json_of(&stats).ok()?.to_string().into_bytes())
    }
}

/// Without Lua, filters share among themselves.
#[cfg(not(feature = "lua"))]
mod lua {
    use sdk::Exchange;
    use std::collections::HashMap;

    #[derive(Default)]
    struct Shared(HashMap<String, Vec<u8>>);

    pub fn variable(_exchange: &mut Exchange, _name: &str) -> Option<Vec<u8>> {
        None
    }

    pub fn shared(exchange: &mut Exchange, name: &str) -> Option<Vec<u8>> {
        exchange.state::<Shared>()?.0.get(name).cloned()
    }

    pub fn set_shared(exchange: &mut Exchange, name: &str, value: Option<&[u8]>) -> Option<()> {
        let mut shared = exchange.take::<Shared>().unwrap_or_default();
        match value {
            Some(value) => drop(shared.0.insert(name.to_owned(), value.to_vec())),
            None => drop(shared.0.remove(name)),
        }
        exchange.put(shared);
        Some(())
    }

    pub fn memory_stats(_exchange: &mut Exchange) -> Option<Vec<u8>> {
        Some(br#"{"lua_shared_dicts":{},"workers_lua_vms":[]}"#.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_filters_keep_of_an_exchange_is_bounded() {
        let mut kept = Kept(HashMap::from([("a".to_owned(), vec![0; OCTETS_KEPT - 10])]));
        assert!(!kept.has_room("b", &[0; 10]));
        assert!(kept.has_room("b", &[0; 8]));
        assert!(kept.has_room("a", &[0; 100]));
        kept.0 = (0..MOST_KEPT).map(|number| (number.to_string(), Vec::new())).collect();
        assert!(!kept.has_room("a", b"") && kept.has_room("0", b""));
    }
}
