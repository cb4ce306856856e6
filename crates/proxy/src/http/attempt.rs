//! Trying peers until one answers: choose, connect, send, await the head of the response.
//!
//! A try that failed is repeated with another peer as long as that is safe (RFC 9110, section 9.2.2): nothing of the
//! request can have been acted upon, or acting twice is as good as once, and its content is still at hand.

use super::context::RequestContext;
use super::deadlines::Wait;
use super::debug;
use super::downstream::Downstream;
use super::extended_connect;
use super::payload::Payload;
use super::recorded;
use super::request;
use super::upload::{Upload, UploadError};
use crate::balancer::{Destination, Peer, PickError};
use crate::directives::Failure as Kind;
use crate::error_log::{OfRequest, failed, timed_out};
use crate::health::Outcome;
use crate::hop_by_hop;
use crate::upstream::{ConnectError, Connector, PoolKey, ServiceTls, Shared, Upstream};
use crate::worker::{Worker, since};
use model::entities::{Protocol, Uuid};
use sdk::{Attribute, Exchange, ResponseHead, RetryCause, Timed, Timeouts, Try};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use wire::Version;
use wire::h1::{HeadError, ResponseError};
use wire::net::Timer;

/// Why there is no response.
pub(crate) enum Failed {
    /// Status, and Kong's words where they are not the usual ones.
    Service(u16, Option<&'static str>),
    /// The request's content did not arrive, or must not go on.
    Content(UploadError),
    /// The client went away meanwhile.
    ClientClosed,
}

/// How a single try failed, and why in nginx's words.
pub(super) enum Failure {
    /// Before anything of the request can have been read by the service.
    Unsent(Outcome, Cow<'static, str>),
    /// After it may have been.
    Sent(Outcome, Cow<'static, str>),
    /// The service has answered, but not in HTTP. That counts as if it had said 502.
    Invalid(Cow<'static, str>),
    /// It is our own: no peer is to blame, and none will do better now.
    Local,
    Content(UploadError),
    ClientClosed,
}

/// What is done while the head of a response is awaited.
const HEAD: &str = "reading response header from";

/// Tries peers until one answers; `exchange.response` is then the head of its final response.
pub(crate) async fn run(
    context: &mut RequestContext<'_>,
    exchange: &mut Exchange,
    downstream: &mut Downstream<'_>,
    upload: &mut Upload,
    payload: &mut Payload,
) -> Result<Box<Upstream>, Failed> {
    let Some(service) = exchange.service.as_deref() else { return Err(Failed::Service(503, None)) };
    let timeouts = exchange.timeouts();
    let (id, retries) = (service.id, service.retries);
    let Ok((mut destination, mut tls)) = destination(context, exchange, id) else {
        return Err(Failed::Service(502, None));
    };
    let mut tried: SmallVec<[SocketAddr; 4]> = SmallVec::new();
    // Those of the destination that a plugin has named in place of the first one.
    let mut tried_elsewhere = 0;
    let mut last = 502;
    let first = context.worker.loop_time();
    // What may be given to another target, as long as there is room for a try.
    let next = &context.directives().next_upstream;
    let repeatable = exchange.request.method.is_retriable();
    let policy = exchange.upstream.retries.clone();
    let looks_at_statuses = policy.as_ref().map_or(next.has_statuses(), |policy| !policy.statuses.is_empty());
    let tries_again = |tries: usize, kind: Kind, sent: bool, payload: &Payload, now: Instant| {
        payload.is_repeatable()
            && next.leaves_room(tries, now.saturating_duration_since(first))
            && match &policy {
                Some(policy) => policy.allows(cause(kind), tries, now),
                None => tries <= usize::from(retries) && next.retries(kind, repeatable, sent),
            }
    };
    loop {
        if !tried.is_empty() && !destination.is_upstream() && exchange.upstream.on_retry.is_some() {
            if !retarget(exchange) {
                return Err(Failed::Service(503, Some("failure to get a peer from retry handler")));
            }
            match self::destination(context, exchange, id) {
                Ok(other) => (destination, tls) = other,
                Err(()) => return Err(Failed::Service(502, None)),
            }
            tried_elsewhere = tried.len();
        }
        let asked = (exchange.trace.is_some() || exchange.debug.is_some()).then(Instant::now);
        debug::enter(exchange, "balancer");
        let (balancers, not_these) = (&context.worker.shared.balancers, &tried[tried_elsewhere..]);
        // Whether one was found without waiting, as mostly.
        let mut known = true;
        let picked = match destination.try_pick(balancers, exchange, not_these) {
            Ok(Some(peer)) => Ok(peer),
            Ok(None) => {
                known = false;
                Box::pin(destination.pick(balancers, exchange, not_these)).await
            }
            Err(error) => Err(error),
        };
        debug::leave(exchange);
        if let Some(asked) = asked.filter(|_| !destination.is_upstream()) {
            tell_look_up(exchange, asked, &picked, known);
        }
        let peer = match picked {
            Ok(peer) => peer,
            Err(_) if !tried.is_empty() => return Err(Failed::Service(last, None)),
            Err(error) => {
                let why = match error {
                    PickError::NameResolution => "name resolution failed",
                    PickError::NoPeer => "failure to get a peer from the ring-balancer",
                };
                tell(context, exchange, None, why);
                return Err(Failed::Service(503, Some(why)));
            }
        };
        let (started, begun) = (context.worker.loop_time(), context.worker.loop_nanos());
        if tried.is_empty() {
            exchange.timing.proxy = Some(since(started, exchange.timing.started));
        }
        recorded::picked(exchange, &destination, &peer, &tried);
        tried.push(peer.address);
        request::address(context, exchange, &peer);
        let tls = tls.as_ref().map(|tls| tls.named(request::server_name(exchange, &peer)));
        let key = PoolKey { address: peer.address, tls, http2: request::goes_by_http2(context, exchange) };
        *upload = Upload::default();
        let mut this = Try::new(peer.address, started);
        let result = attempt(context, exchange, downstream, (upload, payload), &key, &timeouts, &mut this).await;
        context.deadlines.clear(downstream.timer());
        let waited = Duration::from_nanos(context.worker.loop_nanos().saturating_sub(begun));
        exchange.timing.upstream = Some(exchange.timing.upstream.unwrap_or_default() + waited);
        let note = |exchange: &mut Exchange, status| {
            exchange.tries.push(Try { status, waited, ..this });
            recorded::answered(exchange, status, waited);
            if let Some(upstream) = peer.upstream().filter(|_| context.worker.counting.is_watched()) {
                context.worker.counting.attempt(upstream, peer.address, status, waited);
            }
        };
        let (outcome, sent, why) = match result {
            Ok(mut upstream) => {
                let status = exchange.response.status;
                note(exchange, status);
                peer.report(Outcome::Status(status));
                if looks_at_statuses {
                    let now = context.worker.loop_time();
                    if tries_again(tried.len(), Kind::Status(status), true, payload, now) {
                        last = status;
                        continue;
                    }
                }
                if let Some(cookie) = &peer.set_cookie {
                    exchange.response.fields.append("Set-Cookie", cookie.as_bytes());
                }
                upstream.belongs_to(peer);
                return Ok(upstream);
            }
            Err(Failure::Unsent(outcome, why)) => (outcome, false, why),
            Err(Failure::Sent(outcome, why)) => (outcome, true, why),
            Err(Failure::Invalid(why)) => {
                tell(context, exchange, Some(&peer), &why);
                note(exchange, 502);
                peer.report(Outcome::Status(502));
                last = 502;
                if tries_again(tried.len(), Kind::InvalidHeader, true, payload, context.worker.loop_time()) {
                    continue;
                }
                return Err(Failed::Service(502, None));
            }
            Err(Failure::Local) => {
                note(exchange, 503);
                return Err(Failed::Service(503, None));
            }
            Err(Failure::Content(failure)) => return Err(Failed::Content(failure)),
            Err(Failure::ClientClosed) => {
                note(exchange, 0);
                return Err(Failed::ClientClosed);
            }
        };
        peer.report(outcome);
        last = match outcome {
            Outcome::Timeout => 504,
            Outcome::LocalFault => 503,
            _ => 502,
        };
        note(exchange, last);
        tell(context, exchange, Some(&peer), &why);
        let kind = if outcome == Outcome::Timeout { Kind::Timeout } else { Kind::Error };
        if !tries_again(tried.len(), kind, sent, payload, context.worker.loop_time()) {
            if last == 502 && outcome != Outcome::Status(502) {
                peer.report_given_up();
            }
            return Err(Failed::Service(last, None));
        }
    }
}

/// Where the request goes, and how connections there are secured.
fn destination(
    context: &RequestContext<'_>,
    exchange: &Exchange,
    service: Uuid,
) -> Result<(Destination, Option<Rc<ServiceTls>>), ()> {
    let (balancers, port) = (&context.worker.shared.balancers, exchange.upstream.port);
    let destination = match (exchange.service.as_deref(), exchange.upstream.host.as_deref()) {
        (Some(service), None) => context.view.destination_of(balancers, service, port),
        (service, host) => {
            let workspace = service.map_or_else(|| exchange.workspace(), |service| service.workspace);
            context.view.destination(balancers, &workspace, host.unwrap_or_default(), port)
        }
    };
    let tls = tls(context, exchange, service, &destination)?;
    Ok((destination, tls))
}

/// Asks the plugin that has named the host where the next try goes; false: nowhere.
#[cold]
fn retarget(exchange: &mut Exchange) -> bool {
    let Some(handler) = exchange.upstream.on_retry.clone() else { return true };
    let asked = handler.retry(exchange);
    if let Err(why) = &asked {
        tracing::error!(request_id = exchange.id_str(), "retry handler failed: {why}");
    }
    asked.is_ok()
}

/// Logs why a try failed.
#[cold]
fn tell(context: &RequestContext<'_>, exchange: &Exchange, peer: Option<&Peer>, why: &str) {
    let (host, upstream) = (context.host_of_client(exchange), peer.map(|peer| peer.address));
    tracing::error!(request_id = exchange.id_str(), "{why}{}", OfRequest { exchange, host, upstream });
}

/// What a plugin's policy calls a failure.
fn cause(kind: Kind) -> RetryCause {
    match kind {
        Kind::Error | Kind::InvalidHeader => RetryCause::Error,
        Kind::Timeout => RetryCause::Timeout,
        Kind::Status(status) => RetryCause::Status(status),
    }
}

/// Notes the look-up of a name, for who has asked for times; `known`: nobody was waited for.
#[cold]
fn tell_look_up(exchange: &mut Exchange, asked: Instant, picked: &Result<Peer, PickError>, known: bool) {
    let service = exchange.service.as_deref();
    let host = exchange.upstream.host.as_deref().or(service.map(|service| &*service.host)).unwrap_or_default();
    if host.parse::<IpAddr>().is_ok() {
        return;
    }
    let host = host.to_owned();
    debug::resolved(exchange, &host, asked, known);
    let mut attributes = vec![
        ("dns.record.domain", Attribute::Text(host)),
        ("dns.record.port", Attribute::Number(f64::from(exchange.upstream.port))),
    ];
    if let Ok(peer) = picked {
        attributes.push(("dns.record.ip", Attribute::Text(peer.address.ip().to_string())));
    }
    if let Some(trace) = exchange.trace.as_deref_mut() {
        trace.record(Timed::DNS_QUERY, "kong.dns", asked, attributes);
    }
}

/// How connections are secured, where they are. Without what the configuration asks for, none is made at all.
fn tls(
    context: &RequestContext<'_>,
    exchange: &Exchange,
    service: Uuid,
    destination: &Destination,
) -> Result<Option<Rc<ServiceTls>>, ()> {
    if !matches!(exchange.upstream.protocol, Protocol::Https | Protocol::Grpcs | Protocol::Wss | Protocol::Tls) {
        return Ok(None);
    }
    let wish = exchange.upstream.tls.as_ref();
    let tls = context.view.service_tls_as(service, destination.client_certificate(), wish);
    tls.map(Some).map_err(|error| {
        tracing::error!(%service, request_id = exchange.id_str(), "no connection to a service: {error}");
    })
}

/// Sends the request to a peer. Into a kept connection that the service was just closing it is sent in vain: then once
/// more into a new one, but once in all tries (`uses_kept`), so that no service gets it oftener than tries are allowed,
/// and once more.
async fn attempt(
    context: &mut RequestContext<'_>,
    exchange: &mut Exchange,
    downstream: &mut Downstream<'_>,
    (upload, payload): (&mut Upload, &mut Payload),
    key: &PoolKey,
    timeouts: &Timeouts,
    this: &mut Try,
) -> Result<Box<Upstream>, Failure> {
    let worker = context.worker;
    let begun = this.started;
    let repeatable = exchange.request.method.is_retriable();
    let tunnel = match request::may_tunnel(context, exchange) {
        true => Box::pin(extended_connect::connection(context, downstream, key, (timeouts.connect, begun))).await?,
        false => None,
    };
    let pooled = if let Some(tunnel) = tunnel {
        Some(tunnel)
    } else if context.uses_kept {
        worker.pool.borrow_mut().take(key, begun)
    } else {
        None
    };
    // What may not be sent twice is not sent into a connection that the service is just closing.
    let pooled = pooled.filter(|upstream| repeatable || !upstream.is_closed_now());
    let mut reused = pooled.is_some();
    let mut upstream = match pooled {
        Some(upstream) => upstream,
        None => Box::pin(dial(context, downstream, key, timeouts.connect)).await?,
    };
    this.connected = Some(if reused { Duration::ZERO } else { since(worker.loop_time(), begun) });
    loop {
        if exchange.recording.is_some() {
            recorded::sent(context, exchange, (payload, downstream), &upstream, reused);
        }
        upstream.start_request(&request::outgoing(context, exchange, payload));
        let before = payload.is_repeatable();
        let sending = (&mut *upload, &mut *payload);
        let head = await_head(context, exchange, downstream, sending, &mut upstream, timeouts).await;
        upstream.tell(this);
        let Err(failure) = head else {
            this.answered = true;
            return Ok(upstream);
        };
        // The service had closed the kept connection in the meantime, or takes no more on it: that says nothing about
        // its health.
        let unheard = match failure {
            Failure::Sent(Outcome::TcpFailure, _) => repeatable,
            Failure::Unsent(..) => true,
            _ => false,
        };
        if !(unheard && reused && before && payload.is_repeatable()) {
            return Err(failure);
        }
        (reused, context.uses_kept) = (false, false);
        *upload = Upload::default();
        context.deadlines.clear(downstream.timer());
        let begun = worker.loop_time();
        upstream = Box::pin(dial(context, downstream, key, timeouts.connect)).await?;
        this.connected = Some(worker.loop_time().saturating_duration_since(begun));
    }
}

/// Makes a connection, unless the client goes away meanwhile. To be boxed: it is large, and most requests make none.
pub(super) async fn dial(
    context: &RequestContext<'_>,
    downstream: &mut Downstream<'_>,
    key: &PoolKey,
    limit: Duration,
) -> Result<Box<Upstream>, Failure> {
    let worker = context.worker;
    let timer = downstream.timer().clone();
    let (descriptors, limits) = (worker.shared.descriptors, context.limits());
    let connector = Connector { descriptors, buffers: &worker.buffers, limits };
    for retry in [true, false] {
        let connected = {
            let mut connecting = pin!(open(worker, &connector, &timer, key, limit));
            poll_fn(|cx| match connecting.as_mut().poll(cx) {
                Poll::Pending if has_gone(cx, context, downstream) => Poll::Ready(Err(Failure::ClientClosed)),
                Poll::Pending => Poll::Pending,
                Poll::Ready(result) => Poll::Ready(Ok(result)),
            })
            .await?
        };
        match connected {
            Ok(upstream) => return Ok(upstream),
            Err(ConnectError::Local(error)) if retry && worker.make_room(&error).await => {}
            Err(error) => return Err(connect_failure(worker, &error)),
        }
    }
    Err(Failure::Local)
}

/// A new connection with a place for the exchange.
async fn open(
    worker: &Worker,
    connector: &Connector<'_>,
    timer: &Timer,
    key: &PoolKey,
    limit: Duration,
) -> Result<Box<Upstream>, ConnectError> {
    if !key.http2 {
        let connection = connector.connect(timer, key, limit).await?;
        return Ok(Upstream::new(key.clone(), connection, worker.opened(key.address), worker.loop_time()));
    }
    let (connection, driver) = connector.connect_http2(timer, key, limit).await?;
    let shared = Shared::new(connection, driver, worker.opened(key.address), worker.loop_time());
    worker.pool.borrow_mut().share(key, &shared);
    Ok(Upstream::on(key.clone(), shared))
}

fn connect_failure(worker: &Worker, error: &ConnectError) -> Failure {
    match error {
        ConnectError::TimedOut => Failure::Unsent(Outcome::Timeout, timed_out("connecting to")),
        ConnectError::Local(error) => {
            worker.failed_connects.note(|n| tracing::error!("{n} connections to services could not be made: {error}"));
            // Ports are short for each address apart.
            if error.kind() == io::ErrorKind::AddrNotAvailable {
                Failure::Unsent(Outcome::LocalFault, failed("connect()", error, "connecting to"))
            } else {
                Failure::Local
            }
        }
        ConnectError::Failed(error) => {
            Failure::Unsent(Outcome::TcpFailure, failed("connect()", error, "connecting to"))
        }
    }
}

/// Whether nobody waits for the answer any more, where that matters.
fn has_gone(cx: &mut Context<'_>, context: &RequestContext<'_>, downstream: &mut Downstream<'_>) -> bool {
    !context.limits().proxy_ignore_client_abort && downstream.poll_closed(cx).is_ready()
}

/// Sends the request and waits for the head of the final response; interim ones are passed on.
async fn await_head(
    context: &mut RequestContext<'_>,
    exchange: &mut Exchange,
    downstream: &mut Downstream<'_>,
    (upload, payload): (&mut Upload, &mut Payload),
    upstream: &mut Upstream,
    timeouts: &Timeouts,
) -> Result<(), Failure> {
    let limits = context.limits();
    let upgrade = request::is_upgrade(context);
    let result = poll_fn(|cx| {
        if !upload.is_done() {
            match upload.poll(cx, downstream, upstream, payload) {
                // The service may have answered and closed: its answer decides.
                Poll::Ready(Err(UploadError::Service)) => upload.stop(upstream),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Failure::Content(error))),
                _ => {}
            }
        }
        let flushing = loop {
            // An interim response leaves before the next one is read: a service cannot make them pile up.
            if downstream.has_pending() {
                match downstream.poll_flush(cx) {
                    Poll::Pending => break true,
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Failure::ClientClosed)),
                    Poll::Ready(Ok(())) => {}
                }
            }
            match upstream.poll_head(cx, &mut exchange.response) {
                Poll::Pending => break false,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(failure(&error))),
                Poll::Ready(Ok(())) => match exchange.response.status {
                    200..300 if upgrade && upstream.is_shared() => {
                        extended_connect::complete(exchange);
                        return Poll::Ready(Ok(()));
                    }
                    101 if upgrade && !upstream.is_shared() => return Poll::Ready(Ok(())),
                    101 => {
                        return Poll::Ready(Err(Failure::Invalid("upstream changed the protocol unasked".into())));
                    }
                    100 => context.deadlines.end(Wait::ServiceRead),
                    102..200 => {
                        context.deadlines.end(Wait::ServiceRead);
                        if exchange.request.version >= Version::Http11 {
                            hop_by_hop::strip_response(&mut exchange.response.fields, context.hop_by_hop);
                            downstream.queue_interim(&mut exchange.response);
                        }
                    }
                    _ => return Poll::Ready(Ok(())),
                },
            }
        };
        if upload.is_done() && has_gone(cx, context, downstream) {
            return Poll::Ready(Err(Failure::ClientClosed));
        }
        let (timer, deadlines) = (downstream.timer(), &mut context.deadlines);
        // Whom the request waits for, the service or the client; and the response, once the request is sent.
        match upload.waits {
            Some(Wait::ClientRead) => {
                deadlines.end(Wait::ServiceWrite);
                deadlines.begin(Wait::ClientRead, downstream.received(), limits.client_body_timeout, timer);
            }
            Some(_) => {
                deadlines.end(Wait::ClientRead);
                deadlines.begin(Wait::ServiceWrite, upstream.sent(), timeouts.write, timer);
            }
            None if flushing => deadlines.end(Wait::ServiceRead),
            None => {
                deadlines.end(Wait::ClientRead);
                deadlines.end(Wait::ServiceWrite);
                // As in nginx a head has the time as a whole, however slowly it comes; interim ones begin it anew.
                deadlines.begin(Wait::ServiceRead, 0, timeouts.read, timer);
            }
        }
        match flushing {
            true => deadlines.begin(Wait::ClientWrite, downstream.sent(), limits.send_timeout, timer),
            false => deadlines.end(Wait::ClientWrite),
        }
        match deadlines.poll_expired(cx, timer) {
            // There is nothing to be filtered yet.
            None | Some(Wait::Filter) => Poll::Pending,
            Some(Wait::ClientRead) => Poll::Ready(Err(Failure::Content(UploadError::TimedOut))),
            Some(Wait::ClientWrite) => Poll::Ready(Err(Failure::ClientClosed)),
            Some(Wait::ServiceWrite) => {
                Poll::Ready(Err(Failure::Sent(Outcome::Timeout, timed_out("sending request to"))))
            }
            Some(Wait::ServiceRead) => Poll::Ready(Err(Failure::Sent(Outcome::Timeout, timed_out(HEAD)))),
        }
    })
    .await;
    if result.is_err() {
        *exchange.response = ResponseHead::default();
    }
    result
}

fn failure(error: &ResponseError) -> Failure {
    let why = match error {
        ResponseError::Head(error) => {
            let what = match error {
                HeadError::TooLarge => "too big header".to_owned(),
                error => error.to_string(),
            };
            return Failure::Invalid(format!("upstream sent {what} while {HEAD} upstream").into());
        }
        // The service's own answer, and no sign of a connection that has gone stale.
        ResponseError::Reset(code) => {
            let why = format!("upstream rejected request with error {code} while {HEAD} upstream");
            return Failure::Sent(Outcome::Status(502), why.into());
        }
        ResponseError::Invalid(why) => {
            return Failure::Invalid(format!("upstream sent invalid HTTP/2 ({why}) while {HEAD} upstream").into());
        }
        ResponseError::Refused => {
            return Failure::Unsent(Outcome::TcpFailure, "upstream refused the request on this connection".into());
        }
        ResponseError::Unsendable => {
            tracing::warn!("a request has a host or a path that cannot be sent over HTTP/2");
            return Failure::Local;
        }
        ResponseError::Io(error) if wire::net::is_local_fault(error) => return Failure::Local,
        ResponseError::Io(error) => failed("recv()", error, HEAD),
        ResponseError::Closed(_) => format!("upstream prematurely closed connection while {HEAD} upstream").into(),
    };
    Failure::Sent(Outcome::TcpFailure, why)
}
