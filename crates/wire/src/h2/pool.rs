//! What streams of clients need, lent by a pool per worker: a connection holds none of it while nothing is under way.

use crate::message::RequestHead;
use crate::net::{FreeList, Timer, Timers};
use std::rc::Rc;

/// How many of each are kept at most.
const KEEP: usize = 128;
/// Octets of a head that is worth it.
const HEAD: usize = 4096;

/// Heads and timers of streams that are over, of one worker.
#[derive(Clone)]
pub struct StreamPool(Rc<Free>);

struct Free {
    heads: FreeList<Box<RequestHead>>,
    /// One that is used again mostly stands among those of the worker already.
    timers: FreeList<Timer>,
}

impl StreamPool {
    /// Frees what has not been needed for a while; to be called now and then.
    pub fn shrink(&self) {
        self.0.heads.shrink();
        self.0.timers.shrink();
    }

    /// A head to read into.
    pub(super) fn head(&self) -> Box<RequestHead> {
        self.0.heads.take().unwrap_or_default()
    }

    /// Takes one back whose lines are not needed any more.
    pub(super) fn give_head(&self, mut head: Box<RequestHead>) {
        if head.fields.capacity() + head.target.capacity() <= HEAD {
            head.fields.clear();
            head.target.clear();
            self.0.heads.give(head);
        }
    }

    /// A timer.
    pub(super) fn timer(&self, timers: &Timers) -> Timer {
        self.0.timers.take().unwrap_or_else(|| timers.timer())
    }

    /// Takes one back.
    pub(super) fn give_timer(&self, timer: &Timer) {
        timer.rest();
        self.0.timers.give(timer.clone());
    }
}

impl Default for StreamPool {
    fn default() -> StreamPool {
        StreamPool(Rc::new(Free { heads: FreeList::new(KEEP), timers: FreeList::new(KEEP) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Clock;
    use std::task::{Context, Waker};
    use std::time::Duration;

    #[test]
    fn heads_come_back_empty_unless_they_are_large() {
        let pool = StreamPool::default();
        let mut head = pool.head();
        head.target.push_str("/path");
        head.fields.append("x-a", b"1");
        pool.give_head(head);
        assert_eq!(pool.0.heads.take().map(|head| (head.target.len(), head.fields.len())), Some((0, 0)));
        let mut large = pool.head();
        large.fields.append("x-a", &[b'1'; HEAD]);
        pool.give_head(large);
        assert!(pool.0.heads.take().is_none());
    }

    #[test]
    fn timers_come_back_without_a_deadline() {
        let (pool, timers) = (StreamPool::default(), Timers::new(Clock::new()));
        let timer = pool.timer(&timers);
        timer.arm(Duration::ZERO);
        pool.give_timer(&timer);
        drop(timer);
        let again = pool.0.timers.take().expect("one was given back");
        assert!(!again.poll_expired(&mut Context::from_waker(Waker::noop())));
    }
}
