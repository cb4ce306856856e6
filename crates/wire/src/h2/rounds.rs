//! Whether what streams have queued has left: the `h2` crate drops what is still queued for a stream that is reset with
//! a reason of ours.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};

/// How often a connection has sent all that it could.
///
/// Content is queued only where the client's windows have room for it, so that nothing but the socket holds it up.
#[derive(Default)]
pub(super) struct Rounds {
    ended: Cell<u64>,
    /// The socket takes nothing more at the moment.
    pub blocked: Cell<bool>,
    /// Those who wait for the end of one.
    waiting: RefCell<Vec<Waker>>,
}

impl Rounds {
    /// The connection has nothing more to do for now.
    pub fn end(&self) {
        if !self.blocked.get() {
            self.ended.set(self.ended.get() + 1);
            self.waiting.borrow_mut().drain(..).for_each(Waker::wake);
        }
    }

    /// The one under way, with which leaves what is queued now.
    pub fn current(&self) -> u64 {
        self.ended.get()
    }

    /// Ready when that one has ended.
    pub fn poll_ended(&self, round: u64, cx: &mut Context<'_>) -> Poll<()> {
        if self.ended.get() > round {
            return Poll::Ready(());
        }
        self.waiting.borrow_mut().push(cx.waker().clone());
        Poll::Pending
    }
}
