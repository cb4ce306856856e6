//! HTTP from a client's connection to a service and back.
//!
//! [`serve`] is the life of an HTTP/1.1 connection, `multiplexed` that of an HTTP/2 one, `quic` that of an HTTP/3 one;
//! `exchange` the life of one request on it, in the order in which it happens: rewrite, route, access, `payload` (what
//! is held of the content), `request` (the head for the service), `attempt` (a peer, a connection, the head of its
//! answer), `respond` (the head for the client), `relay` (content down, while `upload` may still go up) or `held` (for
//! plugins that want all of it first), log. `filters` is where responses wait for plugins, `waiting` where content
//! waits for slow clients. Phases know the client as `downstream` and the service as [`crate::upstream::Upstream`], and
//! every wait of theirs has a deadline in `deadlines`.

mod access;
mod announced;
mod attempt;
mod content;
mod context;
mod continued;
mod deadlines;
mod debug;
mod downstream;
mod exchange;
mod extended_connect;
mod filters;
mod held;
mod multiplexed;
mod own_lines;
mod payload;
mod quic;
mod recorded;
mod relay;
mod request;
mod respond;
mod spool;
mod upgrade;
mod upload;
mod waiting;
mod websocket;

pub(crate) use access::note_stream;
pub(crate) use own_lines::OwnLines;
pub(crate) use quic::serve as serve_quic;

use crate::forwarded::{self, Address};
use crate::shared::Shared;
use crate::tls::Offered;
use crate::worker::Worker;
pub(crate) use downstream::Downstream;
use exchange::Disposition;
use sdk::recording::Recording;
use sdk::{Answer, Client, Fields};
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;
use wire::h1::{HeadError, Lingering, RequestError, ServerConnection};
use wire::net::{Buffer, LOCAL, Stream};
use wire::proxy_protocol::Proxied;

/// Where a connection comes from.
pub(crate) struct Origin {
    pub peer: Address,
    /// Where it has come to.
    pub local: SocketAddr,
    /// What the PROXY protocol says of it.
    pub proxied: Option<Box<Proxied>>,
    /// What its client offers in TLS, where somebody wants to know.
    pub offered: Option<Box<Offered>>,
    /// The port that it was meant for, in front of whatever maps ports to ours.
    pub port: u16,
    pub tls: bool,
    /// Why the client is not served: its certificate is not good enough (`ssl_verify_client`).
    pub unverified: Option<&'static str>,
    /// What exchanges are told about the client; only what a trusted proxy says changes from one to the next.
    pub client: Client,
    /// The lines that tell services about the client, where no trusted proxy or earlier hop has said something
    /// ([`crate::forwarded::lines`]).
    pub lines: Fields,
    /// For the first exchange, where the connection is this node's own and somebody wants to see what becomes of it.
    pub recording: Cell<Option<Box<Recording>>>,
}

impl Origin {
    /// A connection between these two addresses, the client's first; `port` is what clients call ours. `number` is its
    /// number on the worker, from 1.
    pub fn new(
        shared: &Shared,
        (peer, local): (SocketAddr, SocketAddr),
        port: u16,
        tls: bool,
        number: u64,
    ) -> Box<Origin> {
        let peer = if peer == LOCAL { Address::local() } else { Address::new(peer) };
        let client = Client {
            peer: peer.ip(),
            peer_port: peer.port(),
            ip: peer.ip(),
            port: peer.port(),
            trusted: shared.trusted.trusts_peer(&peer),
            https: tls,
            local_ip: local.ip(),
            local_port: local.port(),
            public_port: port,
            tls: None,
            certificate: None,
            certificate_asked: false,
            connected: Instant::now(),
            connection: number,
            request: 1,
            sni: None,
        };
        let lines = forwarded::lines(&peer, tls, port);
        let recording = Cell::default();
        let (proxied, offered) = (None, None);
        Box::new(Origin { peer, local, proxied, offered, port, tls, unverified: None, client, lines, recording })
    }

    /// The same for a client that has another address now.
    pub fn moved(&self, shared: &Shared, peer: SocketAddr) -> Origin {
        let mut origin = *Origin::new(shared, (peer, self.local), self.port, self.tls, self.client.connection);
        origin.unverified = self.unverified;
        let address = (origin.client.peer, origin.client.peer_port, origin.client.trusted);
        origin.client.clone_from(&self.client);
        (origin.client.peer, origin.client.peer_port, origin.client.trusted) = address;
        (origin.client.ip, origin.client.port) = (peer.ip(), peer.port());
        origin
    }
}

/// Serves a connection of HTTP/2 until either side ends it.
pub(crate) async fn serve_http2(worker: &Rc<Worker>, stream: Stream, origin: Box<Origin>) {
    Box::pin(multiplexed::serve(worker, stream, Buffer::new(&worker.buffers), origin)).await;
}

/// Serves a connection until either side ends it. What its task holds is the memory that an idle connection costs: what
/// is large and seldom needed is boxed, here and below.
pub(crate) async fn serve(worker: &Rc<Worker>, stream: Stream, origin: Box<Origin>) {
    if let Stream::TlsServer(tls) = &stream
        && tls.get_ref().1.alpn_protocol() == Some(b"h2")
    {
        return serve_http2(worker, stream, origin).await;
    }
    let limits = &worker.shared.settings.limits;
    let lingering = Lingering { time: limits.lingering_time, pause: limits.lingering_timeout };
    let mut connection = ServerConnection::new(stream, &worker.buffers, worker.timers.timer(), limits.heads());
    // A time that cannot be told never comes.
    let last_begins = worker.loop_time().checked_add(limits.keepalive_time);
    for served in 1.. {
        let idle = if served == 1 { limits.client_header_timeout } else { limits.keepalive_timeout };
        worker.gauges.idle(true);
        let begun = connection.wait(idle).await;
        worker.gauges.idle(false);
        if !begun {
            return;
        }
        // As nginx: without TLS the first octets tell.
        if served == 1
            && worker.shared.http2
            && !origin.tls
            && connection.begins_http2(limits.client_header_timeout).await
        {
            let (stream, begun, _) = connection.into_parts();
            return Box::pin(multiplexed::serve(worker, stream, begun, origin)).await;
        }
        let mut session = worker.session(&origin.client);
        let read = connection.read_head(&mut session.exchange.request, limits.client_header_timeout).await;
        session.exchange.client.request = served;
        worker.gauges.request();
        worker.refresh_snapshot(&mut session);
        let mut line = access::Line::begin(worker, &session.exchange.request.fields);
        let mut downstream = Downstream::Http1(&mut connection);
        let disposition = match read {
            Ok(()) if origin.unverified.is_some() => {
                let message = origin.unverified.unwrap_or_default();
                Box::pin(respond::refuse(worker, &mut downstream, &origin, &mut session, 400, message)).await;
                Disposition::Close
            }
            Ok(()) => {
                let last = worker.draining.get()
                    || served >= limits.keepalive_requests
                    || limits.keepalive_timeout.is_zero()
                    || last_begins.is_some_and(|time| worker.loop_time() >= time);
                exchange::run(worker, &mut downstream, &origin, &mut session, last).await
            }
            Err(RequestError::Head(error)) if error != HeadError::NoVersion => {
                respond::tell_refusal(&origin, error);
                let status = respond::refusal(error);
                let message = Answer::gateway_message(status);
                Box::pin(respond::refuse(worker, &mut downstream, &origin, &mut session, status, &message)).await;
                Disposition::Close
            }
            Err(error) => {
                respond::give_up(worker, &origin, &mut session, &error);
                Disposition::Gone
            }
        };
        if let Some(line) = &mut line {
            line.took(connection.take_traffic());
        }
        match disposition {
            Disposition::KeepAlive => access::end(line, worker, &origin, session),
            Disposition::Close => {
                access::end(line, worker, &origin, session);
                if limits.lingering_close {
                    connection.close(lingering).await;
                }
                return;
            }
            Disposition::Upgraded(upgraded) => {
                return Box::pin(upgrade::follow(line, worker, &origin, session, connection, *upgraded)).await;
            }
            Disposition::Gone => return access::end(line, worker, &origin, session),
        }
    }
}
