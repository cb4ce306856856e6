//! Trying peers until one answers: choose, connect, send, await the head of the response.
//!
//! A try that failed is repeated with another peer as long as that is safe (RFC 9110, section 9.2.2): nothing of the
//! request can have been acted upon, or acting twice is as good as once, and its content is still at hand.

use super::exchange::RequestContext;
use super::payload::Payload;
use super::relay::{self, Stage, Upload};
use super::request;
use crate::balancer::{Destination, Peer, PickError};
use crate::health::Outcome;
use crate::tls::Terms;
use crate::upstream::{ConnectError, PoolKey, Tls, connect};
use crate::worker::Worker;
use model::entities::{Protocol, Service};
use sdk::{Exchange, ResponseHead, Try};
use smallvec::SmallVec;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::Poll;
use std::time::{Duration, Instant};
use wire::Version;
use wire::h1::{ClientConnection, ResponseError, ServerConnection};

/// A connection to a service, with the exchange on it. Lives as long as the connection, and is lent as a box, so that
/// nothing is made or moved for an exchange.
pub(crate) struct Upstream {
    pub connection: ClientConnection,
    pub stage: Stage,
    /// Grows whenever something moves, so that timeouts count pauses and not totals.
    pub progress: u32,
    /// The request could not be sent whole: the connection is of no further use.
    pub spoiled: bool,
    pub read_timeout: Duration,
    pub key: PoolKey,
    /// When it was last given back.
    pub since: Instant,
    /// Counts as a connection of the target as long as it lives.
    peer: Option<Peer>,
}

/// Why there is no response.
pub(crate) enum Failed {
    /// Status, and Kong's words where they are not the usual ones.
    Service(u16, Option<&'static str>),
    /// The request's content did not arrive, or must not go on.
    Content(Upload),
}

/// How a single try failed.
enum Failure {
    /// Before anything of the request can have been read by the service.
    Unsent(Outcome),
    /// After it may have been.
    Sent(Outcome),
    /// The service has answered, but not in HTTP. As with nginx it is not asked again, and counts as if it had said
    /// 502.
    Invalid,
    Content(Upload),
}

impl Upstream {
    /// A connection that was just made.
    fn new(key: PoolKey, connection: ClientConnection, now: Instant) -> Box<Upstream> {
        let (stage, read_timeout) = (Stage::Held, Duration::ZERO);
        Box::new(Upstream { connection, stage, progress: 0, spoiled: false, read_timeout, key, since: now, peer: None })
    }

    /// Makes it ready for an exchange.
    fn begin(&mut self, read_timeout: Duration) {
        (self.stage, self.progress, self.spoiled) = (Stage::Held, 0, false);
        self.read_timeout = read_timeout;
    }

    /// Gives the connection back to its pool. `now` may be some time ago: it counts for how long connections stay idle.
    pub fn give_back(mut self: Box<Self>, worker: &Worker, now: Instant) {
        self.peer = None;
        self.since = now;
        worker.pool.borrow_mut().give(self);
    }
}

/// Tries peers until one answers; `exchange.response` is then the head of its final response.
pub(crate) async fn run(
    context: &mut RequestContext<'_>,
    exchange: &mut Exchange,
    client: &mut ServerConnection,
    payload: &mut Payload,
    upgrade: bool,
) -> Result<Box<Upstream>, Failed> {
    let Some(service) = exchange.service.clone() else { return Err(Failed::Service(503, None)) };
    let host = exchange.upstream.host.as_ref().unwrap_or(&service.host);
    let destination = context.view.destination(&context.worker.shared.balancers, host, exchange.upstream.port);
    let Ok(terms) = terms(context, exchange, &service, &destination) else { return Err(Failed::Service(502, None)) };
    let mut tried: SmallVec<[SocketAddr; 4]> = SmallVec::new();
    let mut last = 502;
    for _ in 0..=service.retries {
        let peer = match pick(context, exchange, &destination, &tried).await {
            Ok(peer) => peer,
            Err(_) if !tried.is_empty() => return Err(Failed::Service(last, None)),
            Err(PickError::NameResolution) => return Err(Failed::Service(503, Some("name resolution failed"))),
            Err(PickError::NoPeer) => {
                return Err(Failed::Service(503, Some("failure to get a peer from the ring-balancer")));
            }
        };
        let started = context.worker.loop_time();
        if tried.is_empty() {
            exchange.timing.proxy = Some(started.saturating_duration_since(exchange.timing.started));
        }
        tried.push(peer.address);
        request::address(context, exchange, &peer);
        let tls = terms.clone().map(|terms| Tls { name: request::server_name(exchange, &peer), terms });
        let key = PoolKey { address: peer.address, tls };
        let result = attempt(context, exchange, client, payload, &service, key, upgrade).await;
        let waited = context.worker.loop_time().saturating_duration_since(started);
        exchange.timing.upstream = Some(exchange.timing.upstream.unwrap_or_default() + waited);
        let mut note = |status| exchange.tries.push(Try { address: peer.address, status, started, waited });
        let (outcome, sent) = match result {
            Ok(mut upstream) => {
                note(exchange.response.status);
                peer.report(Outcome::Status(exchange.response.status));
                if let Some(cookie) = &peer.set_cookie {
                    exchange.response.fields.append("Set-Cookie", cookie.as_bytes());
                }
                upstream.peer = Some(peer);
                return Ok(upstream);
            }
            Err(Failure::Unsent(outcome)) => (outcome, false),
            Err(Failure::Sent(outcome)) => (outcome, true),
            Err(Failure::Invalid) => {
                note(502);
                peer.report(Outcome::Status(502));
                return Err(Failed::Service(502, None));
            }
            Err(Failure::Content(failure)) => return Err(Failed::Content(failure)),
        };
        peer.report(outcome);
        last = if outcome == Outcome::Timeout { 504 } else { 502 };
        note(last);
        tracing::info!(request_id = exchange.id_str(), peer = %peer.address, ?outcome, sent, "a try at a service failed");
        if sent && !exchange.request.method.is_retriable() || !payload.is_repeatable() {
            break;
        }
    }
    Err(Failed::Service(last, None))
}

/// How connections are secured, where they are. Without what the configuration asks for, none is made at all.
fn terms(
    context: &RequestContext<'_>,
    exchange: &Exchange,
    service: &Service,
    destination: &Destination,
) -> Result<Option<Terms>, ()> {
    if !matches!(exchange.upstream.protocol, Protocol::Https | Protocol::Grpcs | Protocol::Tls) {
        return Ok(None);
    }
    let view = context.view;
    let terms = view.outbound.terms(&service.id, destination.client_certificate(), &view.certificates);
    terms.map(Some).map_err(|error| tracing::error!(service = %service.id, request_id = exchange.id_str(), "no connection to a service: {error}"))
}

async fn pick(
    context: &RequestContext<'_>,
    exchange: &Exchange,
    destination: &Destination,
    tried: &[SocketAddr],
) -> Result<Peer, PickError> {
    let balancers = &context.worker.shared.balancers;
    match destination.try_pick(balancers, exchange, tried)? {
        Some(peer) => Ok(peer),
        None => destination.pick(balancers, exchange, tried).await,
    }
}

async fn attempt(
    context: &mut RequestContext<'_>,
    exchange: &mut Exchange,
    client: &mut ServerConnection,
    payload: &mut Payload,
    service: &Service,
    key: PoolKey,
    upgrade: bool,
) -> Result<Box<Upstream>, Failure> {
    let repeatable = exchange.request.method.is_retriable();
    let pooled = context.worker.pool.borrow_mut().take(&key);
    // What may not be sent twice is not sent into a connection that the service is just closing.
    let pooled = pooled.filter(|u| repeatable || !u.connection.stream().is_closed_now());
    let mut reused = pooled.is_some();
    let mut upstream = match pooled {
        Some(upstream) => upstream,
        None => dial(context, client, key, service).await?,
    };
    loop {
        upstream.begin(service.read_timeout);
        upstream.connection.start_request(context.head_request, payload.framing() == wire::Framing::Delimited, |out| {
            request::write_head(exchange, out)
        });
        let before = payload.is_repeatable();
        match await_head(context, exchange, client, payload, &mut upstream, service, upgrade).await {
            Ok(()) => return Ok(upstream),
            // The service had closed the kept connection in the meantime: that says nothing about its health.
            Err(Failure::Sent(Outcome::TcpFailure)) if reused && repeatable && before && payload.is_repeatable() => {
                reused = false;
                upstream = dial(context, client, upstream.key, service).await?;
            }
            Err(failure) => return Err(failure),
        }
    }
}

async fn dial(
    context: &RequestContext<'_>,
    client: &ServerConnection,
    key: PoolKey,
    service: &Service,
) -> Result<Box<Upstream>, Failure> {
    let connected =
        connect(context.worker, client.timer(), &key, service.connect_timeout).await.map_err(|error| match error {
            ConnectError::TimedOut => Failure::Unsent(Outcome::Timeout),
            ConnectError::Failed(error) => {
                tracing::debug!(address = %key.address, "cannot connect: {error}");
                Failure::Unsent(Outcome::TcpFailure)
            }
        })?;
    Ok(Upstream::new(key, connected, context.worker.loop_time()))
}

/// Sends the request and waits for the head of the final response; interim ones are passed on.
async fn await_head(
    context: &RequestContext<'_>,
    exchange: &mut Exchange,
    client: &mut ServerConnection,
    payload: &mut Payload,
    upstream: &mut Upstream,
    service: &Service,
    upgrade: bool,
) -> Result<(), Failure> {
    let timer = client.timer().clone();
    let client_timeout = context.worker.shared.settings.limits.client_body_timeout;
    let (mut armed, mut progress) = (false, 0);
    let interim = exchange.request.version == Version::Http11;
    let result = poll_fn(|cx| {
        if upstream.stage != Stage::Done {
            match relay::poll_upload(cx, client, upstream, payload) {
                // The service may have answered and closed: its answer decides.
                Poll::Ready(Err(Upload::Upstream)) => {
                    upstream.stage = Stage::Done;
                    upstream.spoiled = true;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Failure::Content(error))),
                _ => {}
            }
        }
        while let Poll::Ready(head) = upstream.connection.poll_head(cx, &mut exchange.response) {
            match head {
                Err(error) => return Poll::Ready(Err(failure(error))),
                Ok(()) => match exchange.response.status {
                    101 if upgrade => return Poll::Ready(Ok(())),
                    101 => {
                        tracing::warn!("a service changed the protocol unasked");
                        return Poll::Ready(Err(Failure::Invalid));
                    }
                    100 => {}
                    102..200 => {
                        if interim {
                            client.queue_interim(&exchange.response);
                        }
                    }
                    _ => return Poll::Ready(Ok(())),
                },
            }
        }
        if !armed || progress != upstream.progress {
            (armed, progress) = (true, upstream.progress);
            timer.arm(match upstream.stage {
                Stage::Held | Stage::Flush => service.write_timeout,
                Stage::Rest => client_timeout,
                Stage::Done => service.read_timeout,
            });
        }
        if timer.poll_expired(cx) {
            return Poll::Ready(Err(if upstream.stage == Stage::Rest {
                Failure::Content(Upload::TimedOut)
            } else {
                Failure::Sent(Outcome::Timeout)
            }));
        }
        Poll::Pending
    })
    .await;
    timer.disarm();
    if result.is_err() {
        exchange.response = ResponseHead::default();
    }
    result
}

fn failure(error: ResponseError) -> Failure {
    if let ResponseError::Head(error) = &error {
        tracing::warn!("a service sent no valid response: {error:?}");
        return Failure::Invalid;
    }
    Failure::Sent(Outcome::TcpFailure)
}
