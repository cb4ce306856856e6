//! The service's side of an exchange: a request out; interim and final heads, content and trailers in. Phases speak to
//! the service through this and do not know which HTTP it was.

use super::shared::Part;
use super::{PoolKey, Shared};
use crate::balancer::Peer;
use crate::live::OpenConnection;
use sdk::Try;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;
use wire::h1::{ClientConnection, ContentError, OutgoingRequest, ResponseError};
use wire::net::{Buffer, Pipe, Stream};
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
    /// What had been sent and received before the exchange began.
    before: (u64, u64),
    /// Octets of the response's content.
    taken: u64,
    /// Of HTTP/2, the connection itself has it.
    counted: Option<OpenConnection>,
}

enum Connection {
    Http1(ClientConnection),
    Http2(Part),
}

impl Upstream {
    /// A connection that was just made.
    pub fn new(key: PoolKey, connection: ClientConnection, counted: OpenConnection, now: Instant) -> Box<Upstream> {
        Upstream::begin(key, Connection::Http1(connection), now, Some(counted))
    }

    /// One more exchange on a connection.
    pub fn on(key: PoolKey, shared: Rc<Shared>) -> Box<Upstream> {
        Upstream::begin(key, Connection::Http2(shared.part()), Instant::now(), None)
    }

    fn begin(key: PoolKey, connection: Connection, since: Instant, counted: Option<OpenConnection>) -> Box<Upstream> {
        let (before, taken) = ((0, 0), 0);
        Box::new(Upstream { connection, key, since, peer: None, reuse_forbidden: false, before, taken, counted })
    }

    /// Begins a request.
    pub fn start_request(&mut self, request: &OutgoingRequest<'_>) {
        (self.before, self.taken) = ((self.sent(), self.received()), 0);
        match &mut self.connection {
            Connection::Http1(connection) => connection.start_request(request),
            Connection::Http2(part) => part.stream.start_request(request, self.key.tls.is_some()),
        }
    }

    /// The exchange counts for that peer until the connection is given back.
    pub fn belongs_to(&mut self, peer: Peer) {
        self.peer = Some(peer);
    }

    /// Sends a piece of the request's content; after `Pending`, call again with the same piece.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, piece: &[u8]) -> Poll<io::Result<()>> {
        match &mut self.connection {
            Connection::Http1(connection) => connection.poll_write(cx, piece),
            Connection::Http2(part) => part.stream.poll_write(cx, piece),
        }
    }

    /// Ends the request's content.
    pub fn finish(&mut self, trailers: Option<&Fields>) {
        match &mut self.connection {
            Connection::Http1(connection) => connection.finish(trailers),
            Connection::Http2(part) => part.stream.finish(trailers),
        }
    }

    /// Writes everything that was queued.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.connection {
            Connection::Http1(connection) => connection.poll_flush(cx),
            // Its connection's task does.
            Connection::Http2(_) => Poll::Ready(Ok(())),
        }
    }

    /// Reads the head of a response; interim ones (1xx but 101) come one by one before the final one.
    pub fn poll_head(&mut self, cx: &mut Context<'_>, head: &mut ResponseHead) -> Poll<Result<(), ResponseError>> {
        match &mut self.connection {
            Connection::Http1(connection) => connection.poll_head(cx, head),
            Connection::Http2(part) => part.poll_head(cx, head),
        }
    }

    /// How many octets of the response's content can be had by [`Upstream::content`]; `None` at its end.
    pub fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<usize>, ContentError>> {
        match &mut self.connection {
            Connection::Http1(connection) => connection.poll_content(cx),
            Connection::Http2(part) => part.poll_content(cx),
        }
    }

    /// The first `n` octets of the content that was announced.
    pub fn content(&self, n: usize) -> &[u8] {
        match &self.connection {
            Connection::Http1(connection) => connection.content(n),
            Connection::Http2(part) => part.stream.content(n),
        }
    }

    /// Takes octets of the content as used.
    pub fn consume(&mut self, n: usize) {
        self.taken += n as u64;
        match &mut self.connection {
            Connection::Http1(connection) => connection.consume(n),
            Connection::Http2(part) => part.stream.consume(n),
        }
    }

    /// Whether the content that follows can go through a pipe, and is enough for it.
    pub fn fills_pipes(&self) -> bool {
        matches!(&self.connection, Connection::Http1(connection) if connection.fills_pipes())
    }

    /// Lets the next octets of content into an empty pipe, where [`Upstream::fills_pipes`].
    pub fn poll_pipe(&mut self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<Result<(), ContentError>> {
        match &mut self.connection {
            Connection::Http1(connection) => {
                let filled = connection.poll_pipe(cx, pipe);
                if matches!(filled, Poll::Ready(Ok(()))) {
                    self.taken += pipe.len() as u64;
                }
                filled
            }
            Connection::Http2(_) => Poll::Ready(Err(ContentError::Io(io::ErrorKind::Unsupported.into()))),
        }
    }

    /// The response's trailers, after its content.
    pub fn trailers(&self) -> Option<&Fields> {
        match &self.connection {
            Connection::Http1(connection) => connection.trailers(),
            Connection::Http2(part) => part.stream.trailers(),
        }
    }

    /// The request could not be sent whole: no other exchange follows on the connection.
    pub fn forbid_reuse(&mut self) {
        self.reuse_forbidden = true;
    }

    /// Whether another exchange may follow.
    pub fn is_reusable(&self) -> bool {
        match &self.connection {
            Connection::Http1(connection) => !self.reuse_forbidden && connection.is_reusable(),
            // The connection goes on by itself.
            Connection::Http2(_) => false,
        }
    }

    /// Octets that have left for the service, and that have come from it: for telling progress from a pause.
    pub fn sent(&self) -> u64 {
        match &self.connection {
            Connection::Http1(connection) => connection.sent(),
            Connection::Http2(part) => part.stream.sent(),
        }
    }

    /// See [`Upstream::sent`].
    pub fn received(&self) -> u64 {
        match &self.connection {
            Connection::Http1(connection) => connection.received(),
            Connection::Http2(part) => part.stream.received(),
        }
    }

    /// Tells a try what it has taken on the connection.
    pub fn tell(&self, attempt: &mut Try) {
        attempt.sent = self.sent().saturating_sub(self.before.0);
        attempt.received = self.received().saturating_sub(self.before.1);
        attempt.content = self.taken;
    }

    /// How many exchanges there were.
    pub fn exchanges(&self) -> u64 {
        match &self.connection {
            Connection::Http1(connection) => connection.exchanges(),
            Connection::Http2(part) => part.begun(),
        }
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
        matches!(&self.connection, Connection::Http1(connection) if connection.stream().is_disturbed())
    }

    /// Asks the kernel whether the service has closed the idle connection.
    pub fn is_closed_now(&self) -> bool {
        matches!(&self.connection, Connection::Http1(connection) if connection.stream().is_closed_now())
    }

    /// Whether it is an exchange of HTTP/2 whose service takes tunnels of WebSocket.
    pub fn poll_takes_tunnels(&self, cx: &mut Context<'_>) -> Poll<bool> {
        match &self.connection {
            Connection::Http1(_) => Poll::Ready(false),
            Connection::Http2(part) => part.poll_takes_tunnels(cx),
        }
    }

    /// Whether others may share the connection.
    pub fn is_shared(&self) -> bool {
        matches!(self.connection, Connection::Http2(_))
    }

    /// Ends our side of a tunnel on a stream.
    pub fn finish_tunnel(&mut self) {
        if let Connection::Http2(part) = &mut self.connection {
            part.stream.finish_tunnel();
        }
    }

    /// Gives up HTTP: the socket, what was read beyond the head, and what the connection counts for as long as they are
    /// kept. The error: it carries other exchanges, too.
    pub fn into_parts(self) -> Result<(Stream, Buffer, (Option<Peer>, Option<OpenConnection>)), Box<Upstream>> {
        let Connection::Http1(connection) = self.connection else { return Err(Box::new(self)) };
        let (stream, buffer) = connection.into_parts();
        Ok((stream, buffer, (self.peer, self.counted)))
    }
}
