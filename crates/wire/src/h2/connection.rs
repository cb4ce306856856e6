//! A connection from a client, and the streams that it opens.

use super::frames::Frames;
use super::io::Io;
use super::rounds::Rounds;
use super::stream::ServerStream;
use super::windows::{self, Windows};
use crate::net::{Buffer, BufferPool, Lingering, Stream, Timers};
use bytes::Bytes;
use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll};

/// What a client that speaks HTTP/2 sends first (RFC 9113, section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Octets of a response that wait for room at the client, for each stream: beyond, the service is waited for.
const SEND_BUFFER: usize = 64 << 10;
/// Streams that a client has opened and reset before they were looked at, and those that we had to reset for its
/// mistakes: whoever has more is disconnected (CVE-2023-44487, CVE-2024-2653 and their kin).
const RESET_STREAMS: usize = 64;

/// How much a client may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Streams at a time.
    pub streams: u32,
    /// Octets of a head, counted as RFC 9113, section 6.5.2, does it.
    pub head: u32,
}

impl Limits {
    /// How the `h2` crate serves clients within these and within our own limits.
    pub fn server(self) -> h2::server::Builder {
        let mut server = h2::server::Builder::new();
        server
            .max_concurrent_streams(self.streams)
            .max_header_list_size(self.head)
            .max_send_buffer_size(SEND_BUFFER)
            .initial_window_size(windows::STREAM)
            .initial_connection_window_size(windows::CONNECTION)
            .max_pending_accept_reset_streams(RESET_STREAMS)
            .max_local_error_reset_streams(Some(RESET_STREAMS))
            .enable_connect_protocol();
        server
    }
}

/// A client's connection. It moves only while [`Connection::poll_accept`] is polled, its streams' content included.
pub struct Connection {
    inner: h2::server::Connection<Io, Bytes>,
    stream: Rc<RefCell<Stream>>,
    rounds: Rc<Rounds>,
    timers: Timers,
    windows: Windows,
}

impl Connection {
    /// Takes a connection whose client begins with the preface; `begun` is what has been read of it. Ready when the
    /// client has kept to the protocol so far.
    pub async fn begin(
        stream: Stream,
        begun: Buffer,
        timers: &Timers,
        limits: Limits,
    ) -> Result<Connection, h2::Error> {
        let io = Io::new(stream, begun, Some(Frames::new()));
        let (stream, rounds) = (Rc::clone(&io.stream), Rc::clone(&io.rounds));
        let inner = limits.server().handshake(io).await?;
        Ok(Connection { inner, stream, rounds, timers: timers.clone(), windows: Windows::default() })
    }

    /// The next stream; `None` when the connection is over.
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<ServerStream, h2::Error>>> {
        self.windows.adapt(&mut self.inner);
        let Poll::Ready(accepted) = self.inner.poll_accept(cx) else {
            self.rounds.end();
            return Poll::Pending;
        };
        Poll::Ready(accepted.map(|accepted| {
            let (request, respond) = accepted?;
            let (flow, rounds) = (Rc::clone(&self.windows.flow), Rc::clone(&self.rounds));
            Ok(ServerStream::new(request, respond, flow, rounds, self.timers.timer()))
        }))
    }

    /// Closes the connection so that the client can read what was sent last: streams that it has opened meanwhile would
    /// make the system reset the connection.
    pub async fn close(self, pool: &BufferPool, lingering: Lingering) {
        let Connection { inner, stream, rounds, .. } = self;
        drop(inner);
        lingering.close(&mut Io { stream, begun: Buffer::new(pool), rounds, frames: None }).await;
    }

    /// Takes no more streams: those that are open go on, then [`Connection::poll_accept`] ends.
    pub fn end(&mut self) {
        self.inner.graceful_shutdown();
    }
}
