//! The part of OpenResty's `ngx` that code is used to.

use super::{Arguments, Host, maybe, octets, unknown};
use crate::lua::Phase;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mlua::{Lua, Result, Value};
use sdk::Args;
use std::time::{SystemTime, UNIX_EPOCH};

impl Host<'_> {
    pub(super) fn ngx(&mut self, lua: &Lua, function: &str, arguments: &Arguments<'_>) -> Result<Value> {
        match function {
            "now" => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Ok(Value::Number(since.as_millis() as f64 / 1000.0))
            }
            "get_phase" => octets(lua, self.phase.name()),
            "encode_base64" => octets(lua, STANDARD.encode(arguments.text(0)?)),
            "decode_base64" => maybe(lua, STANDARD.decode(arguments.text(0)?).ok()),
            "escape_uri" => octets(lua, escaped(&arguments.text(0)?)),
            "unescape_uri" => octets(lua, &*sdk::decode(&arguments.text(0)?)),
            "var" => self.variable(lua, &arguments.str(0)?),
            _ => Err(unknown(arguments.name)),
        }
    }

    /// nginx's variables, as far as they are about the request.
    fn variable(&self, lua: &Lua, name: &str) -> Result<Value> {
        let exchange = &*self.exchange;
        let (head, client) = (&exchange.request, &exchange.client);
        match name {
            "request_method" => octets(lua, head.method.as_str()),
            "request_uri" => octets(lua, &*head.target),
            "uri" => octets(lua, &*exchange.path()),
            "args" | "query_string" => maybe(lua, head.query()),
            "is_args" => octets(lua, if head.query().is_some() { "?" } else { "" }),
            "scheme" => octets(lua, if client.tls.is_some() { "https" } else { "http" }),
            "https" => octets(lua, if client.tls.is_some() { "on" } else { "" }),
            "host" | "http_host" => maybe(lua, head.fields.get("Host")),
            "remote_addr" => octets(lua, client.ip.to_string()),
            "realip_remote_addr" => octets(lua, client.peer.to_string()),
            "remote_port" => octets(lua, client.port.to_string()),
            "server_addr" => octets(lua, client.local_ip.to_string()),
            "server_port" => octets(lua, client.local_port.to_string()),
            "request_id" | "kong_request_id" => octets(lua, exchange.id_str()),
            "connection" => octets(lua, client.connection.to_string()),
            "connection_requests" => octets(lua, client.request.to_string()),
            "status" if ![Phase::Rewrite, Phase::Access].contains(&self.phase) => {
                octets(lua, exchange.response.status.to_string())
            }
            "upstream_uri" => octets(lua, &exchange.upstream.path),
            "request_body" => maybe(lua, exchange.body.bytes()),
            _ => match (name.strip_prefix("http_"), name.strip_prefix("arg_")) {
                (Some(line), _) => maybe(lua, head.fields.get(&line.replace('_', "-"))),
                (_, Some(argument)) => {
                    let args = Args::parse(head.query().unwrap_or_default());
                    maybe(lua, args.get_all(argument).next().flatten())
                }
                _ => Ok(Value::Nil),
            },
        }
    }
}

/// As nginx escapes arguments: all but what never means anything.
fn escaped(text: &[u8]) -> String {
    let mut out = String::new();
    for &octet in text {
        if octet.is_ascii_alphanumeric() || b"-._~!'()*".contains(&octet) {
            out.push(octet.into());
        } else {
            out.push_str(&format!("%{octet:02X}"));
        }
    }
    out
}
