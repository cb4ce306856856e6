//! One request, from its head to the log phase.

use super::attempt::{self, Failed};
use super::content;
use super::context::{Broken, RequestContext};
use super::debug;
use super::downstream::Downstream;
use super::held;
use super::payload::Payload;
use super::recorded;
use super::relay;
use super::request::{self, Stripped};
use super::upload::{Upload, UploadError};
use super::websocket;
use super::{Origin, respond};
use crate::chain::{self, Chain, Instance};
use crate::error_log::OfRequest;
use crate::forwarded;
use crate::hop_by_hop::HopByHop;
use crate::path;
use crate::router::{Mismatch, Query};
use crate::single_valued;
use crate::snapshot::Found;
use crate::upstream::Upstream;
use crate::worker::{Session, Worker};
use sdk::{Answer, Exchange, Known, Phases, RequestBody, Source, Timed, Timing, Trace};
use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::{Framing, Version};

/// What becomes of the client's connection.
pub(crate) enum Disposition {
    /// It waits for the next request.
    KeepAlive,
    /// It is closed, gently.
    Close,
    /// It is joined with that of the service, octet by octet.
    Upgraded(Box<Upgraded>),
    /// It is over already.
    Gone,
}

/// An exchange whose protocol has changed. Its log phase is still to come.
pub(crate) struct Upgraded {
    pub upstream: Upstream,
    /// Who takes part in the log phase.
    pub logging: Vec<Arc<Instance>>,
    /// Whose body filters are told of its end.
    pub filtering: Vec<Arc<Instance>>,
    /// Who sees its messages.
    pub framing: Vec<Arc<Instance>>,
    /// How long the connection may be silent.
    pub read_timeout: Duration,
}

/// Why a request is not answered by a service.
enum Refusal {
    /// An answer of our own takes the place of the service's; boxed, so that what it might be is not carried around for
    /// what it mostly is not.
    Answer(Box<Answer>, Source),
    /// There is nobody to answer any more.
    ClientClosed,
}

/// As nginx: the status of a request whose client went away before there was an answer.
pub(super) const CLIENT_CLOSED_REQUEST: u16 = 499;

/// Runs an exchange whose head has just been read.
pub(crate) async fn run(
    worker: &Rc<Worker>,
    downstream: &mut Downstream<'_>,
    origin: &Origin,
    session: &mut Session,
    last: bool,
) -> Disposition {
    let Session { exchange, view } = session;
    let mut context = RequestContext::new(worker, origin, view, &exchange.request, last);
    begin(&context, exchange);
    debug::begin(&context, exchange);
    let head = &mut exchange.request;
    if context.directives().have_variables() {
        context.kept = Some(Box::new(head.fields.clone()));
    }
    context.directives().field_names.apply(&mut head.fields);
    context.hop_by_hop = HopByHop::take(&mut head.fields);
    let compression = &context.directives().compression;
    context.accepts = compression.is_on().then(|| compression.accepts(&head.fields, head.version));
    let served = serve(&mut context, exchange, downstream).await;
    if context.selected.iter().any(|instance| instance.phases.has(Phases::LOG)) {
        exchange.traffic = downstream.traffic();
    }
    if let Ok(Some(upstream)) = served {
        let read_timeout = exchange.timeouts().read;
        let logging = chain::taking_part(&context.selected, Phases::LOG);
        let filtering = chain::taking_part(&context.selected, Phases::BODY_FILTER);
        let framing = chain::taking_part(&context.selected, websocket::FRAMES);
        let upgraded = Upgraded { upstream: *upstream, logging, filtering, framing, read_timeout };
        return Disposition::Upgraded(Box::new(upgraded));
    }
    if exchange.response.status == 0 {
        exchange.response.status = CLIENT_CLOSED_REQUEST;
    }
    exchange.complete = served.is_ok();
    end(&context, exchange);
    if served.is_err() {
        return Disposition::Gone;
    }
    let keep = !context.close && !worker.draining.get() && !downstream.awaits_continue();
    if keep && (downstream.content_is_done() || downstream.discard_content(context.lingering()).await) {
        Disposition::KeepAlive
    } else {
        Disposition::Close
    }
}

/// Fills in what is known of an exchange as soon as its head is; which request of its connection it is, it knows
/// already.
pub(crate) fn begin(context: &RequestContext<'_>, exchange: &mut Exchange) {
    let (worker, origin) = (context.worker, context.origin);
    let client = &mut *exchange.client;
    let request = client.request;
    client.clone_from(&origin.client);
    client.request = request;
    if let Some(named) = &context.client {
        (client.ip, client.port) = (named.ip(), named.port());
    }
    if client.trusted {
        client.https = forwarded::is_https(true, origin.tls, &exchange.request.fields);
    }
    let (started, started_unix_ms) = worker.now();
    exchange.timing = Timing { started, started_unix_ms, upstream: None, proxy: None };
    exchange.id = worker.request_id();
    exchange.recording = origin.recording.take();
    recorded::begin(exchange);
    if let Some(settings) = worker.shared.settings.tracing {
        exchange.trace = Some(Box::new(Trace::begin(exchange, settings)));
    }
}

/// The log phase.
pub(crate) fn end(context: &RequestContext<'_>, exchange: &mut Exchange) {
    exchange.finish_trace();
    debug::enter(exchange, "log");
    chain::run_log(&context.selected, exchange);
    debug::log(exchange);
    recorded::end(exchange);
}

/// All phases but the last; an upgraded connection to the service is handed back.
async fn serve(
    context: &mut RequestContext<'_>,
    exchange: &mut Exchange,
    downstream: &mut Downstream<'_>,
) -> Result<Option<Box<Upstream>>, Broken> {
    let mut payload = Payload::default();
    let mut upload = Upload::default();
    match ask(context, exchange, downstream, &mut upload, &mut payload).await {
        Ok(upstream) if exchange.response.status == 101 => {
            respond::start_upgrade(context, exchange, downstream).await?;
            Ok(Some(upstream))
        }
        Ok(upstream) if held::is_wanted(context, exchange) => {
            let sending = (&mut upload, &mut payload);
            // Boxed, since few exchanges come here.
            Box::pin(held::response(context, exchange, downstream, upstream, sending)).await.map(|()| None)
        }
        Ok(upstream) => {
            let sending = (&mut upload, &mut payload);
            relay::response(context, exchange, downstream, upstream, sending).await.map(|()| None)
        }
        Err(Refusal::Answer(answer, source)) => {
            payload.release(downstream);
            respond::send(context, exchange, downstream, *answer, source).await.map(|()| None)
        }
        Err(Refusal::ClientClosed) => Err(Broken::ClientClosed),
    }
}

/// Up to the head of the service's response. What usually needs no waiting is asked first, and waited for only if it
/// does: that keeps the way of most requests short.
async fn ask(
    context: &mut RequestContext<'_>,
    exchange: &mut Exchange,
    downstream: &mut Downstream<'_>,
    upload: &mut Upload,
    payload: &mut Payload,
) -> Result<Box<Upstream>, Refusal> {
    let global = context.view.global_chain();
    if !context.directives().access.allows(exchange.client.ip) {
        tracing::info!(request_id = exchange.id_str(), client = %exchange.client.ip, "access is denied by a rule");
        chain::run_access(global, exchange, &mut context.selected, false).await;
        return Err(gateway_error(exchange, 403));
    }
    // As nginx: what is announced to be too large is refused before anybody looks at the request.
    if matches!(exchange.request.framing, Framing::Length(n) if context.content_limit().is_some_and(|most| n > most)) {
        chain::run_access(global, exchange, &mut context.selected, false).await;
        return Err(content_failure(context, exchange, UploadError::TooLarge));
    }
    if global.has(Phases::REWRITE) {
        // Plugins that look at content before there is a route get it then.
        let rewritten = if global.has(Phases::READS_BODY) {
            match content::hold(context, exchange, downstream, payload).await {
                Ok(()) => Ok(chain::run_rewrite(global, exchange, None).await),
                Err(failure) => Err(failure),
            }
        } else if global.has(Phases::MAY_READ_BODY) && content::is_to_come(exchange) {
            Box::pin(content::rewrite(context, exchange, downstream, payload)).await
        } else {
            Ok(chain::run_rewrite(global, exchange, None).await)
        };
        let refusal = match rewritten {
            Ok(None) => None,
            Ok(Some(answer)) => Some(Refusal::Answer(Box::new(answer), Source::Exit)),
            Err(failure) => Some(content_failure(context, exchange, failure)),
        };
        if let Some(refusal) = refusal {
            chain::run_access(global, exchange, &mut context.selected, false).await;
            return Err(refusal);
        }
    }
    // The target is lent out, so that the path can be looked at while the exchange changes.
    let target = std::mem::take(&mut exchange.request.target);
    debug::enter(exchange, "access");
    let started = (exchange.trace.is_some() || exchange.debug.is_some()).then(Instant::now);
    let entered = enter(context, exchange, &target);
    exchange.request.target = target;
    if let Some(started) = started {
        debug::routed(exchange, started);
        if let Some(trace) = exchange.trace.as_deref_mut() {
            trace.record(Timed::ROUTER, "kong.router", started, Vec::new());
        }
    }
    let Entered { chain, stripped, path_length } = match entered {
        Ok(entered) => entered,
        Err((status, message)) => {
            chain::run_access(global, exchange, &mut context.selected, false).await;
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
    let refused = match (payload.begin(exchange.request.framing, context.content_limit()), mismatch) {
        (Ok(()), None) => None,
        (Ok(()), Some(mismatch)) => {
            Some(Refusal::Answer(Box::new(respond::mismatch(exchange, mismatch)), Source::Error))
        }
        (Err(failure), _) => Some(content_failure(context, exchange, failure)),
    };
    if let Some(refused) = refused {
        chain::run_access(chain, exchange, &mut context.selected, false).await;
        return Err(refused);
    }
    if chain.has(Phases::READS_BODY)
        && let Err(failure) = content::hold(context, exchange, downstream, payload).await
    {
        chain::run_access(chain, exchange, &mut context.selected, false).await;
        return Err(content_failure(context, exchange, failure));
    }
    if !chain.is_empty() {
        let may_read = chain.has(Phases::MAY_READ_BODY) && !chain.has(Phases::READS_BODY);
        let on_demand = may_read && content::is_to_come(exchange);
        let answered = match on_demand {
            // Boxed, since few exchanges come here.
            true => Box::pin(content::access(context, exchange, downstream, payload, chain)).await,
            false => Ok(chain::run_access(chain, exchange, &mut context.selected, true).await),
        };
        let answer = match answered {
            Ok(answer) => answer,
            Err(failure) => return Err(content_failure(context, exchange, failure)),
        };
        // What plugins take is the gateway's time and not the service's.
        context.worker.update_time();
        if let Some(answer) = answer {
            return Err(Refusal::Answer(Box::new(answer), Source::Exit));
        }
        if let Some(limit) = exchange.content_limit
            && let Err(failure) = payload.restrict(limit.octets)
        {
            return Err(content_failure(context, exchange, failure));
        }
    }
    if exchange.service.is_none() {
        return Err(own_error(exchange, 503, "no Service found with those values"));
    }
    if let RequestBody::Whole(body) = std::mem::take(&mut exchange.body) {
        if chain.has(Phases::KEEPS_LINES) {
            exchange.kept_content = Some(body.clone());
        }
        payload.replace(body);
    }
    let buffering = !request::is_grpc(exchange) && exchange.route.as_ref().is_none_or(|route| route.request_buffering);
    if payload.has_rest()
        && let Err(failure) = payload.hold(context, downstream, buffering).await
    {
        return Err(content_failure(context, exchange, failure));
    }
    // Plugins whose phases come later may look back at what they have not asked for before.
    let looks_back = chain.has(Phases::KEEPS_LINES.and(Phases::MAY_READ_BODY));
    if (context.worker.keeps_content || looks_back) && exchange.kept_content.is_none() {
        exchange.kept_content = payload.in_memory(downstream);
        if looks_back && payload.is_on_disk() {
            exchange.body = RequestBody::TooLarge;
        }
    }
    if chain.has(Phases::KEEPS_LINES) {
        exchange.keep_lines();
    }
    // What a client takes back at once costs services nothing.
    if downstream.is_reset() && !context.limits().proxy_ignore_client_abort {
        return Err(Refusal::ClientClosed);
    }
    request::prepare(context, exchange, (path_length, &stripped), payload);
    match attempt::run(context, exchange, downstream, upload, payload).await {
        Ok(upstream) => Ok(upstream),
        Err(Failed::Service(status, Some(message))) => Err(own_error(exchange, status, message)),
        Err(Failed::Service(status, None)) => Err(gateway_error(exchange, status)),
        Err(Failed::Content(failure)) => Err(content_failure(context, exchange, failure)),
        Err(Failed::ClientClosed) => Err(Refusal::ClientClosed),
    }
}

#[cold]
fn own_error(exchange: &Exchange, status: u16, message: &str) -> Refusal {
    Refusal::Answer(Box::new(Answer::error(exchange, status, message)), Source::Error)
}

#[cold]
fn gateway_error(exchange: &Exchange, status: u16) -> Refusal {
    let answer = Answer::gateway_error(exchange, status, &Answer::gateway_message(status));
    Refusal::Answer(Box::new(answer), Source::Error)
}

/// The client's content is too large, broken, or does not come. What follows on the connection cannot be told from it.
#[cold]
fn content_failure(context: &mut RequestContext<'_>, exchange: &Exchange, failure: UploadError) -> Refusal {
    context.close = true;
    match failure {
        UploadError::TooLarge => match exchange.content_limit {
            Some(limit) if context.content_limit().is_none_or(|most| limit.octets <= most) => {
                Refusal::Answer(Box::new(Answer::error(exchange, limit.status, limit.message)), Source::Exit)
            }
            _ => {
                tell_too_large(context, exchange);
                gateway_error(exchange, 413)
            }
        },
        UploadError::TimedOut => gateway_error(exchange, 408),
        UploadError::Malformed | UploadError::Service => gateway_error(exchange, 400),
        UploadError::ClientClosed => Refusal::ClientClosed,
        UploadError::Spool(error) => {
            tracing::error!(request_id = exchange.id_str(), "the content of a request cannot be kept on disk: {error}");
            gateway_error(exchange, 500)
        }
    }
}

/// Says in nginx's words that a client sends more than any may.
#[cold]
fn tell_too_large(context: &RequestContext<'_>, exchange: &Exchange) {
    let what = match exchange.request.framing {
        Framing::Length(octets) => format!("body: {octets} bytes"),
        _ if exchange.request.version <= Version::Http11 => "chunked body".to_owned(),
        _ => "body".to_owned(),
    };
    let told = OfRequest { exchange, host: context.host_of_client(exchange), upstream: None };
    tracing::error!(request_id = exchange.id_str(), "client intended to send too large {what}{told}");
}

/// What is known of a request that has found its route.
struct Entered<'a> {
    chain: &'a Chain,
    stripped: Stripped,
    /// How much of the target is its path.
    path_length: usize,
}

/// Finds the route and takes it into the exchange. Refusals are a status with Kong's words, where they are not the
/// usual ones.
fn enter<'a>(
    context: &mut RequestContext<'a>,
    exchange: &mut Exchange,
    target: &str,
) -> Result<Entered<'a>, (u16, Option<&'static str>)> {
    if matches!(exchange.request.method.as_bytes(), b"TRACE" | b"CONNECT") {
        return Err((405, None));
    }
    if single_valued::repeated_in_request(&exchange.request.fields).is_some() {
        return Err((400, None));
    }
    let target = path::Target::split(target);
    let path = path::normalise(target.path).map_err(|_| (400, None))?;
    let matched =
        find(context, exchange, &path, target.query).ok_or((404, Some("no Route matched with those values")))?;
    if matched.unusable {
        return Err((500, Some("An unexpected error occurred")));
    }
    let chain = context.view.chain(&matched.route, matched.service.as_ref().map(|s| &s.id));
    let verbatim = matches!(path, Cow::Borrowed(_));
    let stripped = request::enter(context, exchange, matched, &path, verbatim, target.query);
    Ok(Entered { chain, stripped, path_length: target.path.len() })
}

/// The route for a request.
fn find(context: &RequestContext<'_>, exchange: &mut Exchange, path: &str, query: Option<&str>) -> Option<Found> {
    let head = &exchange.request;
    let host = head.fields.known(Known::Host).unwrap_or_default();
    let client = context.client.as_ref().unwrap_or(&context.origin.peer);
    let query = Query {
        stream: None,
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
        exchange: None,
    };
    let candidates = exchange.recording.is_some().then(|| recorded::candidates(context.view, &query));
    let found = context.view.find(&query);
    if let (Some(candidates), Some(recording)) = (candidates, &mut exchange.recording) {
        recording.tell("router", candidates);
    }
    found
}
