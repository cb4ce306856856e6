//! The service's side of an exchange: a request out; interim and final heads, content and trailers in. Phases speak to
//! the service through this and do not know which HTTP it was.

use super::PoolKey;
use crate::balancer::Peer;
use std::io;
use std::task::{Context, Poll};
use std::time::Instant;
use wire::h1::{ClientConnection, ContentError, OutgoingRequest, ResponseError};
use wire::net::{Buffer, Stream};
use wire::{Fields, ResponseHead};

/// A connection to a service with the exchange on it. Lives as long as the connection, and is lent as a box, so that
/// nothing is made or moved for an exchange. Dropped before the exchange is over, it cuts it off.
pub(crate) struct Upstream {
    connection: Connection,
    key: PoolKey,
    /// When it was last given back.
    since: Instant,
    /// Counts as a connection of the target as long as it is here.
    peer: Option<Peer>,
    /// The exchange could not be completed: the connection is of no further use.
    reuse_forbidden: bool,
}

enum Connection {
    Http1(ClientConnection),
}

impl Upstream {
    /// A connection that was just made.
    pub fn new(key: PoolKey, connection: ClientConnection, now: Instant) -> Box<Upstream> {
        let connection = Connection::Http1(connection);
        Box::new(Upstream { connection, key, since: now, peer: None, reuse_forbidden: false })
    }

    /// Begins a request.
    pub fn start_request(&mut self, request: &OutgoingRequest<'_>) {
        self.http1_mut().start_request(request);
    }

    /// The exchange counts for that peer until the connection is given back.
    pub fn belongs_to(&mut self, peer: Peer) {
        self.peer = Some(peer);
    }

    /// Sends a piece of the request's content; after `Pending`, call again with the same piece.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, piece: &[u8]) -> Poll<io::Result<()>> {
        self.http1_mut().poll_write(cx, piece)
    }

    /// Ends the request's content.
    pub fn finish(&mut self, trailers: Option<&Fields>) {
        self.http1_mut().finish(trailers);
    }

    /// Writes everything that was queued.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.http1_mut().poll_flush(cx)
    }

    /// Reads the head of a response; interim ones (1xx but 101) come one by one before the final one.
    pub fn poll_head(&mut self, cx: &mut Context<'_>, head: &mut ResponseHead) -> Poll<Result<(), ResponseError>> {
        self.http1_mut().poll_head(cx, head)
    }

    /// How many octets of the response's content can be had by [`Upstream::content`]; `None` at its end.
    pub fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<usize>, ContentError>> {
        self.http1_mut().poll_content(cx)
    }

    /// The first `n` octets of the content that was announced.
    pub fn content(&self, n: usize) -> &[u8] {
        self.http1().content(n)
    }

    /// Takes octets of the content as used.
    pub fn consume(&mut self, n: usize) {
        self.http1_mut().consume(n);
    }

    /// The response's trailers, after its content.
    pub fn trailers(&self) -> Option<&Fields> {
        self.http1().trailers()
    }

    /// The request could not be sent whole: no other exchange follows on the connection.
    pub fn forbid_reuse(&mut self) {
        self.reuse_forbidden = true;
    }

    /// Whether another exchange may follow.
    pub fn is_reusable(&self) -> bool {
        !self.reuse_forbidden && self.http1().is_reusable()
    }

    /// Octets that have left for the service, and that have come from it: for telling progress from a pause.
    pub fn sent(&self) -> u64 {
        self.http1().sent()
    }

    /// See [`Upstream::sent`].
    pub fn received(&self) -> u64 {
        self.http1().received()
    }

    /// How many exchanges there were.
    pub fn exchanges(&self) -> u64 {
        self.http1().exchanges()
    }

    /// Where it leads.
    pub fn key(&self) -> &PoolKey {
        &self.key
    }

    /// When it became idle.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Ends the exchange. `now` may be some time ago: it counts for how long connections stay idle.
    pub fn release(&mut self, now: Instant) {
        self.peer = None;
        self.since = now;
    }

    /// Whether the service has closed the idle connection, as far as the event loop knows.
    pub fn is_disturbed(&self) -> bool {
        self.http1().stream().is_disturbed()
    }

    /// Asks the kernel whether the service has closed the idle connection.
    pub fn is_closed_now(&self) -> bool {
        self.http1().stream().is_closed_now()
    }

    /// Gives up HTTP: the socket, what was read beyond the head, and the peer for which the connection counts.
    pub fn into_parts(self) -> (Stream, Buffer, Option<Peer>) {
        let Connection::Http1(connection) = self.connection;
        let (stream, buffer) = connection.into_parts();
        (stream, buffer, self.peer)
    }

    fn http1(&self) -> &ClientConnection {
        let Connection::Http1(connection) = &self.connection;
        connection
    }

    fn http1_mut(&mut self) -> &mut ClientConnection {
        let Connection::Http1(connection) = &mut self.connection;
        connection
    }
}
