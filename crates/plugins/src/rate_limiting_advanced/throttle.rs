//! Requests that are too many wait and are counted again, in place of being refused at once (`throttling`).

use crate::limits::{Counters, Key, Span, Who};
use sdk::{Config, Env, entities::Uuid};
use std::sync::Arc;
use std::time::Duration;

/// How long requests wait, how often they are counted again, and how many of a caller may wait.
pub struct Throttle {
    counters: Arc<Counters>,
    pub interval: Duration,
    pub retries: u32,
    limit: u32,
}

/// A request that waits.
pub struct Place<'a> {
    counters: &'a Counters,
    key: Key,
}

/// Counts of those who wait are of no window.
const ALWAYS: Span = Span { number: 0, until: u32::MAX, before_until: 0, weight: 0.0 };

impl Throttle {
    /// The one of a configuration, where it is enabled.
    pub fn read(config: &Config<'_>, env: &Env) -> Option<Throttle> {
        let throttling = config.section("throttling");
        throttling.flag("enabled").then(|| Throttle {
            counters: env.shared(),
            interval: Duration::from_secs_f64(throttling.number("interval").unwrap_or(5.0).clamp(0.0, 1e6)),
            retries: throttling.integer("retry_times").unwrap_or(3),
            limit: throttling.integer("queue_limit").unwrap_or(5),
        })
    }

    /// A place among the waiting requests of a caller; `None`: there are enough.
    pub fn enter(&self, namespace: &str, caller: &[u8], now: u64) -> Option<Place<'_>> {
        let who = Who::of(&[b"waiting\0", namespace.as_bytes(), b"\0", caller].concat());
        let key = Key { route: Uuid::nil(), service: Uuid::nil(), who };
        let entered = self.counters.slide(&key, 1, ALWAYS, now, Some(f64::from(self.limit)));
        entered.added.then(|| Place { counters: &self.counters, key })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.counters.slide_back(&self.key, 1, ALWAYS);
    }
}
