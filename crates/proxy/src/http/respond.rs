//! The head that a client gets, and the answers that we give ourselves.

use super::Origin;
use super::access;
use super::announced::{self, Announced};
use super::context::{Broken, RequestContext};
use super::continued;
use super::deadlines::Wait;
use super::debug;
use super::downstream::Downstream;
use super::exchange;
use super::extended_connect;
use super::filters;
use super::own_lines::Told;
use super::request;
use crate::chain;
use crate::directives::Encoder;
use crate::forwarded;
use crate::hop_by_hop;
use crate::router::Mismatch;
use crate::single_valued;
use crate::worker::{Session, Worker};
use sdk::{Answer, Bytes, Exchange, Fields, Known, Phases, ResponseHead, Source};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use wire::Framing;
use wire::Version;
use wire::h1::{HeadError, RequestError, reason_phrase};

/// Content of that many octets is asked for although nobody wants it, if the client waits to be asked.
const CONTINUE_MOST: u64 = 64 * 1024;

/// What becomes of the content of a response.
pub(crate) struct Started {
    /// There is none, whatever filters make of that.
    pub bodiless: bool,
    /// It is compressed on its way; boxed, so that what is mostly not there is not carried around.
    pub encoder: Option<Box<Encoder>>,
    /// Its length is announced, and plugins may have it be another.
    pub announced: Option<Announced>,
}

/// Begins the service's response, whose header filters have run: `exchange.response` with our edits is queued.
pub(crate) fn start(
    context: &mut RequestContext<'_>,
    exchange: &mut Exchange,
    downstream: &mut Downstream<'_>,
) -> Started {
    let bodiless = finish_filtered(context, exchange);
    // The answer to HEAD has the lines that it would have with content.
    let encoder = compress(context, exchange).filter(|_| !bodiless);
    if bodiless {
        exchange.response.framing = Framing::Empty;
    } else if !exchange.response.fields.has(Known::ContentLength) && !ends_with_head(context, exchange) {
        // A filter that changes the content has taken its length away.
        exchange.response.framing = Framing::Delimited;
    }
    let announced = match bodiless {
        true => {
            announced::validate(context, exchange);
            None
        }
        false => announced::settle(context, exchange),
    };
    // A client takes what plugins have made such a response for an interim one, and what follows for it.
    context.close |= matches!(exchange.response.status, 100..200);
    finish_head(context, exchange, downstream);
    Started { bodiless, encoder, announced }
}

/// Whether the service has said that nothing follows its head, and the client can be told so: for gRPC, the status in
/// the head counts only then.
fn ends_with_head(context: &RequestContext<'_>, exchange: &Exchange) -> bool {
    exchange.response.framing == Framing::Empty
        && context.version >= Version::Http2
        && !context.selected.iter().any(|instance| instance.phases.has(Phases::BODY_FILTER))
}

/// Whether the content of a response is compressed for this client; its head is then changed.
pub(super) fn compress(context: &RequestContext<'_>, exchange: &mut Exchange) -> Option<Box<Encoder>> {
    let accepts = context.accepts?;
    let response = &mut exchange.response;
    let length =
        response.fields.known(Known::ContentLength).and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    context.directives().compression.begin(accepts, response.status, length, &mut response.fields).map(Box::new)
}

/// The service's head as plugins see it: without what concerns its connection, and what is hidden.
pub(crate) fn take_head(context: &RequestContext<'_>, exchange: &mut Exchange) {
    exchange.source = Source::Service;
    hop_by_hop::strip_response(&mut exchange.response.fields, context.hop_by_hop);
    single_valued::normalise_single_valued(&mut exchange.response.fields);
    exchange.buffering = match exchange.response.fields.known(Known::XAccelBuffering) {
        Some(value) if value.eq_ignore_ascii_case(b"yes") => Some(true),
        Some(value) if value.eq_ignore_ascii_case(b"no") => Some(false),
        _ => None,
    };
    context.directives().hidden.apply(&mut exchange.response.fields);
    if context.worker.shared.settings.headers.upstream_status {
        let status = u64::from(exchange.response.status);
        set_number(&mut exchange.response.fields, "X-Kong-Upstream-Status", status);
    }
}

/// The service's head with the edits of plugins; up to the first filter that may wait, whose place is said.
pub(crate) fn filter_head(context: &RequestContext<'_>, exchange: &mut Exchange) -> Result<Option<usize>, Broken> {
    take_head(context, exchange);
    exchange.response.fields.replace_all(&exchange.reply);
    debug::enter(exchange, "header_filter");
    let filtered = chain::run_header_filter(&context.selected, exchange);
    filters::first(exchange, filtered)
}

/// Our own edits, after those of plugins; whether the response can have no content.
fn finish_filtered(context: &RequestContext<'_>, exchange: &mut Exchange) -> bool {
    add_proxied(context, exchange);
    if exchange.response.status == 204 {
        // nginx passes it on; clients of HTTP/2 take it for an error (RFC 9110, section 8.6).
        exchange.response.fields.remove_known(Known::ContentLength);
    }
    context.head_request || has_no_content(exchange.response.status)
}

/// Whether responses of that status have no content (RFC 9110, section 6.4.1).
pub(super) fn has_no_content(status: u16) -> bool {
    matches!(status, 100..200 | 204 | 304)
}

/// A client that gets this gets nothing: its connection is closed, as nginx does it.
const NO_ANSWER: u16 = 444;

/// Sends an answer of our own, whole.
pub(crate) async fn send(
    context: &mut RequestContext<'_>,
    exchange: &mut Exchange,
    downstream: &mut Downstream<'_>,
    mut answer: Answer,
    source: Source,
) -> Result<(), Broken> {
    if downstream.awaits_continue() {
        // Little content is taken and dropped, so that the connection can stay; much is better not sent at all.
        if context.close || !matches!(exchange.request.framing, Framing::Length(n) if n <= CONTINUE_MOST) {
            context.close = true;
        } else {
            downstream.queue_continue();
        }
    }
    // A plugin may answer with what the service said before.
    if source != Source::Exit {
        answer.source = source;
    }
    let continuation = exchange.continuation.take();
    if answer.source != Source::Service && continuation.is_none() {
        answer = chain::run_exit(&context.selected, exchange, answer);
    }
    let answer = match answer.status {
        100..=999 => answer,
        // A status line has three digits (RFC 9112, section 4).
        status => {
            tracing::error!(status, "an answer with a status that cannot be sent was replaced by 500");
            Answer::gateway_error(exchange, 500, &Answer::gateway_message(500))
        }
    };
    if answer.status == NO_ANSWER && answer.source == Source::Exit && answer.body.is_empty() {
        exchange.source = answer.source;
        exchange.response.status = NO_ANSWER;
        return Err(Broken::Aborted);
    }
    // A client takes such an answer for an interim one and waits for another, which is not to come.
    context.close |= matches!(answer.status, 100..200);
    exchange.source = answer.source;
    *exchange.response = ResponseHead {
        status: answer.status,
        fields: answer.fields,
        framing: Framing::Empty,
        ..ResponseHead::default()
    };
    if let Some(continuation) = continuation {
        // Boxed, since few exchanges come here.
        return Box::pin(continued::send(context, exchange, downstream, continuation)).await;
    }
    send_whole(context, exchange, downstream, answer.body).await
}

/// Sends a response of which `exchange.response` is the head.
pub(crate) async fn send_whole(
    context: &mut RequestContext<'_>,
    exchange: &mut Exchange,
    downstream: &mut Downstream<'_>,
    mut body: Bytes,
) -> Result<(), Broken> {
    exchange.response.fields.replace_all(&exchange.reply);
    // Who answers HEAD may say how long the content would be.
    let is_said = context.head_request && exchange.response.fields.has(Known::ContentLength);
    // As with a service's own response: what the last try came to, if nothing but a status of our own.
    if exchange.source == Source::Error
        && context.worker.shared.settings.headers.upstream_status
        && let Some(last) = exchange.tries.last()
    {
        let status = u64::from(last.status);
        set_number(&mut exchange.response.fields, "X-Kong-Upstream-Status", status);
    }
    if !is_said
        && exchange.source != Source::Service
        && context.selected.iter().any(|i| i.phases.has(Phases::HEADER_FILTER))
    {
        // Filters see how long it is, as in nginx.
        set_number(&mut exchange.response.fields, "Content-Length", body.len() as u64);
    }
    debug::enter(exchange, "header_filter");
    let filtered = chain::run_header_filter(&context.selected, exchange);
    if let Some(from) = filters::first(exchange, filtered)? {
        Box::pin(filters::head(from, context, exchange, downstream, drop_content)).await?;
    }
    add_lines(context, exchange);
    let length = body.len() as u64;
    if context.selected.iter().any(|i| i.phases.has(Phases::BODY_FILTER_WAITS)) {
        body = Box::pin(filters::whole(context, exchange, downstream, body)).await?;
    } else if context.selected.iter().any(|i| i.phases.has(Phases::BODY_FILTER)) {
        let filtered = chain::run_body_filter(&context.selected, exchange, body, true);
        body = filters::first(exchange, filtered)?;
    }
    if has_no_content(exchange.response.status) {
        body = Bytes::new();
        exchange.response.fields.remove_known(Known::ContentLength);
    } else if context.head_request {
        // What the service said, or did not say, of content that it did not send is the better knowledge.
        let is_known = exchange.response.fields.has(Known::ContentLength) || exchange.response_body.is_some();
        if !is_said && (exchange.source != Source::Service || !is_known) {
            set_number(&mut exchange.response.fields, "Content-Length", length);
        }
        body = Bytes::new();
    } else {
        set_number(&mut exchange.response.fields, "Content-Length", body.len() as u64);
        exchange.response.framing = Framing::Length(body.len() as u64);
    }
    if !body.is_empty()
        && let Some(mut encoder) = compress(context, exchange)
    {
        let mut compressed = Vec::new();
        encoder.push(&body, &mut compressed);
        encoder.finish(&mut compressed);
        set_number(&mut exchange.response.fields, "Content-Length", compressed.len() as u64);
        exchange.response.framing = Framing::Length(compressed.len() as u64);
        body = compressed.into();
    }
    finish_head(context, exchange, downstream);
    write_all(context, downstream, &body).await
}

/// The gateway's lines of an answer, whose header filters have run.
pub(super) fn add_lines(context: &RequestContext<'_>, exchange: &mut Exchange) {
    // A cache has what the service said before; what plugins get from elsewhere is an answer of our own.
    let tried = exchange.timing.proxy.is_some() || exchange.source == Source::Service;
    if tried && exchange.timing.upstream.is_some() {
        add_proxied(context, exchange);
    } else {
        add_own(context, exchange);
    }
    if !exchange.response.fields.has(Known::Date) {
        context.worker.date(|date| exchange.response.fields.append_known(Known::Date, date.as_bytes()));
    }
}

/// Answers `101 Switching Protocols` as the service did, or opens the tunnel of a stream.
pub(crate) async fn start_upgrade(
    context: &mut RequestContext<'_>,
    exchange: &mut Exchange,
    downstream: &mut Downstream<'_>,
) -> Result<(), Broken> {
    if let Some(from) = filter_head(context, exchange)? {
        Box::pin(filters::head(from, context, exchange, downstream, |_, _| {})).await?;
    }
    // A filter that has another answer than the service does not let the client through to it.
    if exchange.response.status != 101 || exchange.response_is_replaced() {
        return Err(filters::failed(exchange));
    }
    let before = filters::upgrade(context, exchange).await?;
    finish_filtered(context, exchange);
    downstream.start_upgrade(&mut exchange.response);
    match downstream {
        Downstream::Http1(_) => write_all(context, downstream, &before).await,
        // What follows on the stream is what is relayed.
        Downstream::Http2(_) | Downstream::Http3(_) if before.is_empty() => Ok(()),
        Downstream::Http2(_) | Downstream::Http3(_) => Err(filters::failed(exchange)),
    }
}

/// The status for a head that cannot be understood, as nginx and Kong's error handler have it.
pub(crate) fn refusal(error: HeadError) -> u16 {
    match error {
        HeadError::Malformed(_) => 400,
        HeadError::TargetTooLong => 414,
        HeadError::TooLarge => 494,
        HeadError::UnknownCoding => 501,
        HeadError::UnknownVersion | HeadError::NoVersion => 505,
    }
}

/// Logs why a request is not looked at, as nginx says it.
#[cold]
pub(crate) fn tell_refusal(origin: &Origin, error: HeadError) {
    tracing::info!(client = origin.peer.as_str(), "client sent {error} while reading client request headers");
}

/// Answers a request that is not to be looked at any further, the last one on its connection. The exchange keeps of it
/// what was understood, for the log. Plugins act as for requests without a route.
pub(crate) async fn refuse(
    worker: &Rc<Worker>,
    downstream: &mut Downstream<'_>,
    origin: &Origin,
    session: &mut Session,
    status: u16,
    message: &str,
) {
    let Session { exchange, view } = session;
    let mut context = RequestContext::new(worker, origin, view, &exchange.request, true);
    context.version = Version::Http11;
    context.head_request = false;
    exchange::begin(&context, exchange);
    // Global plugins see it, as those who look for attacks in their logs expect.
    chain::run_access(context.view.global_chain(), exchange, &mut context.selected, false).await;
    let answer = Answer::gateway_error(exchange, status, message);
    // The client is about to be disconnected either way.
    exchange.complete = send(&mut context, exchange, downstream, answer, Source::Error).await.is_ok();
    exchange.traffic = downstream.traffic();
    exchange::end(&context, exchange);
}

/// Notes a request whose head did not come whole: as nginx, with the status that says why, which nobody is sent.
pub(crate) fn give_up(worker: &Rc<Worker>, origin: &Origin, session: &mut Session, error: &RequestError) {
    let Session { exchange, view } = session;
    let context = RequestContext::new(worker, origin, view, &exchange.request, true);
    exchange::begin(&context, exchange);
    exchange.response.status = match error {
        RequestError::TimedOut => 408,
        _ => 400,
    };
}

/// The answer to a request that fits its route in all but the protocol.
pub(crate) fn mismatch(exchange: &Exchange, mismatch: Mismatch) -> Answer {
    let error = |status| Answer::error(exchange, status, mismatch.message());
    match mismatch {
        Mismatch::NeedsHttps { status: 426 } => error(426).with("Upgrade", b"TLS/1.2, HTTP/1.1"),
        Mismatch::NeedsHttps { status } => {
            let host = forwarded::host(exchange.client.trusted, &exchange.request.fields);
            let page = format!("<html><head><title>{status} {}</title></head></html>\n", reason_phrase(status));
            let location = [b"https://", &host[..], exchange.request.target.as_bytes()].concat();
            Answer::new(status, page).with("Location", &location).with("Content-Type", b"text/html")
        }
        Mismatch::NeedsHttp2 => error(426).with("Upgrade", b"HTTP/2"),
        Mismatch::NeedsWebSocket => error(426).with("Upgrade", b"websocket"),
        Mismatch::NotGrpc => error(415),
        Mismatch::NeedsGrpcs => {
            Answer::new(200, Bytes::new()).with("grpc-status", b"1").with("grpc-message", mismatch.message().as_bytes())
        }
    }
}

/// The lines of a response that comes from a service, or from a service's failure.
fn add_proxied(context: &RequestContext<'_>, exchange: &mut Exchange) {
    let shared = &context.worker.shared;
    let headers = shared.settings.headers;
    let timing = &exchange.timing;
    let (upstream, proxy) = (timing.upstream.unwrap_or_default(), timing.proxy.unwrap_or_default());
    let by_http2 = request::goes_by_http2(context, exchange) || extended_connect::has_opened(exchange);
    let fields = &mut exchange.response.fields;
    if !fields.has(Known::Server) && headers.server {
        fields.append_known(Known::Server, shared.settings.token.as_bytes());
    }
    let latencies = (millis(upstream), millis(proxy));
    // What HTTP/2 brought comes by way of that (RFC 9110, section 7.6.3).
    let (via, via_line) = if by_http2 { (&shared.via_http2, None) } else { (&shared.via, Some(&shared.via_line)) };
    // Where that turns out otherwise, the connection says so.
    let tell = Told { latencies, stays: context.version < Version::Http2 && !context.close };
    if let Some(via_line) = via_line
        && context.worker.own_lines.borrow_mut().append(headers, via_line, tell, &exchange.id, fields)
    {
        return add_rest(context, exchange);
    }
    if headers.upstream_latency {
        fields.set_known(Known::XKongUpstreamLatency, itoa::Buffer::new().format(latencies.0).as_bytes());
    }
    if headers.proxy_latency {
        fields.set_known(Known::XKongProxyLatency, itoa::Buffer::new().format(latencies.1).as_bytes());
    }
    if headers.via {
        add_via(fields, via);
    }
    add_common(context, exchange);
}

fn add_via(fields: &mut Fields, via: &str) {
    if fields.has(Known::Via) {
        let before = fields.known_all(Known::Via).filter(|line| !line.is_empty());
        let all = before.chain([via.as_bytes()]).collect::<Vec<_>>().join(&b", "[..]);
        fields.set_known(Known::Via, &all);
    } else {
        fields.append_known(Known::Via, via.as_bytes());
    }
}

/// The lines of a response that is our own.
fn add_own(context: &RequestContext<'_>, exchange: &mut Exchange) {
    let shared = &context.worker.shared;
    let headers = shared.settings.headers;
    // What a plugin has got from elsewhere took its time there, and came by way of the gateway.
    let waited = exchange.timing.upstream;
    let own = exchange.timing.started.elapsed().saturating_sub(waited.unwrap_or_default());
    let fields = &mut exchange.response.fields;
    if headers.response_latency {
        set_number(fields, "X-Kong-Response-Latency", millis(own));
    }
    let replayed = waited.is_none() && headers.via && fields.has(Known::Via);
    if waited.is_some() && headers.via {
        add_via(fields, &shared.via);
    }
    if headers.server && !(replayed && fields.has(Known::Server)) {
        fields.set_known(Known::Server, shared.settings.token.as_bytes());
    }
    add_common(context, exchange);
}

fn add_common(context: &RequestContext<'_>, exchange: &mut Exchange) {
    let settings = &context.worker.shared.settings;
    if settings.headers.request_id {
        exchange.response.fields.set_known(Known::XKongRequestId, &exchange.id);
    }
    add_rest(context, exchange);
}

/// What few responses have.
fn add_rest(context: &RequestContext<'_>, exchange: &mut Exchange) {
    let settings = &context.worker.shared.settings;
    // RFC 7838: clients that speak HTTP/3 may come that way next time.
    if context.origin.tls
        && exchange.request.version < Version::Http3
        && let Some(port) = context.worker.shared.alternative_port(context.origin.local.port())
        && !exchange.response.fields.contains("Alt-Svc")
    {
        exchange.response.fields.append("Alt-Svc", format!("h3=\":{port}\"; ma=86400").as_bytes());
    }
    debug::tell(exchange);
    if settings.allow_debug_header && exchange.request.fields.get("Kong-Debug") == Some(b"1") {
        let fields = &mut exchange.response.fields;
        if let Some(route) = &exchange.route {
            fields.set("Kong-Route-Id", route.id.to_string().as_bytes());
            if let Some(name) = &route.name {
                fields.set("Kong-Route-Name", name.as_bytes());
            }
        }
        if let Some(service) = &exchange.service {
            fields.set("Kong-Service-Id", service.id.to_string().as_bytes());
            if let Some(name) = &service.name {
                fields.set("Kong-Service-Name", name.as_bytes());
            }
        }
    }
}

/// Queues the head, with what it says about the connection.
pub(super) fn finish_head(context: &mut RequestContext<'_>, exchange: &mut Exchange, downstream: &mut Downstream<'_>) {
    // A success would open the tunnel that was asked for (RFC 8441, section 5).
    if request::is_upgrade(context) && context.version >= Version::Http2 && matches!(exchange.response.status, 200..300)
    {
        exchange.response.status = 502;
    }
    // The node may have begun to end since the request came.
    context.close |= context.worker.draining.get();
    let directives = context.directives();
    if exchange.source == Source::Service {
        directives.charset.apply(exchange.response.status, &mut exchange.response.fields);
    }
    if directives.add_header.has_variables() {
        let lines = access::evaluate(context, exchange, |record| directives.add_header.render(record));
        exchange.response.fields.append_all(&lines);
    }
    directives.add_header.apply(&mut exchange.response.fields, exchange.response.status);
    if let Some(seconds) = context.limits().keepalive_header.filter(|_| !context.close) {
        exchange.response.fields.set_known(Known::KeepAlive, format!("timeout={seconds}").as_bytes());
    }
    context.close = !downstream.start_response(&mut exchange.response, context.version, context.close);
}

/// Sends the only piece of content and the end. What the client still sends meanwhile is read and dropped: many a
/// client reads nothing before it has written everything.
async fn write_all(
    context: &mut RequestContext<'_>,
    downstream: &mut Downstream<'_>,
    body: &[u8],
) -> Result<(), Broken> {
    let mut finished = false;
    let written = std::future::poll_fn(|cx| {
        if !finished && downstream.poll_write(cx, body)?.is_ready() {
            downstream.finish(None);
            finished = true;
        }
        if finished && downstream.poll_flush(cx)?.is_ready() {
            return Poll::Ready(Ok(true));
        }
        drop_content(cx, downstream);
        let send_timeout = context.worker.shared.settings.limits.send_timeout;
        let (timer, deadlines) = (downstream.timer(), &mut context.deadlines);
        deadlines.begin(Wait::ClientWrite, downstream.sent(), send_timeout, timer);
        match deadlines.poll_expired(cx, timer) {
            Some(_) => Poll::Ready(Ok(false)),
            None => Poll::Pending,
        }
    })
    .await;
    context.deadlines.clear(downstream.timer());
    match written {
        Ok(true) => Ok(()),
        Ok(false) => Err(Broken::Aborted),
        Err(error) => {
            let _: io::Error = error;
            Err(Broken::ClientClosed)
        }
    }
}

/// Reads what the client still sends.
pub(super) fn drop_content(cx: &mut Context<'_>, downstream: &mut Downstream<'_>) {
    if !downstream.awaits_continue() {
        while let Poll::Ready(Ok(Some(n))) = downstream.poll_content(cx) {
            downstream.consume(n);
        }
    }
}

fn millis(time: Duration) -> u64 {
    time.as_secs() * 1000 + u64::from(time.subsec_millis())
}

fn set_number(fields: &mut Fields, name: &str, number: u64) {
    fields.set(name, itoa::Buffer::new().format(number).as_bytes());
}
