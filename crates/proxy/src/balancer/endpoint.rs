//! One address of one target: health, open exchanges, latency. Lives as long as target and address do, whatever else
//! changes.

use super::state::UpstreamState;
use crate::health::Outcome;
use crate::health::state::{Health, Rules};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Weak};
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
    /// Since when it takes requests; while it takes none, since when that is so, or when one was let through to try.
    since: AtomicU64,
    latency: Latency,
    upstream: Weak<UpstreamState>,
}

/// Exponentially weighted moving average of response times in seconds, with a memory for peaks, decaying over ten
/// seconds, and its last update.
/// The two are written one after the other; what a race between two reports costs is a little precision.
#[derive(Debug)]
struct Latency {
    average: AtomicU64,
    touched: AtomicU64,
    started: Instant,
}

const DECAY_SECONDS: f64 = 10.0;

/// The time by which endpoints are compared.
pub(super) fn now() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed()
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Endpoint {
    pub(super) fn new(address: SocketAddr, host: Arc<str>, label: Arc<str>, upstream: Weak<UpstreamState>) -> Endpoint {
        Endpoint {
            address,
            host,
            label,
            health: Health::default(),
            open: AtomicU32::new(0),
            since: AtomicU64::new(micros(now())),
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

    /// The same, unless so many are open already.
    pub(super) fn begin_within(&self, most: u32) -> bool {
        let more = |open: u32| (open < most).then_some(open + 1);
        self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// An exchange is over.
    pub(super) fn close(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// An exchange is over, for whose place another one may wait.
    pub(super) fn make_room(&self) {
        self.close();
        if let Some(upstream) = self.upstream.upgrade() {
            upstream.freed().notify_one();
        }
    }

    /// Since when it takes requests (or does not), by [`now`].
    pub(super) fn since(&self) -> Duration {
        Duration::from_micros(self.since.load(Ordering::Relaxed))
    }

    /// Sets the health by hand; says whether that changed anything.
    pub(super) fn set_health(&self, healthy: bool) -> bool {
        let turned = self.health.set(healthy);
        if turned {
            // What was switched off by hand does not come back by itself.
            self.since.store(if healthy { micros(now()) } else { u64::MAX }, Ordering::Relaxed);
        }
        turned
    }

    /// Whether it takes no requests, and has not for so long that one may try it: then this one is it.
    pub(super) fn takes_trial(&self, after: Duration) -> bool {
        let (since, now) = (self.since.load(Ordering::Relaxed), micros(now()));
        let is_time = since.checked_add(micros(after)).is_some_and(|time| time <= now);
        is_time
            && !self.is_available()
            && self.since.compare_exchange(since, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// A request that was let through to try it has gone well.
    pub(super) fn recover(&self, outcome: Outcome) {
        if !self.is_available() && self.set_health(true) {
            let Some(upstream) = self.upstream.upgrade() else { return };
            upstream.turned(self, true, false, outcome);
        }
    }

    /// Counts by these rules what a request (or, `active`, a probe) has seen. The first report over the threshold takes
    /// effect at once, for all workers; plans are rebuilt around it in the background.
    pub(super) fn count(&self, rules: &Rules, active: bool, outcome: Outcome) {
        if let Some(healthy) = rules.report(outcome).and_then(|report| self.health.count(report, rules)) {
            self.since.store(micros(now()), Ordering::Relaxed);
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

    /// What is above the average counts at once: a target that has become slow is to be avoided before it has been slow
    /// for long.
    fn add(&self, seconds: f64) {
        let weight = if self.touched.load(Ordering::Relaxed) == 0 { 0.0 } else { self.weight() };
        let average = f64::from_bits(self.average.load(Ordering::Relaxed));
        let decayed = average * weight;
        self.set(if seconds > decayed { seconds } else { decayed + seconds * (1.0 - weight) });
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
