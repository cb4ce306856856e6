//! A connection to a service that carries many exchanges at once (HTTP/2).

use crate::live::OpenConnection;
use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use wire::ResponseHead;
use wire::h1::{ContentError, ResponseError};
use wire::h2::{ClientConnection, ClientStream, Driver};

/// A connection and what is known of it. It ends when nobody has it any more.
pub struct Shared {
    connection: ClientConnection,
    /// Exchanges that go on.
    open: Cell<usize>,
    /// Those that were begun.
    begun: Cell<u64>,
    /// When the last one ended.
    since: Cell<Instant>,
    /// Grows with whatever the service sends.
    heard: Cell<u64>,
    /// No other exchange may begin: it has ended, or is about to.
    closed: Rc<Cell<bool>>,
    _counted: OpenConnection,
}

/// A part in a connection, for one exchange.
pub(crate) struct Part {
    pub stream: ClientStream,
    shared: Rc<Shared>,
    /// What had been heard when it began.
    heard: u64,
}

impl Shared {
    /// A connection that was just made; `driver` is run until it is over.
    pub fn new(connection: ClientConnection, driver: Driver, counted: OpenConnection, now: Instant) -> Rc<Shared> {
        let closed = Rc::new(Cell::new(false));
        let ended = Rc::clone(&closed);
        tokio::task::spawn_local(async move {
            if let Err(error) = driver.await {
                tracing::debug!("a connection of HTTP/2 to a service has ended: {error}");
            }
            ended.set(true);
        });
        let (open, begun, since, heard) = (Cell::new(0), Cell::new(0), Cell::new(now), Cell::new(0));
        Rc::new(Shared { connection, open, begun, since, heard, closed, _counted: counted })
    }

    /// A place for one more exchange.
    pub fn part(self: &Rc<Shared>) -> Part {
        self.open.set(self.open.get() + 1);
        self.begun.set(self.begun.get() + 1);
        Part { stream: self.connection.stream(), shared: Rc::clone(self), heard: self.heard.get() }
    }

    /// Whether another exchange may begin, of so many at most (0: no limit).
    pub fn has_room(&self, most: u64) -> bool {
        !self.is_closed() && self.open.get() < self.connection.capacity() && (most == 0 || self.begun.get() < most)
    }

    /// Whether it has ended, or is about to.
    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Whether an exchange goes on.
    pub fn is_busy(&self) -> bool {
        self.open.get() > 0
    }

    /// Whether it was used within that time (zero: however long ago).
    pub fn is_wanted(&self, limit: Duration) -> bool {
        self.is_busy() || limit.is_zero() || self.since.get().elapsed() < limit
    }
}

impl Part {
    /// Whether the service takes tunnels of WebSocket.
    pub fn poll_takes_tunnels(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let takes = ready!(self.stream.poll_takes_tunnels(cx));
        self.hear();
        Poll::Ready(takes)
    }

    /// Reads the head of a response.
    pub fn poll_head(&mut self, cx: &mut Context<'_>, head: &mut ResponseHead) -> Poll<Result<(), ResponseError>> {
        let read = ready!(self.stream.poll_head(cx, head));
        match &read {
            // It takes no more.
            Err(ResponseError::Refused) => self.shared.closed.set(true),
            _ => self.hear(),
        }
        Poll::Ready(read)
    }

    /// Waits for content.
    pub fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<usize>, ContentError>> {
        let piece = ready!(self.stream.poll_content(cx));
        self.hear();
        Poll::Ready(piece)
    }

    fn hear(&self) {
        self.shared.heard.set(self.shared.heard.get() + 1);
    }

    /// How many exchanges were begun on the connection.
    pub fn begun(&self) -> u64 {
        self.shared.begun.get()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.shared.open.set(self.shared.open.get() - 1);
        self.shared.since.set(Instant::now());
        if self.shared.heard.get() == self.heard {
            // Nothing came as long as this exchange went on: perhaps nobody is there any more.
            self.shared.closed.set(true);
        }
    }
}
