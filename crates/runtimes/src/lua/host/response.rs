//! `kong.response`: what the client will get.

use super::{Arguments, Ending, Host, maybe, octets, set_lines, unknown};
use crate::lua::Phase;
use crate::lua::value::Named;
use mlua::{Error, Lua, MultiValue, Result, Value};
use sdk::{Answer, Fields, Known, Source};

impl Host {
    pub(super) fn response(&mut self, lua: &Lua, function: &str, arguments: &Arguments<'_>) -> Result<Value> {
        match function {
            "get_status" => Ok(Value::Integer(self.exchange.response.status.into())),
            "get_header" => {
                let name = arguments.str(0)?;
                maybe(lua, self.response_lines().get(&name))
            }
            "get_source" => octets(
                lua,
                match self.exchange.source {
                    Source::Service => "service",
                    Source::Exit => "exit",
                    Source::Error => "error",
                },
            ),
            "set_status" => {
                if !matches!(self.phase, Phase::Response | Phase::HeaderFilter) {
                    return Err(Error::runtime("there is no response yet whose status could be set"));
                }
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
                let mut answer = Answer::error(&self.exchange, status, &message);
                add_lines(&mut answer, arguments)?;
                self.give(answer)
            }
            // The content is in `ngx.arg`.
            "get_raw_body" => arg(lua)?.raw_get(1),
            "set_raw_body" => {
                arg(lua)?.raw_set(1, octets(lua, arguments.text(0)?)?)?;
                Ok(Value::Nil)
            }
            _ => Err(unknown(arguments.name)),
        }
    }

    pub(super) fn response_headers(&mut self, lua: &Lua, arguments: &Arguments<'_>) -> Result<MultiValue> {
        let max = arguments.max(0);
        Named::of_fields(lua, self.response_lines(), max)
    }

    /// The lines of the response; before there is one, those that it will have in any case.
    pub(super) fn response_lines(&mut self) -> &mut Fields {
        match self.phase {
            Phase::Rewrite | Phase::Access => &mut self.exchange.reply,
            _ => &mut self.exchange.response.fields,
        }
    }

    fn set_response_lines(&mut self, function: &str, arguments: &Arguments<'_>) -> Result<Value> {
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

    /// The client gets this, and the code ends here; what was a table comes as JSON.
    fn exit(&mut self, arguments: &Arguments<'_>) -> Result<Value> {
        let status = status(arguments)?;
        let content = match arguments.value(1) {
            Value::Nil => Vec::new(),
            _ => arguments.text(1)?,
        };
        let mut answer = Answer::new(status, content);
        if arguments.value(3).as_boolean() == Some(true) {
            answer.fields.set_known(Known::ContentType, b"application/json; charset=utf-8");
        }
        add_lines(&mut answer, arguments)?;
        self.give(answer)
    }

    fn give(&mut self, answer: Answer) -> Result<Value> {
        if self.phase != Phase::HeaderFilter {
            self.ending = Some(Ending::Answer(answer));
            return Ok(Value::Nil);
        }
        // The content is on its way already.
        if !answer.body.is_empty() {
            return Err(Error::runtime("there is a response already whose content cannot be replaced here"));
        }
        self.exchange.response.status = answer.status;
        for (name, _) in answer.fields.iter() {
            self.exchange.response.fields.remove(name);
        }
        for (name, value) in answer.fields.iter() {
            self.exchange.response.fields.append(name, value);
        }
        self.ending = Some(Ending::Quiet);
        Ok(Value::Nil)
    }
}

/// Adds the lines that code gives as the third argument. The gateway says how long the content is.
fn add_lines(answer: &mut Answer, arguments: &Arguments<'_>) -> Result<()> {
    if !matches!(arguments.value(2), Value::Nil) {
        for (name, values) in arguments.headers(2)? {
            set_lines(&mut answer.fields, &name, &values);
        }
    }
    answer.fields.remove_known(Known::ContentLength);
    answer.fields.remove("Transfer-Encoding");
    Ok(())
}

pub(super) fn status(arguments: &Arguments<'_>) -> Result<u16> {
    let code = arguments.integer(0)?;
    u16::try_from(code)
        .ok()
        .filter(|code| (100..=599).contains(code))
        .ok_or_else(|| Error::runtime("code must be a number between 100 and 599"))
}

fn arg(lua: &Lua) -> Result<mlua::Table> {
    lua.globals().get::<mlua::Table>("ngx")?.get("arg")
}
