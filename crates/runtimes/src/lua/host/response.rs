//! `kong.response`: what the client will get.

use super::said::lines_of_service;
use super::{Arguments, Ending, Host, maybe, octets, set_lines, unknown};
use crate::lua::Phase;
use crate::lua::turn::Replaced;
use crate::lua::value::{Named, line_of, text};
use mlua::{Error, Lua, MultiValue, Result, Value};
use sdk::{Answer, Fields, Known, Source};

/// Whether code has said that what it answers is what a service has said before (`ngx.ctx.KONG_PROXIED`).
struct Proxied(bool);

impl Host {
    pub(super) fn response(&mut self, lua: &Lua, function: &str, arguments: &Arguments<'_>) -> Result<Value> {
        match function {
            "get_status" => Ok(Value::Integer(self.exchange.response.status.into())),
            "get_header" => {
                let name = arguments.str(0)?;
                maybe(lua, line_of(self.response_lines(), &name))
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
                self.set_status(status(arguments)?);
                Ok(Value::Nil)
            }
            "set_header" | "add_header" | "clear_header" | "set_headers" => {
                self.set_response_lines(function, arguments)
            }
            "exit" => self.exit(arguments),
            "set_proxied" => {
                self.exchange.put(Proxied(arguments.value(0).as_boolean() == Some(true)));
                Ok(Value::Nil)
            }
            "error" => {
                let status = status(arguments)?;
                let message = match arguments.value(1) {
                    Value::Nil => Answer::status_message(status).into_owned(),
                    _ => arguments.str(1)?,
                };
                let answer = Answer::error(&self.exchange, status, &message);
                self.give(with_lines(answer, arguments)?)
            }
            _ => Err(unknown(arguments.name)),
        }
    }

    pub(super) fn response_headers(&mut self, lua: &Lua, arguments: &Arguments<'_>) -> Result<MultiValue> {
        let (max, raw) = (arguments.max(0), arguments.value(1).as_boolean() == Some(true));
        match raw {
            true => Named::of_raw_fields(lua, self.response_lines(), max),
            false => Named::of_fields(lua, self.response_lines().iter(), max),
        }
    }

    /// The lines of the response; before there is one, those that it will have in any case.
    pub(super) fn response_lines(&mut self) -> &mut Fields {
        match self.phase {
            Phase::Rewrite | Phase::Access => &mut self.exchange.reply,
            _ => &mut self.exchange.response.fields,
        }
    }

    /// The same, for a line that code sets: it is noted where the service has sent none of that name.
    pub(super) fn lines_to_set(&mut self, name: &str) -> &mut Fields {
        if !matches!(self.phase, Phase::Rewrite | Phase::Access) && !self.exchange.response.fields.contains(name) {
            if self.exchange.state::<Own>().is_none() {
                self.exchange.put(Own::default());
            }
            if let Some(own) = self.exchange.state::<Own>() {
                own.0.push(name.to_owned());
            }
        }
        self.response_lines()
    }

    /// Whether the service has sent lines of that name, and not code.
    pub(super) fn is_of_service(&mut self, name: &str) -> bool {
        let set =
            self.exchange.state::<Own>().is_some_and(|own| own.0.iter().any(|own| own.eq_ignore_ascii_case(name)));
        !set && !self.exchange.reply.contains(name)
    }

    fn set_response_lines(&mut self, function: &str, arguments: &Arguments<'_>) -> Result<Value> {
        match function {
            "set_header" => {
                let (name, values) = (dashed(&arguments.header(0)?), arguments.lines(1)?);
                set_lines(self.lines_to_set(&name), &name, &values);
            }
            "add_header" => {
                let (name, values) = (dashed(&arguments.header(0)?), arguments.lines(1)?);
                let lines = self.lines_to_set(&name);
                values.iter().for_each(|value| lines.append(&name, value));
            }
            "clear_header" => {
                let name = dashed(&arguments.header(0)?);
                self.response_lines().remove(&name);
            }
            _ => {
                for (name, values) in arguments.headers(0)? {
                    let name = dashed(&name);
                    set_lines(self.lines_to_set(&name), &name, &values);
                }
            }
        }
        Ok(Value::Nil)
    }

    /// Another status for the response, with the usual words for it.
    pub(super) fn change_status(&mut self, status: u16) {
        self.exchange.response.status = status;
        self.exchange.response.reason.clear();
    }

    /// The client gets this, and the code ends here; what was a table comes as JSON.
    fn exit(&mut self, arguments: &Arguments<'_>) -> Result<Value> {
        let status = status(arguments)?;
        let is_call = self.exchange.request.fields.known(Known::ContentType).is_some_and(|kind| kind.starts_with(GRPC));
        let is_described = DESCRIBED.contains(&status) && arguments.value(1).is_nil();
        // Code may have said before that what it answers is gRPC.
        let set = self.response_lines().known(Known::ContentType).filter(|kind| kind.starts_with(GRPC));
        let set = set.map(<[u8]>::to_vec).filter(|_| self.phase != Phase::Response);
        if is_described && !is_call && set.is_none() && self.phase != Phase::HeaderFilter {
            // As the gateway's own.
            let answer = Answer::gateway_error(&self.exchange, status, &Answer::gateway_message(status));
            return self.give(with_lines(Answer { source: Source::Exit, ..answer }, arguments)?);
        }
        let content = match arguments.value(1) {
            Value::Nil => Vec::new(),
            _ => arguments.text(1)?,
        };
        // What is sent is no gRPC unless its type says so, but a gRPC call needs an answer all the same.
        let is_table = arguments.value(3).as_boolean() == Some(true);
        let mut answer = with_lines(Answer::new(status, content), arguments)?;
        if let Some(kind) = set.filter(|_| answer.fields.known(Known::ContentType).is_none()) {
            answer.fields.set_known(Known::ContentType, &kind);
        }
        let untyped = answer.fields.known(Known::ContentType).is_none();
        if is_table && answer.fields.known(Known::ContentType).is_some_and(|kind| kind.starts_with(GRPC)) {
            return Err(Error::runtime("table body encoding with gRPC is not supported"));
        }
        let message = match (arguments.value(1), is_table) {
            (Value::Nil, _) => None,
            (_, true) => text(arguments.value(4)),
            (content, false) => text(content),
        };
        answer = answer.for_call(&self.exchange, message.as_deref());
        if is_table && answer.fields.known(Known::ContentType).is_none() {
            answer.fields.set_known(Known::ContentType, b"application/json; charset=utf-8");
        } else if is_table && untyped && message.is_none() {
            tracing::warn!("body was removed because table body encoding with gRPC is not supported");
        }
        // What there would be of content is known to who answers such a request.
        let given = given_lines(arguments)?;
        if self.exchange.request.method.is_head()
            && let Some(length) = given.known(Known::ContentLength).filter(|text| text.iter().all(u8::is_ascii_digit))
        {
            answer.fields.set_known(Known::ContentLength, length);
        }
        self.give(answer)
    }

    /// The client gets an error in place of what it would get: as the gateway's own where Kong's are such.
    pub(super) fn describe(&mut self, status: u16) -> Result<Value> {
        let answer = match DESCRIBED.contains(&status) {
            true => Answer::gateway_error(&self.exchange, status, &Answer::gateway_message(status)),
            false => Answer::error(&self.exchange, status, &Answer::status_message(status)),
        };
        self.give(Answer { source: Source::Exit, ..answer })
    }

    pub(super) fn give(&mut self, mut answer: Answer) -> Result<Value> {
        if self.phase != Phase::HeaderFilter {
            if self.exchange.state::<Proxied>().is_some_and(|proxied| proxied.0) {
                answer.source = Source::Service;
            }
            if self.phase == Phase::Response {
                let mut lines = lines_of_service(&mut self.exchange);
                lines.replace_all(&answer.fields);
                answer.fields = lines;
            }
            self.ending = Some(Ending::Answer(Box::new(answer)));
            return Ok(Value::Nil);
        }
        // The content goes through the body filter of this instance, which gives this in its place.
        self.exchange.response.fields.remove_known(Known::ContentLength);
        self.exchange.response.fields.remove_known(Known::ContentEncoding);
        self.exchange.put(Replaced { by: self.instance, content: answer.body });
        self.exchange.replace_response();
        self.change_status(answer.status);
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

const GRPC: &[u8] = b"application/grpc";
/// The statuses of answers without content that get the content of errors, as in Kong (`error_page`).
const DESCRIBED: [u16; 13] = [400, 404, 405, 408, 411, 412, 413, 414, 417, 500, 502, 503, 504];

/// Names of lines of a response that code has set and the service has not sent.
#[derive(Default)]
struct Own(Vec<String>);

/// The lines that code gives as the third argument.
fn given_lines(arguments: &Arguments<'_>) -> Result<Fields> {
    let mut fields = Fields::new();
    if !matches!(arguments.value(2), Value::Nil) {
        for (name, values) in arguments.headers(2)? {
            set_lines(&mut fields, &dashed(&name), &values);
        }
    }
    Ok(fields)
}

/// Adds these lines. The gateway says how long the content is.
fn with_lines(mut answer: Answer, arguments: &Arguments<'_>) -> Result<Answer> {
    answer.fields.replace_all(&given_lines(arguments)?);
    answer.fields.remove_known(Known::ContentLength);
    answer.fields.remove("Transfer-Encoding");
    let kind = answer.fields.known(Known::ContentType).map(|kind| String::from_utf8_lossy(kind).into_owned());
    Ok(match kind {
        Some(kind) => answer.typed(&kind),
        None => answer,
    })
}

/// The name of a line of a response: OpenResty has dashes in the place of underscores there.
pub(super) fn dashed(name: &str) -> String {
    name.replace('_', "-")
}

pub(super) fn status(arguments: &Arguments<'_>) -> Result<u16> {
    let code = arguments.integer(0)?;
    u16::try_from(code)
        .ok()
        .filter(|code| (100..=599).contains(code))
        .ok_or_else(|| Error::runtime("code must be a number between 100 and 599"))
}
