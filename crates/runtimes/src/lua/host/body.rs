//! Content of requests as tables: forms and JSON.

use super::request::{args_of, named_args};
use super::{Arguments, Host};
use crate::lua::value;
use mlua::{Error, Lua, Result, Value};
use sdk::{Args, Known};

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

impl Host<'_> {
    /// `kong.request.get_body`: by the type that is given, or that the request has.
    pub(super) fn request_content(&self, lua: &Lua, arguments: &Arguments<'_>) -> Result<Value> {
        let sent = self.exchange.request.fields.known(Known::ContentType).map(String::from_utf8_lossy);
        let kind = match arguments.value(0) {
            Value::Nil => sent.map(|kind| kind.into_owned()).unwrap_or_default(),
            _ => arguments.str(0)?,
        };
        let Some(content) = self.exchange.body.bytes() else { return Ok(Value::Nil) };
        if kind.starts_with(FORM) {
            return named_args(lua, &Args::parse(content));
        }
        if kind.starts_with(JSON) {
            return match serde_json::from_slice(content) {
                Ok(json) => value::to_lua(lua, &json),
                Err(_) => Ok(Value::Nil),
            };
        }
        Ok(Value::Nil)
    }

    /// `kong.service.request.set_body`: the content, and its type.
    pub(super) fn content_of(&self, arguments: &Arguments<'_>) -> Result<(Vec<u8>, String)> {
        let table = arguments.table(0)?;
        let sent = self.exchange.request.fields.known(Known::ContentType).map(String::from_utf8_lossy);
        let kind = match arguments.value(1) {
            Value::Nil => sent.map(|kind| kind.into_owned()).unwrap_or_default(),
            _ => arguments.str(1)?,
        };
        if kind.starts_with(FORM) {
            return Ok((args_of(table)?.encode(), FORM.to_owned()));
        }
        if kind.starts_with(JSON) {
            return Ok((value::to_json(&Value::Table(table.clone()))?.to_string().into_bytes(), JSON.to_owned()));
        }
        Err(Error::runtime(format!("unsupported content type {kind}")))
    }
}

/// JSON text as a value of Lua; nil for what is none.
pub fn decoded(lua: &Lua, json: &[u8]) -> Result<Value> {
    match serde_json::from_slice(json) {
        Ok(json) => value::to_lua(lua, &json),
        Err(_) => Ok(Value::Nil),
    }
}
