//! Connecting a stream to a service: peer after peer until one takes it.

use super::session::StatusCode;
use crate::balancer::{Destination, Peer, PickError};
use crate::error_log::{OfStream, failed, timed_out};
use crate::health::Outcome;
use crate::live::OpenConnection;
use crate::snapshot::View;
use crate::upstream::{ConnectError, Connector, PoolKey, ServiceTls};
use crate::worker::Worker;
use model::entities::Protocol;
use sdk::{Exchange, Try};
use smallvec::SmallVec;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;
use wire::net::{Stream, Timer};

/// A connection to the service of an exchange. As nginx, what fails is tried elsewhere, as often as the service allows.
pub(super) async fn connect(
    worker: &Rc<Worker>,
    view: &Rc<View>,
    exchange: &mut Exchange,
    timer: &Timer,
) -> Result<(Stream, (Peer, OpenConnection)), StatusCode> {
    let Some(service) = exchange.service.as_deref() else { return Err(StatusCode(500)) };
    let (id, limit, retries) = (service.id, service.connect_timeout, usize::from(service.retries));
    let passes_tls_on = exchange.stream.is_some_and(|session| session.protocol == Protocol::TlsPassthrough);
    let secure = exchange.upstream.protocol == Protocol::Tls && !passes_tls_on;
    let destination = destination(worker, view, exchange);
    let wish = exchange.upstream.tls.as_ref();
    let tls = match secure.then(|| view.service_tls_as(id, destination.client_certificate(), wish)).transpose() {
        Ok(tls) => tls,
        Err(error) => {
            tracing::error!(service = %id, "no connection to a service: {error}");
            return Err(StatusCode(502));
        }
    };
    let mut tried: SmallVec<[SocketAddr; 4]> = SmallVec::new();
    loop {
        let peer = match pick(worker, exchange, &destination, &tried).await {
            Ok(peer) => peer,
            Err(_) if !tried.is_empty() => return Err(StatusCode(502)),
            Err(error) => {
                tracing::error!("{error}{}", OfStream { exchange, upstream: None });
                return Err(StatusCode(503));
            }
        };
        let started = worker.loop_time();
        if tried.is_empty() {
            exchange.timing.proxy = Some(started.saturating_duration_since(exchange.timing.started));
        }
        tried.push(peer.address);
        let connected = dial(worker, exchange, timer, (&peer, tls.as_ref()), limit).await;
        let outcome = match &connected {
            Ok(_) => Outcome::Connected,
            Err(ConnectError::TimedOut) => Outcome::Timeout,
            Err(ConnectError::Local(_)) => Outcome::LocalFault,
            Err(ConnectError::Failed(_)) => Outcome::TcpFailure,
        };
        let status = if connected.is_ok() { 200 } else { 502 };
        let waited = worker.loop_time().saturating_duration_since(started);
        exchange.timing.upstream = Some(exchange.timing.upstream.unwrap_or_default() + waited);
        let made = connected.is_ok().then_some(waited);
        exchange.tries.push(Try { status, waited, connected: made, ..Try::new(peer.address, started) });
        if let Some(upstream) = peer.upstream().filter(|_| worker.counting.is_watched()) {
            worker.counting.attempt(upstream, peer.address, status, waited);
        }
        peer.report(outcome);
        match connected {
            Ok(stream) => {
                let counted = worker.opened(peer.address);
                return Ok((stream, (peer, counted)));
            }
            Err(error) => {
                let why = match &error {
                    ConnectError::TimedOut => timed_out("connecting to"),
                    ConnectError::Local(error) | ConnectError::Failed(error) => {
                        failed("connect()", error, "connecting to")
                    }
                };
                tracing::error!("{why}{}", OfStream { exchange, upstream: Some(peer.address) });
            }
        }
        if tried.len() > retries {
            return Err(StatusCode(502));
        }
    }
}

/// Where the streams of an exchange go.
pub(super) fn destination(worker: &Worker, view: &Rc<View>, exchange: &Exchange) -> Destination {
    let host = exchange.upstream.host.as_deref().or(exchange.service.as_deref().map(|service| &*service.host));
    let host = host.unwrap_or_default();
    view.destination(&worker.shared.balancers, &exchange.workspace(), host, exchange.upstream.port)
}

pub(super) async fn pick(
    worker: &Worker,
    exchange: &Exchange,
    destination: &Destination,
    tried: &[SocketAddr],
) -> Result<Peer, PickError> {
    let balancers = &worker.shared.balancers;
    match destination.try_pick(balancers, exchange, tried)? {
        Some(peer) => Ok(peer),
        None => destination.pick(balancers, exchange, tried).await,
    }
}

async fn dial(
    worker: &Rc<Worker>,
    exchange: &Exchange,
    timer: &Timer,
    (peer, tls): (&Peer, Option<&Rc<ServiceTls>>),
    limit: Duration,
) -> Result<Stream, ConnectError> {
    let settings = &worker.shared.settings;
    let connector =
        Connector { descriptors: worker.shared.descriptors, buffers: &worker.buffers, limits: &settings.limits };
    let header = settings.streams.proxy_protocol.then(|| header(exchange));
    let asked = exchange.client.sni.as_deref();
    let kept = asked.filter(|_| exchange.route.as_deref().is_some_and(|route| route.preserve_host));
    let tls = tls.map(|tls| tls.named(kept.unwrap_or(peer.host())));
    let key = PoolKey { address: peer.address, tls, http2: false };
    match connector.stream(timer, &key, header.as_deref(), limit).await {
        Err(ConnectError::Local(error)) if worker.make_room(&error).await => {
            connector.stream(timer, &key, header.as_deref(), limit).await
        }
        connected => connected,
    }
}

/// A line of the PROXY protocol, version 1: the client and the address of ours that it has reached.
fn header(exchange: &Exchange) -> Vec<u8> {
    let client = &exchange.client;
    let (from, to) = (client.ip.to_canonical(), client.local_ip.to_canonical());
    let mut line = Vec::with_capacity(108);
    let family = match (from, to) {
        (IpAddr::V4(_), IpAddr::V4(_)) => "TCP4",
        (IpAddr::V6(_), IpAddr::V6(_)) => "TCP6",
        _ => {
            line.extend_from_slice(b"PROXY UNKNOWN\r\n");
            return line;
        }
    };
    // Writing into memory does not fail.
    let _ = write!(line, "PROXY {family} {from} {to} {} {}\r\n", client.port, client.local_port);
    line
}
