//! A connection's octets as the `h2` crate and the end of a connection read and write them.

use super::empty_frames::EmptyFrames;
use super::frame::{ACK, DATA, SETTINGS};
use super::settled::Settled;
use super::unread::Unread;
use crate::net::{Buffer, Stream};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Octets that are read at a time where the reader has hardly any room.
const SPARE: usize = 1024;
/// Less room than that is hardly any: what was held back needs some of it.
const LEAST: usize = 64;

/// A socket of which some octets have been read already.
pub(super) struct Io {
    stream: Stream,
    begun: Buffer,
    /// A service has not said anything: its first octets show when it speaks an earlier version.
    unheard: bool,
    /// Of a service.
    frames: Option<(EmptyFrames, Rc<Service>)>,
    /// What was read and found no room.
    spare: Vec<u8>,
}

/// What is seen of a service before the `h2` crate looks at it.
#[derive(Default)]
pub(super) struct Service {
    pub unread: Unread,
    pub settled: Settled,
}

impl Io {
    pub fn new(stream: Stream, begun: Buffer) -> Io {
        Io { stream, begun, unheard: false, frames: None, spare: Vec::new() }
    }

    /// A connection to a service that was just made.
    pub fn to_service(stream: Stream, begun: Buffer, service: Rc<Service>) -> Io {
        Io { stream, begun, unheard: true, frames: Some((EmptyFrames::default(), service)), spare: Vec::new() }
    }

    /// Reads what has come, without frames that say nothing; whether there may be more.
    fn poll_frames(&mut self, cx: &mut Context<'_>, space: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        let before = space.filled().len();
        if let Some((frames, _)) = &self.frames {
            space.put_slice(frames.held());
        }
        let start = space.filled().len();
        let read = match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_read(cx, space),
            Stream::TlsServer(tls) => Pin::new(tls).poll_read(cx, space),
            Stream::TlsClient(tls) => Pin::new(tls).poll_read(cx, space),
        };
        if !matches!(read, Poll::Ready(Ok(()))) || space.filled().len() == start {
            space.set_filled(before);
            return read.map_ok(|()| false);
        }
        if self.is_earlier_version(&space.filled()[before..]) {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        if let Some((frames, service)) = &mut self.frames {
            let kept = frames.take_out(&mut space.filled_mut()[before..], |header| match header.kind {
                DATA => service.unread.receive(header.stream),
                SETTINGS if !header.has(ACK) => service.settled.see(),
                _ => {}
            });
            space.set_filled(before + kept);
        }
        Poll::Ready(Ok(true))
    }

    /// Whether these octets, the first ones, are an answer of HTTP/1.1.
    fn is_earlier_version(&mut self, octets: &[u8]) -> bool {
        std::mem::take(&mut self.unheard) && octets.starts_with(b"HTTP/1.")
    }
}

impl AsyncRead for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, space: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.frames.as_ref().is_some_and(|(_, service)| service.unread.is_excessive()) {
            // Who drives the connection ends a stream, and comes again.
            return Poll::Pending;
        }
        let n = self.begun.data().len().min(space.remaining());
        if n > 0 {
            space.put_slice(&self.begun.data()[..n]);
            self.begun.consume(n);
            return Poll::Ready(Ok(()));
        }
        loop {
            let n = self.spare.len().min(space.remaining());
            if n > 0 {
                space.put_slice(&self.spare[..n]);
                self.spare.drain(..n);
                return Poll::Ready(Ok(()));
            }
            if self.frames.is_none() || space.remaining() >= LEAST {
                let before = space.filled().len();
                let more = ready!(self.poll_frames(cx, space))?;
                if !more || space.filled().len() > before {
                    return Poll::Ready(Ok(()));
                }
            } else {
                let mut octets = [0; SPARE];
                let mut read = ReadBuf::new(&mut octets);
                let more = ready!(self.poll_frames(cx, &mut read))?;
                self.spare.extend_from_slice(read.filled());
                if !more {
                    return Poll::Ready(Ok(()));
                }
            }
        }
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
