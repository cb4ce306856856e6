//! One request of a client and its response, on a connection with others.

use super::frame::{self, Code, DATA, END_STREAM, MOST};
use super::section;
use super::shared::{Shared, State, keep};
use crate::h1::{ContentError, HeadError, Traffic};
use crate::message::{Fields, Framing, Known, RequestHead, ResponseHead};
use crate::net::Timer;
use bytes::{Buf, Bytes};
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

/// A stream that a client has opened. When it is dropped before the response is complete, the client is told that it
/// is not (`RST_STREAM`).
pub struct ServerStream {
    state: Rc<State>,
    shared: Rc<RefCell<Shared>>,
    /// Content that has come and was not consumed.
    piece: Bytes,
    trailers: Option<Fields>,
    /// The client waits for `100 Continue`.
    continue_wanted: bool,
    /// The head of the response is queued.
    responding: bool,
    /// Octets of the piece that is being sent which have been taken over.
    offset: usize,
    /// Where the last frame with content begins, and where what was queued last ends.
    frame: u64,
    queued: u64,
    traffic: Traffic,
    timer: Timer,
}

impl ServerStream {
    pub(super) fn new(state: Rc<State>, shared: Rc<RefCell<Shared>>, timer: Timer) -> ServerStream {
        ServerStream {
            state,
            shared,
            piece: Bytes::new(),
            trailers: None,
            continue_wanted: false,
            responding: false,
            offset: 0,
            frame: u64::MAX,
            queued: 0,
            traffic: Traffic::default(),
            timer,
        }
    }

    /// Puts the request's head into `head`, once.
    pub fn take_head(&mut self, head: &mut RequestHead) -> Result<(), HeadError> {
        let Some((mut taken, read)) = self.state.head.take() else { return Ok(()) };
        std::mem::swap(&mut head.method, &mut taken.method);
        std::mem::swap(&mut head.target, &mut taken.target);
        (head.version, head.framing) = (taken.version, taken.framing);
        head.fields.swap_lines(&mut taken.fields);
        self.traffic.received += (head.fields.octets_of_lines() + head.target.len()) as u64;
        self.shared.borrow().pool.give_head(taken);
        let expects = head.fields.known(Known::Expect).is_some_and(|e| e.eq_ignore_ascii_case(b"100-continue"));
        self.continue_wanted = expects && !self.state.ended.get();
        if read.is_err() {
            head.fields.clear();
            head.framing = Framing::Empty;
        }
        read
    }

    /// As [`crate::h1::ServerConnection::poll_content`].
    pub fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<usize>, ContentError>> {
        if !self.responding {
            self.queue_continue();
        }
        if self.piece.is_empty() {
            let mut content = self.state.content.borrow_mut();
            if !content.is_empty() {
                self.piece = content.split().freeze();
            } else if self.state.ended.get() {
                if let Some(trailers) = self.state.trailers.take() {
                    self.trailers = Some(trailers);
                }
                return Poll::Ready(Ok(None));
            } else if self.state.reset.get() {
                // The client has reset the stream, or is gone.
                return Poll::Ready(Err(ContentError::Truncated));
            } else {
                keep(&mut self.state.reader.borrow_mut(), cx);
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(Some(self.piece.len())))
    }

    /// The first `n` octets of the content that have arrived.
    pub fn content(&self, n: usize) -> &[u8] {
        &self.piece[..n]
    }

    /// Takes octets of the content as used: only then the client may send as many more.
    pub fn consume(&mut self, n: usize) {
        self.piece.advance(n);
        self.traffic.received += n as u64;
        self.shared.borrow_mut().consume(&self.state, n);
    }

    /// How many octets have arrived that were not consumed.
    pub fn buffered(&self) -> usize {
        self.piece.len()
    }

    /// Whether the request's content has come to its end and was consumed.
    pub fn content_is_done(&self) -> bool {
        self.state.ended.get() && self.piece.is_empty() && self.state.content.borrow().is_empty()
    }

    /// The request's trailers, after its content.
    pub fn trailers(&self) -> Option<&Fields> {
        self.trailers.as_ref()
    }

    /// Whether the client sends no content before it is told to.
    pub fn awaits_continue(&self) -> bool {
        self.continue_wanted && self.piece.is_empty() && self.state.content.borrow().is_empty()
    }

    /// Tells a client that waits for `100 Continue` to go on.
    pub fn queue_continue(&mut self) {
        if std::mem::take(&mut self.continue_wanted) {
            self.queue_interim(&mut ResponseHead { status: 100, ..ResponseHead::default() });
        }
    }

    /// Ready when the client has reset the stream or is gone.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.state.reset.get() {
            return Poll::Ready(());
        }
        keep(&mut self.state.watcher.borrow_mut(), cx);
        Poll::Pending
    }

    /// Whether the client has reset the stream or is gone.
    pub fn is_reset(&self) -> bool {
        self.state.reset.get()
    }

    /// Whether the response is complete while the client may still send content.
    pub fn is_answered_early(&self) -> bool {
        !self.state.ended.get() && self.state.finished.get()
    }

    /// Ready when the client has sent all content, or has given up; what comes is dropped, up to `most` octets.
    pub fn poll_rest(&mut self, cx: &mut Context<'_>, most: &mut usize) -> Poll<()> {
        while *most > 0 {
            match self.poll_content(cx) {
                Poll::Ready(Ok(Some(n))) => {
                    self.consume(n);
                    *most = most.saturating_sub(n);
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        self.poll_closed(cx)
    }

    /// Whether the response did not come to its end.
    pub fn is_cut_short(&self) -> bool {
        !self.state.finished.get()
    }

    /// Ready when all has left that was queued.
    pub fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.shared.borrow_mut().has_left(self.queued, cx) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Tells the client that the rest of the response cannot be had.
    pub fn fail(self) {
        if !self.state.reset.get() {
            let mut shared = self.shared.borrow_mut();
            shared.reset(&self.state, Code::INTERNAL_ERROR);
            shared.wake();
        }
    }

    /// Queues an interim response (1xx but 101).
    pub fn queue_interim(&mut self, head: &mut ResponseHead) {
        head.fields.remove_known(Known::ContentLength);
        self.continue_wanted = false;
        self.push_head(head, 0);
    }

    /// Queues the head of the response.
    pub fn start_response(&mut self, head: &mut ResponseHead) {
        match head.framing {
            Framing::Length(n) if !head.fields.has(Known::ContentLength) => {
                head.fields.append_known(Known::ContentLength, itoa::Buffer::new().format(n).as_bytes());
            }
            Framing::Delimited | Framing::UntilClose => {
                head.fields.remove_known(Known::ContentLength);
            }
            Framing::Length(_) | Framing::Empty => {}
        }
        self.responding = true;
        // gRPC: a status in the head counts when nothing follows.
        if matches!(head.framing, Framing::Empty | Framing::Length(0)) {
            self.push_head(head, END_STREAM);
            self.end();
        } else {
            self.push_head(head, 0);
        }
    }

    /// Queues the head with which the tunnel that was asked for opens (RFC 8441, section 5).
    pub fn start_upgrade(&mut self, head: &mut ResponseHead) {
        head.open_tunnel();
        self.start_response(head);
    }

    /// Sends a piece of the response's content: what there is room for. After `Pending`, call again with the same
    /// piece.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, piece: &[u8]) -> Poll<io::Result<()>> {
        if self.state.finished.get() {
            return Poll::Ready(Ok(()));
        }
        let mut shared = self.shared.borrow_mut();
        while let Some(rest) = piece.get(self.offset..).filter(|rest| !rest.is_empty()) {
            if self.state.reset.get() || !self.responding {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let n = shared.room_for(&self.state).min(rest.len()).min(MOST);
            if n == 0 {
                shared.await_room(&self.state, cx);
                return Poll::Pending;
            }
            self.frame = shared.out.end();
            let out = shared.out.frames();
            frame::push_header(out, n, DATA, 0, self.state.id);
            out.extend_from_slice(&rest[..n]);
            self.queued = shared.out.end();
            shared.room -= n as i64;
            self.state.room.set(self.state.room.get() - n as i64);
            shared.wake();
            self.offset += n;
            self.traffic.sent += n as u64;
        }
        self.offset = 0;
        Poll::Ready(Ok(()))
    }

    /// Ends the response's content.
    pub fn finish(&mut self, trailers: Option<&Fields>) {
        if self.state.finished.get() || self.state.reset.get() || !self.responding {
            return;
        }
        let mut shared = self.shared.borrow_mut();
        match trailers {
            Some(trailers) => section::push_trailers(&mut shared.out, self.state.id, END_STREAM, trailers),
            None if shared.out.flag(self.frame, END_STREAM) => {}
            None => frame::push_header(shared.out.frames(), 0, DATA, END_STREAM, self.state.id),
        }
        self.queued = shared.out.end();
        drop(shared);
        self.end();
    }

    /// Octets that have come from the client.
    pub fn received(&self) -> u64 {
        self.traffic.received
    }

    /// Octets that there was room for at the client.
    pub fn sent(&self) -> u64 {
        self.traffic.sent
    }

    /// What was received and sent: content, and the lines of heads as they are without compression.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// The stream's timer.
    pub fn timer(&self) -> &Timer {
        &self.timer
    }

    fn push_head(&mut self, head: &ResponseHead, flags: u8) {
        if self.state.reset.get() {
            return;
        }
        let mut shared = self.shared.borrow_mut();
        let octets = section::push_response(&mut shared.out, self.state.id, flags, head);
        self.queued = shared.out.end();
        self.traffic.sent += octets;
        self.traffic.heads += octets;
        shared.wake();
    }

    /// The end of the response is queued.
    fn end(&mut self) {
        let mut shared = self.shared.borrow_mut();
        self.state.finished.set(true);
        if self.state.ended.get() && !self.state.malformed {
            shared.close(&self.state, false);
            shared.count_success();
        }
        shared.wake();
    }
}

impl Drop for ServerStream {
    fn drop(&mut self) {
        let (state, mut shared) = (&self.state, self.shared.borrow_mut());
        shared.busy -= 1;
        if !state.reset.get() {
            let (finished, ended) = (state.finished.get(), state.ended.get());
            if !finished {
                shared.reset(state, Code::CANCEL);
            } else if state.malformed {
                // Behind the answer (RFC 9113, section 8.1.1).
                // The next mistake is the one too many, if this is.
                let _ = shared.refuse(state, Code::PROTOCOL_ERROR);
            } else if !ended {
                shared.reset(state, Code::NO_ERROR);
            }
        }
        let held = state.window.get().held();
        if held > 0 {
            shared.release(held);
        }
        shared.pool.give_timer(&self.timer);
        shared.wake();
    }
}
