//! A connection from a client, and the streams that it opens.

use super::control;
use super::frame::{self, NO_ERROR};
use super::stream::ServerStream;
use crate::h1;
use crate::net::{Overhead, Timers};
use quinn::ConnectionError;
use std::cell::Cell;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;

/// A client's connection. When it is dropped, it ends, whatever is under way.
pub struct Connection {
    quic: quinn::Connection,
    load: Rc<Load>,
    goaway: Rc<Goaway>,
    heads: h1::Limits,
    timers: Timers,
}

/// What goes on beside the exchanges: settings, and streams that are not for requests. Ready when the connection is
/// over.
pub type Driver = Pin<Box<dyn Future<Output = ()>>>;

/// What the client burdens the connection with: its end, when that is too much.
pub(super) struct Load {
    quic: quinn::Connection,
    pub overhead: Overhead,
}

/// That the connection is about to end, for who tells the client: first that it shall open no more streams, and which
/// of them are taken only when those have come that it opened before it heard of that (RFC 9114, section 5.2).
#[derive(Default)]
pub(super) struct Goaway {
    ending: Cell<bool>,
    /// From this stream on, counted, none is taken.
    pub from: Cell<Option<u64>>,
    /// How many streams the client has opened.
    opened: Cell<u64>,
    /// There is something to tell.
    pub said: Notify,
}

impl Connection {
    /// Takes a connection whose handshake is over. `heads`: what a request's head may have.
    pub fn begin(quic: quinn::Connection, heads: h1::Limits, timers: &Timers) -> (Connection, Driver) {
        let goaway = Rc::<Goaway>::default();
        let load = Rc::new(Load { quic: quic.clone(), overhead: Overhead::default() });
        let (head, timer) = (u64::from(heads.list_size()), timers.timer());
        let driver = control::drive(quic.clone(), Rc::clone(&load), Rc::clone(&goaway), head, timer);
        (Connection { quic, load, goaway, heads, timers: timers.clone() }, Box::pin(driver))
    }

    /// The next stream; the error says why there will be none.
    pub async fn accept(&self) -> Result<ServerStream, ConnectionError> {
        loop {
            let (mut send, mut receive) = self.quic.accept_bi().await?;
            let number = receive.id().index();
            if self.goaway.from.get().is_some_and(|from| number >= from) {
                // The client may send it again elsewhere. Fails for streams that are over.
                let _ = send.reset(frame::REQUEST_REJECTED);
                let _ = receive.stop(frame::REQUEST_REJECTED);
                continue;
            }
            self.goaway.opened.set(self.goaway.opened.get().max(number + 1));
            let timer = self.timers.timer();
            let load = Rc::clone(&self.load);
            return Ok(ServerStream::new(self.quic.clone(), load, (send, receive), self.heads, timer));
        }
    }

    /// Where the client is now: it may have another address than before.
    pub fn remote_address(&self) -> SocketAddr {
        self.quic.remote_address()
    }

    /// For how long streams may come that the client opened before it heard of something.
    pub fn grace(&self) -> Duration {
        grace(&self.quic)
    }

    /// Whether the connection was ended because the client sent too much that serves no request.
    pub fn is_overloaded(&self) -> bool {
        self.load.overhead.is_excessive()
    }

    /// Ends the connection of a client that asks for too much.
    pub fn refuse_load(&self) {
        self.quic.close(frame::EXCESSIVE_LOAD, b"");
    }

    /// Whether the client has been told to open no more streams.
    pub fn is_ending(&self) -> bool {
        self.goaway.ending.get()
    }

    /// Whether no more streams are taken.
    pub fn has_ended(&self) -> bool {
        self.goaway.from.get().is_some()
    }

    /// Tells the client to open no more streams. Those that are open go on, and so do those that it opens before it has
    /// heard of that.
    pub fn end(&self) {
        if !self.goaway.ending.replace(true) {
            self.goaway.said.notify_one();
        }
    }

    /// Takes no more streams.
    pub fn end_now(&self) {
        self.goaway.ending.set(true);
        self.goaway.close();
    }
}

impl Goaway {
    /// Takes none but the streams that are open.
    pub fn close(&self) {
        if self.from.get().is_none() {
            self.from.set(Some(self.opened.get()));
            self.said.notify_one();
        }
    }
}

impl Load {
    /// Notes octets that have come; `false`: the connection has ended over them.
    pub fn take(&self, octets: usize) -> bool {
        let excessive = self.overhead.receive(octets);
        if excessive {
            self.quic.close(frame::EXCESSIVE_LOAD, b"");
        }
        !excessive
    }
}

/// See [`Connection::grace`].
pub(super) fn grace(quic: &quinn::Connection) -> Duration {
    quic.rtt() * 3
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.quic.close(NO_ERROR, b"");
    }
}
