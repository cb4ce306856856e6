//! `kong.client`, `kong.router`, `kong.node`, `kong.ip` and `kong.log`.

use super::body::decoded;
use super::{Arguments, Host, octets, unknown};
use crate::lua::value::{self, text};
use mlua::{Lua, Result, Value};
use sdk::log::{self, LogMode, LogValue};
use sdk::{Exchange, NodeInfo};
use serde_json::json;

/// What a value of a log entry is not longer than, in octets.
const LONGEST: usize = 4096;

impl Host<'_> {
    pub(super) fn client(&mut self, lua: &Lua, name: &str, arguments: &Arguments<'_>) -> Result<Value> {
        let Exchange { client, consumer, credential, route, service, .. } = &*self.exchange;
        match name {
            "client.get_ip" => octets(lua, client.peer.to_string()),
            "client.get_forwarded_ip" => octets(lua, client.ip.to_string()),
            "client.get_port" => Ok(Value::Integer(client.peer_port.into())),
            "client.get_forwarded_port" => Ok(Value::Integer(client.port.into())),
            "client.get_protocol" => octets(lua, if client.tls.is_some() { "https" } else { "http" }),
            "client.get_consumer" => match consumer {
                Some(consumer) => decoded(lua, &log::consumer(consumer)),
                None => Ok(Value::Nil),
            },
            "client.get_credential" => match credential {
                Some(credential) => {
                    let consumer = credential.consumer.map(|id| json!({ "id": id.to_string() }));
                    value::to_lua(lua, &json!({ "id": credential.id.to_string(), "consumer": consumer }))
                }
                None => Ok(Value::Nil),
            },
            "client.get_consumer_group" | "client.get_consumer_groups" => {
                let groups = self.exchange.consumer_groups();
                let all: Vec<_> =
                    groups.iter().map(|group| json!({ "id": group.id.to_string(), "name": group.name })).collect();
                match (name, all.first()) {
                    (_, None) => Ok(Value::Nil),
                    ("client.get_consumer_group", Some(first)) => value::to_lua(lua, first),
                    _ => value::to_lua(lua, &json!(all)),
                }
            }
            "router.get_route" => match route {
                Some(route) => decoded(lua, &log::route(route)),
                None => Ok(Value::Nil),
            },
            "router.get_service" => match service {
                Some(service) => decoded(lua, &log::service(service)),
                None => Ok(Value::Nil),
            },
            "ip.is_trusted" => Ok(Value::Boolean(client.trusted && arguments.str(0)? == client.peer.to_string())),
            "node.get_hostname" => octets(lua, NodeInfo::default().hostname),
            _ => Err(unknown(name)),
        }
    }

    pub(super) fn log(&mut self, lua: &Lua, function: &str, arguments: &Arguments<'_>) -> Result<Value> {
        match function {
            "serialize" => decoded(lua, &log::serialize(self.exchange)),
            "set_serialize_value" => {
                let mode = match arguments.value(2) {
                    Value::Table(options) => options.get::<Option<String>>("mode")?,
                    _ => None,
                };
                let mode = match mode.as_deref() {
                    Some("add") => LogMode::Add,
                    Some("replace") => LogMode::Replace,
                    _ => LogMode::Set,
                };
                let value = Some(value::to_json(arguments.value(1))?).filter(|value| !value.is_null());
                self.exchange.log_values.push(LogValue { key: arguments.str(0)?, value, mode });
                Ok(Value::Nil)
            }
            level => {
                let mut line = String::new();
                for value in &arguments.values {
                    line.push_str(&shown(value, level == "inspect")?);
                    if line.len() > LONGEST {
                        break;
                    }
                }
                match level {
                    "debug" | "inspect" => tracing::debug!(code = "lua", "{line}"),
                    "info" => tracing::info!(code = "lua", "{line}"),
                    "notice" => tracing::info!(code = "lua", "{line}"),
                    "warn" => tracing::warn!(code = "lua", "{line}"),
                    _ => tracing::error!(code = "lua", "{line}"),
                }
                Ok(Value::Nil)
            }
        }
    }
}

/// A value as a message has it.
fn shown(value: &Value, inspect: bool) -> Result<String> {
    Ok(match (value, text(value)) {
        (Value::Table(_), _) if inspect => value::to_json(value)?.to_string(),
        (Value::Nil, _) => "nil".to_owned(),
        (_, Some(text)) => String::from_utf8_lossy(&text).into_owned(),
        (other, None) => other.to_string()?,
    })
}
