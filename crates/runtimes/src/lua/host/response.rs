//! `kong.response`: what the client will get.

use super::{Arguments, Host, maybe, octets, set_lines, unknown};
use crate::lua::Phase;
use crate::lua::value::{self, Named};
use mlua::{Error, Lua, Result, Value};
use sdk::{Answer, Fields, Known, Source};

/// Where there is a response that can be looked at.
const KNOWN: &[Phase] = &[Phase::HeaderFilter, Phase::BodyFilter, Phase::Log];
/// Where lines can still be set.
const OPEN: &[Phase] = &[Phase::Rewrite, Phase::Access, Phase::HeaderFilter];

impl Host<'_> {
    pub(super) fn response(&mut self, lua: &Lua, function: &str, arguments: &Arguments<'_>) -> Result<Value> {
        let known = KNOWN.contains(&self.phase);
        match function {
            "get_status" if known => Ok(Value::Integer(self.exchange.response.status.into())),
            "get_header" => {
                let name = arguments.str(0)?;
                maybe(lua, self.response_lines().get(&name))
            }
            "get_headers" => Named::of_fields(lua, self.response_lines()),
            "get_source" if known => octets(
                lua,
                match self.exchange.source {
                    Source::Service => "service",
                    Source::Exit => "exit",
                    Source::Error => "error",
                },
            ),
            "set_status" => {
                self.only_in(arguments.name, &[Phase::HeaderFilter])?;
                self.exchange.response.status = status(arguments)?;
                Ok(Value::Nil)
            }
            "set_header" | "add_header" | "clear_header" | "set_headers" => {
                self.set_response_lines(function, arguments)
            }
            "exit" => self.exit(arguments),
            "error" => {
                let status = status(arguments)?;
                let message = match arguments.value(1) {
                    Value::Nil => Answer::status_message(status).into_owned(),
                    _ => arguments.str(1)?,
                };
                self.give(Answer::error(self.exchange, status, &message))
            }
            "get_status" | "get_source" => {
                self.only_in(arguments.name, KNOWN)?;
                Ok(Value::Nil)
            }
            // The content is in `ngx.arg`.
            "get_raw_body" => {
                self.only_in(arguments.name, &[Phase::BodyFilter])?;
                arg(lua)?.raw_get(1)
            }
            "set_raw_body" => {
                self.only_in(arguments.name, &[Phase::BodyFilter])?;
                arg(lua)?.raw_set(1, octets(lua, arguments.text(0)?)?)?;
                Ok(Value::Nil)
            }
            _ => Err(unknown(arguments.name)),
        }
    }

    /// The lines of the response; before there is one, those that it will have in any case.
    fn response_lines(&mut self) -> &mut Fields {
        match self.phase {
            Phase::Rewrite | Phase::Access => &mut self.exchange.reply,
            _ => &mut self.exchange.response.fields,
        }
    }

    fn set_response_lines(&mut self, function: &str, arguments: &Arguments<'_>) -> Result<Value> {
        self.only_in(arguments.name, OPEN)?;
        match function {
            "set_header" => {
                let (name, values) = (arguments.header(0)?, arguments.lines(1)?);
                set_lines(self.response_lines(), &name, &values);
            }
            "add_header" => {
                let (name, values) = (arguments.header(0)?, arguments.lines(1)?);
                values.iter().for_each(|value| self.response_lines().append(&name, value));
            }
            "clear_header" => {
                let name = arguments.header(0)?;
                self.response_lines().remove(&name);
            }
            _ => {
                for (name, values) in arguments.headers(0)? {
                    set_lines(self.response_lines(), &name, &values);
                }
            }
        }
        Ok(Value::Nil)
    }

    /// The client gets this, and the code ends here: a table is sent as JSON, text as it is.
    fn exit(&mut self, arguments: &Arguments<'_>) -> Result<Value> {
        let status = status(arguments)?;
        let mut answer = match arguments.value(1) {
            Value::Nil => Answer::new(status, Vec::new()),
            Value::Table(_) => Answer::json(status, &value::to_json(arguments.value(1))?),
            _ => Answer::new(status, arguments.text(1)?),
        };
        if !matches!(arguments.value(2), Value::Nil) {
            for (name, values) in arguments.headers(2)? {
                set_lines(&mut answer.fields, &name, &values);
            }
        }
        // The gateway says how long the content is.
        answer.fields.remove_known(Known::ContentLength);
        answer.fields.remove("Transfer-Encoding");
        self.give(answer)
    }

    fn give(&mut self, answer: Answer) -> Result<Value> {
        self.only_in("response.exit", &[Phase::Rewrite, Phase::Access])?;
        self.answer = Some(answer);
        Err(Error::runtime("the phase is over"))
    }
}

fn status(arguments: &Arguments<'_>) -> Result<u16> {
    let code = arguments.integer(0)?;
    u16::try_from(code)
        .ok()
        .filter(|code| (100..=599).contains(code))
        .ok_or_else(|| Error::runtime("code must be a number between 100 and 599"))
}

fn arg(lua: &Lua) -> Result<mlua::Table> {
    lua.globals().get::<mlua::Table>("ngx")?.get("arg")
}
