//! HTTP from a client's connection to a service and back.
//!
//! [`serve`] is the life of a connection; `exchange` the life of one request on it, in the order in which it happens:
//! rewrite, route, access, `request` (the head for the service), `attempt` (a peer, a connection, the head of its
//! answer), `respond` (the head for the client), `relay` (content both ways), log.

mod access;
mod attempt;
mod exchange;
mod payload;
mod relay;
mod request;
mod respond;
mod upgrade;

pub(crate) use attempt::Upstream;

use crate::forwarded::{self, Address};
use crate::plane::Shared;
use crate::worker::Worker;
use exchange::Disposition;
use sdk::{Answer, Client, Fields};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use wire::h1::{HeadError, Limits, RequestError, ServerConnection};
use wire::net::Stream;

/// How long, and for how many octets, a connection that we close is read from, so that the client sees our last answer.
const LINGER: (Duration, usize) = (Duration::from_secs(5), 1 << 20);

/// Where a connection comes from.
pub(crate) struct Origin {
    pub peer: Address,
    /// Where it has come to.
    pub local: SocketAddr,
    /// The port that it was meant for, in front of whatever maps ports to ours.
    pub port: u16,
    /// The number of the request that is served now, from 1.
    pub request: u64,
    pub tls: bool,
    /// Why the client is not served: its certificate is not good enough (`ssl_verify_client`).
    pub unverified: Option<&'static str>,
    /// What exchanges are told about the client; only what a trusted proxy says changes from one to the next.
    pub client: Client,
    /// The lines that tell services about the client, where no trusted proxy or earlier hop has said something
    /// ([`crate::forwarded::lines`]).
    pub lines: Fields,
}

impl Origin {
    /// A connection between these two addresses, the client's first; `port` is what clients call ours. `number` is its
    /// number on the worker, from 1.
    pub fn new(shared: &Shared, (peer, local): (SocketAddr, SocketAddr), port: u16, tls: bool, number: u64) -> Origin {
        let peer = Address::new(peer);
        let client = Client {
            peer: peer.ip(),
            peer_port: peer.port(),
            ip: peer.ip(),
            trusted: shared.trusted.trusts(peer.ip()),
            https: tls,
            local_ip: local.ip(),
            local_port: local.port(),
            connection: number,
            request: 1,
            sni: None,
        };
        let lines = forwarded::lines(&peer, tls, port);
        Origin { peer, local, port, request: 1, tls, unverified: None, client, lines }
    }
}

/// Takes a client's TLS handshake; the connection and the server name it asked for. Plain HTTP on a TLS port is
/// answered with 400, as nginx does.
pub(crate) async fn accept_tls(
    acceptor: tokio_rustls::TlsAcceptor,
    socket: TcpStream,
) -> Option<(Stream, Option<Arc<str>>)> {
    let mut first = [0; 1];
    if socket.peek(&mut first).await.ok()? == 1 && first[0].is_ascii_uppercase() {
        respond::plain_on_tls(socket).await;
        return None;
    }
    let stream = acceptor.accept(socket).await.ok()?;
    let sni = stream.get_ref().1.server_name().map(|name| Arc::from(name.to_ascii_lowercase()));
    Some((Stream::TlsServer(Box::new(stream)), sni))
}

/// Serves a connection until either side ends it.
pub(crate) async fn serve(worker: &Rc<Worker>, stream: Stream, mut origin: Origin) {
    let limits = &worker.shared.settings.limits;
    let mut connection = ServerConnection::new(stream, &worker.buffers, worker.timers.timer(), Limits::default());
    for served in 1.. {
        let idle = if served == 1 { limits.client_header_timeout } else { limits.keepalive_timeout };
        worker.gauges.idle(true);
        let begun = connection.wait(idle).await;
        worker.gauges.idle(false);
        if !begun {
            return;
        }
        let mut session = worker.session(&origin.client);
        let read = connection.read_head(&mut session.exchange.request, limits.client_header_timeout).await;
        origin.request = served;
        let mut line = access::Line::begin(worker, &session.exchange.request.fields);
        let after = match read {
            Ok(()) if origin.unverified.is_some() => {
                worker.gauges.request();
                let message = origin.unverified.unwrap_or_default();
                respond::refuse(worker, &mut connection, &origin, &mut session, 400, message).await;
                Disposition::Linger
            }
            Ok(()) => {
                worker.gauges.request();
                let last = worker.draining.get() || served >= limits.keepalive_requests;
                exchange::run(worker, &mut connection, &origin, &mut session, last).await
            }
            Err(RequestError::Closed | RequestError::Timeout | RequestError::Head(HeadError::NoVersion)) => {
                line = None;
                Disposition::Gone
            }
            Err(RequestError::Head(error)) => {
                worker.gauges.request();
                tracing::info!(client = origin.peer.as_str(), "a request was refused: {error:?}");
                let status = respond::refusal(error);
                let message = Answer::gateway_message(status);
                respond::refuse(worker, &mut connection, &origin, &mut session, status, &message).await;
                Disposition::Linger
            }
        };
        if let Some(line) = &mut line {
            line.took(connection.take_traffic());
        }
        match after {
            Disposition::Keep => access::end(line, worker, &origin, session),
            Disposition::Linger => {
                access::end(line, worker, &origin, session);
                return connection.linger(LINGER.0, LINGER.1).await;
            }
            Disposition::Upgraded(service) => {
                return access::follow(line, worker, &origin, session, upgrade::relay(connection, *service)).await;
            }
            Disposition::Gone => return access::end(line, worker, &origin, session),
        }
    }
}
