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
    /// How many streams the client has opened.
    opened: u64,
}

/// What goes on beside the exchanges: settings, and streams that are not for requests. Ready when the connection is
/// over.
pub type Driver = Pin<Box<dyn Future<Output = ()>>>;

/// What the client burdens the connection with: its end, when that is too much.
pub(super) struct Load {
    quic: quinn::Connection,
    pub overhead: Overhead,
}

/// That no more streams are taken, for who tells the client.
#[derive(Default)]
pub(super) struct Goaway {
    /// From this stream on, counted.
    pub from: Cell<Option<u64>>,
    pub said: Notify,
}

impl Connection {
    /// Takes a connection whose handshake is over. `heads`: what a request's head may have.
    pub fn begin(quic: quinn::Connection, heads: h1::Limits, timers: &Timers) -> (Connection, Driver) {
        let goaway = Rc::<Goaway>::default();
        let load = Rc::new(Load { quic: quic.clone(), overhead: Overhead::default() });
        let driver = control::drive(quic.clone(), Rc::clone(&load), Rc::clone(&goaway), u64::from(heads.list_size()));
        (Connection { quic, load, goaway, heads, timers: timers.clone(), opened: 0 }, Box::pin(driver))
    }

    /// The next stream; the error says why there will be none.
    pub async fn accept(&mut self) -> Result<ServerStream, ConnectionError> {
        loop {
            let (mut send, mut receive) = self.quic.accept_bi().await?;
            let number = receive.id().index();
            if self.goaway.from.get().is_some_and(|from| number >= from) {
                // The client may send it again elsewhere. Fails for streams that are over.
                let _ = send.reset(frame::REQUEST_REJECTED);
                let _ = receive.stop(frame::REQUEST_REJECTED);
                continue;
            }
            self.opened = self.opened.max(number + 1);
            let timer = self.timers.timer();
            let load = Rc::clone(&self.load);
            return Ok(ServerStream::new(self.quic.clone(), load, (send, receive), self.heads, timer));
        }
    }

    /// Where the client is now: it may have another address than before.
    pub fn remote_address(&self) -> SocketAddr {
        self.quic.remote_address()
    }

    /// How long the client takes to answer.
    pub fn rtt(&self) -> Duration {
        self.quic.rtt()
    }

    /// Whether the connection was ended because the client sent too much that serves no request.
    pub fn is_overloaded(&self) -> bool {
        self.load.overhead.is_excessive()
    }

    /// Ends the connection of a client that asks for too much.
    pub fn refuse_load(&self) {
        self.quic.close(frame::EXCESSIVE_LOAD, b"");
    }

    /// Whether the client has been told that no more streams are taken.
    pub fn is_ending(&self) -> bool {
        self.goaway.from.get().is_some()
    }

    /// Takes no more streams: those that are open go on, and the client is told so.
    pub fn end(&mut self) {
        if self.goaway.from.get().is_none() {
            self.goaway.from.set(Some(self.opened));
            self.goaway.said.notify_one();
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

impl Drop for Connection {
    fn drop(&mut self) {
        self.quic.close(NO_ERROR, b"");
    }
}
