//! `kong.request`: what the client has sent.

use super::{Arguments, Host, maybe, octets, unknown};
use crate::lua::value::{self, Named};
use mlua::{Error, Lua, Result, Value};
use sdk::{Args, Version};

impl Host<'_> {
    pub(super) fn request(&mut self, lua: &Lua, function: &str, arguments: &Arguments<'_>) -> Result<Value> {
        let head = &self.exchange.request;
        let client = &self.exchange.client;
        match function {
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
            "get_http_version" => Ok(Value::Number(match head.version {
                Version::Http10 => 1.0,
                Version::Http11 => 1.1,
                Version::Http2 => 2.0,
                Version::Http3 => 3.0,
            })),
            "get_method" => octets(lua, head.method.as_str()),
            "get_path" => octets(lua, &*self.exchange.path()),
            "get_raw_path" => octets(lua, head.path()),
            "get_path_with_query" => match head.query() {
                Some(query) => octets(lua, format!("{}?{query}", self.exchange.path())),
                None => octets(lua, &*self.exchange.path()),
            },
            "get_raw_query" => octets(lua, head.query().unwrap_or_default()),
            "get_query_arg" => {
                let name = arguments.text(0)?;
                let args = Args::parse(head.query().unwrap_or_default());
                match args.get_all(&name).next() {
                    None => Ok(Value::Nil),
                    Some(None) => Ok(Value::Boolean(true)),
                    Some(Some(value)) => octets(lua, value),
                }
            }
            "get_query" => named_args(lua, &Args::parse(head.query().unwrap_or_default())),
            "get_header" => maybe(lua, head.fields.get(&arguments.str(0)?)),
            "get_headers" => Named::of_fields(lua, &head.fields),
            "get_raw_body" => match &self.exchange.body {
                body if body.is_too_large() => Err(Error::runtime(
                    "request body did not fit into client body buffer, consider raising 'client_body_buffer_size'",
                )),
                body => maybe(lua, body.bytes()),
            },
            "get_body" => self.request_content(lua, arguments),
            "get_start_time" => Ok(Value::Number(self.exchange.timing.started_unix_ms as f64)),
            "get_uri_captures" => {
                let mut captures = Named::new(lua)?;
                for (name, value) in &self.exchange.captures {
                    captures.add(lua, name.as_bytes(), octets(lua, value)?)?;
                }
                let all = lua.create_table()?;
                all.raw_set("named", captures.finish())?;
                all.raw_set("unnamed", lua.create_table()?)?;
                Ok(Value::Table(all))
            }
            _ => Err(unknown(arguments.name)),
        }
    }

    /// The name by which the client knows us, without port.
    fn host(&self) -> Option<Vec<u8>> {
        let host = self.exchange.request.fields.get("Host")?.to_ascii_lowercase();
        let port = host.iter().rposition(|&b| b == b':').filter(|at| host[at + 1..].iter().all(u8::is_ascii_digit));
        Some(host[..port.unwrap_or(host.len())].to_vec())
    }

    /// What a proxy says that may speak for the client.
    fn trusted_line(&self, name: &str) -> Option<&[u8]> {
        self.exchange.request.fields.get(name).filter(|_| self.exchange.client.trusted)
    }
}

/// Arguments as Kong shows them: one without `=` is true.
pub fn named_args(lua: &Lua, args: &Args) -> Result<Value> {
    let mut named = Named::new(lua)?;
    for (name, value) in args.iter() {
        let value = match value {
            Some(value) => octets(lua, value)?,
            None => Value::Boolean(true),
        };
        named.add(lua, &name, value)?;
    }
    Ok(named.finish())
}

/// Arguments that code gives as a table, in the order of their names.
pub fn args_of(table: &mlua::Table) -> Result<Args> {
    let mut pairs: Vec<(Vec<u8>, Value)> = Vec::new();
    for pair in table.pairs::<Value, Value>() {
        let (name, given) = pair?;
        let name = value::text(&name).ok_or_else(|| Error::runtime("names of arguments must be strings"))?;
        pairs.push((name, given));
    }
    pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut args = Args::parse("");
    for (name, given) in pairs {
        match given {
            Value::Boolean(true) => args.append(&name, None),
            Value::Boolean(false) => {}
            other => value::values(&other)?.iter().for_each(|value| args.append(&name, Some(value))),
        }
    }
    Ok(args)
}
