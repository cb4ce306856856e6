//! What a plugin can call while an event lasts.

use super::instance::Configured;
use crate::lua::{Called, Calls, Phase};
use mlua::{Lua, MultiValue};
use sdk::{Answer, Bytes, Exchange};

/// One event of an instance.
pub struct Host<'e> {
    calls: Calls,
    exchange: &'e mut Exchange,
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
        exchange: &'e mut Exchange,
        entry: Option<Bytes>,
    ) -> Result<Host<'e>, String> {
        let calls = Calls::new(phase, configured.number, &configured.id)?;
        Ok(Host { calls, exchange, entry, error: None })
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
        let called = self.calls.call(self.exchange, name, arguments).await;
        if let Called::Error(error) = &called {
            self.error.get_or_insert_with(|| format!("{name}: {error}"));
        }
        called
    }

    /// What an event has come to that the plugin is done with.
    pub fn finish(self) -> Result<Event, String> {
        self.error.map_or(Ok(Event::Done), Err)
    }
}
