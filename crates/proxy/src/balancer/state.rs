//! What outlives changes of an upstream: the turn, the probes, and who must hear of changes in health or addresses.

use super::endpoint::Endpoint;
use super::prober::Probes;
use super::ring::Ring;
use super::{Balancers, Context};
use crate::health::Outcome;
use crate::health::probe::Probe;
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::Notify;

/// Shared by all rings of one upstream: that in force, and those of former snapshots that requests still run under.
pub struct UpstreamState {
    position: Position,
    /// Oldest first.
    rings: Mutex<Vec<Weak<Ring>>>,
    probes: Mutex<Option<Probes>>,
    /// Told when an exchange with a target ends that may have had as many as it may.
    freed: Notify,
    /// Requests that wait for that.
    waiting: AtomicU32,
    context: Arc<Context>,
    this: Weak<UpstreamState>,
}

/// A request that waits for a place at a target.
pub(super) struct Waiting(Arc<UpstreamState>);

/// Written by all workers for every request: on a cache line (and its prefetched neighbour) of its own.
#[repr(align(128))]
struct Position(AtomicUsize);

impl UpstreamState {
    pub(super) fn new(balancers: &Balancers) -> Arc<UpstreamState> {
        // Nodes that start together should not all begin with the same target.
        let start = uuid::Uuid::new_v4().as_u128() as u16 as usize;
        Arc::new_cyclic(|this| UpstreamState {
            position: Position(AtomicUsize::new(start)),
            rings: Mutex::default(),
            probes: Mutex::default(),
            freed: Notify::new(),
            waiting: AtomicU32::new(0),
            context: Arc::clone(&balancers.context),
            this: this.clone(),
        })
    }

    /// The turn that all workers share.
    pub(super) fn position(&self) -> &AtomicUsize {
        &self.position.0
    }

    pub(super) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    pub(super) fn weak(&self) -> Weak<UpstreamState> {
        self.this.clone()
    }

    /// Tells requests that wait for a place at a target.
    pub(super) fn freed(&self) -> &Notify {
        &self.freed
    }

    /// A place among the requests that wait, of so many at most.
    pub(super) fn queue(self: &Arc<UpstreamState>, most: u32) -> Option<Waiting> {
        let more = |waiting: u32| (waiting < most).then_some(waiting + 1);
        self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Waiting(Arc::clone(self)))
    }

    /// From now on this ring hears of changes too.
    pub(super) fn add(&self, ring: &Arc<Ring>) {
        let mut rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        rings.retain(|ring| ring.strong_count() > 0);
        rings.push(Arc::downgrade(ring));
    }

    /// The rings that somebody uses, oldest first.
    fn rings(&self) -> Vec<Arc<Ring>> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect()
    }

    /// The ring that was made last.
    pub(super) fn newest(&self) -> Option<Arc<Ring>> {
        self.rings().pop()
    }

    /// Plans for requests follow from health and addresses as they are now.
    pub(super) fn publish(&self) {
        self.rings().iter().for_each(|ring| ring.publish());
    }

    /// Sends probes as this ring asks for them, in place of others.
    pub(super) fn probe(&self, ring: &Ring) {
        let mut probes = self.probes.lock().unwrap_or_else(PoisonError::into_inner);
        let probe = Probe::new(ring.upstream());
        if probes.as_ref().map(Probes::probe) != Some(&probe) {
            *probes = ring.checks().and_then(|checks| Probes::start(probe, checks, self));
        }
    }

    /// Ends the probes, since the upstream is gone. Requests that run go on with its targets.
    pub(super) fn close(&self) {
        *self.probes.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// An endpoint has changed its health by itself: says so once, and takes it out of or into the plans.
    pub(super) fn turned(&self, endpoint: &Endpoint, healthy: bool, active: bool, outcome: Outcome) {
        let Some(this) = self.this.upgrade() else { return };
        let (by, endpoint) = (if active { "probe" } else { "request" }, (endpoint.host().clone(), endpoint.address()));
        self.context.control.spawn(async move {
            if let Some(ring) = this.newest() {
                log_turn(&ring.upstream().name, &endpoint.0, endpoint.1, healthy, by, &outcome.to_string());
            }
            this.publish();
        });
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        // It may have been told of a place that it does not take.
        self.0.freed.notify_one();
    }
}

impl fmt::Debug for UpstreamState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamState").field("position", &self.position.0).finish_non_exhaustive()
    }
}

/// Says that a target has changed its health.
pub(super) fn log_turn(
    upstream: &str,
    target: &str,
    address: std::net::SocketAddr,
    healthy: bool,
    by: &str,
    reason: &str,
) {
    if healthy {
        tracing::warn!(upstream, %target, %address, by, reason, "target is healthy again");
    } else {
        tracing::warn!(upstream, %target, %address, by, reason, "target is unhealthy");
    }
}
