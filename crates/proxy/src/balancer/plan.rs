//! The targets of an upstream as they stand, laid out for choosing. Immutable: every change makes a new plan.

use super::continuum::{self, Continuum};
use super::endpoint::{self, Endpoint};
use crate::health::state::Checks;
use crate::wheel;
use foldhash::fast::RandomState;
use model::entities::{Algorithm, Upstream, Uuid};
use smallvec::SmallVec;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What picks read. Published as a whole, so that a pick never sees half a change.
pub struct Plan {
    pub upstream: Arc<Upstream>,
    /// What picks need of the upstream, at hand: its algorithm, the most exchanges of an address (0: no limit), how
    /// long an address takes to come to its share, and whether requests try those that they have found unhealthy.
    algorithm: Algorithm,
    pub max_connections: u32,
    slow_start: Option<Duration>,
    pub recovers: bool,
    /// How health is judged; without, every address is usable.
    pub checks: Option<Arc<Checks>>,
    /// Group by group.
    slots: Box<[WeightedEndpoint]>,
    /// Each takes requests only while those before it have no address for them.
    groups: SmallVec<[Group; 1]>,
    /// Whether enough weight is available (`healthchecks.threshold`).
    healthy: bool,
    /// Some target has a name that no look-up has answered yet.
    pub pending: bool,
    /// Addresses that requests have found unhealthy, where these get one to try now and then (`recovery_time`).
    down: Box<[u32]>,
    /// Since when the address that has been there for longest takes requests.
    oldest: Duration,
    /// Slots by what cookies say, for sticky sessions.
    sticky: Option<HashMap<Box<str>, u32, RandomState>>,
}

/// An address that takes requests.
pub struct WeightedEndpoint {
    pub endpoint: Arc<Endpoint>,
    /// The `Host` for it.
    pub host: Arc<str>,
    /// 0 only where sessions that began before stay with it.
    pub weight: u32,
    /// Host and port of its target.
    pub target: (Arc<str>, u16),
    pub target_id: Uuid,
    /// Lower ones come first.
    pub priority: u32,
}

/// The slots of one priority.
struct Group {
    slots: Range<usize>,
    choice: Choice,
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
/// How the log tells what is worse than an error.
const CRITICAL: &str = sdk::SEVERE_LOGS_OF_CODE[0].1;
/// What an address gets of its share when it begins (`slow_start`).
const LEAST_SHARE: f64 = 0.1;

impl Plan {
    /// `targets` counts those without an address too.
    pub fn build(
        upstream: Arc<Upstream>,
        checks: Option<Arc<Checks>>,
        mut slots: Vec<WeightedEndpoint>,
        targets: usize,
        pending: bool,
    ) -> Plan {
        slots.sort_by_key(|slot| slot.priority);
        let available = |slot: &WeightedEndpoint| checks.is_none() || slot.endpoint.is_available();
        let sum =
            |all: bool| -> u64 { slots.iter().filter(|s| all || available(s)).map(|s| u64::from(s.weight)).sum() };
        let healthy = is_healthy(sum(false), sum(true), upstream.healthchecks.threshold);
        if upstream.algorithm == Algorithm::Latency {
            introduce(&slots);
        }
        let mut groups = SmallVec::new();
        let mut first = 0;
        for group in slots.chunk_by(|a, b| a.priority == b.priority) {
            let targets = if group.len() == slots.len() { targets } else { group.len() };
            let choice = Choice::new(&upstream, group, first, targets, &available);
            groups.push(Group { slots: first..first + group.len(), choice });
            first += group.len();
        }
        let (algorithm, slow_start) = (upstream.algorithm, upstream.slow_start);
        let (max_connections, recovers) = (upstream.max_connections, upstream.recovery_time.is_some());
        let is_down = |(_, slot): &(usize, &WeightedEndpoint)| recovers && slot.weight > 0 && !available(slot);
        let down = slots.iter().enumerate().filter(is_down).map(|(slot, _)| slot as u32).collect();
        let oldest = slots.iter().filter(|s| available(s)).map(|s| s.endpoint.since()).min().unwrap_or_default();
        let token = |(slot, s): (usize, &WeightedEndpoint)| (s.token(), slot as u32);
        let is_sticky = algorithm == Algorithm::StickySessions;
        let sticky = is_sticky.then(|| slots.iter().enumerate().map(token).collect());
        Plan {
            upstream,
            algorithm,
            max_connections,
            slow_start,
            recovers,
            checks,
            slots: slots.into(),
            groups,
            healthy,
            pending,
            down,
            oldest,
            sticky,
        }
    }

    /// Whether there is a slot to be picked.
    pub fn has_available(&self) -> bool {
        self.healthy && (0..self.slots.len()).any(|slot| self.is_available(slot))
    }

    /// An available slot, not one of `tried` unless there is no other. Every turn taken moves `position`, which all
    /// workers share, so that requests alternate whichever worker has them.
    pub fn pick(&self, position: &AtomicUsize, hash: Option<u32>, tried: &[SocketAddr]) -> Option<usize> {
        if !self.down.is_empty()
            && let Some(slot) = self.recovering(tried)
        {
            return Some(slot);
        }
        if !self.healthy {
            return None;
        }
        let fresh = self.groups.iter().find_map(|group| self.pick_in(group, position, hash, tried));
        if fresh.is_some() || tried.is_empty() {
            return fresh;
        }
        self.groups.iter().find_map(|group| self.pick_in(group, position, hash, &[]))
    }

    /// The slot that a cookie names, as long as it can be used. It may take no new sessions any more.
    pub fn slot_of(&self, token: &[u8], tried: &[SocketAddr]) -> Option<usize> {
        let token = std::str::from_utf8(token).ok()?;
        let slot = *self.sticky.as_ref()?.get(token)? as usize;
        (self.is_usable(slot) && !self.is_tried(slot, tried)).then_some(slot)
    }

    /// Whether picks count the open exchanges of the chosen endpoint.
    pub fn counts_exchanges(&self) -> bool {
        self.max_connections > 0 || matches!(self.algorithm, Algorithm::LeastConnections | Algorithm::Latency)
    }

    /// Whether picks measure the time to the response.
    pub fn measures_latency(&self) -> bool {
        self.algorithm == Algorithm::Latency
    }

    pub fn hashes(&self) -> bool {
        self.algorithm == Algorithm::ConsistentHashing
    }

    /// Whether clients stay with a target by a cookie.
    pub fn is_sticky(&self) -> bool {
        self.sticky.is_some()
    }

    /// Whether a request may wait for a place: all addresses that take requests have as many as they may.
    pub fn lets_wait(&self) -> bool {
        let full = |slot: usize| self.is_healthy(slot) && self.is_full(slot);
        self.upstream.max_pending_requests > 0 && self.healthy && (0..self.slots.len()).any(full)
    }

    pub fn slots(&self) -> &[WeightedEndpoint] {
        &self.slots
    }

    /// A slot of the group, not one of `tried`.
    fn pick_in(&self, group: &Group, position: &AtomicUsize, hash: Option<u32>, tried: &[SocketAddr]) -> Option<usize> {
        match &group.choice {
            Choice::RoundRobin(turns) => self.in_turn(group, turns, position, tried),
            Choice::ConsistentHashing(continuum) => {
                // Without anything to hash, requests are spread.
                let hash = hash.unwrap_or_else(|| fibonacci_hash(position.fetch_add(1, Ordering::Relaxed)) as u32);
                let fits = |&slot: &usize| self.is_available(slot) && !self.is_tried(slot, tried);
                let slots = || continuum.from(hash).map(|slot| slot as usize).filter(fits);
                slots().find(|&slot| self.is_warm(slot, hash as usize)).or_else(|| slots().next())
            }
            Choice::LeastConnections => {
                self.best(group, position, tried, |s| f64::from(s.endpoint.open() + 1) / self.weight(s))
            }
            Choice::Latency => self.faster(group, position, tried),
        }
    }

    /// An address that was found unhealthy and is to be tried again, by one request at a time.
    fn recovering(&self, tried: &[SocketAddr]) -> Option<usize> {
        let after = self.upstream.recovery_time?;
        let mut down = self.down.iter().map(|slot| *slot as usize);
        down.find(|&slot| !self.is_tried(slot, tried) && self.slots[slot].endpoint.takes_trial(after))
    }

    fn in_turn(&self, group: &Group, turns: &[u32], position: &AtomicUsize, tried: &[SocketAddr]) -> Option<usize> {
        if turns.is_empty() {
            return None;
        }
        let mut start = 0;
        for _ in 0..TURNS.min(turns.len()) {
            start = position.fetch_add(1, Ordering::Relaxed);
            let slot = *turns.get(start % turns.len())? as usize;
            if self.is_available(slot) && !self.is_tried(slot, tried) && self.is_warm(slot, fibonacci_hash(start)) {
                return Some(slot);
            }
        }
        group.around(start).find(|&slot| self.is_available(slot) && !self.is_tried(slot, tried))
    }

    /// The slot with the lowest score; equal ones take turns.
    fn best(
        &self,
        group: &Group,
        position: &AtomicUsize,
        tried: &[SocketAddr],
        score: impl Fn(&WeightedEndpoint) -> f64,
    ) -> Option<usize> {
        let turn = position.fetch_add(1, Ordering::Relaxed);
        let start = if group.slots.len() > WINDOW { fibonacci_hash(turn) } else { turn };
        let among = |window: usize| {
            let mut best: Option<(usize, f64)> = None;
            for slot in
                group.around(start).take(window).filter(|&slot| self.is_available(slot) && !self.is_tried(slot, tried))
            {
                let score = score(&self.slots[slot]);
                if best.is_none_or(|(_, least)| score < least) {
                    best = Some((slot, score));
                }
            }
            best.map(|(slot, _)| slot)
        };
        among(WINDOW).or_else(|| among(usize::MAX))
    }

    /// Of two slots at random, the one where an answer is to be expected first: many workers that all know which is the
    /// fastest would overrun it.
    fn faster(&self, group: &Group, position: &AtomicUsize, tried: &[SocketAddr]) -> Option<usize> {
        let score = |s: &WeightedEndpoint| s.endpoint.latency() * f64::from(s.endpoint.open() + 1) / self.weight(s);
        let many = group.slots.len();
        if many > 2 {
            let random = fibonacci_hash(position.fetch_add(1, Ordering::Relaxed));
            let first = random % many;
            let second = (first + 1 + (random / many) % (many - 1)) % many;
            let [first, second] = [first, second].map(|at| group.slots.start + at);
            let fits = |slot: usize| self.is_available(slot) && !self.is_tried(slot, tried);
            if fits(first) && fits(second) {
                let is_first = score(&self.slots[first]) <= score(&self.slots[second]);
                return Some(if is_first { first } else { second });
            }
        }
        self.best(group, position, tried, score)
    }

    /// Whether it takes another request.
    fn is_available(&self, slot: usize) -> bool {
        self.is_usable(slot) && self.slots[slot].weight > 0
    }

    /// The same, whatever its weight.
    fn is_usable(&self, slot: usize) -> bool {
        self.is_healthy(slot) && !self.is_full(slot)
    }

    fn is_healthy(&self, slot: usize) -> bool {
        self.slots.get(slot).is_some_and(|s| self.checks.is_none() || s.endpoint.is_available())
    }

    /// Whether it has as many requests as it may.
    fn is_full(&self, slot: usize) -> bool {
        self.max_connections > 0 && self.slots[slot].endpoint.open() >= self.max_connections
    }

    fn is_tried(&self, slot: usize, tried: &[SocketAddr]) -> bool {
        !tried.is_empty() && self.slots.get(slot).is_some_and(|s| tried.contains(&s.endpoint.address()))
    }

    /// Whether an address that has not been there for long takes this request; `random` decides.
    fn is_warm(&self, slot: usize, random: usize) -> bool {
        let Some(time) = self.slow_start else { return true };
        // Of a number that is smaller than 2³², scattered once more: the same number has decided where it goes.
        let part = (fibonacci_hash(random) as u32) as f64 / 2_f64.powi(32);
        part < self.warmth(&self.slots[slot], time)
    }

    /// The weight of an address that may not have been there for long.
    fn weight(&self, slot: &WeightedEndpoint) -> f64 {
        f64::from(slot.weight) * self.slow_start.map_or(1.0, |time| self.warmth(slot, time))
    }

    /// The part of its share that an address gets by now. Where all are new, all get theirs.
    fn warmth(&self, slot: &WeightedEndpoint, time: Duration) -> f64 {
        let now = endpoint::now();
        let grown =
            |since: Duration| (now.saturating_sub(since).as_secs_f64() / time.as_secs_f64()).clamp(LEAST_SHARE, 1.0);
        (grown(slot.endpoint.since()) / grown(self.oldest)).min(1.0)
    }
}

impl WeightedEndpoint {
    /// What the cookie of a sticky session says: it follows from the target and its address, so that all nodes say the
    /// same, and tells neither.
    pub fn token(&self) -> Box<str> {
        let token = Uuid::new_v5(&self.target_id, self.endpoint.address().to_string().as_bytes());
        token.simple().to_string().into()
    }

    /// On the circle of consistent hashing.
    fn member(&self, slot: usize) -> continuum::Member<'_> {
        continuum::Member {
            slot: slot as u32,
            target: (&*self.target.0, self.target.1),
            label: self.endpoint.label(),
            port: self.endpoint.address().port(),
            weight: self.weight,
        }
    }
}

impl Choice {
    /// `first` is the place of the group's first slot among all.
    fn new(
        upstream: &Upstream,
        group: &[WeightedEndpoint],
        first: usize,
        targets: usize,
        available: &impl Fn(&WeightedEndpoint) -> bool,
    ) -> Choice {
        match upstream.algorithm {
            Algorithm::RoundRobin | Algorithm::StickySessions => {
                let weights: Vec<u32> = group.iter().map(|s| if available(s) { s.weight } else { 0 }).collect();
                Choice::RoundRobin(wheel::build(&weights).iter().map(|slot| slot + first as u32).collect())
            }
            Algorithm::ConsistentHashing => {
                let members = group.iter().enumerate().map(|(at, s)| s.member(first + at)).collect();
                let continuum = Continuum::build(members, targets, upstream.slots);
                if !continuum.is_wide_enough() {
                    tell_narrow(upstream);
                }
                Choice::ConsistentHashing(continuum)
            }
            Algorithm::LeastConnections => Choice::LeastConnections,
            Algorithm::Latency => Choice::Latency,
        }
    }
}

impl Group {
    /// All slots of it, from some place on.
    fn around(&self, start: usize) -> impl Iterator<Item = usize> {
        let start = self.slots.start + start % self.slots.len().max(1);
        (start..self.slots.end).chain(self.slots.start..start)
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

/// Says in Kong's words that targets do not fit into `slots`; they take requests all the same.
#[cold]
fn tell_narrow(upstream: &Upstream) {
    let (name, slots) = (&upstream.name, upstream.slots);
    tracing::error!(
        target: CRITICAL,
        upstream = %name,
        slots,
        "consistent hashing balancer requires more entries to add the number of hosts requested, please increase the \
         wheel size"
    );
}

/// Neighbouring positions, far apart.
fn fibonacci_hash(position: usize) -> usize {
    ((position as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize
}
