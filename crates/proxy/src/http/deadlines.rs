//! How long an exchange waits for whom.
//!
//! An exchange can wait for several things at once: content from the client, room at the client, room at the service, an
//! answer of the service. Each of these waits has a deadline of its own, which begins when the wait begins and starts
//! anew only when that very wait has got somewhere: what one side does never extends the time of the other.

use std::task::Context;
use std::time::{Duration, Instant};
use wire::net::Timer;

/// What is waited for, and so whose fault it is when it does not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// The client's next octets of content: `client_body_timeout`.
    ClientRead,
    /// Room for what the client is to read: `send_timeout`.
    ClientWrite,
    /// The next octets of a response: the service's `read_timeout`.
    ServiceRead,
    /// Room for what the service is to read: the service's `write_timeout`.
    ServiceWrite,
}

/// The deadlines of one exchange.
#[derive(Default)]
pub(crate) struct Deadlines {
    waits: [Option<Deadline>; 4],
    /// For when the timer is set.
    armed: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Deadline {
    due: Instant,
    /// How far the wait had come when the deadline was set.
    progress: u64,
}

impl Deadlines {
    /// The exchange waits for that, at most for `limit` since it began to or since `progress` changed.
    pub fn begin(&mut self, wait: Wait, progress: u64, limit: Duration, now: Instant) {
        let deadline = &mut self.waits[wait as usize];
        if deadline.is_none_or(|deadline| deadline.progress != progress) {
            // A limit beyond what the clock can express is none.
            *deadline = now.checked_add(limit).map(|due| Deadline { due, progress });
        }
    }

    /// The exchange does not wait for that now.
    pub fn end(&mut self, wait: Wait) {
        self.waits[wait as usize] = None;
    }

    /// Which wait has taken too long; otherwise the task is woken when the next one does.
    pub fn poll_expired(&mut self, cx: &mut Context<'_>, timer: &Timer, now: Instant) -> Option<Wait> {
        const ALL: [Wait; 4] = [Wait::ClientRead, Wait::ClientWrite, Wait::ServiceRead, Wait::ServiceWrite];
        let due = |wait: &Wait| self.waits[*wait as usize].map(|deadline| deadline.due);
        let first = ALL.into_iter().filter(|wait| due(wait).is_some()).min_by_key(due)?;
        let next = due(&first)?;
        if self.armed != Some(next) {
            timer.arm(next.saturating_duration_since(now));
            self.armed = Some(next);
        }
        timer.poll_expired(cx).then_some(first)
    }

    /// Nothing is waited for any more.
    pub fn clear(&mut self, timer: &Timer) {
        if self.armed.take().is_some() {
            timer.disarm();
        }
        self.waits = Default::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::task::Waker;
    use wire::net::{Clock, Timers};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_wait_is_extended_by_its_own_progress_only() {
        let clock = Clock::new();
        let timer = Timers::new(Arc::clone(&clock)).timer();
        let start = clock.now();
        let mut deadlines = Deadlines::default();
        let mut cx = Context::from_waker(Waker::noop());
        deadlines.begin(Wait::ServiceRead, 0, 3 * SECOND, start);
        deadlines.begin(Wait::ClientWrite, 0, 2 * SECOND, start);
        assert_eq!(deadlines.poll_expired(&mut cx, &timer, start), None);
        assert_eq!(deadlines.armed, Some(start + 2 * SECOND));
        // Asking again changes nothing; progress does.
        deadlines.begin(Wait::ClientWrite, 0, 2 * SECOND, start + SECOND);
        assert_eq!(deadlines.poll_expired(&mut cx, &timer, start + SECOND), None);
        assert_eq!(deadlines.armed, Some(start + 2 * SECOND));
        deadlines.begin(Wait::ClientWrite, 7, 2 * SECOND, start + SECOND);
        assert_eq!(deadlines.poll_expired(&mut cx, &timer, start + SECOND), None);
        assert_eq!(deadlines.armed, Some(start + 3 * SECOND));
        deadlines.end(Wait::ServiceRead);
        deadlines.end(Wait::ClientWrite);
        assert_eq!(deadlines.poll_expired(&mut cx, &timer, start + SECOND), None);
        // A wait that begins again has its whole time.
        deadlines.begin(Wait::ServiceRead, 0, 3 * SECOND, start + 5 * SECOND);
        assert_eq!(deadlines.poll_expired(&mut cx, &timer, start + 5 * SECOND), None);
        assert_eq!(deadlines.armed, Some(start + 8 * SECOND));
    }
}
