//! One address of one target: health, open exchanges, latency. Lives as long as target and address do, whatever else
//! changes.

use super::state::UpstreamState;
use crate::health::Outcome;
use crate::health::state::{Health, Rules};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// An address of a target, with its health and its counters. Shared by all workers; nothing in it is ever locked.
#[derive(Debug)]
pub struct Endpoint {
    address: SocketAddr,
    /// The target's host, and what its name resolved to: the address, or the name in an SRV record.
    host: Arc<str>,
    label: Arc<str>,
    health: Health,
    open: AtomicU32,
    latency: Latency,
    upstream: Weak<UpstreamState>,
}

/// Exponentially weighted moving average of response times in seconds, decaying over ten seconds, and its last update.
/// The two are written one after the other; what a race between two reports costs is a little precision.
#[derive(Debug)]
struct Latency {
    average: AtomicU64,
    touched: AtomicU64,
    started: Instant,
}

const DECAY_SECONDS: f64 = 10.0;

impl Endpoint {
    pub(super) fn new(address: SocketAddr, host: Arc<str>, label: Arc<str>, upstream: Weak<UpstreamState>) -> Endpoint {
        Endpoint {
            address,
            host,
            label,
            health: Health::default(),
            open: AtomicU32::new(0),
            latency: Latency { average: AtomicU64::new(0), touched: AtomicU64::new(0), started: Instant::now() },
            upstream,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The host of its target: a name, or an address (IPv6 in brackets).
    pub fn host(&self) -> &Arc<str> {
        &self.host
    }

    /// Whether it takes requests.
    #[inline]
    pub fn is_available(&self) -> bool {
        self.health.is_available()
    }

    pub(super) fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// How many exchanges are open.
    pub(super) fn open(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }

    /// Counts an exchange as open until [`Endpoint::close`].
    pub(super) fn begin(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// An exchange is over.
    pub(super) fn close(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Sets the health by hand; says whether that changed anything.
    pub(super) fn set_health(&self, healthy: bool) -> bool {
        self.health.set(healthy)
    }

    /// Counts by these rules what a request (or, `active`, a probe) has seen. The first report over the threshold takes
    /// effect at once, for all workers; plans are rebuilt around it in the background.
    pub(super) fn count(&self, rules: &Rules, active: bool, outcome: Outcome) {
        if let Some(healthy) = rules.report(outcome).and_then(|report| self.health.count(report, rules)) {
            let Some(upstream) = self.upstream.upgrade() else { return };
            upstream.turned(self, healthy, active, outcome);
        }
    }

    /// The average response time in seconds as it has decayed by now; 0 when nothing is known.
    pub(super) fn latency(&self) -> f64 {
        self.latency.now()
    }

    /// Whether anything is known of its response times.
    pub(super) fn is_measured(&self) -> bool {
        self.latency.touched.load(Ordering::Relaxed) != 0
    }

    /// What a new address starts with, so that it is not flooded before anything is known of it.
    pub(super) fn expect_latency(&self, seconds: f64) {
        self.latency.set(seconds);
    }

    /// Takes a response time into the average.
    pub(super) fn took(&self, time: Duration) {
        self.latency.add(time.as_secs_f64());
    }
}

impl Latency {
    fn now(&self) -> f64 {
        f64::from_bits(self.average.load(Ordering::Relaxed)) * self.weight()
    }

    fn add(&self, seconds: f64) {
        let weight = if self.touched.load(Ordering::Relaxed) == 0 { 0.0 } else { self.weight() };
        let average = f64::from_bits(self.average.load(Ordering::Relaxed));
        self.set(average * weight + seconds * (1.0 - weight));
    }

    fn set(&self, seconds: f64) {
        self.average.store(seconds.to_bits(), Ordering::Relaxed);
        // 0 means never.
        self.touched.store((self.started.elapsed().as_micros() as u64).max(1), Ordering::Relaxed);
    }

    /// What the average has kept of its weight since the last update.
    fn weight(&self) -> f64 {
        let since = (self.started.elapsed().as_micros() as u64).saturating_sub(self.touched.load(Ordering::Relaxed));
        (-(since as f64 / 1e6) / DECAY_SECONDS).exp()
    }
}
