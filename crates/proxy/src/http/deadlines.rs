//! How long an exchange waits for whom.
//!
//! An exchange can wait for several things at once: content from the client, room at the client, room at the service,
//! an answer of the service. Each of these waits has a deadline of its own, which begins when the wait begins and
//! starts anew only when that very wait has got somewhere: what one side does never extends the time of the other.

use std::task::Context;
use std::time::Duration;
use wire::net::{Deadline, Timer};

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
    /// A filter of a plugin.
    Filter,
}

/// The deadlines of one exchange.
pub(crate) struct Deadlines {
    due: [Deadline; 5],
    /// How far each wait had come when its deadline was set.
    progress: [u64; 5],
    used: bool,
}

const ALL: [Wait; 5] = [Wait::ClientRead, Wait::ClientWrite, Wait::ServiceRead, Wait::ServiceWrite, Wait::Filter];

impl Default for Deadlines {
    fn default() -> Deadlines {
        Deadlines { due: [Deadline::NEVER; 5], progress: [0; 5], used: false }
    }
}

impl Deadlines {
    /// The exchange waits for that, at most for `limit` since it began to or since `progress` changed.
    pub fn begin(&mut self, wait: Wait, progress: u64, limit: Duration, timer: &Timer) {
        let at = wait as usize;
        if self.due[at] == Deadline::NEVER || self.progress[at] != progress {
            self.due[at] = timer.deadline(limit);
            self.progress[at] = progress;
            self.used = true;
        }
    }

    /// The exchange does not wait for that now.
    pub fn end(&mut self, wait: Wait) {
        self.due[wait as usize] = Deadline::NEVER;
    }

    /// Which wait has taken too long; otherwise the task is woken when the next one does.
    pub fn poll_expired(&self, cx: &mut Context<'_>, timer: &Timer) -> Option<Wait> {
        ALL.into_iter().find(|wait| self.due[*wait as usize].poll_expired(cx, timer))
    }

    /// Nothing is waited for any more.
    pub fn clear(&mut self, timer: &Timer) {
        if self.used {
            timer.disarm();
            *self = Deadlines::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::task::Waker;
    use std::time::Instant;
    use wire::net::{Clock, Timers};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_wait_is_extended_by_its_own_progress_only() {
        let clock = Clock::new();
        let timer = Timers::new(Arc::clone(&clock)).timer();
        let start = Instant::now();
        let at = |seconds: u32| clock.set(start + seconds * SECOND);
        let mut deadlines = Deadlines::default();
        let mut cx = Context::from_waker(Waker::noop());
        at(0);
        deadlines.begin(Wait::ServiceRead, 0, 6 * SECOND, &timer);
        deadlines.begin(Wait::ClientWrite, 0, 2 * SECOND, &timer);
        at(1);
        // Asking again changes nothing.
        deadlines.begin(Wait::ClientWrite, 0, 2 * SECOND, &timer);
        assert_eq!(deadlines.poll_expired(&mut cx, &timer), None);
        at(2);
        assert_eq!(deadlines.poll_expired(&mut cx, &timer), Some(Wait::ClientWrite));
        // Progress does.
        deadlines.begin(Wait::ClientWrite, 7, 3 * SECOND, &timer);
        at(4);
        assert_eq!(deadlines.poll_expired(&mut cx, &timer), None);
        at(6);
        assert_eq!(deadlines.poll_expired(&mut cx, &timer), Some(Wait::ClientWrite));
        deadlines.end(Wait::ClientWrite);
        assert_eq!(deadlines.poll_expired(&mut cx, &timer), Some(Wait::ServiceRead));
        // A wait that begins again has its whole time.
        deadlines.end(Wait::ServiceRead);
        deadlines.begin(Wait::ServiceRead, 0, 6 * SECOND, &timer);
        at(11);
        assert_eq!(deadlines.poll_expired(&mut cx, &timer), None);
        deadlines.clear(&timer);
        at(100);
        assert_eq!(deadlines.poll_expired(&mut cx, &timer), None);
    }
}
