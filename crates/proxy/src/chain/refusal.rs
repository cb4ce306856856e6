//! What stands in the place of a plugin that cannot be used.

use sdk::{Answer, Exchange, Phases, Plugin, Step};

/// Answers every request with 500: what a plugin was to protect, limit or record does not happen without it.
pub struct Refusal;

impl Plugin for Refusal {
    fn phases(&self) -> Phases {
        Phases::ACCESS
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        Step::Answer(Answer::unexpected(exchange))
    }
}
