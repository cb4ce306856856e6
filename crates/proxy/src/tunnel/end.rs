//! One end of a tunnel: a socket, or a stream of a connection with others.

use crate::http::Downstream;
use crate::upstream::Upstream;
use std::io;
use std::task::{Context, Poll, ready};
use tokio::net::TcpStream;
use wire::net::{BUFFER_SIZE, Buffer, Stream};

/// A peer that sends octets and takes octets.
pub(crate) enum End<'a> {
    /// With what has been read of it.
    Socket(Stream, Buffer),
    Stream(Downstream<'a>),
    /// A stream of a connection to a service.
    Service(Box<Upstream>),
}

impl End<'_> {
    /// How many octets have come; 0 at the end.
    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match self {
            End::Socket(stream, buffer) => {
                if buffer.is_empty() {
                    ready!(stream.poll_fill(cx, buffer, BUFFER_SIZE))?;
                }
                Poll::Ready(Ok(buffer.data().len()))
            }
            End::Stream(downstream) => match ready!(downstream.poll_content(cx)) {
                Ok(n) => Poll::Ready(Ok(n.unwrap_or(0))),
                Err(_) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            },
            End::Service(upstream) => match ready!(upstream.poll_content(cx)) {
                Ok(n) => Poll::Ready(Ok(n.unwrap_or(0))),
                Err(_) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            },
        }
    }

    /// The first `n` of them.
    pub fn data(&self, n: usize) -> &[u8] {
        match self {
            End::Socket(_, buffer) => &buffer.data()[..n],
            End::Stream(downstream) => downstream.content(n),
            End::Service(upstream) => upstream.content(n),
        }
    }

    pub fn consume(&mut self, n: usize) {
        match self {
            End::Socket(_, buffer) => buffer.consume(n),
            End::Stream(downstream) => downstream.consume(n),
            End::Service(upstream) => upstream.consume(n),
        }
    }

    /// How many octets were taken; after `Pending`, call again with the same piece.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, piece: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            End::Socket(stream, _) => stream.poll_write(cx, piece),
            End::Stream(downstream) => downstream.poll_write(cx, piece).map_ok(|()| piece.len()),
            End::Service(upstream) => upstream.poll_write(cx, piece).map_ok(|()| piece.len()),
        }
    }

    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            End::Socket(stream, _) => stream.poll_flush(cx),
            End::Stream(downstream) => downstream.poll_flush(cx),
            End::Service(upstream) => upstream.poll_flush(cx),
        }
    }

    /// Nothing more is sent.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            End::Socket(stream, _) => stream.poll_shutdown(cx),
            End::Stream(downstream) => {
                downstream.finish(None);
                downstream.poll_flush(cx)
            }
            End::Service(upstream) => {
                upstream.finish_tunnel();
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Ready when a stream has been reset or is gone; a socket shows that when it is written to.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            End::Socket(..) | End::Service(_) => Poll::Pending,
            End::Stream(downstream) => downstream.poll_closed(cx),
        }
    }

    /// Its socket, where octets go over it as they are.
    pub fn plain(&self) -> Option<&TcpStream> {
        match self {
            End::Socket(stream @ Stream::Plain(_), _) => Some(stream.tcp()),
            _ => None,
        }
    }
}
