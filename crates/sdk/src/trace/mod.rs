//! Distributed tracing: what of an exchange was timed, and how traces travel from one server to the next.
//!
//! Spans have the names and attributes that Kong gives them. Without `tracing_instrumentations` an exchange has no
//! [`Trace`], and nothing is timed.

mod context;
mod propagation;
mod span;

pub use context::{SpanId, TraceContext, TraceId};
pub use propagation::{Extracted, Format, Propagation};
pub use span::{Attribute, Span, SpanEvent, SpanKind, SpanStatus};

use crate::{Exchange, Version, log};
use std::borrow::Cow;
use std::time::Instant;

/// The settings of a node for its traces.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TraceSettings {
    /// `tracing_instrumentations`, unless that is `off`.
    pub timed: Timed,
    /// `tracing_sampling_rate`.
    pub sampling_rate: f64,
}

/// What has spans of its own beside the exchange as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timed(u8);

/// The spans of an exchange.
#[derive(Debug)]
pub struct Trace {
    pub id: TraceId,
    /// Whether the spans are to be kept.
    pub sampled: bool,
    /// The span of the last try at a service. It is made when that is over, but the service is told of it before.
    pub last_try: Option<SpanId>,
    settings: TraceSettings,
    /// The same moment twice, the second in nanoseconds since 1970.
    began: (Instant, u64),
    /// The first one is that of the exchange, the root.
    spans: Vec<Span>,
    /// What lasts now, and is the parent of what begins; the root at first.
    active: Option<SpanId>,
}

/// At most so many spans are kept of an exchange, for code of plugins makes them, too.
const MOST_SPANS: usize = 1000;

impl Timed {
    pub const NONE: Timed = Timed(0);
    pub const ROUTER: Timed = Timed(1);
    pub const BALANCER: Timed = Timed(2);
    pub const DNS_QUERY: Timed = Timed(4);
    pub const PLUGIN_REWRITE: Timed = Timed(8);
    pub const PLUGIN_ACCESS: Timed = Timed(16);
    pub const PLUGIN_HEADER_FILTER: Timed = Timed(32);

    /// By the words of `tracing_instrumentations`; `None`: nothing is traced at all. The exchange as a whole always is.
    pub fn parse(words: &[String]) -> Option<Timed> {
        let one = |word: &String| match word.as_str() {
            "all" => 0xff,
            "router" => Timed::ROUTER.0,
            "balancer" => Timed::BALANCER.0,
            "dns_query" => Timed::DNS_QUERY.0,
            "plugin_rewrite" => Timed::PLUGIN_REWRITE.0,
            "plugin_access" => Timed::PLUGIN_ACCESS.0,
            "plugin_header_filter" => Timed::PLUGIN_HEADER_FILTER.0,
            // `request` is the root; requests ask no database, and plugins call others beside them.
            _ => 0,
        };
        let off = words.is_empty() || words.iter().any(|word| word == "off");
        (!off).then(|| Timed(words.iter().map(one).fold(0, std::ops::BitOr::bitor)))
    }

    /// Whether all of `other` is timed.
    pub fn has(self, other: Timed) -> bool {
        self.0 & other.0 == other.0
    }
}

impl Trace {
    /// A trace that begins with a request whose head has just been read.
    pub fn begin(exchange: &Exchange, settings: TraceSettings) -> Trace {
        let (timing, client, head) = (&exchange.timing, &exchange.client, &exchange.request);
        let scheme = if client.tls.is_some() { "https" } else { "http" };
        let host = exchange.host();
        let text = |value: &str| Attribute::Text(value.to_owned());
        let flavor = match head.version {
            Version::Http10 => "1.0",
            Version::Http11 => "1.1",
            Version::Http2 => "2.0",
            Version::Http3 => "3.0",
        };
        let attributes = [
            ("http.method", text(head.method.as_str())),
            ("http.url", Attribute::Text(format!("{scheme}://{host}{}", head.target))),
            ("http.host", text(&host)),
            ("http.scheme", text(scheme)),
            ("http.flavor", text(flavor)),
            ("http.client_ip", Attribute::Text(client.ip.to_string())),
            ("net.peer.ip", Attribute::Text(client.peer.to_string())),
            ("kong.request.id", text(exchange.id_str())),
        ];
        let began = (timing.started, timing.started_unix_ms.saturating_mul(1_000_000));
        let id = TraceId::random(16);
        let root = Span {
            name: Cow::Borrowed("kong"),
            id: SpanId::random(),
            parent: None,
            kind: SpanKind::Server,
            start: began.1,
            end: 0,
            attributes: attributes.map(|(name, value)| (Cow::Borrowed(name), value)).into(),
            events: Vec::new(),
            status: SpanStatus::Unset,
        };
        let active = Some(root.id);
        let last_try = settings.timed.has(Timed::BALANCER).then(SpanId::random);
        let sampled = is_sampled(&id, settings.sampling_rate);
        Trace { id, sampled, last_try, settings, began, spans: vec![root], active }
    }

    /// The span of the exchange as a whole.
    pub fn root(&mut self) -> &mut Span {
        // There is one from the beginning.
        &mut self.spans[0]
    }

    /// All spans; complete in the log phase.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Decides whether the spans are kept, at `rate` or at that of the node. What the caller has left out, is left out.
    pub fn decide(&mut self, by_caller: Option<bool>, rate: Option<f64>) {
        let rate = rate.unwrap_or(self.settings.sampling_rate);
        self.sampled = by_caller != Some(false) && is_sampled(&self.id, rate);
    }

    /// Adds a span for what has just ended, if that is timed.
    pub fn record(
        &mut self,
        what: Timed,
        name: impl Into<Cow<'static, str>>,
        started: Instant,
        attributes: Vec<(&'static str, Attribute)>,
    ) {
        if self.settings.timed.has(what) {
            let kind = if what == Timed::DNS_QUERY { SpanKind::Client } else { SpanKind::Internal };
            let start = self.nanos(started);
            let attributes = attributes.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).collect();
            let id = self.start(name.into(), self.active, kind, Some(start), attributes);
            self.finish(id, None);
        }
    }

    /// Begins a span for what begins, if that is timed; what begins meanwhile is part of it.
    pub fn enter(&mut self, what: Timed, name: impl FnOnce() -> String) -> Option<SpanId> {
        self.settings.timed.has(what).then(|| {
            let id = self.start(Cow::Owned(name()), self.active, SpanKind::Internal, None, Vec::new());
            self.set_active(Some(id));
            id
        })
    }

    /// Begins a span at that time, or now.
    fn start(
        &mut self,
        name: Cow<'static, str>,
        parent: Option<SpanId>,
        kind: SpanKind,
        start: Option<u64>,
        attributes: Vec<(Cow<'static, str>, Attribute)>,
    ) -> SpanId {
        let (id, start) = (SpanId::random(), start.unwrap_or_else(|| self.now()));
        let (events, status) = (Vec::new(), SpanStatus::Unset);
        self.add(Span { name, id, parent, kind, start, end: 0, attributes, events, status });
        id
    }

    /// Keeps a span, as long as there are not too many.
    pub fn add(&mut self, span: Span) {
        if self.spans.len() < MOST_SPANS {
            self.spans.push(span);
        }
    }

    /// Ends a span at that time, or now, once. Its parent lasts on.
    pub fn finish(&mut self, id: SpanId, end: Option<u64>) {
        let end = end.unwrap_or_else(|| self.now());
        let active = self.active;
        let Some(span) = self.span(id).filter(|span| span.end == 0) else { return };
        span.end = end;
        if active == Some(id) {
            self.active = span.parent;
        }
    }

    /// A span by its id.
    pub fn span(&mut self, id: SpanId) -> Option<&mut Span> {
        self.spans.iter_mut().rev().find(|span| span.id == id)
    }

    /// The span of what lasts now.
    pub fn active(&self) -> Option<SpanId> {
        self.active
    }

    /// Says what lasts now, if it is a span that is kept.
    pub fn set_active(&mut self, span: Option<SpanId>) {
        if span.is_none_or(|id| self.span(id).is_some()) {
            self.active = span;
        }
    }

    /// This moment in nanoseconds since 1970.
    pub fn now(&self) -> u64 {
        self.nanos(Instant::now())
    }

    /// A moment in nanoseconds since 1970.
    fn nanos(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.began.0);
        self.began.1.saturating_add(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }

    fn add_tries(&mut self, exchange: &Exchange) {
        let parent = self.spans.first().map(|root| root.id);
        let service = exchange.service.as_deref();
        let name = service.map(|service| exchange.upstream.host.as_ref().unwrap_or(&service.host).to_string());
        let last = exchange.tries.len().saturating_sub(1);
        for (at, attempt) in exchange.tries.iter().enumerate() {
            let mut attributes: Vec<(Cow<'static, str>, Attribute)> = vec![
                ("try_count".into(), Attribute::Number((at + 1) as f64)),
                ("net.peer.ip".into(), Attribute::Text(attempt.address.ip().to_string())),
                ("net.peer.port".into(), Attribute::Number(f64::from(attempt.address.port()))),
            ];
            attributes.extend(name.clone().map(|name| ("net.peer.name".into(), Attribute::Text(name))));
            let failed = log::has_failed(exchange, at);
            if failed {
                attributes.push(("http.status_code".into(), Attribute::Integer(i64::from(attempt.status))));
            }
            // The one that has answered lasts as long as its answer.
            let end = if failed { attempt.started + attempt.waited } else { Instant::now() };
            let id = self.last_try.filter(|_| at == last).unwrap_or_else(SpanId::random);
            let (start, end) = (self.nanos(attempt.started), self.nanos(end));
            let kind = SpanKind::Client;
            self.spans.push(Span {
                name: Cow::Borrowed("kong.balancer"),
                id,
                parent,
                kind,
                start,
                end,
                attributes,
                events: Vec::new(),
                status: if failed { SpanStatus::Error } else { SpanStatus::Unset },
            });
        }
    }
}

impl Exchange {
    /// Completes the spans of the exchange, before the log phase.
    pub fn finish_trace(&mut self) {
        let Some(mut trace) = self.trace.take() else { return };
        let path = self.route.as_ref().and_then(|route| route.paths.first()).cloned();
        let end = trace.nanos(Instant::now());
        let root = trace.root();
        root.attributes.push(("http.status_code".into(), Attribute::Integer(i64::from(self.response.status))));
        root.attributes.push(("http.route".into(), Attribute::Text(path.unwrap_or_default())));
        root.end = end;
        if trace.settings.timed.has(Timed::BALANCER) {
            trace.add_tries(self);
        }
        self.trace = Some(trace);
    }
}

/// Whether a trace is among that share of all of them. All servers that go by the id decide alike.
fn is_sampled(id: &TraceId, rate: f64) -> bool {
    rate >= 1.0 || (rate > 0.0 && (id.to_u64() as f64) < rate * 2_f64.powi(64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use serde_json::json;

    const SETTINGS: TraceSettings = TraceSettings { timed: Timed(0xff), sampling_rate: 1.0 };

    fn names(trace: &Trace) -> Vec<&str> {
        trace.spans().iter().map(|span| &*span.name).collect()
    }

    fn attribute<'a>(span: &'a Span, name: &str) -> Option<&'a Attribute> {
        span.attributes.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    #[test]
    fn the_root_says_what_was_asked_and_answered() {
        let mut exchange = testing::exchange("GET", "/r/x?a=1", &[("Host", "Front.test:8000")]);
        exchange.route = Some(testing::route(json!({ "paths": ["/r"] })));
        exchange.response.status = 503;
        exchange.trace = Some(Box::new(Trace::begin(&exchange, SETTINGS)));
        exchange.finish_trace();
        let trace = exchange.trace.unwrap();
        let root = &trace.spans()[0];
        assert_eq!(root.parent, None);
        assert_eq!(attribute(root, "http.url"), Some(&Attribute::Text("http://front.test/r/x?a=1".to_owned())));
        assert_eq!(attribute(root, "http.status_code"), Some(&Attribute::Integer(503)));
        assert_eq!(attribute(root, "http.route"), Some(&Attribute::Text("/r".to_owned())));
        assert!(root.end >= root.start);
    }

    #[test]
    fn what_is_not_to_be_timed_has_no_span() {
        let exchange = testing::exchange("GET", "/", &[]);
        let timed = Timed::parse(&["router".to_owned(), "plugin_access".to_owned()]).unwrap();
        let mut trace = Trace::begin(&exchange, TraceSettings { timed, ..SETTINGS });
        let now = Instant::now();
        trace.record(Timed::ROUTER, "kong.router", now, Vec::new());
        trace.record(Timed::PLUGIN_REWRITE, "kong.rewrite.plugin.x", now, Vec::new());
        assert_eq!(names(&trace), ["kong", "kong.router"]);
        assert_eq!(trace.spans()[1].parent, Some(trace.spans()[0].id));
        assert_eq!(trace.last_try, None);
        assert_eq!(Timed::parse(&["off".to_owned()]), None);
    }

    #[test]
    fn what_begins_meanwhile_is_part_of_what_lasts() {
        let exchange = testing::exchange("GET", "/", &[]);
        let mut trace = Trace::begin(&exchange, SETTINGS);
        let root = trace.active();
        let plugin = trace.enter(Timed::PLUGIN_ACCESS, || "kong.access.plugin.x".to_owned()).unwrap();
        trace.record(Timed::DNS_QUERY, "kong.dns", Instant::now(), Vec::new());
        trace.finish(plugin, None);
        assert_eq!(trace.spans()[1].parent, root);
        assert_eq!(trace.spans()[2].parent, Some(plugin));
        assert_eq!(trace.active(), root);
        trace.set_active(Some(SpanId::random()));
        assert_eq!(trace.active(), root, "what is not kept is nobody's parent");
    }

    #[test]
    fn the_last_try_has_the_id_that_the_service_was_told() {
        let mut exchange = testing::exchange("GET", "/", &[]);
        exchange.service = Some(testing::service(json!({ "host": "up.test", "retries": 5 })));
        exchange.response.status = 200;
        let trace = Trace::begin(&exchange, SETTINGS);
        let attempt =
            |status| crate::Try { status, ..crate::Try::new("127.0.0.1:80".parse().unwrap(), Instant::now()) };
        exchange.tries = vec![attempt(502), attempt(200)];
        let told = trace.last_try;
        exchange.trace = Some(Box::new(trace));
        exchange.finish_trace();
        let trace = exchange.trace.unwrap();
        assert_eq!(names(&trace), ["kong", "kong.balancer", "kong.balancer"]);
        let [_, first, last] = trace.spans() else { panic!("{trace:?}") };
        assert_eq!(first.status, SpanStatus::Error);
        assert_eq!(last.status, SpanStatus::Unset);
        assert_eq!(Some(last.id), told);
        assert_eq!(attribute(first, "http.status_code"), Some(&Attribute::Integer(502)));
    }

    #[test]
    fn a_share_of_all_traces_is_kept_and_those_that_the_caller_keeps() {
        let exchange = testing::exchange("GET", "/", &[]);
        let mut trace = Trace::begin(&exchange, TraceSettings { sampling_rate: 0.25, ..SETTINGS });
        let kept = (0..4000).filter(|_| {
            trace.id = TraceId::random(16);
            trace.decide(Some(true), None);
            trace.sampled
        });
        let kept = kept.count();
        assert!((800..1200).contains(&kept), "{kept}");
        trace.decide(Some(false), Some(1.0));
        assert!(!trace.sampled);
        trace.decide(None, Some(1.0));
        assert!(trace.sampled);
    }
}
