//! `kong.client`, `kong.router`, and what `kong.log` has of the exchange.

use super::body::decoded;
use super::{Arguments, Host, maybe, octets, unknown};
use crate::lua::value::{self, Nulls};
use mlua::{Error, Lua, Result, Value};
use sdk::certificates::pem;
use sdk::entities::{Consumer, Credential, Uuid};
use sdk::log::{self, LogMode, LogValue};
use sdk::{Exchange, SnapshotRef};
use serde_json::{Value as Json, json};

/// Entities of credentials, and the fields by which requests find them.
const FOUND_BY: [(&str, &str); 6] = [
    ("keyauth_credentials", "key"),
    ("basicauth_credentials", "username"),
    ("jwt_secrets", "key"),
    ("hmacauth_credentials", "username"),
    ("oauth2_credentials", "client_id"),
    ("keyauth_enc_credentials", "key"),
];

impl Host {
    pub(super) fn client(&mut self, lua: &Lua, name: &str, arguments: &Arguments<'_>) -> Result<Value> {
        let Exchange { client, consumer, credential, route, service, .. } = &self.exchange;
        match name {
            "client.get_ip" => octets(lua, client.peer.to_string()),
            "client.get_forwarded_ip" => octets(lua, client.ip.to_string()),
            "client.get_port" => Ok(Value::Integer(client.peer_port.into())),
            "client.get_forwarded_port" => Ok(match client.port {
                0 => Value::Nil,
                port => Value::Integer(port.into()),
            }),
            "client.certificate_chain" => {
                let shown = client.certificate.as_ref();
                let chain = shown.map(|shown| std::iter::once(shown.own()).chain(shown.others()).map(pem).collect());
                maybe(lua, chain.as_ref().map(|pem: &String| pem.as_bytes()))
            }
            "client.get_protocol" => octets(lua, if client.tls.is_some() { "https" } else { "http" }),
            "client.get_consumer" => match consumer {
                Some(consumer) => decoded(lua, &log::consumer(&self.exchange, consumer)),
                None => Ok(Value::Nil),
            },
            "client.get_credential" => match credential {
                Some(credential) => {
                    let consumer = credential.consumer.map(|id| json!({ "id": self.exchange.shown_id(&id) }));
                    let id = Some(credential.id).filter(|id| !id.is_nil()).map(|id| self.exchange.shown_id(&id));
                    let mut record = json!({ "id": id, "consumer": consumer });
                    let is_it = |(entity, _): &&(&str, &str)| {
                        let found = self.exchange.find_credential(entity, credential.key.as_bytes());
                        found.is_some_and(|found| found.id == credential.id)
                    };
                    // What code makes the whole record of (`kept.lua`).
                    if let Some((entity, field)) = FOUND_BY.iter().find(is_it) {
                        record["entity"] = (*entity).into();
                        record[*field] = (*credential.key).into();
                    }
                    value::record(lua, &record)
                }
                None => Ok(Value::Nil),
            },
            "client.get_consumer_group" | "client.get_consumer_groups" => {
                let groups = self.exchange.consumer_groups();
                let all: Vec<_> =
                    groups.iter().map(|group| json!({ "id": group.id.to_string(), "name": group.name })).collect();
                match (name, all.first()) {
                    (_, None) => Ok(Value::Nil),
                    ("client.get_consumer_group", Some(first)) => value::record(lua, first),
                    _ => value::record(lua, &json!(all)),
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
            "client.load_consumer" => {
                let name = arguments.str(0)?;
                let by_name = arguments.value(1).as_boolean() == Some(true);
                let consumer = match (Uuid::parse_str(&name), by_name) {
                    (Ok(id), _) => self.exchange.find_consumer(&id),
                    (Err(_), true) => self.exchange.find_consumer_by_username(&name),
                    (Err(_), false) => {
                        return Err(Error::runtime("cannot load a consumer with an id that is not a uuid"));
                    }
                };
                match consumer {
                    Some(consumer) => decoded(lua, &log::consumer(&self.exchange, &consumer)),
                    None => Ok(Value::Nil),
                }
            }
            "client.authenticate" => self.authenticate(arguments),
            "client.authenticated_groups" => match &self.exchange.authenticated_groups {
                Some(groups) => value::record(lua, &json!(groups)),
                None => Ok(Value::Nil),
            },
            "client.set_authenticated_groups" => {
                let groups = value::to_json(arguments.value(0))?;
                let names =
                    |groups: &Vec<Json>| groups.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect();
                self.exchange.authenticated_groups = match &groups {
                    Json::Null => None,
                    groups => Some(groups.as_array().map(names).unwrap_or_default()),
                };
                Ok(Value::Nil)
            }
            "client.authenticated_token" => match &self.exchange.token {
                Some(token) => octets(lua, token),
                None => Ok(Value::Nil),
            },
            _ => Err(unknown(name)),
        }
    }

    /// Records of the caller that code has found.
    fn authenticate(&mut self, arguments: &Arguments<'_>) -> Result<Value> {
        let workspace = self.exchange.workspace();
        let json = |at: usize| match arguments.value(at) {
            Value::Table(_) => value::to_json(arguments.value(at)),
            _ => Ok(Json::Null),
        };
        let text = |record: &Json, name: &str| record[name].as_str().map(str::to_owned);
        let consumer = json(0)?;
        // As for code, anything that is true is a credential, though no more is known of it.
        let credential = match arguments.value(1) {
            Value::Table(_) => json(1)?,
            value if value.is_nil() || value.is_null() || *value == Value::Boolean(false) => Json::Null,
            _ => json!({}),
        };
        // What is no UUID is somebody of their own all the same.
        let mut id = |record: &Json| match &record["id"] {
            Json::String(text) if !text.is_empty() => Some(self.exchange.given_ids.take(text)),
            Json::Number(number) => Some(self.exchange.given_ids.take(&number.to_string())),
            _ => None,
        };
        let (consumer_id, credential_id) = (id(&consumer), id(&credential));
        let owner = id(&credential["consumer"]).or(consumer_id);
        let found = consumer_id.and_then(|id| self.exchange.find_consumer(&id));
        self.exchange.consumer = found.or_else(|| {
            // One that the plugin knows of, and the node does not.
            Some(SnapshotRef::from(Consumer {
                id: consumer_id?,
                workspace,
                username: text(&consumer, "username"),
                custom_id: text(&consumer, "custom_id"),
                created_at: consumer["created_at"].as_i64().unwrap_or_default(),
                updated_at: consumer["updated_at"].as_i64().unwrap_or_default(),
                tags: Box::default(),
            }))
        });
        self.exchange.credential = (!credential.is_null()).then(|| {
            let key = text(&credential, "key").or_else(|| text(&credential, "id")).unwrap_or_default();
            SnapshotRef::from(Credential {
                id: credential_id.unwrap_or_default(),
                workspace,
                consumer: owner,
                expiry: None,
                key: key.into(),
                parsed: None,
            })
        });
        Ok(Value::Nil)
    }

    pub(super) fn log(&mut self, lua: &Lua, function: &str, arguments: &Arguments<'_>) -> Result<Value> {
        match function {
            "serialize" => match serde_json::from_slice(&log::serialize(&self.exchange)) {
                Ok(entry) => value::with_lists(lua, &entry, Nulls::LeftOut),
                Err(error) => Err(Error::runtime(error.to_string())),
            },
            "set_serialize_value" => {
                let mode = match arguments.str(2)?.as_str() {
                    "add" => LogMode::Add,
                    "replace" => LogMode::Replace,
                    _ => LogMode::Set,
                };
                let value = Some(value::to_json(arguments.value(1))?).filter(|value| !value.is_null());
                self.exchange.log_values.push(LogValue { key: arguments.str(0)?, value, mode });
                Ok(Value::Nil)
            }
            _ => Err(unknown(arguments.name)),
        }
    }
}
