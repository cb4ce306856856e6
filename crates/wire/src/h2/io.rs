//! A connection's octets as the `h2` crate and the end of a connection read and write them.

use crate::net::{Buffer, Stream};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A socket of which some octets have been read already.
pub(super) struct Io {
    stream: Stream,
    begun: Buffer,
    /// A service has not said anything: its first octets show when it speaks an earlier version.
    unheard: bool,
}

impl Io {
    pub fn new(stream: Stream, begun: Buffer) -> Io {
        Io { stream, begun, unheard: false }
    }

    /// A connection to a service that was just made.
    pub fn to_service(stream: Stream, begun: Buffer) -> Io {
        Io { stream, begun, unheard: true }
    }

    /// Whether these octets, the first ones, are an answer of HTTP/1.1.
    fn is_earlier_version(&mut self, octets: &[u8]) -> bool {
        std::mem::take(&mut self.unheard) && octets.starts_with(b"HTTP/1.")
    }
}

impl AsyncRead for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, space: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let n = self.begun.data().len().min(space.remaining());
        if n > 0 {
            space.put_slice(&self.begun.data()[..n]);
            self.begun.consume(n);
            return Poll::Ready(Ok(()));
        }
        let before = space.filled().len();
        ready!(match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_read(cx, space),
            Stream::TlsServer(tls) => Pin::new(tls).poll_read(cx, space),
            Stream::TlsClient(tls) => Pin::new(tls).poll_read(cx, space),
        })?;
        if self.is_earlier_version(&space.filled()[before..]) {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.stream.poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream.poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_shutdown(cx)
    }
}
