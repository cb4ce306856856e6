//! A connection's octets as the `h2` crate reads and writes them.

use super::frames::Frames;
use super::rounds::Rounds;
use crate::net::{Buffer, Stream};
use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A socket of which some octets have been read already. It outlasts what the crate does with it where somebody else
/// has it, too.
pub(super) struct Io {
    pub stream: Rc<RefCell<Stream>>,
    pub begun: Buffer,
    pub rounds: Rc<Rounds>,
    /// Looks at what clients send.
    pub frames: Option<Frames>,
}

impl Io {
    /// `frames`: for a connection of a client.
    pub fn new(stream: Stream, begun: Buffer, frames: Option<Frames>) -> Io {
        Io { stream: Rc::new(RefCell::new(stream)), begun, rounds: Rc::default(), frames }
    }

    /// Notes whether the socket takes more.
    fn noted<T>(&self, done: Poll<T>) -> Poll<T> {
        self.rounds.blocked.set(done.is_pending());
        done
    }

    /// The same, and what it has taken.
    fn written(&self, done: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let (Some(frames), Poll::Ready(Ok(n))) = (&self.frames, &done) {
            frames.send(*n);
        }
        self.noted(done)
    }

    /// Ends the connection of a client that sends too much that serves no request.
    fn look(&mut self, octets: &[u8]) -> io::Result<()> {
        let excessive = self.frames.as_mut().is_some_and(|frames| frames.receive(octets));
        if excessive { Err(io::Error::other("too many frames that serve no request")) } else { Ok(()) }
    }
}

impl AsyncRead for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, space: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = space.filled().len();
        let n = self.begun.data().len().min(space.remaining());
        if n > 0 {
            space.put_slice(&self.begun.data()[..n]);
            self.begun.consume(n);
            return Poll::Ready(self.look(&space.filled()[before..]));
        }
        ready!(match &mut *self.stream.borrow_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_read(cx, space),
            Stream::TlsServer(tls) => Pin::new(tls).poll_read(cx, space),
            Stream::TlsClient(tls) => Pin::new(tls).poll_read(cx, space),
        })?;
        Poll::Ready(self.look(&space.filled()[before..]))
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let done = self.stream.borrow_mut().poll_write(cx, data);
        self.written(done)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = self.stream.borrow_mut().poll_write_vectored(cx, pieces);
        self.written(done)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = self.stream.borrow_mut().poll_flush(cx);
        self.noted(done)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.borrow_mut().poll_shutdown(cx)
    }
}
