//! What is noted of a request until it is over.

use super::{Instance, tags};
use sdk::{Exchange, SpanId, TraceContext, TraceId, Version};
use std::time::Instant;

/// The trace of a request.
pub struct Spans {
    pub trace_id: TraceId,
    pub sampled: bool,
    /// The method, with the path where that is wanted.
    pub name: String,
    /// The span of the request, and that which it belongs to.
    pub request: SpanId,
    pub parent: Option<SpanId>,
    /// The span of its way through the gateway.
    pub proxy: SpanId,
    pub tags: Vec<(String, String)>,
    /// When the access phase began, and when the head of the response was known.
    pub began: Instant,
    pub filtered: Option<Instant>,
}

impl Spans {
    /// Those of a request with that context.
    pub fn begin(instance: &Instance, exchange: &Exchange, context: &TraceContext) -> Spans {
        let (request, parent) = match (context.shares_span, context.span_id) {
            (true, shared) => (shared.unwrap_or_else(SpanId::random), context.parent_id),
            (false, caller) => (SpanId::random(), caller),
        };
        let stream = exchange.stream.is_some();
        let method = if stream { "stream" } else { exchange.request.method.as_str() };
        let path = exchange.path();
        Spans {
            trace_id: context.trace_id.unwrap_or_else(|| TraceId::random(instance.trace_id_length)),
            sampled: context.sampled.unwrap_or_else(|| fastrand::f64() < instance.sample_ratio),
            name: if instance.name_has_path && !stream { format!("{method} {path}") } else { method.to_owned() },
            request,
            parent,
            proxy: SpanId::random(),
            tags: if stream { usual_tags(instance) } else { request_tags(instance, exchange, method, &path) },
            began: Instant::now(),
            filtered: None,
        }
    }

    /// What the service is told: the span of the request's way through the gateway is its caller.
    pub fn context(&self, received: TraceContext) -> TraceContext {
        TraceContext {
            trace_id: Some(self.trace_id),
            span_id: Some(self.proxy),
            parent_id: Some(self.request),
            sampled: Some(self.sampled),
            ..received
        }
    }
}

/// What is said of everything.
fn usual_tags(instance: &Instance) -> Vec<(String, String)> {
    let own = ("lc".to_owned(), "kong".to_owned());
    [own].into_iter().chain(instance.static_tags.iter().cloned()).collect()
}

fn request_tags(instance: &Instance, exchange: &Exchange, method: &str, path: &str) -> Vec<(String, String)> {
    let protocol = match exchange.request.version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
        Version::Http2 => "HTTP/2",
        Version::Http3 => "HTTP/3",
    };
    let own = [
        ("http.method", method.to_owned()),
        ("http.host", exchange.host()),
        ("http.path", path.to_owned()),
        ("http.protocol", protocol.to_owned()),
    ];
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
    let mut all: Vec<(String, String)> = own.chain(usual_tags(instance)).collect();
    let mut invalid = Vec::new();
    for line in exchange.request.fields.get_all(&instance.tags_header).filter_map(|line| std::str::from_utf8(line).ok())
    {
        tags::parse(line, &mut all, &mut invalid);
    }
    if !invalid.is_empty() {
        tracing::warn!(request_id = exchange.id_str(), "no tags for Zipkin: {}", invalid.join(", "));
    }
    all
}
