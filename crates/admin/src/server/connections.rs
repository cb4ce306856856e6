//! The open connections of an interface, and which of them makes room for another one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;
use wire::net::LogLimiter;

/// The connections of all listeners of an interface, up to a number. Beyond it, the one that has kept us waiting for
/// its client longest (for a request, for the rest of one, for a response to be read) is closed in favour of a new one:
/// however many clients are idle or slow, another one gets in.
pub struct Connections {
    most: usize,
    began: Instant,
    open: Mutex<Open>,
    pub(super) refused: LogLimiter,
    pub(super) failed: LogLimiter,
}

#[derive(Default)]
struct Open {
    last: u64,
    connections: HashMap<u64, Arc<Activity>>,
}

/// A connection's place among the others; given up when dropped.
pub(super) struct Place {
    number: u64,
    connections: Arc<Connections>,
    activity: Arc<Activity>,
}

/// Whether a connection waits for its client, and since when.
pub(super) struct Activity {
    began: Instant,
    /// Milliseconds since `began`, plus one; 0: it does not wait, the node works for it.
    waiting_since: AtomicU64,
    evicted: Notify,
}

impl Connections {
    /// Takes up to `most` connections.
    pub fn new(most: usize) -> Connections {
        Connections {
            most: most.max(1),
            began: Instant::now(),
            open: Mutex::default(),
            refused: LogLimiter::new(),
            failed: LogLimiter::new(),
        }
    }

    /// Takes a connection in, in place of another one if need be; `None` when the node works for all that are open.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Place> {
        let mut open = self.open();
        if open.connections.len() >= self.most && !open.evict() {
            return None;
        }
        open.last += 1;
        let number = open.last;
        let activity =
            Arc::new(Activity { began: self.began, waiting_since: AtomicU64::new(0), evicted: Notify::new() });
        activity.wait();
        open.connections.insert(number, Arc::clone(&activity));
        Some(Place { number, connections: Arc::clone(self), activity })
    }

    /// Closes the connection that has waited longest.
    pub(super) fn evict(&self) {
        self.open().evict();
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn evict(&mut self) -> bool {
        let since = |activity: &Activity| activity.waiting_since.load(Ordering::Relaxed);
        let waiting = self.connections.iter().filter(|(_, activity)| since(activity) > 0);
        let oldest = waiting.min_by_key(|(number, activity)| (since(activity), **number)).map(|(number, _)| *number);
        let Some(evicted) = oldest.and_then(|number| self.connections.remove(&number)) else { return false };
        evicted.evicted.notify_one();
        true
    }
}

impl Place {
    /// The number of the connection, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    pub fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.open().connections.remove(&self.number);
    }
}

impl Activity {
    /// From now on it waits for the client.
    pub fn wait(&self) {
        if !self.is_waiting() {
            let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
            self.waiting_since.store(since + 1, Ordering::Relaxed);
        }
    }

    /// The node works for it.
    pub fn work(&self) {
        self.waiting_since.store(0, Ordering::Relaxed);
    }

    pub fn is_waiting(&self) -> bool {
        self.waiting_since.load(Ordering::Relaxed) > 0
    }

    /// Resolves when the connection has to make room.
    pub async fn evicted(&self) {
        self.evicted.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn the_one_that_has_waited_longest_makes_room() {
        let connections = Arc::new(Connections::new(3));
        let [first, second, third] = std::array::from_fn(|_| connections.enter().unwrap());
        first.activity().work();
        let fourth = connections.enter().unwrap();
        assert!(second.activity().evicted().now_or_never().is_some());
        assert!(third.activity().evicted().now_or_never().is_none());
        third.activity().work();
        fourth.activity().work();
        assert!(connections.enter().is_none(), "the node works for all of them");
        first.activity().wait();
        drop(second);
        assert!(connections.enter().is_some());
        assert!(first.activity().evicted().now_or_never().is_some());
        drop(third);
        assert!(connections.enter().is_some());
        assert!(fourth.activity().evicted().now_or_never().is_none());
    }
}
