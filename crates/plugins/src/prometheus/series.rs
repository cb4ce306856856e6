//! What is counted of requests. A worker keeps what it has found for a combination of labels, so that a request costs
//! one look-up.

use sdk::log::{self, Latencies};
use sdk::metrics::{Counter, Family, Histogram};
use sdk::{Exchange, Metrics, Source, entities::Uuid};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What an instance is to count.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub status: bool,
    pub latency: bool,
    pub bandwidth: bool,
    /// With the name of the consumer.
    pub consumer: bool,
}

/// The metrics of requests.
pub struct Families {
    /// Tells those of several nodes in one process apart.
    number: u64,
    pub requests: Family,
    /// What requests are to HTTP, sessions are to streams.
    pub sessions: Family,
    pub bandwidth: Family,
    /// The same of streams, which have no consumer.
    pub session_bandwidth: Family,
    pub own_latency: Family,
    pub upstream_latency: Family,
    pub request_latency: Family,
    pub session_duration: Family,
}

/// What a worker has found, by labels.
#[derive(Default)]
struct Seen {
    /// The labels of the request at hand.
    key: Vec<u8>,
    by_labels: HashMap<Box<[u8]>, Series, foldhash::fast::RandomState>,
}

/// What is counted for a combination of labels; what nobody has wanted yet, or there was no room for, is missing.
#[derive(Default)]
struct Series {
    requests: Vec<((u16, Source), Counter)>,
    bandwidth: Option<[Counter; 2]>,
    latency: Option<Latency>,
}

struct Latency {
    own: Histogram,
    upstream: Histogram,
    request: Histogram,
}

/// The labels of a request but for those of a single metric.
#[derive(Clone, Copy)]
struct Labels<'a> {
    service: &'a str,
    route: &'a str,
    workspace: &'a str,
    consumer: &'a str,
}

const BANDWIDTH: &str = "Total bandwidth (ingress/egress) throughput in bytes";
const OWN_BUCKETS: &[f64] =
    &[1.0, 2.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 50.0, 75.0, 100.0, 200.0, 500.0, 750.0, 1000.0, 3000.0, 6000.0];
const UPSTREAM_BUCKETS: &[f64] =
    &[25.0, 50.0, 80.0, 100.0, 250.0, 400.0, 700.0, 1000.0, 2000.0, 5000.0, 10000.0, 30000.0, 60000.0];

thread_local! {
    static SEEN: RefCell<Seen> = RefCell::default();
}

impl Wanted {
    /// Whether requests are to be looked at.
    pub fn anything(self) -> bool {
        self.status || self.latency || self.bandwidth
    }
}

impl Families {
    pub fn new(metrics: &Metrics) -> Families {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let latency = &["service", "route", "workspace"];
        let (requests, sessions, bandwidth, session_bandwidth) = (
            &["service", "route", "code", "source", "workspace", "consumer"],
            &["service", "route", "code", "source", "workspace"],
            &["service", "route", "direction", "workspace", "consumer"],
            &["service", "route", "direction", "workspace"],
        );
        Families {
            number: LAST.fetch_add(1, Relaxed),
            requests: metrics.counter(
                "kong_http_requests_total",
                "HTTP status codes per consumer/service/route in Kong",
                requests,
            ),
            sessions: metrics.counter(
                "kong_stream_sessions_total",
                "Stream status codes per service/route in Kong",
                sessions,
            ),
            bandwidth: metrics.counter("kong_bandwidth_bytes", BANDWIDTH, bandwidth),
            session_bandwidth: metrics.counter("kong_bandwidth_bytes", BANDWIDTH, session_bandwidth),
            own_latency: metrics.histogram(
                "kong_kong_latency_ms",
                "Latency added by Kong and enabled plugins for each service/route in Kong",
                latency,
                OWN_BUCKETS,
            ),
            upstream_latency: metrics.histogram(
                "kong_upstream_latency_ms",
                "Latency added by upstream response for each service/route in Kong",
                latency,
                UPSTREAM_BUCKETS,
            ),
            request_latency: metrics.histogram(
                "kong_request_latency_ms",
                "Total latency incurred during requests for each service/route in Kong",
                latency,
                UPSTREAM_BUCKETS,
            ),
            session_duration: metrics.histogram(
                "kong_session_duration_ms",
                "latency incurred in stream session for each service/route in Kong",
                latency,
                UPSTREAM_BUCKETS,
            ),
        }
    }

    /// Counts a request that is over. As in Kong, one without a route is not counted.
    pub fn count(&self, exchange: &Exchange, wanted: Wanted) {
        let Some(route) = exchange.route.as_deref() else { return };
        let mut id = Uuid::encode_buffer();
        let service = exchange.service.as_deref();
        let consumer = exchange.consumer.as_deref().filter(|_| wanted.consumer);
        let labels = Labels {
            service: service.map_or("", |service| service.name.as_deref().unwrap_or(&service.host)),
            route: match &route.name {
                Some(name) => name,
                None => route.id.hyphenated().encode_lower(&mut id),
            },
            workspace: log::workspace(exchange).1.unwrap_or_default(),
            consumer: consumer.and_then(|consumer| consumer.username.as_deref()).unwrap_or_default(),
        };
        SEEN.with_borrow_mut(|Seen { key, by_labels }| {
            labels.write(self.number, key);
            if let Some(series) = by_labels.get_mut(key.as_slice()) {
                series.count(self, exchange, &labels, wanted);
                return;
            }
            let mut series = Series::default();
            series.count(self, exchange, &labels, wanted);
            if !series.is_empty() {
                by_labels.insert(key.as_slice().into(), series);
            }
        });
    }
}

impl Labels<'_> {
    /// One text for all of them. No name has a zero in it.
    fn write(&self, number: u64, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&number.to_le_bytes());
        for label in [self.service, self.route, self.workspace, self.consumer] {
            out.extend_from_slice(label.as_bytes());
            out.push(0);
        }
    }
}

impl Series {
    fn count(&mut self, families: &Families, exchange: &Exchange, labels: &Labels<'_>, wanted: Wanted) {
        if wanted.bandwidth {
            if self.bandwidth.is_none() {
                self.bandwidth = labels.bandwidth(families, exchange.stream.is_some());
            }
            if let Some([ingress, egress]) = &self.bandwidth {
                ingress.add(exchange.traffic.received);
                egress.add(exchange.traffic.sent);
            }
        }
        if wanted.status {
            self.count_status(families, exchange, labels);
        }
        if wanted.latency {
            if self.latency.is_none() {
                self.latency = labels.latency(families, exchange.stream.is_some());
            }
            if let Some(latency) = &self.latency {
                let took = Latencies::of(exchange);
                latency.request.observe(took.request as f64);
                latency.own.observe(took.kong as f64);
                let waited = took.proxy.filter(|_| exchange.stream.is_none());
                waited.iter().for_each(|waited| latency.upstream.observe(*waited as f64));
            }
        }
    }

    fn count_status(&mut self, families: &Families, exchange: &Exchange, labels: &Labels<'_>) {
        let source = if exchange.source == Source::Service { Source::Service } else { Source::Exit };
        let of = (exchange.response.status, source);
        match self.requests.iter().find(|(known, _)| *known == of) {
            Some((_, counter)) => counter.add(1),
            None => {
                let counter = match exchange.stream {
                    None => labels.requests(families, of),
                    Some(_) => labels.sessions(families, of),
                };
                if let Some(counter) = counter {
                    counter.add(1);
                    self.requests.push((of, counter));
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.bandwidth.is_none() && self.latency.is_none()
    }
}

/// What a worker finds for labels that it has not seen yet.
impl Labels<'_> {
    fn requests(&self, families: &Families, (status, source): (u16, Source)) -> Option<Counter> {
        let source = if source == Source::Service { "service" } else { "kong" };
        let Labels { service, route, workspace, consumer } = *self;
        families.requests.counter(&[service, route, &status.to_string(), source, workspace, consumer])
    }

    fn sessions(&self, families: &Families, (status, source): (u16, Source)) -> Option<Counter> {
        let source = if source == Source::Service { "service" } else { "kong" };
        families.sessions.counter(&[self.service, self.route, &status.to_string(), source, self.workspace])
    }

    /// What came from clients, and what went to them.
    fn bandwidth(&self, families: &Families, stream: bool) -> Option<[Counter; 2]> {
        let Labels { service, route, workspace, consumer } = *self;
        let of = |direction| match stream {
            true => families.session_bandwidth.counter(&[service, route, direction, workspace]),
            false => families.bandwidth.counter(&[service, route, direction, workspace, consumer]),
        };
        Some([of("ingress")?, of("egress")?])
    }

    fn latency(&self, families: &Families, stream: bool) -> Option<Latency> {
        let labels = [self.service, self.route, self.workspace];
        Some(Latency {
            own: families.own_latency.histogram_of(&labels)?,
            upstream: families.upstream_latency.histogram_of(&labels)?,
            request: match stream {
                true => families.session_duration.histogram_of(&labels)?,
                false => families.request_latency.histogram_of(&labels)?,
            },
        })
    }
}
