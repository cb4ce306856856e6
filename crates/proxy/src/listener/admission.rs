//! Which connections may stay.

use super::Descriptors;
use std::cell::Cell;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};
use wire::net::LogLimiter;

/// The limits of one worker. Where they are reached, connections on which nothing happens are closed in favour of new
/// ones, as nginx does; if there are none, a new one is closed at once, so that its client need not wait to find out.
pub(crate) struct Admission {
    /// `worker_connections`.
    connections: usize,
    descriptors: Descriptors,
    /// So many connections were closed to make room and not replaced yet.
    reclaimed: Cell<usize>,
    /// The last connection was let in although there was no room yet.
    pressed: Cell<bool>,
    /// When idle connections are looked for again, after few were found.
    not_before: Cell<Option<Instant>>,
    refused: LogLimiter,
}

/// What is running out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortage {
    Connections,
    Descriptors,
}

/// Looking through all connections takes time: where few are idle, that often at most.
const LOOK: Duration = Duration::from_millis(1);
/// So many are not few.
const MANY: usize = 8;

impl Admission {
    pub fn new(connections: usize, descriptors: Descriptors) -> Admission {
        Admission {
            connections,
            descriptors,
            reclaimed: Cell::new(0),
            pressed: Cell::new(false),
            not_before: Cell::new(None),
            refused: LogLimiter::default(),
        }
    }

    /// Whether a connection that was just accepted beside `open` ones may stay. `reclaim` closes some that are idle,
    /// and says how many.
    pub fn admit(&self, socket: &impl AsRawFd, open: usize, reclaim: impl FnOnce(Shortage) -> usize) -> bool {
        self.pressed.set(false);
        let shortage = if open >= self.connections {
            Shortage::Connections
        } else if !self.descriptors.allow_client(socket) {
            Shortage::Descriptors
        } else {
            self.reclaimed.set(0);
            return true;
        };
        // Where even services are left with nothing, idle ones are closed for those that come next.
        let reclaimed = self.reclaimed.get() > 0 || self.look(shortage, reclaim);
        let room = reclaimed && self.descriptors.allow_service(socket);
        if room {
            self.reclaimed.set(self.reclaimed.get() - 1);
            self.pressed.set(true);
        } else {
            self.refused.note(|n| tell(shortage, n));
        }
        room
    }

    /// Whether the connection that was let in last took the place of one that is closed only when its task runs: to be
    /// waited for before the next one is accepted.
    pub fn is_pressed(&self) -> bool {
        self.pressed.get()
    }

    /// Tells of refusals that were not told of yet.
    pub fn flush(&self) {
        self.refused.flush(|n| tracing::warn!("{n} more connections of clients were refused"));
    }

    fn look(&self, shortage: Shortage, reclaim: impl FnOnce(Shortage) -> usize) -> bool {
        let now = Instant::now();
        if self.not_before.get().is_some_and(|at| now < at) {
            return false;
        }
        let reclaimed = reclaim(shortage);
        self.not_before.set((reclaimed < MANY).then(|| now + LOOK));
        self.reclaimed.set(reclaimed);
        reclaimed > 0
    }
}

fn tell(shortage: Shortage, refused: u64) {
    let what = match shortage {
        Shortage::Connections => "as many are open as 'nginx_events_worker_connections' allows",
        Shortage::Descriptors => "the process is short of file descriptors (RLIMIT_NOFILE)",
    };
    tracing::warn!("{refused} connections of clients were refused: {what}, and none of them is idle");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::RawFd;

    /// A descriptor of that number.
    struct Number(RawFd);

    impl AsRawFd for Number {
        fn as_raw_fd(&self) -> RawFd {
            self.0
        }
    }

    #[test]
    fn idle_connections_make_room() {
        let admission = Admission::new(2, Descriptors::of(u64::MAX));
        let mut looks = 0;
        let mut admit = |open, idle| {
            admission.admit(&Number(9), open, |shortage| {
                assert_eq!(shortage, Shortage::Connections);
                looks += 1;
                idle
            })
        };
        assert!(admit(1, 0));
        assert!(admit(2, MANY), "one of those that were closed gives it its place");
        assert!(admission.is_pressed());
        for _ in 1..MANY {
            assert!(admit(3, 0), "so do the others");
        }
        assert!(!admit(2, 0), "there are no more");
        assert_eq!(looks, 2);
    }

    #[test]
    fn descriptors_run_out() {
        let admission = || Admission::new(usize::MAX, Descriptors::of(1024));
        assert!(admission().admit(&Number(783), 0, |_| 0));
        assert!(!admission().admit(&Number(784), 0, |shortage| usize::from(shortage != Shortage::Descriptors)));
        assert!(admission().admit(&Number(784), 0, |_| 1));
        let admission = admission();
        assert!(!admission.admit(&Number(896), 0, |_| MANY), "these are for services");
        assert!(admission.admit(&Number(784), 0, |_| 0), "what was closed makes room for the next");
    }
}
