//! The client's side of an exchange: content in; interim responses, a head, content and trailers out; and whether
//! anybody is still there. Phases speak to the client through this and do not know which HTTP it was.

use std::io;
use std::task::{Context, Poll};
use wire::h1::{ContentError, Lingering, ServerConnection};
use wire::net::Timer;
use wire::{Fields, ResponseHead, Version};

/// The client of one exchange.
///
/// Every method that polls must be called again with the same arguments after `Pending`. What is written is gathered:
/// it leaves with [`Downstream::poll_flush`], which is called before anything else is waited for.
pub(crate) enum Downstream<'a> {
    Http1(&'a mut ServerConnection),
}

impl Downstream<'_> {
    /// How many octets of the request's content can be had by [`Downstream::content`]; `None` at its end. Asking is
    /// what invites a client that waits for `100 Continue`.
    pub fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<usize>, ContentError>> {
        let Downstream::Http1(connection) = self;
        connection.poll_content(cx)
    }

    /// The first `n` octets of the content that have arrived.
    pub fn content(&self, n: usize) -> &[u8] {
        let Downstream::Http1(connection) = self;
        connection.content(n)
    }

    /// Takes octets of the content as used.
    pub fn consume(&mut self, n: usize) {
        let Downstream::Http1(connection) = self;
        connection.consume(n);
    }

    /// How many octets have arrived that were not consumed.
    pub fn buffered(&self) -> usize {
        let Downstream::Http1(connection) = self;
        connection.buffered()
    }

    /// Whether the request's content has come to its end.
    pub fn content_is_done(&self) -> bool {
        let Downstream::Http1(connection) = self;
        connection.content_is_done()
    }

    /// Whether the client sends no content before it is told to.
    pub fn awaits_continue(&self) -> bool {
        let Downstream::Http1(connection) = self;
        connection.awaits_continue()
    }

    /// The request's trailers, after its content.
    pub fn trailers(&self) -> Option<&Fields> {
        let Downstream::Http1(connection) = self;
        connection.trailers()
    }

    /// Reads and drops what is left of the content; whether it came to its end in time.
    pub async fn discard_content(&mut self, lingering: Lingering) -> bool {
        let Downstream::Http1(connection) = self;
        connection.discard_content(lingering).await
    }

    /// Ready when the client has gone and nobody will read an answer.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Downstream::Http1(connection) = self;
        connection.poll_closed(cx)
    }

    /// Queues an interim response (1xx but 101).
    pub fn queue_interim(&mut self, head: &mut ResponseHead) {
        let Downstream::Http1(connection) = self;
        connection.queue_interim(head);
    }

    /// Tells a client that waits for `100 Continue` to go on.
    pub fn queue_continue(&mut self) {
        let Downstream::Http1(connection) = self;
        connection.queue_continue();
    }

    /// Queues the head of the response. `close`: no further exchange follows on the connection, if that can be said.
    /// Says whether one can follow.
    pub fn start_response(&mut self, head: &mut ResponseHead, client: Version, close: bool) -> bool {
        let Downstream::Http1(connection) = self;
        !connection.start_response(head, client, close)
    }

    /// Queues the head with which the protocol changes.
    pub fn start_upgrade(&mut self, head: &mut ResponseHead) {
        let Downstream::Http1(connection) = self;
        connection.start_upgrade(head);
    }

    /// Sends a piece of the response's content.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, piece: &[u8]) -> Poll<io::Result<()>> {
        let Downstream::Http1(connection) = self;
        connection.poll_write(cx, piece)
    }

    /// Ends the response's content.
    pub fn finish(&mut self, trailers: Option<&Fields>) {
        let Downstream::Http1(connection) = self;
        connection.finish(trailers);
    }

    /// Writes everything that was queued.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Downstream::Http1(connection) = self;
        connection.poll_flush(cx)
    }

    /// Whether something is queued that has not left yet.
    pub fn has_pending(&self) -> bool {
        let Downstream::Http1(connection) = self;
        connection.has_pending()
    }

    /// Octets that have come from the client; grows with whatever of its request is read.
    pub fn received(&self) -> u64 {
        let Downstream::Http1(connection) = self;
        connection.received()
    }

    /// Octets that have left for the client.
    pub fn sent(&self) -> u64 {
        let Downstream::Http1(connection) = self;
        connection.sent()
    }

    /// The timer of the connection or stream; the exchange is its only user while it lasts.
    pub fn timer(&self) -> &Timer {
        let Downstream::Http1(connection) = self;
        connection.timer()
    }
}
