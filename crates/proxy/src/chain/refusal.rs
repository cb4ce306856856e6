//! What stands in the place of a plugin that cannot be used.

use sdk::{Answer, Exchange, Phases, Plugin, Source, Step};

/// Answers every request with 500: what a plugin was to protect, limit or record does not happen without it.
pub struct Refusal;

impl Plugin for Refusal {
    fn phases(&self) -> Phases {
        Phases::ACCESS
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        Step::Answer(unexpected(exchange))
    }
}

/// What Kong answers when something in a plugin has gone wrong.
pub fn unexpected(exchange: &Exchange) -> Answer {
    Answer { source: Source::Error, ..Answer::error(exchange, 500, &Answer::status_message(500)) }
}
