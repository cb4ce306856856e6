//! What is counted of requests for OTLP servers, in Kong's names. A worker keeps what it has found for a combination of
//! attributes, so that a request costs one look-up.

use sdk::log::{self, Latencies};
use sdk::metrics::{Counter, Family, Histogram};
use sdk::{Exchange, Metrics, Source};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What is to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub requests: bool,
    pub latency: bool,
    pub bandwidth: bool,
    /// With the name of the consumer.
    pub consumer: bool,
}

/// A metric, its unit, and the numbers for each set of its attributes.
pub struct Metric {
    pub name: &'static str,
    pub unit: &'static str,
    pub help: &'static str,
    pub attributes: &'static [&'static str],
    /// The upper bounds of a histogram's buckets; none: it is a sum.
    pub bounds: &'static [f64],
    pub family: Family,
}

/// The metrics of requests.
pub struct Series {
    /// Tells those of several servers apart.
    number: u64,
    pub metrics: [Metric; 6],
}

/// What a worker has found for a combination of attributes; what there was no room for is missing.
struct Found {
    requests: Option<Counter>,
    latencies: [Option<Histogram>; 3],
    sizes: [Option<Histogram>; 2],
}

const REQUEST: &[&str] = &[
    "kong.service.name",
    "kong.route.name",
    "kong.workspace.name",
    "http.request.method",
    "kong.response.status_code",
    "kong.response.source",
    "kong.auth.consumer.name",
];
const LATENCY: &[&str] = &["kong.service.name", "kong.route.name", "kong.workspace.name"];
const SIZE: &[&str] = &["kong.service.name", "kong.route.name", "kong.workspace.name", "kong.auth.consumer.name"];

/// In seconds, as the conventions of OpenTelemetry for HTTP have them.
const SECONDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
const OCTETS: &[f64] = &[128.0, 512.0, 1024.0, 4096.0, 16384.0, 65536.0, 262_144.0, 1_048_576.0, 10_485_760.0];

/// Methods that are told apart: clients may invent others.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

thread_local! {
    static FOUND: RefCell<HashMap<Box<[u8]>, Found, foldhash::fast::RandomState>> = RefCell::default();
}

impl Series {
    pub fn new(budget: &Metrics) -> Series {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let histogram = |name, help, unit, attributes, bounds| Metric {
            name,
            unit,
            help,
            attributes,
            bounds,
            family: budget.histogram(name, help, attributes, bounds),
        };
        let help = "Requests that were answered";
        let requests = Metric {
            name: "http.server.request.count",
            unit: "{request}",
            help,
            attributes: REQUEST,
            bounds: &[],
            family: budget.counter("http.server.request.count", help, REQUEST),
        };
        Series {
            number: LAST.fetch_add(1, Relaxed),
            metrics: [
                requests,
                histogram("kong.latency.total", "Time for requests in all", "s", LATENCY, SECONDS),
                histogram("kong.latency.internal", "Time that the gateway took of it", "s", LATENCY, SECONDS),
                histogram("kong.latency.upstream", "Time that services took of it", "s", LATENCY, SECONDS),
                histogram("http.server.request.size", "Octets of requests", "By", SIZE, OCTETS),
                histogram("http.server.response.size", "Octets of responses", "By", SIZE, OCTETS),
            ],
        }
    }

    /// Counts a request that is over.
    pub fn count(&self, exchange: &Exchange, wanted: Wanted) {
        let service = exchange.service.as_deref().map(|service| service.name.as_deref().unwrap_or(&service.host));
        let route = exchange.route.as_deref().and_then(|route| route.name.as_deref());
        let consumer = exchange.consumer.as_deref().filter(|_| wanted.consumer);
        let consumer = consumer.and_then(|consumer| consumer.username.as_deref()).unwrap_or_default();
        let method = exchange.request.method.as_str();
        let method = METHODS.into_iter().find(|known| *known == method).unwrap_or("_OTHER");
        let source = match exchange.source {
            Source::Service => "service",
            Source::Exit => "exit",
            Source::Error => "error",
        };
        let mut status = itoa::Buffer::new();
        let (service, route) = (service.unwrap_or_default(), route.unwrap_or_default());
        let workspace = log::workspace(exchange).1.unwrap_or_default();
        let status = status.format(exchange.response.status);
        let labels = [service, route, workspace, method, status, source, consumer];
        let mut key = self.number.to_le_bytes().to_vec();
        for label in labels {
            // No name has a zero in it.
            key.extend_from_slice(label.as_bytes());
            key.push(0);
        }
        FOUND.with_borrow_mut(|found| {
            if let Some(found) = found.get(key.as_slice()) {
                found.count(exchange);
                return;
            }
            let new = self.find(labels, wanted);
            new.count(exchange);
            if new.is_complete(wanted) {
                found.insert(key.into(), new);
            }
        });
    }

    fn find(&self, labels: [&str; 7], wanted: Wanted) -> Found {
        let [service, route, workspace, .., consumer] = labels;
        let [requests, total, internal, upstream, request, response] = &self.metrics;
        let latency = |metric: &Metric| {
            wanted.latency.then(|| metric.family.histogram_of(&[service, route, workspace])).flatten()
        };
        let size = |metric: &Metric| {
            wanted.bandwidth.then(|| metric.family.histogram_of(&[service, route, workspace, consumer])).flatten()
        };
        Found {
            requests: wanted.requests.then(|| requests.family.counter(&labels)).flatten(),
            latencies: [total, internal, upstream].map(latency),
            sizes: [request, response].map(size),
        }
    }
}

impl Found {
    fn count(&self, exchange: &Exchange) {
        self.requests.iter().for_each(|counter| counter.add(1));
        let took = Latencies::of(exchange);
        for (histogram, milliseconds) in self.latencies.iter().zip([Some(took.request), Some(took.kong), took.proxy]) {
            if let (Some(histogram), Some(milliseconds)) = (histogram, milliseconds) {
                histogram.observe(milliseconds as f64 / 1_000.0);
            }
        }
        for (histogram, octets) in self.sizes.iter().zip([exchange.traffic.received, exchange.traffic.sent]) {
            histogram.iter().for_each(|histogram| histogram.observe(octets as f64));
        }
    }

    /// What had no room is looked for again: nothing is remembered for it.
    fn is_complete(&self, wanted: Wanted) -> bool {
        self.requests.is_some() == wanted.requests
            && self.latencies.iter().all(|histogram| histogram.is_some() == wanted.latency)
            && self.sizes.iter().all(|histogram| histogram.is_some() == wanted.bandwidth)
    }
}
