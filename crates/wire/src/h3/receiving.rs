//! Frames of a stream, as they arrive.

use super::connection::Load;
use super::frame;
use bytes::Bytes;
use quinn::{ReadError, RecvStream, VarInt};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// Octets that are taken from a stream in one go.
const CHUNK: usize = 64 << 10;
/// The longest beginning of a frame: two integers.
const LONGEST_HEADER: usize = 16;

/// A stream that frames come from.
pub(super) struct Receiving {
    stream: RecvStream,
    load: Rc<Load>,
    /// What has come and was not looked at.
    chunk: Bytes,
    /// The beginning of a frame, as far as it has come.
    header: [u8; LONGEST_HEADER],
    have: usize,
    /// Octets of the frame that are still to come.
    left: u64,
    /// They serve a request.
    serves: bool,
}

/// Why nothing more comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The client has reset the stream, or is gone.
    Reset,
    /// It has ended in the middle of a frame.
    Truncated,
}

/// The beginning of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub kind: u64,
    pub length: u64,
}

impl Receiving {
    pub fn new(stream: RecvStream, load: Rc<Load>) -> Receiving {
        let header = [0; LONGEST_HEADER];
        Receiving { stream, load, chunk: Bytes::new(), header, have: 0, left: 0, serves: false }
    }

    /// An integer that stands before all frames; `None` when the stream ends instead.
    pub fn poll_integer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<u64>, Ended>> {
        loop {
            if let Some((value, _)) = frame::integer(&self.header[..self.have]) {
                self.have = 0;
                return Poll::Ready(Ok(Some(value)));
            }
            if !ready!(self.poll_octet(cx))? {
                return Poll::Ready(if self.have == 0 { Ok(None) } else { Err(Ended::Truncated) });
            }
        }
    }

    /// The next octet of a stream without frames; `None` at its end.
    pub fn poll_single(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<u8>, Ended>> {
        let some = ready!(self.poll_chunk(cx))?;
        Poll::Ready(Ok(some.then(|| self.chunk.split_to(1)[0])))
    }

    /// The beginning of the next frame, when all of the one before was read; `None` at the end of the stream.
    pub fn poll_header(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Header>, Ended>> {
        loop {
            let header = &self.header[..self.have];
            if let Some((kind, n)) = frame::integer(header)
                && let Some((length, _)) = frame::integer(&header[n..])
            {
                (self.have, self.left) = (0, length);
                self.serves = matches!(kind, frame::DATA | frame::HEADERS);
                return Poll::Ready(Ok(Some(Header { kind, length })));
            }
            if !ready!(self.poll_octet(cx))? {
                return Poll::Ready(if self.have == 0 { Ok(None) } else { Err(Ended::Truncated) });
            }
        }
    }

    /// The next octets of the frame; none at its end.
    pub fn poll_payload(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Ended>> {
        if self.left == 0 {
            return Poll::Ready(Ok(Bytes::new()));
        }
        if !ready!(self.poll_chunk(cx))? {
            return Poll::Ready(Err(Ended::Truncated));
        }
        let n = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.chunk.len());
        self.left -= n as u64;
        if self.serves {
            self.load.overhead.serve(n);
        }
        Poll::Ready(Ok(self.chunk.split_to(n)))
    }

    /// Reads all of a frame that is known to be small into `out`.
    pub fn poll_whole(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<Result<(), Ended>> {
        loop {
            let piece = ready!(self.poll_payload(cx))?;
            if piece.is_empty() {
                return Poll::Ready(Ok(()));
            }
            out.extend_from_slice(&piece);
        }
    }

    /// Reads and drops the rest of the frame.
    pub fn poll_skip(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        while !ready!(self.poll_payload(cx))?.is_empty() {}
        Poll::Ready(Ok(()))
    }

    /// Wants nothing more of the stream.
    pub fn stop(&mut self, code: VarInt) {
        // Fails for streams that are over.
        let _ = self.stream.stop(code);
    }

    /// Takes one octet into the beginning of a frame; whether there was one.
    fn poll_octet(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Ended>> {
        let some = ready!(self.poll_chunk(cx))?;
        if some {
            self.header[self.have] = self.chunk.split_to(1)[0];
            self.have += 1;
        }
        Poll::Ready(Ok(some))
    }

    /// Ready when there is something to look at, or nothing will come.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Ended>> {
        while self.chunk.is_empty() {
            match ready!(pin!(self.stream.read_chunk(CHUNK, true)).poll(cx)) {
                Ok(Some(chunk)) => {
                    self.chunk = chunk.bytes;
                    if !self.load.take(self.chunk.len()) {
                        return Poll::Ready(Err(Ended::Reset));
                    }
                }
                Ok(None) => return Poll::Ready(Ok(false)),
                Err(ReadError::ClosedStream) => return Poll::Ready(Ok(false)),
                Err(_) => return Poll::Ready(Err(Ended::Reset)),
            }
        }
        Poll::Ready(Ok(true))
    }
}
