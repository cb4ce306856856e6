//! The open connections of an interface, and which of them makes room for another one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;
use wire::net::LogLimiter;

/// The connections of all listeners of an interface, up to a number. Beyond it, the one that has kept us waiting for
/// its client longest (for a request, for the rest of one, for a response to be read) is closed in favour of a new one:
/// however many clients are idle or slow, another one gets in.
pub struct Connections {
    most: usize,
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
    state: Mutex<State>,
    evicted: Notify,
}

struct State {
    /// Requests that the node works for: it waits while there are none.
    working: usize,
    since: Instant,
}

/// Whether the node works for a request, or for the one that a connection has at a time.
pub(super) struct Work {
    activity: Arc<Activity>,
    goes_on: AtomicBool,
}

impl Connections {
    /// Takes up to `most` connections.
    pub fn new(most: usize) -> Connections {
        Connections { most: most.max(1), open: Mutex::default(), refused: LogLimiter::new(), failed: LogLimiter::new() }
    }

    /// Takes a connection in, in place of another one if need be; `None` when the node works for all that are open.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Place> {
        let mut open = self.open();
        if open.connections.len() >= self.most && !open.evict() {
            return None;
        }
        open.last += 1;
        let number = open.last;
        let state = Mutex::new(State { working: 0, since: Instant::now() });
        let activity = Arc::new(Activity { state, evicted: Notify::new() });
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
        let waiting =
            self.connections.iter().filter_map(|(number, activity)| Some((activity.waiting_since()?, *number)));
        let oldest = waiting.min().map(|(_, number)| number);
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
    /// Whether it waits for its client.
    pub fn is_waiting(&self) -> bool {
        self.waiting_since().is_some()
    }

    fn waiting_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.working == 0).then_some(state.since)
    }

    /// Resolves when the connection has to make room.
    pub async fn evicted(&self) {
        self.evicted.notified().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Work {
    /// Work on that connection, not begun yet.
    pub fn new(activity: &Arc<Activity>) -> Arc<Work> {
        Arc::new(Work { activity: Arc::clone(activity), goes_on: AtomicBool::new(false) })
    }

    /// The node works.
    pub fn go_on(&self) {
        let mut state = self.activity.state();
        if !self.goes_on.swap(true, Ordering::Relaxed) {
            state.working += 1;
        }
    }

    /// It waits for the client.
    pub fn wait(&self) {
        let mut state = self.activity.state();
        if self.goes_on.swap(false, Ordering::Relaxed) {
            state.working -= 1;
            state.since = Instant::now();
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.wait();
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
        let [of_first, also_of_first] = std::array::from_fn(|_| Work::new(first.activity()));
        of_first.go_on();
        also_of_first.go_on();
        let fourth = connections.enter().unwrap();
        assert!(second.activity().evicted().now_or_never().is_some());
        assert!(third.activity().evicted().now_or_never().is_none());
        let [of_third, of_fourth] = [&third, &fourth].map(|place| Work::new(place.activity()));
        of_third.go_on();
        of_fourth.go_on();
        also_of_first.wait();
        assert!(connections.enter().is_none(), "the node works for all of them");
        drop(of_first);
        drop(second);
        assert!(connections.enter().is_some());
        assert!(first.activity().evicted().now_or_never().is_some());
        drop(third);
        assert!(connections.enter().is_some());
        assert!(fourth.activity().evicted().now_or_never().is_none());
    }
}
