//! What code writes itself (`ngx.say`, `ngx.print`), and when it goes to the client.

use super::{Arguments, Host, octets};
use crate::lua::Phase;
use mlua::{Error, Lua, Result, Value};
use sdk::{Answer, Exchange, Fields, Known, Version};
use std::mem;

/// What code may write at most before it is sent, in octets.
const MAX_SAID: usize = 32 << 20;
/// From so many on it is sent when the code waits, though it does not ask for that.
const POSTPONED: usize = 64 << 10;

/// Content that code has written before it has said with which status.
#[derive(Default)]
struct Said {
    content: Vec<u8>,
    /// It is to be sent as soon as the code waits.
    is_asked: bool,
    /// The head has gone.
    is_begun: bool,
    has_ended: bool,
    /// Coroutines that wait until it has left.
    flushing: Vec<u64>,
}

/// A status that code has chosen before there is a response.
struct Status(u16);

/// What is sent of it.
pub struct Sent {
    pub content: Vec<u8>,
    pub is_last: bool,
    pub flushing: Vec<u64>,
}

/// Whether something is to be sent.
pub fn is_to_send(exchange: &mut Exchange) -> bool {
    exchange.state::<Said>().is_some_and(|said| said.is_asked)
}

/// Takes what is to be sent.
pub fn take_said(exchange: &mut Exchange) -> Sent {
    let Some(said) = exchange.state::<Said>() else {
        return Sent { content: Vec::new(), is_last: false, flushing: Vec::new() };
    };
    said.is_asked = false;
    Sent { content: mem::take(&mut said.content), is_last: said.has_ended, flushing: mem::take(&mut said.flushing) }
}

/// The status and the lines with which it begins to be sent.
pub fn begin_said(exchange: &mut Exchange) -> (u16, Fields) {
    if let Some(said) = exchange.state::<Said>() {
        said.is_begun = true;
    }
    (exchange.take::<Status>().map_or(200, |status| status.0), lines_of_service(exchange))
}

/// What code has written, as an answer with the status that it has chosen; where its head has gone, what is left of it.
pub fn said_answer(exchange: &mut Exchange) -> Option<Answer> {
    let content = said(exchange)?;
    let (status, fields) = begin_said(exchange);
    Some(Answer { fields, ..Answer::new(status, content) })
}

/// Takes what code has written.
pub(super) fn said(exchange: &mut Exchange) -> Option<Vec<u8>> {
    match exchange.state::<Said>() {
        Some(said) if said.is_begun => Some(mem::take(&mut said.content)),
        Some(_) => exchange.take::<Said>().map(|said| said.content),
        None => None,
    }
}

/// Whether the head has gone.
pub(super) fn is_begun(exchange: &mut Exchange) -> bool {
    exchange.state::<Said>().is_some_and(|said| said.is_begun)
}

pub(super) fn choose_status(exchange: &mut Exchange, status: u16) {
    exchange.put(Status(status));
}

pub(super) fn chosen_status(exchange: &mut Exchange) -> Option<u16> {
    exchange.state::<Status>().map(|status| status.0)
}

pub(super) fn take_status(exchange: &mut Exchange) -> Option<u16> {
    exchange.take::<Status>().map(|status| status.0)
}

/// Where code answers in the place of a service that has answered, the lines of that are there already, as in Kong, but
/// for those about its content.
pub(super) fn lines_of_service(exchange: &mut Exchange) -> Fields {
    if exchange.response_body.is_none() {
        return Fields::new();
    }
    let mut lines = mem::take(&mut exchange.response.fields);
    lines.remove_known(Known::ContentLength);
    lines.remove_known(Known::ContentEncoding);
    lines.remove("Transfer-Encoding");
    exchange.reply.clear();
    lines
}

impl Host {
    /// `ngx.print`: why it cannot be, or nothing.
    pub(super) fn say(&mut self, lua: &Lua, arguments: &Arguments<'_>) -> Result<Value> {
        let piece = arguments.text(0)?;
        let can_stream = self.can_stream();
        let refusal = with_said(&mut self.exchange, |said| {
            if said.has_ended {
                return Ok(Some("seen eof"));
            }
            if said.content.len() + piece.len() > MAX_SAID {
                return Err(Error::runtime("too much content"));
            }
            said.content.extend_from_slice(&piece);
            said.is_asked |= can_stream && said.content.len() >= POSTPONED;
            Ok(None)
        });
        refusal?.map_or(Ok(Value::Nil), |why| octets(lua, why))
    }

    /// `ngx.flush`, `ngx.send_headers` and `ngx.eof`: why it cannot be, or whether the coroutine with that number has
    /// to wait for it.
    pub(super) fn send(&mut self, lua: &Lua, arguments: &Arguments<'_>) -> Result<Value> {
        let (what, number) = (arguments.str(0)?, arguments.value(1).as_integer());
        let (is_flush, can_stream) = (what == "flush", self.can_stream());
        if is_flush && self.exchange.state::<Said>().is_none() {
            return octets(lua, "nothing to flush");
        }
        let refusal = with_said(&mut self.exchange, |said| {
            if said.has_ended {
                return Some("seen eof");
            }
            said.has_ended = what == "eof";
            if !can_stream {
                return is_flush.then_some("buffering");
            }
            said.is_asked = true;
            said.flushing.extend(number.and_then(|number| u64::try_from(number).ok()));
            None
        });
        match refusal {
            Some(why) => octets(lua, why),
            None => Ok(Value::Boolean(can_stream && number.is_some())),
        }
    }

    /// Whether the head is as good as gone: what is set of it later counts no more. Clients of HTTP/1.0 get it with the
    /// whole content.
    pub(super) fn has_sent_head(&mut self) -> bool {
        self.can_stream() && self.exchange.state::<Said>().is_some()
    }

    fn can_stream(&self) -> bool {
        matches!(self.phase, Phase::Rewrite | Phase::Access | Phase::Response)
            && self.exchange.stream.is_none()
            && self.exchange.request.version > Version::Http10
    }
}

fn with_said<T>(exchange: &mut Exchange, f: impl FnOnce(&mut Said) -> T) -> T {
    if let Some(said) = exchange.state::<Said>() {
        return f(said);
    }
    let mut said = Said::default();
    let made = f(&mut said);
    exchange.put(said);
    made
}
