//! Counters that all nodes of a database share: what Kong keeps in `ratelimiting_metrics`.

use std::time::Duration;
use uuid::Uuid;

/// Which counter: all values together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Counter {
    /// The entity, such as `ratelimiting_metrics`.
    pub entity: String,
    /// Who is counted.
    pub identifier: String,
    /// `second`, say.
    pub period: String,
    /// When the period began, in Unix milliseconds.
    pub began: i64,
    /// What the limit is for; nil where it is for all.
    pub service: Uuid,
    pub route: Uuid,
}

/// What is added to a counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addition {
    pub counter: Counter,
    pub amount: i64,
    /// How long the counter is kept from now on.
    pub kept: Duration,
}
