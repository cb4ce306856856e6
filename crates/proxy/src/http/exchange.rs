//! One request, from its head to the log phase.

use super::attempt::{self, Failed, Upstream};
use super::payload::Payload;
use super::relay::{self, Upload};
use super::request::{self, Stripped};
use super::{Origin, respond};
use crate::chain::{self, Chain, Selected};
use crate::forwarded::{self, Address};
use crate::hop_by_hop::HopByHop;
use crate::path;
use crate::router::{Mismatch, Query};
use crate::snapshot::{Found, View};
use crate::worker::{Session, Worker};
use sdk::{Answer, Exchange, Known, Phases, RequestBody, RequestHead, Source, Timing};
use std::borrow::Cow;
use std::rc::Rc;
use wire::Version;
use wire::h1::ServerConnection;

/// What becomes of the client's connection.
pub(crate) enum Disposition {
    /// It waits for the next request.
    Keep,
    /// It is closed, gently.
    Linger,
    /// It is joined with that of the service, octet by octet.
    Upgraded(Box<Upstream>),
    /// It is over already.
    Gone,
}

/// What stays the same through an exchange.
pub(crate) struct RequestContext<'a> {
    pub worker: &'a Rc<Worker>,
    pub origin: &'a Origin,
    /// The client's address, when a trusted proxy in front of us names it.
    pub client: Option<Address>,
    /// What the client asked of the connection.
    pub asked: HopByHop,
    pub view: &'a Rc<View>,
    pub selected: Selected<'a>,
    /// What the client speaks, for framing.
    pub version: Version,
    pub head_request: bool,
    /// The client's `Host`, when the service gets it too.
    pub kept_host: Option<String>,
    /// The client's connection ends with this exchange.
    pub close: bool,
}

/// Runs an exchange.
pub(crate) async fn run(
    worker: &Rc<Worker>,
    connection: &mut ServerConnection,
    origin: &Origin,
    session: &mut Session,
    last: bool,
) -> Disposition {
    worker.refresh_snapshot(session);
    let Session { exchange, view } = session;
    let head = &exchange.request;
    let mut context = RequestContext {
        worker,
        origin,
        client: worker.shared.trusted.client(&origin.peer, None, &head.fields),
        asked: HopByHop::default(),
        selected: Selected::new(),
        version: head.version,
        head_request: head.method.is_head(),
        kept_host: None,
        close: last || wants_close(head),
        view,
    };
    begin(&context, exchange);
    let served = serve(&mut context, exchange, connection).await;
    chain::run_log(&context.selected, exchange);
    match served {
        Ok(Some(upgraded)) => Disposition::Upgraded(upgraded),
        Ok(None)
            if (connection.content_is_done() || drain(connection).await)
                && !context.close
                && !worker.draining.get() =>
        {
            Disposition::Keep
        }
        Ok(None) => Disposition::Linger,
        Err(Broken) => Disposition::Gone,
    }
}

/// The client's connection broke, or had to be cut because a response could not be completed.
pub(crate) struct Broken;

/// Begins an exchange whose head has just been read.
pub(crate) fn begin(context: &RequestContext<'_>, exchange: &mut Exchange) {
    let (worker, origin) = (context.worker, context.origin);
    exchange.client.clone_from(&origin.client);
    let client = &mut exchange.client;
    client.request = origin.request;
    if client.trusted {
        client.ip = context.client.as_ref().map_or(client.peer, Address::ip);
        client.https = forwarded::is_https(true, origin.tls, &exchange.request.fields);
    }
    let (started, started_unix_ms) = worker.now();
    exchange.timing = Timing { started, started_unix_ms, upstream: None, proxy: None };
    exchange.id = worker.request_id();
}

/// An answer of our own in place of a service's; boxed, so that what it might be is not carried around for what it
/// mostly is not.
struct OwnAnswer(Box<Answer>, Source);

/// All phases but the last; an upgraded connection to the service is handed back.
async fn serve(
    context: &mut RequestContext<'_>,
    exchange: &mut Exchange,
    connection: &mut ServerConnection,
) -> Result<Option<Box<Upstream>>, Broken> {
    let mut payload = Payload::default();
    match ask(context, exchange, connection, &mut payload).await {
        Ok(upstream) if exchange.response.status == 101 => {
            respond::start_upgrade(context, exchange, connection).await?;
            Ok(Some(upstream))
        }
        Ok(upstream) => relay::response(context, exchange, connection, upstream, &mut payload).await.map(|()| None),
        Err(OwnAnswer(answer, source)) => {
            respond::send(context, exchange, connection, *answer, source).await.map(|()| None)
        }
    }
}

/// Up to the head of the service's response. What usually needs no waiting is asked first, and waited for only if it
/// does: that keeps the way of most requests short.
async fn ask(
    context: &mut RequestContext<'_>,
    exchange: &mut Exchange,
    connection: &mut ServerConnection,
    payload: &mut Payload,
) -> Result<Box<Upstream>, OwnAnswer> {
    let global = context.view.global_chain();
    if global.has(Phases::REWRITE)
        && let Some(answer) = chain::run_rewrite(global, exchange).await
    {
        chain::run_access(global, exchange, &mut context.selected, false).await;
        return Err(OwnAnswer(Box::new(answer), Source::Exit));
    }
    // The target is lent out, so that the path can be looked at while the exchange changes.
    let target = std::mem::take(&mut exchange.request.target);
    let entered = enter(context, exchange, &target);
    exchange.request.target = target;
    let (chain, stripped) = match entered {
        Ok(entered) => entered,
        Err(refused) => {
            chain::run_access(global, exchange, &mut context.selected, false).await;
            let (status, message) = refused;
            // As nginx: what is refused for its form is the last on its connection.
            context.close |= message.is_none();
            return Err(match message {
                Some(message) => own_error(exchange, status, message),
                None => gateway_error(exchange, status),
            });
        }
    };
    let route = exchange.route.as_ref();
    let mismatch = route.and_then(|route| {
        Mismatch::of(route, exchange.client.https, exchange.request.version, &exchange.request.fields)
    });
    let announced = payload.begin(exchange.request.framing, context.worker.shared.settings.limits.client_max_body_size);
    let refused = match (announced, mismatch) {
        (Ok(()), None) => None,
        (Ok(()), Some(mismatch)) => Some(OwnAnswer(Box::new(respond::mismatch(exchange, mismatch)), Source::Error)),
        (Err(failure), _) => Some(content_failure(context, exchange, failure)),
    };
    if let Some(reply) = refused {
        chain::run_access(chain, exchange, &mut context.selected, false).await;
        return Err(reply);
    }
    if chain.has(Phases::READS_BODY) {
        if let Err(failure) = payload.hold_all(context, connection).await {
            chain::run_access(chain, exchange, &mut context.selected, false).await;
            return Err(content_failure(context, exchange, failure));
        }
        exchange.body = payload.whole().map_or(RequestBody::TooLarge, RequestBody::Whole);
    }
    if !chain.is_empty() {
        let answer = chain::run_access(chain, exchange, &mut context.selected, true).await;
        // What plugins take is the gateway's time and not the service's.
        context.worker.update_time();
        if let Some(answer) = answer {
            return Err(OwnAnswer(Box::new(answer), Source::Exit));
        }
    }
    if exchange.service.is_none() {
        return Err(own_error(exchange, 503, "no Service found with those values"));
    }
    if let RequestBody::Whole(body) = std::mem::take(&mut exchange.body) {
        payload.replace(body);
    }
    let buffering = exchange.route.as_ref().is_none_or(|r| r.request_buffering);
    if payload.has_rest()
        && let Err(failure) = payload.hold(context, connection, buffering).await
    {
        return Err(content_failure(context, exchange, failure));
    }
    let upgrade = request::prepare(context, exchange, &stripped, payload);
    match attempt::run(context, exchange, connection, payload, upgrade).await {
        Ok(upstream) => Ok(upstream),
        Err(Failed::Service(status, Some(message))) => Err(own_error(exchange, status, message)),
        Err(Failed::Service(status, None)) => Err(gateway_error(exchange, status)),
        Err(Failed::Content(failure)) => Err(content_failure(context, exchange, failure)),
    }
}

#[cold]
fn own_error(exchange: &Exchange, status: u16, message: &str) -> OwnAnswer {
    OwnAnswer(Box::new(Answer::error(exchange, status, message)), Source::Error)
}

#[cold]
fn gateway_error(exchange: &Exchange, status: u16) -> OwnAnswer {
    OwnAnswer(Box::new(Answer::gateway_error(exchange, status, &Answer::gateway_message(status))), Source::Error)
}

/// The client's content is too large, broken, or does not come. What follows on the connection cannot be told from it.
#[cold]
fn content_failure(context: &mut RequestContext<'_>, exchange: &Exchange, failure: Upload) -> OwnAnswer {
    context.close = true;
    gateway_error(
        exchange,
        match failure {
            Upload::TooLarge => 413,
            Upload::TimedOut => 408,
            Upload::Client | Upload::Upstream => 400,
        },
    )
}

/// Finds the route and takes it into the exchange; its chain, and the part of the path that was stripped. Refusals are
/// a status with Kong's words, where they are not the usual ones.
fn enter<'a>(
    context: &mut RequestContext<'a>,
    exchange: &mut Exchange,
    target: &str,
) -> Result<(&'a Chain, Stripped), (u16, Option<&'static str>)> {
    if matches!(exchange.request.method.as_bytes(), b"TRACE" | b"CONNECT") {
        return Err((405, None));
    }
    let target = path::Target::split(target);
    let path = path::normalise(target.path).map_err(|_| (400, None))?;
    let matched =
        find(context, exchange, &path, target.query).ok_or((404, Some("no Route matched with those values")))?;
    let chain = context.view.chain(&matched.route.id, matched.service.as_ref().map(|s| &s.id));
    let verbatim = matches!(path, Cow::Borrowed(_));
    let stripped = request::enter(context, exchange, matched, &path, verbatim, target.query);
    Ok((chain, stripped))
}

/// The route for a request.
fn find(context: &RequestContext<'_>, exchange: &Exchange, path: &str, query: Option<&str>) -> Option<Found> {
    let head = &exchange.request;
    let host = head.fields.known(Known::Host).and_then(|h| std::str::from_utf8(h).ok()).unwrap_or_default();
    let client = context.client.as_ref().unwrap_or(&context.origin.peer);
    let query = Query {
        method: head.method.as_str(),
        https: exchange.client.https,
        tls: context.origin.tls,
        port: context.origin.port,
        host,
        path,
        query,
        sni: exchange.client.sni.as_deref(),
        source: Some(client.socket_address()),
        destination: Some(context.origin.local.ip()),
        fields: &head.fields,
    };
    context.view.find(&query)
}

/// Whether the client's connection ends after this request (RFC 9112, section 9.3).
fn wants_close(head: &RequestHead) -> bool {
    let mut close = head.version < Version::Http11;
    for value in head.fields.known_all(Known::Connection) {
        for option in value.split(|&b| b == b',') {
            let option = option.trim_ascii();
            if option.eq_ignore_ascii_case(b"close") {
                return true;
            }
            if option.eq_ignore_ascii_case(b"keep-alive") {
                close = false;
            }
        }
    }
    close
}

/// Reads what is left of a request's content, up to a limit; whether the connection can take another request.
async fn drain(connection: &mut ServerConnection) -> bool {
    const MOST: usize = 64 * 1024;
    relay::discard(connection, MOST).await
}
