//! What code asks the gateway: one function for all names of the prelude, valid while a phase runs.

pub mod asks;
mod balancer;
mod body;
mod client;
mod ngx;
pub mod request;
mod response;
mod said;
mod service;
mod trace;
mod upstream_tls;
mod websocket;

use super::Phase;
use super::value::{self, number, text};
use mlua::{Error, IntoLua, IntoLuaMulti, Lua, MultiValue, Result, Value};
use sdk::{Answer, Exchange, Fields, WebSocketMessage};
use std::cell::RefCell;
use std::mem;

pub use said::{begin_said, is_to_send, said_answer, take_said};
pub use trace::telemetry;

/// The exchange that code acts on. It is lent by whoever runs a phase ([`Lent`]); else there is an empty one.
pub struct Host {
    pub exchange: Exchange,
    phase: Phase,
    /// Which instance of a plugin the code is of.
    instance: u64,
    pub is_lent: bool,
    /// The message of a WebSocket that the phase is about.
    pub message: Option<WebSocketMessage>,
    /// How code has ended the phase, if it has.
    pub ending: Option<Ending>,
}

/// How code ends a phase before it is through.
#[derive(Debug)]
pub enum Ending {
    /// The client gets this in place of an answer of the service; boxed, so that what few phases end with is not
    /// carried around.
    Answer(Box<Answer>),
    /// As if it were through.
    Quiet,
}

/// The arguments of a call.
struct Arguments<'c> {
    name: &'c str,
    values: MultiValue,
}

/// An exchange on loan to code, given back when this is dropped.
pub struct Lent<'l> {
    host: &'l RefCell<Host>,
    exchange: Option<&'l mut Exchange>,
}

impl Lent<'_> {
    /// Lends an exchange for a phase, if there is one.
    pub fn new<'l>(
        host: &'l RefCell<Host>,
        mut exchange: Option<&'l mut Exchange>,
        phase: Phase,
        instance: u64,
    ) -> Lent<'l> {
        if let Some(exchange) = &mut exchange {
            let mut host = host.borrow_mut();
            mem::swap(&mut host.exchange, exchange);
            (host.phase, host.instance, host.is_lent, host.ending) = (phase, instance, true, None);
        }
        Lent { host, exchange }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            let mut host = self.host.borrow_mut();
            mem::swap(&mut host.exchange, exchange);
            host.is_lent = false;
        }
    }
}

impl Host {
    /// Without an exchange.
    pub fn empty() -> Host {
        Host {
            exchange: Exchange::empty(),
            phase: Phase::Timer,
            instance: 0,
            is_lent: false,
            message: None,
            ending: None,
        }
    }

    /// Answers a call of the run time's own code, which has seen to it that the phase is one in which it makes sense.
    pub fn call(&mut self, lua: &Lua, name: &str, values: MultiValue) -> Result<MultiValue> {
        if !self.is_lent {
            return Err(Error::runtime("there is no exchange to ask"));
        }
        let arguments = Arguments { name, values };
        let (space, function) = name.rsplit_once('.').unwrap_or(("", name));
        let value = match space {
            "request" => return self.request(lua, function, &arguments),
            "response" if function == "get_headers" => return self.response_headers(lua, &arguments),
            "response" => self.response(lua, function, &arguments),
            "service.response" => return self.service_response(lua, function, &arguments),
            "service" if function.starts_with("set_tls_") => self.secure(function, &arguments),
            "service" if function == "set_target_retry_callback" => self.on_retry(lua, &arguments),
            "service" | "service.request" => self.service(name, &arguments),
            "websocket" | "websocket.client" | "websocket.upstream" => {
                return self.websocket(lua, space, function, &arguments);
            }
            "client" | "router" => self.client(lua, name, &arguments),
            "log" => self.log(lua, function, &arguments),
            "trace" => self.trace(lua, function, &arguments),
            "telemetry" => self.tell(&arguments),
            "ngx" if function == "response_headers" => return self.response_headers(lua, &arguments),
            "ngx" => self.ngx(lua, function, &arguments),
            _ => Err(unknown(name)),
        };
        value?.into_lua_multi(lua)
    }
}

impl Arguments<'_> {
    fn value(&self, at: usize) -> &Value {
        self.values.get(at).unwrap_or(&Value::Nil)
    }

    /// An argument that is text, or can be.
    fn text(&self, at: usize) -> Result<Vec<u8>> {
        text(self.value(at)).ok_or_else(|| self.wrong(at, "a string"))
    }

    /// The same, in UTF-8.
    fn str(&self, at: usize) -> Result<String> {
        String::from_utf8(self.text(at)?).map_err(|_| self.wrong(at, "a string in UTF-8"))
    }

    fn integer(&self, at: usize) -> Result<i64> {
        match self.value(at) {
            Value::Integer(number) => Ok(*number),
            Value::Number(number) if number.fract() == 0.0 => Ok(*number as i64),
            _ => Err(self.wrong(at, "an integer")),
        }
    }

    /// How much is shown at most, where the caller says so.
    fn max(&self, at: usize) -> usize {
        number(self.value(at)).map_or(100, |max| max as usize)
    }

    fn table(&self, at: usize) -> Result<&mlua::Table> {
        match self.value(at) {
            Value::Table(table) => Ok(table),
            _ => Err(self.wrong(at, "a table")),
        }
    }

    /// The name of a header line.
    fn header(&self, at: usize) -> Result<String> {
        let name = self.str(at)?;
        if Fields::is_valid_name(name.as_bytes()) { Ok(name) } else { Err(self.wrong(at, "the name of a header")) }
    }

    /// The values of header lines: one, or a list.
    fn lines(&self, at: usize) -> Result<Vec<Vec<u8>>> {
        let values = value::values(self.value(at))?;
        if values.is_empty() && !matches!(self.value(at), Value::Table(_)) {
            return Err(self.wrong(at, "a string, number or boolean"));
        }
        Ok(values.iter().map(|value| ngx::escaped(value)).collect())
    }

    /// Header lines by name.
    fn headers(&self, at: usize) -> Result<Vec<(String, Vec<Vec<u8>>)>> {
        let mut headers = Vec::new();
        for pair in self.table(at)?.pairs::<Value, Value>() {
            let (name, value) = pair?;
            let name = text(&name).and_then(|name| String::from_utf8(name).ok()).unwrap_or_default();
            let values = value::values(&value)?.iter().map(|value| ngx::escaped(value)).collect();
            if !Fields::is_valid_name(name.as_bytes()) {
                return Err(self.wrong(at, "a table of headers"));
            }
            headers.push((name, values));
        }
        headers.sort();
        Ok(headers)
    }

    fn wrong(&self, at: usize, wanted: &str) -> Error {
        Error::runtime(format!("kong.{}: argument {} must be {wanted}", self.name, at + 1))
    }
}

/// Lines take the place of all of that name.
fn set_lines(fields: &mut Fields, name: &str, values: &[Vec<u8>]) {
    fields.remove(name);
    values.iter().for_each(|value| fields.append(name, value));
}

fn unknown(name: &str) -> Error {
    Error::runtime(format!("kong.{name} is not there in this version"))
}

/// Octets as a string of Lua.
fn octets(lua: &Lua, octets: impl AsRef<[u8]>) -> Result<Value> {
    lua.create_string(octets)?.into_lua(lua)
}

/// The same, or nil.
fn maybe(lua: &Lua, text: Option<impl AsRef<[u8]>>) -> Result<Value> {
    text.map_or(Ok(Value::Nil), |text| octets(lua, text))
}
