//! What the Zipkin server gets: a list of spans as JSON.

use super::{Instance, Spans, target};
use sdk::{BoxFuture, Bytes, Deliver, Exchange, Fields, HttpClient, HttpRequest, SpanId, Url};
use serde_json::{Map, Value, json};
use std::net::IpAddr;
use std::time::Instant;

/// How spans are sent.
pub struct Delivery {
    pub client: HttpClient,
    pub url: Url,
}

/// A span but for what all of a request have in common.
struct Span<'a> {
    name: String,
    kind: &'static str,
    id: SpanId,
    parent: Option<SpanId>,
    start: Instant,
    end: Instant,
    /// The name, address and port of the other side.
    peer: (Option<&'a str>, Option<(IpAddr, u16)>),
    tags: Map<String, Value>,
    annotations: Vec<(&'static str, Instant)>,
}

/// The spans of an exchange that is over, each as JSON.
pub fn entries(instance: &Instance, spans: &Spans, exchange: &Exchange) -> Vec<Vec<u8>> {
    let now = Instant::now();
    let tries = (0..exchange.tries.len()).map(|at| try_span(spans, exchange, at, now));
    let all = tries.chain([proxy(instance, spans, exchange, now), request(instance, spans, exchange, now)]);
    all.map(|span| span.write(instance, spans, exchange)).collect()
}

fn request<'a>(instance: &Instance, spans: &Spans, exchange: &'a Exchange, now: Instant) -> Span<'a> {
    let mut tags: Map<String, Value> = Map::new();
    spans.tags.iter().for_each(|(name, value)| put(&mut tags, name, value));
    let stream = exchange.stream.is_some();
    if !stream {
        put(&mut tags, "http.status_code", &exchange.response.status.to_string());
    }
    exchange.consumer.iter().for_each(|consumer| put(&mut tags, "kong.consumer", &exchange.shown_id(&consumer.id)));
    let credential = exchange.credential.as_ref().filter(|_| instance.include_credential);
    credential.iter().for_each(|credential| put(&mut tags, "kong.credential", &exchange.shown_id(&credential.id)));
    put(&mut tags, "kong.node.id", &instance.node);
    let start = exchange.timing.started;
    let mut annotations = Vec::new();
    if stream {
        // It has no rewrite phase.
    } else if instance.annotates {
        annotations.extend([("krf", spans.began), ("krs", start)]);
    } else {
        put(&mut tags, "kong.rewrite.duration_ms", &millis(start, spans.began));
    }
    let (id, parent) = (spans.request, spans.parent);
    let peer = (None, Some((exchange.client.ip, exchange.client.port)));
    Span { name: spans.name.clone(), kind: "SERVER", id, parent, start, end: now, peer, tags, annotations }
}

fn proxy<'a>(instance: &Instance, spans: &Spans, exchange: &'a Exchange, now: Instant) -> Span<'a> {
    let mut tags = Map::new();
    if !exchange.tries.is_empty() {
        let service = exchange.service.as_deref();
        let host = service.map(|service| &**exchange.upstream.host.as_ref().unwrap_or(&service.host));
        put(&mut tags, "peer.hostname", host.unwrap_or_default());
    }
    let name = tag_target(&mut tags, exchange);
    let filtered = spans.filtered.unwrap_or(now);
    let asked = exchange.tries.first().map_or(filtered, |first| first.started.max(spans.began));
    let mut annotations = Vec::new();
    if exchange.stream.is_some() {
        match instance.annotates {
            true => annotations.extend([("kps", spans.began), ("kpf", asked)]),
            false => put(&mut tags, "kong.preread.duration_ms", &millis(spans.began, asked)),
        }
    } else if instance.annotates {
        let phases = [("kas", spans.began), ("kaf", asked), ("khs", filtered), ("khf", filtered), ("kbs", filtered)];
        annotations.extend(phases);
        annotations.push(("kbf", now));
    } else {
        put(&mut tags, "kong.access.duration_ms", &millis(spans.began, asked));
        put(&mut tags, "kong.header_filter.duration_ms", "0");
        put(&mut tags, "kong.body_filter.duration_ms", &millis(filtered, now));
    }
    let peer = (name, exchange.tries.last().map(|last| (last.address.ip(), last.address.port())));
    let (id, parent) = (spans.proxy, Some(spans.request));
    let name = format!("{} (proxy)", spans.name);
    Span { name, kind: "CLIENT", id, parent, start: spans.began, end: now, peer, tags, annotations }
}

fn try_span<'a>(spans: &Spans, exchange: &'a Exchange, at: usize, now: Instant) -> Span<'a> {
    let attempt = &exchange.tries[at];
    let failed = at + 1 < exchange.tries.len();
    let mut tags = Map::new();
    put(&mut tags, "kong.balancer.try", &(at + 1).to_string());
    if failed {
        put(&mut tags, "error", "true");
        put(&mut tags, "kong.balancer.state", if matches!(attempt.status, 403 | 404) { "next" } else { "failed" });
        put(&mut tags, "http.status_code", &attempt.status.to_string());
    }
    let name = tag_target(&mut tags, exchange);
    Span {
        name: format!("{} (balancer try {})", spans.name, at + 1),
        kind: "CLIENT",
        id: SpanId::random(),
        parent: Some(spans.request),
        start: attempt.started,
        end: (attempt.started + attempt.waited).min(now),
        peer: (name, Some((attempt.address.ip(), attempt.address.port()))),
        tags,
        annotations: Vec::new(),
    }
}

/// Tags the service and the route; the name of the service.
fn tag_target<'a>(tags: &mut Map<String, Value>, exchange: &'a Exchange) -> Option<&'a str> {
    let (service, route) = target(exchange);
    let mut tag = |kind: &str, id: String, name: Option<&str>| {
        put(tags, kind, &id);
        name.iter().for_each(|name| put(tags, &format!("{kind}_name"), name));
    };
    service.iter().for_each(|service| tag("kong.service", service.id.to_string(), service.name.as_deref()));
    route.iter().for_each(|route| tag("kong.route", route.id.to_string(), route.name.as_deref()));
    service.and_then(|service| service.name.as_deref())
}

/// The server takes no tags without a value.
fn put(tags: &mut Map<String, Value>, name: &str, value: &str) {
    if !value.is_empty() {
        tags.insert(name.to_owned(), Value::from(value));
    }
}

fn millis(from: Instant, to: Instant) -> String {
    to.saturating_duration_since(from).as_millis().to_string()
}

impl Span<'_> {
    fn write(&self, instance: &Instance, spans: &Spans, exchange: &Exchange) -> Vec<u8> {
        let timing = &exchange.timing;
        // Microseconds since 1970.
        let stamp = |at: Instant| {
            let since = at.saturating_duration_since(timing.started).as_micros();
            timing.started_unix_ms.saturating_mul(1000).saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
        };
        let start = stamp(self.start);
        let mut span = json!({
            "traceId": spans.trace_id.to_string(),
            "name": self.name,
            "id": self.id.to_string(),
            "kind": self.kind,
            "timestamp": start,
            "duration": stamp(self.end).saturating_sub(start),
            "localEndpoint": { "serviceName": instance.service_name },
            "remoteEndpoint": self.remote(instance.default_service_name.as_deref()),
        });
        if let Some(parent) = self.parent {
            span["parentId"] = Value::from(parent.to_string());
        }
        if !self.tags.is_empty() {
            span["tags"] = Value::Object(self.tags.clone());
        }
        if !self.annotations.is_empty() {
            let annotation = |(value, at): &(&str, Instant)| json!({ "value": value, "timestamp": stamp(*at) });
            span["annotations"] = self.annotations.iter().map(annotation).collect();
        }
        span.to_string().into_bytes()
    }

    fn remote(&self, default_name: Option<&str>) -> Value {
        let (name, address) = self.peer;
        let Some(name) = name.or(default_name).map(Some).or(address.map(|_| None)) else { return Value::Null };
        let mut remote = Map::new();
        name.iter().for_each(|name| put(&mut remote, "serviceName", name));
        if let Some((ip, port)) = address {
            remote.insert("port".to_owned(), Value::from(port));
            put(&mut remote, if ip.is_ipv6() { "ipv6" } else { "ipv4" }, &ip.to_string());
        }
        Value::Object(remote)
    }
}

impl Deliver for Delivery {
    fn deliver<'a>(&'a self, batch: &'a [Bytes]) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let request = HttpRequest {
                method: "POST".to_owned(),
                url: self.url.clone(),
                fields: [("Content-Type", "application/json")].into_iter().collect::<Fields>(),
                content: [b"[", &batch.join(&b","[..])[..], b"]"].concat().into(),
            };
            let response = self.client.send(request).await.map_err(|error| format!("{}: {error}", self.url))?;
            match response.status {
                200..300 => Ok(()),
                status => Err(format!("{} answers with status {status}", self.url)),
            }
        })
    }
}
