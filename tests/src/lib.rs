//! Black-box tests: the real binary in a directory of its own on free ports, spoken to over sockets.
//!
//! [`Node`] starts and ends it, [`http`] is the client, [`Backend`] the services behind it, [`Service`] one that the
//! test drives itself, [`Scripted`] one whose answer is given, [`Nginx`] the measure.

mod backend;
pub mod http;
mod nginx;
mod node;
mod postgres;
mod scripted;
mod service;
pub mod socket;
pub mod tls;
mod usage;

pub use backend::Backend;
pub use nginx::Nginx;
pub use node::{Node, bascule, binary};
pub use postgres::{Pooler, Postgres};
pub use scripted::Scripted;
pub use service::{Request, Service};
pub use usage::Usage;

use std::time::{Duration, Instant};

/// How long anything may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// So many rounds, times `$BASCULE_LONGER` where it is set: what takes seconds by day may take minutes by night.
pub fn longer(rounds: usize) -> usize {
    let times = std::env::var("BASCULE_LONGER").ok().and_then(|times| times.parse().ok());
    rounds * times.unwrap_or(1)
}

/// Asks again and again until the answer is yes; fails with `what` when it never is.
pub fn eventually(what: &str, mut question: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !question() {
        assert!(Instant::now() < end, "never happened: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
