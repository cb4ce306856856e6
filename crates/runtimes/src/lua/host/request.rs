//! `kong.request`: what the client has sent.

use super::{Arguments, Host, maybe, octets, unknown};
use crate::lua::Phase;
use crate::lua::operations;
use crate::lua::sockets::Client;
use crate::lua::value::{self, LISTS, Named, line_of};
use mlua::{Error, IntoLuaMulti, Lua, MultiValue, Result, Value};
use sdk::{Args, Version};
use std::time::Duration;

impl Host {
    pub(super) fn request(&mut self, lua: &Lua, function: &str, arguments: &Arguments<'_>) -> Result<MultiValue> {
        let head = &self.exchange.request;
        let (client, lines) = (&self.exchange.client, self.exchange.client_lines());
        let value = match function {
            "get_query" => {
                let args = Args::parse(self.query().unwrap_or_default());
                return named_args(lua, &args, arguments.max(0));
            }
            "get_headers" if arguments.value(1).as_boolean() == Some(true) => {
                return Named::of_raw_fields(lua, lines, arguments.max(0));
            }
            "get_headers" => return Named::of_fields(lua, lines.iter(), arguments.max(0)),
            "get_body" => return self.request_content(lua, arguments),
            "get_raw_body" if self.exchange.body.is_too_large() => {
                let why = "request body did not fit into client body buffer, consider raising \
                    'client_body_buffer_size'";
                return (Value::Nil, why).into_lua_multi(lua);
            }
            "get_scheme" => octets(lua, if client.tls.is_some() { "https" } else { "http" }),
            "get_host" => maybe(lua, self.host()),
            "get_port" => Ok(Value::Integer(client.local_port.into())),
            "get_forwarded_scheme" => octets(lua, if client.https { "https" } else { "http" }),
            "get_forwarded_host" => match self.trusted_line("X-Forwarded-Host") {
                Some(host) => octets(lua, host.to_ascii_lowercase()),
                None => maybe(lua, self.host()),
            },
            "get_forwarded_port" => {
                let port =
                    self.trusted_line("X-Forwarded-Port").and_then(|port| std::str::from_utf8(port).ok()?.parse().ok());
                Ok(Value::Integer(port.unwrap_or_else(|| client.public_port.into())))
            }
            "get_forwarded_path" => match self.trusted_line("X-Forwarded-Path") {
                Some(path) => octets(lua, path),
                None => octets(lua, head.path()),
            },
            "get_forwarded_prefix" => match self.trusted_line("X-Forwarded-Prefix") {
                Some(prefix) => octets(lua, prefix),
                None => maybe(lua, self.stripped()),
            },
            "get_http_version" => Ok(Value::Number(match head.version {
                Version::Http10 => 1.0,
                Version::Http11 => 1.1,
                Version::Http2 => 2.0,
                Version::Http3 => 3.0,
            })),
            "get_method" => octets(lua, self.method()),
            "get_path" => octets(lua, &*self.exchange.path()),
            "get_raw_path" => octets(lua, head.path()),
            "get_path_with_query" => match head.query() {
                Some(query) => octets(lua, format!("{}?{query}", self.exchange.path())),
                None => octets(lua, &*self.exchange.path()),
            },
            "get_raw_query" => octets(lua, self.query().unwrap_or_default()),
            "get_query_arg" => {
                let name = arguments.text(0)?;
                let args = Args::parse(self.query().unwrap_or_default());
                match args.get_all(&name).next() {
                    None => Ok(Value::Nil),
                    Some(None) => Ok(Value::Boolean(true)),
                    Some(Some(value)) => octets(lua, value),
                }
            }
            "get_header" => maybe(lua, line_of(lines, &arguments.str(0)?)),
            "get_raw_body" => maybe(lua, self.content_for_code()?),
            "get_start_time" => Ok(Value::Number(self.exchange.timing.started_unix_ms as f64)),
            "demand" => {
                let body = &mut self.exchange.body;
                let waits = match arguments.values.is_empty() {
                    true => {
                        body.receive();
                        false
                    }
                    false => {
                        let parked = arguments.integer(0)? as u64;
                        body.demand(move || {
                            operations::wake(parked);
                        })
                    }
                };
                Ok(Value::Boolean(waits))
            }
            "client_socket" => match &self.exchange.socket {
                Some(socket) => Ok(Value::UserData(lua.create_userdata(Client(socket.clone()))?)),
                None => Ok(Value::Nil),
            },
            "get_times" => self.times(lua),
            "is_stream" => Ok(Value::Boolean(self.exchange.stream.is_some())),
            "get_uri_captures" => {
                let (named, unnamed) = (lua.create_table()?, lua.create_table()?);
                unnamed.set_metatable(Some(lua.named_registry_value(LISTS)?))?;
                for (name, value) in &self.exchange.captures {
                    match name.parse::<i64>() {
                        Ok(place) => unnamed.raw_set(place, octets(lua, value)?)?,
                        Err(_) => named.raw_set(name.as_str(), octets(lua, value)?)?,
                    }
                }
                let all = lua.create_table()?;
                all.raw_set("named", named)?;
                all.raw_set("unnamed", unnamed)?;
                Ok(Value::Table(all))
            }
            _ => Err(unknown(arguments.name)),
        };
        value?.into_lua_multi(lua)
    }

    /// The client's method, or what a plugin has put in its place.
    pub(super) fn method(&self) -> &str {
        self.exchange.upstream.method.as_deref().unwrap_or(self.exchange.request.method.as_str())
    }

    /// What follows the `?`, with the edits of plugins, as nginx has it in one place.
    pub(super) fn query(&self) -> Option<&str> {
        let edited = self.exchange.upstream.query.as_deref();
        match self.phase {
            Phase::Rewrite => edited.or(self.exchange.request.query()).filter(|query| !query.is_empty()),
            _ if self.exchange.service.is_some() => edited,
            _ => self.exchange.request.query(),
        }
    }

    /// Edits the same. Before routing an empty one stays as such: none at all would mean that nobody has edited it.
    pub(super) fn set_query(&mut self, query: Option<String>) {
        let kept = self.phase == Phase::Rewrite || query.as_ref().is_some_and(|query| !query.is_empty());
        self.exchange.upstream.query = kept.then(|| query.unwrap_or_default());
    }

    /// When the request had come (milliseconds since 1970), when a service was first turned to, when that had
    /// answered, and what else the names in `ngx.ctx` depend on.
    fn times(&self, lua: &Lua) -> Result<Value> {
        let exchange = &self.exchange;
        let timing = &exchange.timing;
        let after = |spent: Duration| timing.started_unix_ms + spent.as_millis() as u64;
        let proxied = timing.proxy;
        let answered = proxied.zip(timing.upstream).map(|(proxied, upstream)| proxied + upstream);
        let times = lua.create_table()?;
        times.raw_set("started", timing.started_unix_ms)?;
        times.raw_set("proxied", proxied.map(after))?;
        times.raw_set("answered", answered.map(after))?;
        times.raw_set("now", after(timing.started.elapsed()))?;
        times.raw_set("held", exchange.response_body.is_some())?;
        times.raw_set("stream", exchange.stream.is_some())?;
        times.raw_set("port", exchange.client.public_port)?;
        Ok(Value::Table(times))
    }

    /// The name by which the client knows us, without port.
    fn host(&self) -> Option<Vec<u8>> {
        let host = self.exchange.client_lines().get("Host")?.to_ascii_lowercase();
        let port = host.iter().rposition(|&b| b == b':').filter(|at| host[at + 1..].iter().all(u8::is_ascii_digit));
        Some(host[..port.unwrap_or(host.len())].to_vec())
    }

    /// What the service does not see of the path, where the route takes something off.
    fn stripped(&self) -> Option<String> {
        let path = self.exchange.path();
        let prefix = path.strip_suffix(&*self.exchange.upstream.path)?;
        (!prefix.is_empty()).then(|| prefix.to_owned())
    }

    /// What a proxy says that may speak for the client.
    fn trusted_line(&self, name: &str) -> Option<&[u8]> {
        self.exchange.client_lines().get(name).filter(|_| self.exchange.client.trusted)
    }
}

/// Arguments as Kong shows them: one without `=` is true.
pub fn named_args(lua: &Lua, args: &Args, max: usize) -> Result<MultiValue> {
    let mut named = Named::new(lua, max)?;
    for (name, value) in args.iter() {
        let value = match value {
            Some(value) => octets(lua, value)?,
            None => Value::Boolean(true),
        };
        named.add(lua, &name, value)?;
    }
    named.finish(lua)
}

/// Arguments that code gives as a table, in the order of their names.
pub fn args_of(table: &mlua::Table) -> Result<Args> {
    let mut pairs: Vec<(Vec<u8>, Value)> = Vec::new();
    for pair in table.pairs::<Value, Value>() {
        let (name, given) = pair?;
        let Value::String(name) = name else { return Err(Error::runtime("arg keys must be strings")) };
        let name = name.as_bytes().to_vec();
        pairs.push((name, given));
    }
    pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut args = Args::parse("");
    for (name, given) in pairs {
        match given {
            Value::Boolean(true) => args.append(&name, None),
            Value::Boolean(false) => {}
            Value::Table(list) => {
                for item in list.sequence_values::<Value>() {
                    match item? {
                        Value::Boolean(true) => args.append(&name, None),
                        Value::Boolean(false) => {}
                        other => args.append(&name, Some(&argument(&other)?)),
                    }
                }
            }
            other => args.append(&name, Some(&argument(&other)?)),
        }
    }
    Ok(args)
}

/// The text of an argument's value.
fn argument(value: &Value) -> Result<Vec<u8>> {
    value::text(value).ok_or_else(|| Error::runtime(format!("attempt to use {} as query arg value", value.type_name())))
}
