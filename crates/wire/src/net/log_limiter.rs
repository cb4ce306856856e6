//! Messages about events that may come as often as connections do.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lets one message through per second, with the number of events since the last one.
#[derive(Debug, Default)]
pub struct LogLimiter {
    events: AtomicU64,
    last: Mutex<Option<Instant>>,
}

/// Between two messages.
const PERIOD: Duration = Duration::from_secs(1);

impl LogLimiter {
    /// One that nothing was noted with yet.
    pub const fn new() -> LogLimiter {
        LogLimiter { events: AtomicU64::new(0), last: Mutex::new(None) }
    }

    /// Takes an event; calls `tell` with the number of events that were not told of, unless it is too early.
    pub fn note(&self, tell: impl FnOnce(u64)) {
        self.events.fetch_add(1, Ordering::Relaxed);
        self.flush(tell);
    }

    /// Tells of what is left, unless it is too early.
    pub fn flush(&self, tell: impl FnOnce(u64)) {
        if self.events.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| last.elapsed() < PERIOD) {
            return;
        }
        *last = Some(Instant::now());
        drop(last);
        let events = self.events.swap(0, Ordering::Relaxed);
        if events > 0 {
            tell(events);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_event_is_told_and_the_rest_is_counted() {
        let limiter = LogLimiter::default();
        let told = std::cell::RefCell::new(Vec::new());
        limiter.flush(|n| told.borrow_mut().push(n));
        for _ in 0..5 {
            limiter.note(|n| told.borrow_mut().push(n));
        }
        assert_eq!(*told.borrow(), [1]);
        *limiter.last.lock().unwrap() = Instant::now().checked_sub(PERIOD);
        limiter.flush(|n| told.borrow_mut().push(n));
        limiter.flush(|n| told.borrow_mut().push(n));
        assert_eq!(*told.borrow(), [1, 4]);
    }
}
