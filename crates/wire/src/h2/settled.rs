//! Whether a service has said how it takes requests: what tunnels want to know of it (RFC 8441, section 3).

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};

/// The first settings of a service.
#[derive(Default)]
pub(super) struct Settled {
    /// They have come.
    seen: Cell<bool>,
    /// They are known, or will never be.
    known: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
}

impl Settled {
    /// Settings have come, and are read next.
    pub fn see(&self) {
        self.seen.set(true);
    }

    /// What has come was read; `over`: there will be nothing more.
    pub fn read(&self, over: bool) {
        if (over || self.seen.get()) && !self.known.replace(true) {
            self.waiting.take().into_iter().for_each(Waker::wake);
        }
    }

    /// Ready when there is nothing to wait for.
    pub fn poll_known(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.known.get() {
            return Poll::Ready(());
        }
        self.waiting.borrow_mut().push(cx.waker().clone());
        Poll::Pending
    }
}
