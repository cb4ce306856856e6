//! What a plugin can call while an event lasts.

use super::instance::Configured;
use crate::lua::{Called, Calls, Loan, Phase};
use mlua::{Lua, MultiValue};
use sdk::{Answer, Bytes, Exchange, Handshake};

/// What an event is about.
pub enum Subject<'e> {
    Exchange(&'e mut Exchange),
    /// A client that connects.
    Handshake(&'e mut Handshake),
}

/// One event of an instance.
pub struct Host<'e> {
    calls: Calls,
    exchange: Option<&'e mut Exchange>,
    handshake: Option<Loan<'e>>,
    /// What the log has of the exchange, where it is over.
    entry: Option<Bytes>,
    /// What a function had against being called: the event has failed, however it goes on.
    error: Option<String>,
}

/// What has become of an event.
#[derive(Debug)]
pub enum Event {
    Done,
    /// The client is to get this.
    Answer(Answer),
}

impl<'e> Host<'e> {
    pub fn new(
        configured: &Configured,
        phase: Phase,
        subject: Subject<'e>,
        entry: Option<Bytes>,
    ) -> Result<Host<'e>, String> {
        let (number, id) = (configured.number, &configured.id);
        let (calls, exchange, handshake) = match subject {
            Subject::Exchange(exchange) => (Calls::new(phase, (number, id), configured.plugin)?, Some(exchange), None),
            Subject::Handshake(handshake) => {
                let (calls, loan) = Calls::of_handshake(handshake, number, id)?;
                (calls, None, Some(loan))
            }
        };
        Ok(Host { calls, exchange, handshake, entry, error: None })
    }

    /// The machine that arguments and results belong to.
    pub fn lua(&self) -> &Lua {
        self.calls.lua()
    }

    /// Calls a function.
    pub async fn call(&mut self, name: &str, arguments: MultiValue) -> Called {
        if name == "kong.log.serialize"
            && let Some(entry) = &self.entry
        {
            // As it was when the exchange ended.
            return match self.lua().create_string(entry) {
                Ok(entry) => Called::Values(MultiValue::from_iter([mlua::Value::String(entry)])),
                Err(error) => Called::Error(error.to_string()),
            };
        }
        let called = self.calls.call(self.exchange.as_deref_mut(), name, arguments).await;
        if let Called::Error(error) = &called {
            self.error.get_or_insert_with(|| format!("{name}: {error}"));
        }
        called
    }

    /// What an event has come to that the plugin is done with.
    pub fn finish(self) -> Result<Event, String> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let decided = self.handshake.map_or(Ok(()), |loan| loan.end(Ok(())));
        decided.map(|()| Event::Done).map_err(|error| error.to_string())
    }
}

impl Subject<'_> {
    /// The same for one of several tries.
    pub fn again(&mut self) -> Subject<'_> {
        match self {
            Subject::Exchange(exchange) => Subject::Exchange(exchange),
            Subject::Handshake(handshake) => Subject::Handshake(handshake),
        }
    }
}
