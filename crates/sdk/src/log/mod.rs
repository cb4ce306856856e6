//! What log plugins write about an exchange: Kong's `kong.log.serialize`.

mod edit;
mod records;
mod stream;
mod writer;

pub use edit::{LogMode, LogValue};

use crate::{Args, Exchange, Fields, Source, Try};
use model::entities::{Consumer, DEFAULT_WORKSPACE, Route, Service, Uuid};
use std::borrow::Cow;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use writer::Writer;

/// Where the time of an exchange went, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latencies {
    /// From the first octet to the last.
    pub request: u64,
    /// Until the service was asked; the whole time when none was.
    pub kong: u64,
    /// Until the service answered.
    pub proxy: Option<u64>,
    /// From then until its answer had gone to the client.
    pub receive: u64,
}

impl Latencies {
    /// Those of an exchange that is over.
    pub fn of(exchange: &Exchange) -> Latencies {
        let timing = &exchange.timing;
        let request = timing.started.elapsed();
        let waited = timing.upstream;
        let own = timing.proxy.unwrap_or_else(|| request.saturating_sub(waited.unwrap_or_default()));
        let receive = waited.map(|waited| request.saturating_sub(own).saturating_sub(waited)).unwrap_or_default();
        Latencies { request: millis(request), kong: millis(own), proxy: waited.map(millis), receive: millis(receive) }
    }
}

/// The workspace of an exchange: its id, and its name where the configuration is still at hand.
pub fn workspace(exchange: &Exchange) -> (Uuid, Option<&str>) {
    let id = exchange.workspace();
    let known = exchange.directory.workspace_name(&id);
    (id, known.or_else(|| (id == DEFAULT_WORKSPACE).then_some("default")))
}

/// The entry of an exchange that is over, as JSON text. Octets that are no text stay what they are, as in Kong. The
/// plugin must have asked for the request's lines by [`crate::Phases::KEEPS_LINES`].
pub fn serialize(exchange: &Exchange) -> Vec<u8> {
    let mut out = Writer::with_capacity(2048);
    out.object(|out| {
        match &exchange.stream {
            Some(session) => stream::members(exchange, session, out),
            None => request_and_response(exchange, out),
        }
        if exchange.route.is_some() {
            out.member("tries", |out| tries(exchange, out));
        }
        if let Some(credential) = &exchange.credential {
            out.member("authenticated_entity", |out| {
                out.object(|out| {
                    // One that code has made may have none.
                    if !credential.id.is_nil() {
                        out.caller("id", exchange, &credential.id);
                    }
                    credential.consumer.iter().for_each(|consumer| out.caller("consumer_id", exchange, consumer));
                });
            });
        }
        if let Some(route) = &exchange.route {
            out.member("route", |out| records::route(route, out));
        }
        if let Some(service) = &exchange.service {
            out.member("service", |out| records::service(service, out));
        }
        if let Some(consumer) = &exchange.consumer {
            out.member("consumer", |out| records::consumer(exchange, consumer, out));
        }
        out.text("client_ip", exchange.client.ip.to_string().as_bytes());
        out.number("started_at", exchange.timing.started_unix_ms);
        if exchange.stream.is_none() {
            out.text("source", if exchange.source == Source::Service { b"upstream" } else { b"kong" });
        }
        let (id, name) = workspace(exchange);
        out.id("workspace", &id);
        out.optional_text("workspace_name", name);
    });
    let entry = out.finish();
    if exchange.log_values.is_empty() { entry } else { edit::apply(entry, &exchange.log_values) }
}

fn request_and_response(exchange: &Exchange, out: &mut Writer) {
    out.member("request", |out| request(exchange, out));
    out.text("upstream_uri", upstream_uri(exchange).as_bytes());
    out.text("upstream_status", statuses(exchange).as_bytes());
    out.member("response", |out| {
        out.object(|out| {
            out.number("status", exchange.response.status);
            out.member("headers", |out| lines(&exchange.response.fields, &[], out));
            out.number("size", exchange.traffic.sent);
        });
    });
    out.member("latencies", |out| latencies(exchange, out));
}

/// A route as entries have it.
pub fn route(route: &Route) -> Vec<u8> {
    let mut out = Writer::with_capacity(1024);
    records::route(route, &mut out);
    out.finish()
}

/// A service as entries have it.
pub fn service(service: &Service) -> Vec<u8> {
    let mut out = Writer::with_capacity(1024);
    records::service(service, &mut out);
    out.finish()
}

/// A consumer as entries have it.
pub fn consumer(exchange: &Exchange, consumer: &Consumer) -> Vec<u8> {
    let mut out = Writer::with_capacity(256);
    records::consumer(exchange, consumer, &mut out);
    out.finish()
}

fn request(exchange: &Exchange, out: &mut Writer) {
    let head = &exchange.request;
    let fields = exchange.kept_lines.as_deref().unwrap_or(&head.fields);
    // What plugins have made of method and query counts, as in Kong.
    let method = exchange.upstream.method.as_deref().unwrap_or(head.method.as_str());
    let query = if exchange.service.is_some() { exchange.upstream.query.as_deref() } else { head.query() };
    out.object(|out| {
        out.text("id", exchange.id_str().as_bytes());
        out.text("uri", head.target.as_bytes());
        out.text("url", &url(exchange, fields));
        out.member("querystring", |out| arguments(query.unwrap_or_default(), out));
        out.text("method", method.as_bytes());
        out.member("headers", |out| lines(fields, &["authorization", "proxy-authorization"], out));
        out.number("size", exchange.traffic.received);
        client_tls(exchange, out);
    });
}

fn client_tls(exchange: &Exchange, out: &mut Writer) {
    if let Some(tls) = &exchange.client.tls {
        out.member("tls", |out| {
            out.object(|out| {
                out.text("version", tls.version.as_bytes());
                out.text("cipher", tls.cipher.as_bytes());
                out.text("client_verify", tls.client_verify.as_bytes());
            });
        });
    }
}

/// The URL by which the client called, with nginx's `$host` and always with a port.
fn url(exchange: &Exchange, fields: &Fields) -> Vec<u8> {
    let client = &exchange.client;
    let scheme: &[u8] = if client.tls.is_some() { b"https://" } else { b"http://" };
    let host = fields.get("Host").unwrap_or(b"kong").to_ascii_lowercase();
    let port = host.iter().rposition(|&b| b == b':').filter(|at| host[at + 1..].iter().all(u8::is_ascii_digit));
    let name = &host[..port.unwrap_or(host.len())];
    [scheme, name, b":", client.public_port.to_string().as_bytes(), exchange.request.target.as_bytes()].concat()
}

fn upstream_uri(exchange: &Exchange) -> Cow<'_, str> {
    let upstream = &exchange.upstream;
    match &upstream.query {
        _ if exchange.service.is_none() => Cow::Borrowed(""),
        Some(query) => Cow::Owned(format!("{}?{query}", upstream.path)),
        None => Cow::Borrowed(&upstream.path),
    }
}

/// As nginx's `$upstream_status`.
fn statuses(exchange: &Exchange) -> String {
    exchange.tries.iter().map(Try::status_text).collect::<Vec<_>>().join(", ")
}

fn latencies(exchange: &Exchange, out: &mut Writer) {
    let latencies = Latencies::of(exchange);
    out.object(|out| {
        out.number("kong", latencies.kong);
        match latencies.proxy {
            Some(proxy) => out.number("proxy", proxy),
            None => out.raw("proxy", b"-1"),
        }
        out.number("request", latencies.request);
        out.number("receive", latencies.receive);
    });
}

fn tries(exchange: &Exchange, out: &mut Writer) {
    let now = (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
    out.list(|out| {
        for (at, attempt) in exchange.tries.iter().enumerate() {
            let started = now.1.saturating_sub(now.0.saturating_duration_since(attempt.started));
            let failed = has_failed(exchange, at);
            out.item(|out| {
                out.object(|out| {
                    out.number("balancer_start", millis(started));
                    out.number("balancer_start_ns", u64::try_from(started.as_nanos()).unwrap_or(u64::MAX));
                    // Choosing is over before the clock of the event loop moves.
                    out.number("balancer_latency", 0_u64);
                    out.number("balancer_latency_ns", 0_u64);
                    out.text("ip", attempt.address.ip().to_string().as_bytes());
                    out.number("port", attempt.address.port());
                    if failed {
                        out.text("state", if matches!(attempt.status, 403 | 404) { b"next" } else { b"failed" });
                        out.number("code", attempt.status);
                    }
                });
            });
        }
    });
}

/// Whether a try has failed. Kong knows that of a last one when no other was allowed; one that a client ended has not.
pub(crate) fn has_failed(exchange: &Exchange, at: usize) -> bool {
    let allowed = exchange.service.as_ref().map_or(0, |service| usize::from(service.retries));
    let last = exchange.tries.len().saturating_sub(1);
    let knows = || exchange.tries.get(at).is_some_and(|attempt| attempt.status != 0);
    at < last || (exchange.source == Source::Error && knows()) || (at >= allowed && exchange.response.status > 499)
}

/// Field lines by lower-cased names in their order; several of one name are a list.
fn lines(fields: &Fields, secret: &[&str], out: &mut Writer) {
    let mut all: Vec<(Cow<'_, str>, &[u8])> = fields
        .iter()
        .map(|(name, value)| match name.bytes().any(|b| b.is_ascii_uppercase()) {
            true => (Cow::Owned(name.to_ascii_lowercase()), value),
            false => (Cow::Borrowed(name), value),
        })
        .collect();
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    out.object(|out| {
        for same in all.chunk_by(|(a, _), (b, _)| a == b) {
            match same {
                [(name, _), ..] if secret.contains(&&**name) => out.text(name, b"REDACTED"),
                [(name, value)] => out.text(name, value),
                [(name, _), ..] => out.member(name, |out| {
                    out.list(|out| same.iter().for_each(|(_, value)| out.item(|out| out.string(value))));
                }),
                [] => {}
            }
        }
    });
}

/// Arguments by name in their order; one without `=` is true, several of one name are a list.
fn arguments(query: &str, out: &mut Writer) {
    let arguments = Args::parse(query);
    let mut all: Vec<_> = arguments.iter().collect();
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    let value = |value: &Option<Cow<'_, [u8]>>, out: &mut Writer| match value {
        Some(text) => out.string(text),
        None => out.literal(b"true"),
    };
    out.object(|out| {
        for same in all.chunk_by(|(a, _), (b, _)| a == b) {
            match same {
                [(name, only)] => out.octet_member(name, |out| value(only, out)),
                [(name, _), ..] => out.octet_member(name, |out| {
                    out.list(|out| same.iter().for_each(|(_, one)| out.item(|out| value(one, out))));
                }),
                [] => {}
            }
        }
    });
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
