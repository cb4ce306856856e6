//! What the workers of a data plane have in common, and what each of them counts.

use crate::balancer::Balancers;
use crate::forwarded::TrustedProxies;
use crate::listener::{Descriptors, QuicArrivals};
use crate::live::Live;
use crate::published::Published;
use crate::settings::Settings;
use crate::snapshot::Snapshot;
use crate::tls::ListenerTls;
use crate::traced::TracedQueue;
use arc_swap::ArcSwap;
use sdk::{Fields, MemoryBudget, PluginKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Notify;

/// What all workers have in common; all of it read-only or atomic.
pub(crate) struct Shared {
    pub settings: Settings,
    /// All plugins of the node, configured or not.
    pub kinds: &'static [&'static dyn PluginKind],
    pub snapshot: Arc<Published<Snapshot>>,
    pub balancers: Balancers,
    pub descriptors: Descriptors,
    /// Asks all workers to close some connections on which nothing happens: descriptors are short, and whoever needs
    /// one has no such connections itself.
    pub descriptors_wanted: Notify,
    pub trusted: TrustedProxies,
    pub listener_tls: ArcSwap<ListenerTls>,
    pub gauges: Vec<Arc<Gauges>>,
    pub live: Arc<Live>,
    pub traced: TracedQueue,
    /// What contents may be held in memory, by exchanges and by plugins.
    pub memory: MemoryBudget,
    /// The listeners speak HTTP/2, too.
    pub http2: bool,
    pub quic: QuicArrivals,
    /// The ports at which HTTP/3 is spoken, as they were bound.
    pub quic_ports: Vec<u16>,
    /// `bascule/<version>` as `Via` has it for HTTP/1.1.
    pub via: String,
    /// The same for HTTP/2.
    pub via_http2: String,
    /// The line of HTTP/1.1.
    pub via_line: Fields,
    /// What requests of HTTP/1.1 to services have of the gateway itself, with an id to be overwritten where it is told.
    pub request_lines: Fields,
}

impl Shared {
    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        self.gauges.iter().fold(Counters::default(), |sum, gauges| gauges.add_to(sum))
    }

    /// The port that clients of a TLS listener at that port are told for HTTP/3; the same where both are there.
    pub fn alternative_port(&self, local: u16) -> Option<u16> {
        let same = self.quic_ports.iter().find(|port| **port == local);
        same.or(self.quic_ports.first()).map(|port| self.settings.public_port(*port))
    }

    /// The configuration in force, where its plugins have a say in handshakes.
    pub fn snapshot_of_handshake(&self) -> Option<Arc<Snapshot>> {
        let snapshot = self.snapshot.load();
        snapshot.has_handshakes().then(|| Arc::clone(&snapshot))
    }
}

/// How far the life of a data plane has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Serving,
    /// No new connections; those there are end with their next request, or when they have been idle for long enough.
    Leaving,
    /// No new connections or requests; those under way are finished.
    Draining,
    /// Whatever is left is cut off.
    Ended,
}

/// What the listeners have counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub accepted: u64,
    pub active: u64,
    /// Connections on which nothing is under way.
    pub idle: u64,
    pub requests: u64,
    /// Those of them that are over.
    pub answered: u64,
}

/// A worker's counters; written by it alone, read by whoever asks.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Gauges {
    accepted: AtomicU64,
    closed: AtomicU64,
    idle: AtomicU64,
    requests: AtomicU64,
    answered: AtomicU64,
}

impl Gauges {
    /// A connection was accepted; its number, from 1.
    pub fn accept(&self) -> u64 {
        add(&self.accepted, 1);
        self.accepted.load(Ordering::Relaxed)
    }

    /// A connection has ended.
    pub fn close(&self) {
        add(&self.closed, 1);
    }

    /// A request has begun.
    pub fn request(&self) {
        add(&self.requests, 1);
    }

    /// A request is over.
    pub fn answer(&self) {
        add(&self.answered, 1);
    }

    /// A connection has become idle, or is no longer.
    pub fn idle(&self, idle: bool) {
        add(&self.idle, if idle { 1 } else { u64::MAX });
    }

    /// The sum with these counters.
    pub fn add_to(&self, sum: Counters) -> Counters {
        let accepted = self.accepted.load(Ordering::Relaxed);
        Counters {
            accepted: sum.accepted + accepted,
            active: sum.active + accepted.saturating_sub(self.closed.load(Ordering::Relaxed)),
            idle: sum.idle + self.idle.load(Ordering::Relaxed),
            // In this order: what is over has begun.
            answered: sum.answered + self.answered.load(Ordering::Relaxed),
            requests: sum.requests + self.requests.load(Ordering::Relaxed),
        }
    }
}

/// Adds (wrapping) to a counter that only this thread writes: no bus lock needed.
fn add(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}
