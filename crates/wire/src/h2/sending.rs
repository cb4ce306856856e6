//! Content on its way into a stream.

use super::head;
use super::unread::Stream;
use crate::message::Fields;
use bytes::Bytes;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// A stream that content goes into, as there is room for it.
pub(super) struct Sending {
    stream: Rc<Stream>,
    /// Octets of the piece that is being sent which have been taken over.
    offset: usize,
    /// The end is sent or about to be.
    finished: bool,
    sent: u64,
}

impl Sending {
    /// `finished`: there is no content.
    pub fn new(stream: Rc<Stream>, finished: bool) -> Sending {
        Sending { stream, offset: 0, finished, sent: 0 }
    }

    /// Sends a piece: what there is room for. After `Pending`, call again with the same piece.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, piece: &[u8]) -> Poll<io::Result<()>> {
        if self.finished {
            return Poll::Ready(Ok(()));
        }
        let mut stream = self.stream.sending.borrow_mut();
        while let Some(rest) = piece.get(self.offset..).filter(|rest| !rest.is_empty()) {
            stream.reserve_capacity(rest.len());
            let mut room = stream.capacity();
            if room == 0 {
                room = match ready!(stream.poll_capacity(cx)) {
                    Some(Ok(room)) => room,
                    Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                    None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                };
            }
            let n = room.min(rest.len());
            stream.send_data(Bytes::copy_from_slice(&rest[..n]), false).map_err(io::Error::other)?;
            self.offset += n;
            self.sent += n as u64;
        }
        self.offset = 0;
        Poll::Ready(Ok(()))
    }

    /// Ends the content.
    pub fn finish(&mut self, trailers: Option<&Fields>) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        let mut stream = self.stream.sending.borrow_mut();
        // A stream that is over needs no end.
        let _ = match trailers {
            Some(trailers) => stream.send_trailers(head::trailers(trailers)),
            None => stream.send_data(Bytes::new(), true),
        };
    }

    /// Octets of content that there was room for.
    pub fn sent(&self) -> u64 {
        self.sent
    }
}
