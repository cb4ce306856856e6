//! One stream as plugins and logs see it: an exchange without a request.

use super::attempt;
use crate::balancer::Peer;
use crate::chain::{self, Chain, Instance, Selected};
use crate::error_log::OfStream;
use crate::http::{Origin, note_stream};
use crate::live::OpenConnection;
use crate::router::Query;
use crate::snapshot::View;
use crate::tunnel::Moved;
use crate::worker::Worker;
use model::entities::Protocol;
use sdk::{ClientSocket, Exchange, Fields, RequestHead, Source, StreamSession, Timing};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use wire::h1::Traffic;
use wire::net::{Buffer, Stream, Timer};

/// What a session came to, in nginx's words: 200, or why there was none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StatusCode(pub u16);

/// A connection to a service.
pub(super) struct Opened {
    /// The client, and what has been read of it.
    pub client: (Stream, Buffer),
    pub service: Stream,
    /// For how long nothing may move: nginx has one time for both directions.
    pub idle: Duration,
    /// Count it as a connection of the target as long as they are here.
    pub counts: (Peer, OpenConnection),
}

/// Fills in what is known of a stream as soon as it begins.
pub(super) fn begin(worker: &Worker, origin: &Origin, exchange: &mut Exchange, kind: Protocol) {
    exchange.client.as_mut().clone_from(&origin.client);
    *exchange.request = RequestHead::default();
    // Only whom we trust tells where a connection comes from.
    let named = |_: &&_| worker.shared.trusted.peer_names_clients_of_streams(&origin.peer);
    if let Some(proxied) = origin.proxied.as_ref().filter(named) {
        (exchange.client.ip, exchange.client.port) = (proxied.source.ip(), proxied.source.port());
    }
    let (started, started_unix_ms) = worker.now();
    exchange.timing = Timing { started, started_unix_ms, upstream: None, proxy: None };
    exchange.id = worker.request_id();
    exchange.stream = Some(StreamSession { protocol: kind, from_service: 0, to_service: 0 });
    worker.gauges.request();
}

/// Finds the route and takes it into the exchange; its chain.
pub(super) fn enter<'a>(view: &'a Rc<View>, origin: &Origin, exchange: &mut Exchange) -> Result<&'a Chain, StatusCode> {
    let Some(session) = &mut exchange.stream else { return Err(StatusCode(500)) };
    let query = Query {
        stream: Some(session.protocol),
        method: "",
        https: false,
        tls: session.protocol == Protocol::Tls,
        host: b"",
        port: origin.port,
        path: "",
        query: None,
        sni: exchange.client.sni.as_deref(),
        source: Some(SocketAddr::new(exchange.client.ip, exchange.client.port)),
        destination: Some(origin.local.ip()),
        fields: &Fields::new(),
        exchange: None,
    };
    let Some(found) = view.find_stream(&query) else {
        tracing::debug!(client = %exchange.client.ip, "no Route found with those values");
        return Err(StatusCode(500));
    };
    if found.unusable {
        return Err(StatusCode(500));
    }
    if session.protocol == Protocol::Tls && !found.route.protocols.contains(Protocol::Tls) {
        session.protocol = Protocol::TlsPassthrough;
    }
    if let Some(service) = &found.service {
        exchange.upstream.protocol = service.protocol;
        exchange.upstream.port = service.port;
    }
    let chain = view.chain(&found.route, found.service.as_ref().map(|service| &service.id));
    exchange.route = Some(found.route);
    exchange.service = found.service;
    Ok(chain)
}

/// Runs the access phase.
pub(super) async fn admit<'a>(
    exchange: &mut Exchange,
    (chain, selected): (&'a Chain, &mut Selected<'a>),
) -> Result<(), StatusCode> {
    match chain::run_access(chain, exchange, selected, true).await {
        // What it says has no place in a stream.
        Some(answer) => {
            exchange.source = Source::Exit;
            Err(StatusCode(answer.status))
        }
        None if exchange.service.is_none() => {
            tracing::debug!("no Service found with those values");
            Err(StatusCode(500))
        }
        None => Ok(()),
    }
}

/// Runs the access phase and connects to the service.
pub(super) async fn open<'a>(
    worker: &Rc<Worker>,
    view: &'a Rc<View>,
    exchange: &mut Exchange,
    acting: (&'a Chain, &mut Selected<'a>),
    client: (Stream, Buffer),
    timer: &Timer,
) -> Result<Opened, StatusCode> {
    let client = lend(worker, exchange, acting, client).await?;
    let (service, counts) = attempt::connect(worker, view, exchange, timer).await?;
    exchange.source = Source::Service;
    Ok(Opened { client, service, idle: idle(exchange), counts })
}

/// The connection in the hands of plugins. What they keep of it is of no use when the phase has ended, however it has:
/// a client that is refused is not kept waiting until somebody forgets it.
struct Loan(ClientSocket);

impl Drop for Loan {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Runs the access phase, in which plugins may read from the client and write to it.
async fn lend<'a>(
    worker: &Rc<Worker>,
    exchange: &mut Exchange,
    acting: (&'a Chain, &mut Selected<'a>),
    client: (Stream, Buffer),
) -> Result<(Stream, Buffer), StatusCode> {
    if acting.0.is_empty() {
        return admit(exchange, acting).await.map(|()| client);
    }
    let loan = Loan(ClientSocket::new(client.0, client.1));
    exchange.socket = Some(loan.0.clone());
    let admitted = admit(exchange, acting).await;
    exchange.socket = None;
    admitted?;
    // A plugin that has left off while it read has lost what had come by then.
    let Some(lent) = loan.0.end() else {
        tracing::error!("a plugin has kept the connection{}", OfStream { exchange, upstream: None });
        return Err(StatusCode(500));
    };
    Ok(lent.into_parts(&worker.buffers))
}

/// For how long nothing may move.
pub(super) fn idle(exchange: &Exchange) -> Duration {
    exchange.service.as_ref().map_or(Duration::ZERO, |service| service.read_timeout.max(service.write_timeout))
}

/// Notes what was relayed.
pub(super) fn note(exchange: &mut Exchange, moved: Moved) {
    exchange.traffic = Traffic { received: moved.up, sent: moved.down, heads: 0 };
    if let Some(session) = &mut exchange.stream {
        (session.to_service, session.from_service) = (moved.up, moved.down);
    }
    if let Some(last) = exchange.tries.last_mut() {
        (last.sent, last.received, last.content) = (moved.up, moved.down, moved.down);
        if let Some(first) = moved.first {
            (last.answered, last.waited) = (true, first.saturating_duration_since(last.started));
        }
    }
}

/// The log phase, and the line of the access log.
pub(super) fn end(
    worker: &Worker,
    origin: &Origin,
    exchange: &mut Exchange,
    logging: &[Arc<Instance>],
    status: StatusCode,
) {
    exchange.response.status = status.0;
    chain::run_log(&logging.iter().collect(), exchange);
    note_stream(worker, origin, exchange);
}
