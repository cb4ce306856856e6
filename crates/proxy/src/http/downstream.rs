//! The client's side of an exchange: content in; interim responses, a head, content and trailers out; and whether
//! anybody is still there. Phases speak to the client through this and do not know which HTTP it was.

use std::io;
use std::task::{Context, Poll};
use wire::h1::{ContentError, Lingering, ServerConnection, Traffic};
use wire::net::{Pipe, Timer};
use wire::{Fields, ResponseHead, Version, h2, h3};

/// The client of one exchange.
///
/// Every method that polls must be called again with the same arguments after `Pending`. What is written is gathered:
/// it leaves with [`Downstream::poll_flush`], which is called before anything else is waited for.
pub(crate) enum Downstream<'a> {
    Http1(&'a mut ServerConnection),
    Http2(&'a mut h2::ServerStream),
    Http3(&'a mut h3::ServerStream),
}

impl Downstream<'_> {
    /// The same client, for a while.
    pub fn borrowed(&mut self) -> Downstream<'_> {
        match self {
            Downstream::Http1(connection) => Downstream::Http1(connection),
            Downstream::Http2(stream) => Downstream::Http2(stream),
            Downstream::Http3(stream) => Downstream::Http3(stream),
        }
    }

    /// How many octets of the request's content can be had by [`Downstream::content`]; `None` at its end. Asking is
    /// what invites a client that waits for `100 Continue`.
    pub fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<usize>, ContentError>> {
        match self {
            Downstream::Http1(connection) => connection.poll_content(cx),
            Downstream::Http2(stream) => stream.poll_content(cx),
            Downstream::Http3(stream) => stream.poll_content(cx),
        }
    }

    /// The first `n` octets of the content that have arrived.
    pub fn content(&self, n: usize) -> &[u8] {
        match self {
            Downstream::Http1(connection) => connection.content(n),
            Downstream::Http2(stream) => stream.content(n),
            Downstream::Http3(stream) => stream.content(n),
        }
    }

    /// Takes octets of the content as used.
    pub fn consume(&mut self, n: usize) {
        match self {
            Downstream::Http1(connection) => connection.consume(n),
            Downstream::Http2(stream) => stream.consume(n),
            Downstream::Http3(stream) => stream.consume(n),
        }
    }

    /// How many octets have arrived that were not consumed.
    pub fn buffered(&self) -> usize {
        match self {
            Downstream::Http1(connection) => connection.buffered(),
            Downstream::Http2(stream) => stream.buffered(),
            Downstream::Http3(stream) => stream.buffered(),
        }
    }

    /// Whether the request's content has come to its end.
    pub fn content_is_done(&self) -> bool {
        match self {
            Downstream::Http1(connection) => connection.content_is_done(),
            Downstream::Http2(stream) => stream.content_is_done(),
            Downstream::Http3(stream) => stream.content_is_done(),
        }
    }

    /// Whether the client sends no content before it is told to.
    pub fn awaits_continue(&self) -> bool {
        match self {
            Downstream::Http1(connection) => connection.awaits_continue(),
            Downstream::Http2(stream) => stream.awaits_continue(),
            Downstream::Http3(stream) => stream.awaits_continue(),
        }
    }

    /// The request's trailers, after its content.
    pub fn trailers(&self) -> Option<&Fields> {
        match self {
            Downstream::Http1(connection) => connection.trailers(),
            Downstream::Http2(stream) => stream.trailers(),
            Downstream::Http3(stream) => stream.trailers(),
        }
    }

    /// Reads and drops what is left of the content; whether it came to its end in time.
    pub async fn discard_content(&mut self, lingering: Lingering) -> bool {
        match self {
            Downstream::Http1(connection) => connection.discard_content(lingering).await,
            // What is not read is not sent either: the stream's window is closed, and then the stream.
            Downstream::Http2(_) | Downstream::Http3(_) => true,
        }
    }

    /// Ready when the client has gone and nobody will read an answer.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Downstream::Http1(connection) => connection.poll_closed(cx),
            Downstream::Http2(stream) => stream.poll_closed(cx),
            Downstream::Http3(stream) => stream.poll_closed(cx),
        }
    }

    /// Whether it is known already that nobody will read an answer.
    pub fn is_reset(&self) -> bool {
        matches!(self, Downstream::Http2(stream) if stream.is_reset())
    }

    /// Queues an interim response (1xx but 101).
    pub fn queue_interim(&mut self, head: &mut ResponseHead) {
        match self {
            Downstream::Http1(connection) => connection.queue_interim(head),
            Downstream::Http2(stream) => stream.queue_interim(head),
            Downstream::Http3(stream) => stream.queue_interim(head),
        }
    }

    /// Tells a client that waits for `100 Continue` to go on.
    pub fn queue_continue(&mut self) {
        match self {
            Downstream::Http1(connection) => connection.queue_continue(),
            Downstream::Http2(stream) => stream.queue_continue(),
            Downstream::Http3(stream) => stream.queue_continue(),
        }
    }

    /// Queues the head of the response. `close`: no further exchange follows on the connection, if that can be said.
    /// Says whether one can follow.
    pub fn start_response(&mut self, head: &mut ResponseHead, client: Version, close: bool) -> bool {
        match self {
            Downstream::Http1(connection) => !connection.start_response(head, client, close),
            Downstream::Http2(stream) => {
                stream.start_response(head);
                true
            }
            Downstream::Http3(stream) => {
                stream.start_response(head);
                true
            }
        }
    }

    /// Queues the head with which the protocol changes.
    pub fn start_upgrade(&mut self, head: &mut ResponseHead) {
        match self {
            Downstream::Http1(connection) => connection.start_upgrade(head),
            Downstream::Http2(stream) => stream.start_upgrade(head),
            Downstream::Http3(stream) => stream.start_upgrade(head),
        }
    }

    /// Sends a piece of the response's content.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, piece: &[u8]) -> Poll<io::Result<()>> {
        match self {
            Downstream::Http1(connection) => connection.poll_write(cx, piece),
            Downstream::Http2(stream) => stream.poll_write(cx, piece),
            Downstream::Http3(stream) => stream.poll_write(cx, piece),
        }
    }

    /// Whether the response's content can come out of a pipe: octets as they are, over no TLS.
    pub fn takes_pipes(&self) -> bool {
        matches!(self, Downstream::Http1(connection) if connection.takes_pipes())
    }

    /// Sends all that is in a pipe, where [`Downstream::takes_pipes`].
    pub fn poll_pipe(&mut self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<io::Result<()>> {
        match self {
            Downstream::Http1(connection) => connection.poll_pipe(cx, pipe),
            Downstream::Http2(_) | Downstream::Http3(_) => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    }

    /// Ends the response's content.
    pub fn finish(&mut self, trailers: Option<&Fields>) {
        match self {
            Downstream::Http1(connection) => connection.finish(trailers),
            Downstream::Http2(stream) => stream.finish(trailers),
            Downstream::Http3(stream) => stream.finish(trailers),
        }
    }

    /// Writes everything that was queued.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Downstream::Http1(connection) => connection.poll_flush(cx),
            // Its connection's task does.
            Downstream::Http2(_) => Poll::Ready(Ok(())),
            Downstream::Http3(stream) => stream.poll_flush(cx),
        }
    }

    /// Whether something is queued that has not left yet.
    pub fn has_pending(&self) -> bool {
        match self {
            Downstream::Http1(connection) => connection.has_pending(),
            Downstream::Http2(_) => false,
            Downstream::Http3(stream) => stream.has_pending(),
        }
    }

    /// Octets that have come from the client; grows with whatever of its request is read.
    pub fn received(&self) -> u64 {
        match self {
            Downstream::Http1(connection) => connection.received(),
            Downstream::Http2(stream) => stream.received(),
            Downstream::Http3(stream) => stream.received(),
        }
    }

    /// Octets that have left for the client.
    pub fn sent(&self) -> u64 {
        match self {
            Downstream::Http1(connection) => connection.sent(),
            Downstream::Http2(stream) => stream.sent(),
            Downstream::Http3(stream) => stream.sent(),
        }
    }

    /// What request and response have taken so far.
    pub fn traffic(&self) -> Traffic {
        match self {
            Downstream::Http1(connection) => connection.traffic(),
            Downstream::Http2(stream) => stream.traffic(),
            Downstream::Http3(stream) => stream.traffic(),
        }
    }

    /// The timer of the connection or stream; the exchange is its only user while it lasts.
    pub fn timer(&self) -> &Timer {
        match self {
            Downstream::Http1(connection) => connection.timer(),
            Downstream::Http2(stream) => stream.timer(),
            Downstream::Http3(stream) => stream.timer(),
        }
    }
}
