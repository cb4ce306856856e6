//! Content of requests as tables: forms and JSON.

use super::request::{args_of, named_args};
use super::{Arguments, Host};
use crate::lua::Phase;
use crate::lua::natives::json_read;
use crate::lua::value::{self, Named};
use mlua::{Error, IntoLuaMulti, Lua, MultiValue, Result, Value};
use sdk::{Args, Bytes, Framing, Known, Multipart, RequestBody};

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";
const PARTS: &str = "multipart/form-data";

impl Host {
    /// `kong.request.get_body`: by the type that is given, or that the request has; why not, and the type.
    pub(super) fn request_content(&self, lua: &Lua, arguments: &Arguments<'_>) -> Result<MultiValue> {
        let sent = self.exchange.client_lines().known(Known::ContentType).map(String::from_utf8_lossy);
        let kind = match arguments.value(0) {
            Value::Nil => sent.map(|kind| kind.into_owned()).unwrap_or_default(),
            _ => arguments.str(0)?,
        };
        if kind.is_empty() {
            return (Value::Nil, "missing content type").into_lua_multi(lua);
        }
        let Some(content) = self.content_for_code()? else {
            let why = "request body did not fit into client body buffer, consider raising 'client_body_buffer_size'";
            return (Value::Nil, why, kind.to_ascii_lowercase()).into_lua_multi(lua);
        };
        read(lua, &kind, &content, arguments.max(1))
    }

    /// All of the content, for code that asks for it; nothing where it is too large, or nobody has read it and no
    /// service has been asked. That it has gone to a service without being kept is an error: what judges content must
    /// not take it for none.
    pub(super) fn content_for_code(&self) -> Result<Option<Bytes>> {
        let exchange = &self.exchange;
        if let Some(content) = self.content() {
            return Ok(Some(content.clone()));
        }
        if matches!(exchange.request.framing, Framing::Empty | Framing::Length(0)) {
            return Ok(Some(Bytes::new()));
        }
        let goes_on = matches!(self.phase, Phase::Rewrite | Phase::Access | Phase::Balancer | Phase::Response);
        match exchange.body {
            RequestBody::Unread if goes_on || exchange.timing.proxy.is_some() => Err(Error::runtime(format!(
                "the content of the request was not kept for the {} phase: code has to ask in rewrite or access",
                self.phase.name()
            ))),
            _ => Ok(None),
        }
    }

    /// What the client has sent, as far as it was read; also after it has gone to a service.
    pub(super) fn content(&self) -> Option<&Bytes> {
        self.exchange.body.bytes().or(self.exchange.kept_content.as_ref())
    }

    /// `kong.service.response.get_body`.
    pub(super) fn response_content(&self, lua: &Lua, arguments: &Arguments<'_>) -> Result<MultiValue> {
        let sent = self.exchange.response.fields.known(Known::ContentType).map(String::from_utf8_lossy);
        let kind = match arguments.value(0) {
            Value::Nil => sent.map(|kind| kind.into_owned()).unwrap_or_default(),
            _ => arguments.str(0)?,
        };
        if kind.is_empty() {
            return (Value::Nil, "missing content type").into_lua_multi(lua);
        }
        read(lua, &kind, &self.exchange.response_body.clone().unwrap_or_default(), arguments.max(1))
    }

    /// `kong.service.request.set_body`: the content, and its type.
    pub(super) fn content_of(&self, arguments: &Arguments<'_>) -> Result<(Vec<u8>, String)> {
        let table = arguments.table(0)?;
        let sent = self.exchange.client_lines().known(Known::ContentType).map(String::from_utf8_lossy);
        let kind = match arguments.value(1) {
            Value::Nil => sent.map(|kind| kind.into_owned()).unwrap_or_default(),
            _ => arguments.str(1)?,
        };
        if kind.starts_with(FORM) {
            return Ok((args_of(table)?.encode(), kind));
        }
        Err(Error::runtime(format!("unsupported content type {kind}")))
    }
}

/// Content as a table, by its type; or nil, why not, and the type.
fn read(lua: &Lua, kind: &str, content: &Bytes, max: usize) -> Result<MultiValue> {
    let lower = kind.to_ascii_lowercase();
    let none = |why: &str, kind: &str| (Value::Nil, why, kind).into_lua_multi(lua);
    if lower.starts_with(FORM) {
        let args = named_args(lua, &Args::parse(content), max)?.pop_front();
        return (args, Value::Nil, FORM).into_lua_multi(lua);
    }
    if lower.starts_with(JSON) {
        let lists = lua.named_registry_value(value::LISTS)?;
        return match json_read::read(lua, content, Some(&lists), json_read::MAX_DEPTH)? {
            Ok(table @ Value::Table(_)) => (table, Value::Nil, JSON).into_lua_multi(lua),
            _ => none("invalid json body", JSON),
        };
    }
    if lower.starts_with(PARTS) {
        let parsed = Multipart::parse(kind.as_bytes(), content);
        // Lines may end without a carriage return, as in Kong.
        let is_bare = parsed.is_none() && !content.contains(&b'\r');
        let parsed = match is_bare {
            true => Multipart::parse(kind.as_bytes(), &replaced(content, b"\n", b"\r\n").into()),
            false => parsed,
        };
        let Some(parts) = parsed else {
            return none("unable to decode multipart body", PARTS);
        };
        let mut named = Named::new(lua, usize::MAX)?;
        for (name, value) in parts.iter() {
            let value = match is_bare {
                true => lua.create_string(replaced(value, b"\r\n", b"\n"))?,
                false => lua.create_string(value)?,
            };
            named.add(lua, name, Value::String(value))?;
        }
        return (named.finish(lua)?.pop_front(), Value::Nil, PARTS).into_lua_multi(lua);
    }
    none(&format!("unsupported content type '{kind}'"), &lower)
}

/// Octets with others in the place of some.
fn replaced(octets: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len());
    let mut rest = octets;
    while let Some(&first) = rest.first() {
        match rest.strip_prefix(from) {
            Some(after) => {
                out.extend_from_slice(to);
                rest = after;
            }
            None => {
                out.push(first);
                rest = &rest[1..];
            }
        }
    }
    out
}

/// JSON text as a value of Lua, without what is null; nil for what is none.
pub fn decoded(lua: &Lua, json: &[u8]) -> Result<Value> {
    match serde_json::from_slice(json) {
        Ok(json) => value::record(lua, &json),
        Err(_) => Ok(Value::Nil),
    }
}
