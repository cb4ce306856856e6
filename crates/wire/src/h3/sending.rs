//! Frames on their way into a stream.

use super::frame;
use super::head;
use crate::message::{Fields, ResponseHead};
use quinn::{SendStream, StoppedError, VarInt};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A stream that a response goes into, as there is room for it.
pub(super) struct Sending {
    stream: SendStream,
    /// Heads, trailers and the beginnings of frames that wait for room, and how many octets of them have found it.
    queue: Vec<u8>,
    queued: usize,
    /// Octets of the piece that is being sent which have found room, once its frame has begun.
    piece: Option<usize>,
    /// Nothing follows what is queued.
    ending: bool,
    finished: bool,
    sent: u64,
    stopped: Stopped,
}

/// Whether the client has lost interest, or has everything.
enum Stopped {
    /// Nobody has asked yet.
    Unknown,
    Waits(Pin<Box<dyn Future<Output = Result<Option<VarInt>, StoppedError>>>>),
    Yes,
}

impl Sending {
    pub fn new(stream: SendStream) -> Sending {
        Sending {
            stream,
            queue: Vec::new(),
            queued: 0,
            piece: None,
            ending: false,
            finished: false,
            sent: 0,
            stopped: Stopped::Unknown,
        }
    }

    /// Queues the head of a response; the octets of its lines.
    pub fn push_head(&mut self, head: &ResponseHead) -> u64 {
        head::push_response(&mut self.queue, head)
    }

    /// Sends a piece: what there is room for. After `Pending`, call again with the same piece.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, piece: &[u8]) -> Poll<io::Result<()>> {
        if self.ending || piece.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let mut at = match self.piece {
            Some(at) => at,
            None => {
                frame::push_header(&mut self.queue, frame::DATA, piece.len());
                0
            }
        };
        self.piece = Some(at);
        ready!(self.poll_queue(cx))?;
        while let Some(rest) = piece.get(at..).filter(|rest| !rest.is_empty()) {
            let n = ready!(Pin::new(&mut self.stream).poll_write(cx, rest)).map_err(io::Error::from)?;
            at += n;
            self.piece = Some(at);
            self.sent += n as u64;
        }
        self.piece = None;
        Poll::Ready(Ok(()))
    }

    /// Ends the response; the end leaves with [`Sending::poll_flush`].
    pub fn finish(&mut self, trailers: Option<&Fields>) {
        // A piece that is sent in part can have no end: the stream is reset when it is dropped.
        if self.ending || self.piece.is_some() {
            return;
        }
        if let Some(trailers) = trailers {
            head::push_trailers(&mut self.queue, trailers);
        }
        self.ending = true;
    }

    /// Hands everything that is queued to the connection.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_queue(cx))?;
        if self.ending && !self.finished {
            self.finished = true;
            // Fails where the client has stopped it, which is noticed elsewhere.
            let _ = self.stream.finish();
        }
        Poll::Ready(Ok(()))
    }

    /// Whether something is queued that the connection does not have yet.
    pub fn has_pending(&self) -> bool {
        self.queued < self.queue.len() || (self.ending && !self.finished)
    }

    /// Whether the end has been handed to the connection.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Ready when the client has lost interest, has everything, or is gone.
    pub fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Stopped::Unknown = self.stopped {
            self.stopped = Stopped::Waits(Box::pin(self.stream.stopped()));
        }
        if let Stopped::Waits(stopped) = &mut self.stopped {
            let _ = ready!(stopped.as_mut().poll(cx));
            self.stopped = Stopped::Yes;
        }
        Poll::Ready(())
    }

    /// Tells the client that nothing (more) will come, if it has not the end already.
    pub fn reset(&mut self, code: VarInt) {
        if !self.finished {
            self.finished = true;
            // Fails for streams that are over.
            let _ = self.stream.reset(code);
        }
    }

    /// Octets of content that there was room for.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    fn poll_queue(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.queue.get(self.queued..).filter(|rest| !rest.is_empty()) {
            self.queued += ready!(Pin::new(&mut self.stream).poll_write(cx, rest)).map_err(io::Error::from)?;
        }
        self.queue.clear();
        self.queued = 0;
        Poll::Ready(Ok(()))
    }
}
