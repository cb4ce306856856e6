//! The targets of an upstream as they stand, laid out for choosing. Immutable: every change makes a new plan.

use super::continuum::{self, Continuum};
use super::endpoint::Endpoint;
use crate::health::state::Checks;
use crate::wheel;
use model::entities::{Algorithm, Upstream};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What picks read. Published as a whole, so that a pick never sees half a change.
pub struct Plan {
    pub upstream: Arc<Upstream>,
    /// How health is judged; without, every address is usable.
    pub checks: Option<Arc<Checks>>,
    slots: Box<[WeightedEndpoint]>,
    choice: Choice,
    /// Whether enough weight is available (`healthchecks.threshold`).
    healthy: bool,
    /// Some target has a name that no look-up has answered yet.
    pub pending: bool,
}

/// An address that takes requests.
pub struct WeightedEndpoint {
    pub endpoint: Arc<Endpoint>,
    /// The `Host` for it.
    pub host: Arc<str>,
    /// At least 1.
    pub weight: u32,
    /// Host and port of its target.
    pub target: (Arc<str>, u16),
}

enum Choice {
    /// Turns of the available slots.
    RoundRobin(Box<[u32]>),
    ConsistentHashing(Continuum),
    LeastConnections,
    Latency,
}

/// Turns of a wheel that are looked at before the slots are gone through one by one.
const TURNS: usize = 16;
/// Slots that are compared for one request; of a larger upstream, a window at a scattered place.
const WINDOW: usize = 256;

impl Plan {
    /// `targets` counts those without an address too.
    pub fn build(
        upstream: Arc<Upstream>,
        checks: Option<Arc<Checks>>,
        slots: Vec<WeightedEndpoint>,
        targets: usize,
        pending: bool,
    ) -> Plan {
        let available = |slot: &WeightedEndpoint| checks.is_none() || slot.endpoint.is_available();
        let sum =
            |all: bool| -> u64 { slots.iter().filter(|s| all || available(s)).map(|s| u64::from(s.weight)).sum() };
        let healthy = is_healthy(sum(false), sum(true), upstream.healthchecks.threshold);
        let choice = match upstream.algorithm {
            Algorithm::RoundRobin => {
                let weights: Vec<u32> = slots.iter().map(|s| if available(s) { s.weight } else { 0 }).collect();
                Choice::RoundRobin(wheel::build(&weights))
            }
            Algorithm::ConsistentHashing => {
                let member = |(slot, s)| Self::member(slot, s);
                Choice::ConsistentHashing(Continuum::build(
                    slots.iter().enumerate().map(member).collect(),
                    targets,
                    upstream.slots,
                ))
            }
            Algorithm::LeastConnections => Choice::LeastConnections,
            Algorithm::Latency => {
                introduce(&slots);
                Choice::Latency
            }
        };
        Plan { upstream, checks, slots: slots.into(), choice, healthy, pending }
    }

    fn member(slot: usize, s: &WeightedEndpoint) -> continuum::Member<'_> {
        let target = (&*s.target.0, s.target.1);
        continuum::Member {
            slot: slot as u32,
            target,
            label: s.endpoint.label(),
            port: s.endpoint.address().port(),
            weight: s.weight,
        }
    }

    /// Whether there is a slot to be picked.
    pub fn has_available(&self) -> bool {
        self.healthy && (0..self.slots.len()).any(|slot| self.is_available(slot))
    }

    /// An available slot, not one of `tried` unless there is no other. Every turn taken moves `position`, which all
    /// workers share, so that requests alternate whichever worker has them.
    pub fn pick(&self, position: &AtomicUsize, hash: Option<u32>, tried: &[SocketAddr]) -> Option<usize> {
        if !self.healthy {
            return None;
        }
        match &self.choice {
            Choice::RoundRobin(turns) => self.in_turn(turns, position, tried),
            Choice::ConsistentHashing(continuum) => {
                // Without anything to hash, requests are spread.
                let hash = hash.unwrap_or_else(|| fibonacci_hash(position.fetch_add(1, Ordering::Relaxed)) as u32);
                let slots = || continuum.from(hash).map(|slot| slot as usize).filter(|&slot| self.is_available(slot));
                slots().find(|&slot| !self.is_tried(slot, tried)).or_else(|| slots().next())
            }
            Choice::LeastConnections => {
                self.best(position, tried, |s| f64::from(s.endpoint.open() + 1) / f64::from(s.weight))
            }
            Choice::Latency => self.best(position, tried, |s| s.endpoint.latency() / f64::from(s.weight)),
        }
    }

    /// Whether picks count the open exchanges of the chosen endpoint.
    pub fn counts_exchanges(&self) -> bool {
        matches!(self.choice, Choice::LeastConnections)
    }

    /// Whether picks measure the time to the response.
    pub fn measures_latency(&self) -> bool {
        matches!(self.choice, Choice::Latency)
    }

    pub fn hashes(&self) -> bool {
        matches!(self.choice, Choice::ConsistentHashing(_))
    }

    pub fn slots(&self) -> &[WeightedEndpoint] {
        &self.slots
    }

    fn in_turn(&self, turns: &[u32], position: &AtomicUsize, tried: &[SocketAddr]) -> Option<usize> {
        if turns.is_empty() {
            return None;
        }
        let mut start = 0;
        for _ in 0..TURNS.min(turns.len()) {
            start = position.fetch_add(1, Ordering::Relaxed);
            let slot = *turns.get(start % turns.len())? as usize;
            if self.is_available(slot) && !self.is_tried(slot, tried) {
                return Some(slot);
            }
        }
        let available = || self.around(start).filter(|&slot| self.is_available(slot));
        available().find(|&slot| !self.is_tried(slot, tried)).or_else(|| available().next())
    }

    /// The slot with the lowest score; equal ones take turns.
    fn best(
        &self,
        position: &AtomicUsize,
        tried: &[SocketAddr],
        score: impl Fn(&WeightedEndpoint) -> f64,
    ) -> Option<usize> {
        let turn = position.fetch_add(1, Ordering::Relaxed);
        let start = if self.slots.len() > WINDOW { fibonacci_hash(turn) } else { turn };
        let among = |window: usize, tried: &[SocketAddr]| {
            let mut best: Option<(usize, f64)> = None;
            for slot in
                self.around(start).take(window).filter(|&slot| self.is_available(slot) && !self.is_tried(slot, tried))
            {
                let score = score(&self.slots[slot]);
                if best.is_none_or(|(_, least)| score < least) {
                    best = Some((slot, score));
                }
            }
            best.map(|(slot, _)| slot)
        };
        among(WINDOW, tried).or_else(|| among(usize::MAX, tried)).or_else(|| among(usize::MAX, &[]))
    }

    fn is_available(&self, slot: usize) -> bool {
        self.slots.get(slot).is_some_and(|s| self.checks.is_none() || s.endpoint.is_available())
    }

    fn is_tried(&self, slot: usize, tried: &[SocketAddr]) -> bool {
        !tried.is_empty() && self.slots.get(slot).is_some_and(|s| tried.contains(&s.endpoint.address()))
    }

    /// All slots, from some place on.
    fn around(&self, start: usize) -> impl Iterator<Item = usize> {
        let start = start % self.slots.len().max(1);
        (start..self.slots.len()).chain(0..start)
    }
}

/// Whether an upstream with so much of its weight available can be used: more than the threshold, in percent.
pub fn is_healthy(available: u64, total: u64, threshold: f64) -> bool {
    total > 0 && available as f64 / total as f64 * 100.0 > threshold
}

/// New addresses begin with the average of the known ones.
fn introduce(slots: &[WeightedEndpoint]) {
    let known: Vec<f64> = slots.iter().map(|s| s.endpoint.latency()).filter(|seconds| *seconds > 0.0).collect();
    if known.is_empty() {
        return;
    }
    let average = known.iter().sum::<f64>() / known.len() as f64;
    for slot in slots.iter().filter(|s| !s.endpoint.is_measured()) {
        slot.endpoint.expect_latency(average);
    }
}

/// Neighbouring positions, far apart.
fn fibonacci_hash(position: usize) -> usize {
    ((position as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize
}
