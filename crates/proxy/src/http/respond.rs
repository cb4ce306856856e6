//! The head that a client gets, and the answers that we give ourselves.

use super::Origin;
use super::exchange::{self, Broken, RequestContext};
use crate::chain::{self, Selected};
use crate::forwarded;
use crate::hop_by_hop::{self, HopByHop};
use crate::router::Mismatch;
use crate::worker::{Session, Worker};
use sdk::{Answer, Bytes, Exchange, Fields, Known, Phases, ResponseHead, Source};
use std::rc::Rc;
use std::task::ready;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use wire::Framing;
use wire::Version;
use wire::h1::{HeadError, ServerConnection, reason_phrase};

/// Begins the service's response: `exchange.response` with our edits is queued.
pub(crate) fn start(context: &mut RequestContext<'_>, exchange: &mut Exchange, connection: &mut ServerConnection) {
    exchange.source = Source::Service;
    let headers = context.worker.shared.settings.headers;
    hop_by_hop::strip_response(&mut exchange.response.fields, context.asked);
    if headers.upstream_status {
        set_number(&mut exchange.response.fields, "X-Kong-Upstream-Status", u64::from(exchange.response.status));
    }
    merge(&mut exchange.response.fields, &exchange.reply);
    chain::run_header_filter(&context.selected, exchange);
    add_proxied(context, exchange);
    // A filter that changes the content has taken its length away.
    if matches!(exchange.response.framing, Framing::Length(_)) && !exchange.response.fields.has(Known::ContentLength) {
        exchange.response.framing = Framing::Delimited;
    }
    finish_head(context, exchange, connection);
}

/// Sends an answer of our own, whole.
pub(crate) async fn send(
    context: &mut RequestContext<'_>,
    exchange: &mut Exchange,
    connection: &mut ServerConnection,
    answer: Answer,
    source: Source,
) -> Result<(), Broken> {
    // What the client still sends is read and dropped when it is little; else the connection ends.
    if matches!(exchange.request.framing, Framing::Length(n) if n > 64 * 1024) && !connection.content_is_done() {
        context.close = true;
    }
    if !context.close {
        connection.queue_continue();
    }
    // A plugin may answer with what the service said before.
    exchange.source = if source == Source::Exit { answer.source } else { source };
    exchange.response = ResponseHead {
        status: answer.status,
        fields: answer.fields,
        framing: Framing::Empty,
        ..ResponseHead::default()
    };
    let mut body = answer.body;
    merge(&mut exchange.response.fields, &exchange.reply);
    chain::run_header_filter(&context.selected, exchange);
    if exchange.timing.upstream.is_some() {
        add_proxied(context, exchange);
    } else {
        add_own(context, exchange);
    }
    if !exchange.response.fields.has(Known::Date) {
        context.worker.date(|date| exchange.response.fields.append_known(Known::Date, date.as_bytes()));
    }
    let length = body.len() as u64;
    if context.selected.iter().any(|i| i.phases.has(Phases::BODY_FILTER)) {
        body = chain::run_body_filter(&context.selected, exchange, body, true);
    }
    let bodiless = matches!(exchange.response.status, 100..200 | 204 | 304);
    if bodiless {
        body = Bytes::new();
        exchange.response.fields.remove_known(Known::ContentLength);
    } else if context.head_request {
        // What the service said of content that it did not send is the better knowledge.
        if exchange.source != Source::Service || !exchange.response.fields.has(Known::ContentLength) {
            set_number(&mut exchange.response.fields, "Content-Length", length);
        }
        body = Bytes::new();
    } else {
        set_number(&mut exchange.response.fields, "Content-Length", body.len() as u64);
        exchange.response.framing = Framing::Length(body.len() as u64);
    }
    finish_head(context, exchange, connection);
    write_all(context, connection, &body).await
}

/// Answers `101 Switching Protocols` as the service did.
pub(crate) async fn start_upgrade(
    context: &mut RequestContext<'_>,
    exchange: &mut Exchange,
    connection: &mut ServerConnection,
) -> Result<(), Broken> {
    exchange.source = Source::Service;
    chain::run_header_filter(&context.selected, exchange);
    add_proxied(context, exchange);
    exchange.response.fields.set_known(Known::Connection, b"upgrade");
    connection.start_response(&mut exchange.response, context.version);
    write_all(context, connection, b"").await
}

/// Answers a head that cannot be understood, as nginx and Kong's error handler do.
pub(crate) async fn refuse(
    worker: &Rc<Worker>,
    connection: &mut ServerConnection,
    origin: &Origin,
    session: &mut Session,
    error: HeadError,
) {
    let status = match error {
        HeadError::Malformed(_) => 400,
        HeadError::TargetTooLong => 414,
        HeadError::TooLarge => 494,
        HeadError::UnknownCoding => 501,
        HeadError::UnknownVersion | HeadError::NoVersion => 505,
    };
    tracing::info!(client = origin.peer.as_str(), "a request was refused: {error:?}");
    worker.refresh_snapshot(session);
    let Session { exchange, view } = session;
    // Nothing of it is to be trusted but that there was one.
    exchange.request.fields.clear();
    exchange.request.framing = Framing::Empty;
    let mut context = RequestContext {
        worker,
        origin,
        client: None,
        asked: HopByHop::default(),
        view,
        selected: Selected::new(),
        version: Version::Http11,
        head_request: false,
        kept_host: None,
        close: true,
    };
    exchange::begin(&context, exchange);
    let answer = Answer::gateway_error(exchange, status, &Answer::gateway_message(status));
    // The client is about to be disconnected either way.
    let _ = send(&mut context, exchange, connection, answer, Source::Error).await;
}

/// Answers plain HTTP on a TLS port.
pub(crate) async fn plain_on_tls(mut socket: TcpStream) {
    const BODY: &str = "The plain HTTP request was sent to HTTPS port\n";
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{BODY}",
        BODY.len()
    );
    let _ = tokio::time::timeout(Duration::from_secs(5), async {
        // Read what is there, so that closing does not reset the connection before the answer is read.
        let mut sink = [0; 4096];
        let _ = socket.try_read(&mut sink);
        socket.write_all(head.as_bytes()).await?;
        socket.shutdown().await
    })
    .await;
}

/// The answer to a request that fits its route in all but the protocol.
pub(crate) fn mismatch(exchange: &Exchange, mismatch: Mismatch) -> Answer {
    let error = |status| Answer::error(exchange, status, mismatch.message());
    match mismatch {
        Mismatch::NeedsHttps { status: 426 } => error(426).with("Upgrade", b"TLS/1.2, HTTP/1.1"),
        Mismatch::NeedsHttps { status } => {
            let host = forwarded::host(exchange.client.trusted, &exchange.request.fields);
            let page = format!("<html><head><title>{status} {}</title></head></html>\n", reason_phrase(status));
            let location = format!("https://{host}{}", exchange.request.target);
            Answer::new(status, page).with("Location", location.as_bytes()).with("Content-Type", b"text/html")
        }
        Mismatch::NeedsHttp2 => error(426).with("Upgrade", b"HTTP/2"),
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
    let fields = &mut exchange.response.fields;
    if !fields.has(Known::Server) && headers.server {
        fields.append_known(Known::Server, shared.settings.token.as_bytes());
    }
    if headers.upstream_latency {
        fields.set_known(Known::XKongUpstreamLatency, itoa::Buffer::new().format(millis(upstream)).as_bytes());
    }
    if headers.proxy_latency {
        fields.set_known(Known::XKongProxyLatency, itoa::Buffer::new().format(millis(proxy)).as_bytes());
    }
    if headers.via {
        match fields.known(Known::Via) {
            None => fields.append_all(&shared.via_line),
            Some(before) => {
                let all = [before, b", ", shared.via.as_bytes()].concat();
                fields.set_known(Known::Via, &all);
            }
        }
    }
    add_common(context, exchange);
}

/// The lines of a response that is our own.
fn add_own(context: &RequestContext<'_>, exchange: &mut Exchange) {
    let shared = &context.worker.shared;
    let headers = shared.settings.headers;
    let elapsed = millis(exchange.timing.started.elapsed());
    let fields = &mut exchange.response.fields;
    if headers.response_latency {
        set_number(fields, "X-Kong-Response-Latency", elapsed);
    }
    let replayed = headers.via && fields.has(Known::Via);
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
fn finish_head(context: &mut RequestContext<'_>, exchange: &mut Exchange, connection: &mut ServerConnection) {
    // The node may have begun to end since the request came.
    context.close |= context.worker.draining.get();
    let fields = &mut exchange.response.fields;
    fields.set_known(Known::Connection, if context.close { b"close" } else { b"keep-alive" });
    // An answer of our own that asks for an upgrade (426) names it there too, in a line of its own as Kong's.
    if exchange.source != Source::Service && fields.has(Known::Upgrade) {
        fields.append_known(Known::Connection, b"Upgrade");
    }
    context.close |= connection.start_response(&mut exchange.response, context.version);
}

async fn write_all(context: &RequestContext<'_>, connection: &mut ServerConnection, body: &[u8]) -> Result<(), Broken> {
    let timer = connection.timer().clone();
    let mut finished = false;
    let written = timer
        .limit(context.worker.shared.settings.limits.send_timeout, |cx| {
            if !finished {
                if let Err(error) = ready!(connection.poll_write(cx, body)) {
                    return std::task::Poll::Ready(Err(error));
                }
                connection.finish(None);
                finished = true;
            }
            connection.poll_flush(cx)
        })
        .await;
    match written {
        Ok(Ok(())) => Ok(()),
        _ => Err(Broken),
    }
}

/// Lines of `reply` replace those of the same name.
fn merge(fields: &mut Fields, reply: &Fields) {
    for (name, _) in reply.iter() {
        fields.remove(name);
    }
    for (name, value) in reply.iter() {
        fields.append(name, value);
    }
}

fn millis(time: Duration) -> u64 {
    time.as_secs() * 1000 + u64::from(time.subsec_millis())
}

fn set_number(fields: &mut Fields, name: &str, number: u64) {
    fields.set(name, itoa::Buffer::new().format(number).as_bytes());
}
