//! One upstream: its targets, what their names resolve to, and the plan that follows from both.
//!
//! Changes of any kind (configuration, look-ups, health) are made on the control runtime under one lock, which ends in
//! a new [`Plan`]. Picks read the plan and the endpoints, never the lock.

use super::Outcome;
use super::endpoint::Endpoint;
use super::plan::{Plan, WeightedEndpoint, is_healthy};
use super::prober::Probes;
use crate::dns::{Answer, CacheState, CachedName, Failure, QueryType, Resolver};
use crate::health::probe::Probe;
use crate::health::state::Checks;
use crate::health::tls::ProbeTls;
use crate::health::{AddressHealth, HostHealth, UpstreamHealth, Weights};
use arc_swap::ArcSwap;
use model::entities::{Target, Upstream, Uuid};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// The targets of one upstream in their current state.
pub struct Ring {
    plan: ArcSwap<Plan>,
    position: Position,
    changed: Notify,
    members: Mutex<Members>,
    context: Arc<Context>,
    this: Weak<Ring>,
}

/// What rings share.
pub(super) struct Context {
    pub resolver: Arc<Resolver>,
    pub control: Handle,
    pub tls: ProbeTls,
}

/// Written by all workers for every request: on a cache line (and its prefetched neighbour) of its own.
#[repr(align(128))]
struct Position(AtomicUsize);

/// Everything a plan follows from.
struct Members {
    upstream: Arc<Upstream>,
    checks: Option<Arc<Checks>>,
    targets: HashMap<Uuid, Member>,
    probes: Option<Probes>,
}

/// A target.
struct Member {
    target: Arc<Target>,
    /// An IPv6 address is in brackets.
    host: Arc<str>,
    port: u16,
    entry: Arc<CachedName>,
    resolution: Resolution,
    endpoints: Vec<(Arc<Endpoint>, u32)>,
    _tracker: Option<Task>,
}

/// What became of the name of a target.
enum Resolution {
    Pending,
    Resolved(Arc<Answer>),
    Failed(Failure),
}

/// A task that ends with what it works for.
pub(super) struct Task(pub AbortHandle);

/// Names that do not resolve are asked for again after the first of these times, then twice as long each time up to the
/// second.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(5);
/// Names are not asked for more often than that, whatever their time to live.
const LEAST_TTL: Duration = Duration::from_millis(500);

impl Ring {
    /// A ring without targets.
    pub(super) fn new(upstream: Arc<Upstream>, context: Arc<Context>) -> Arc<Ring> {
        // Nodes that start together should not all begin with the same target.
        let start = Uuid::new_v4().as_u128() as u16 as usize;
        let ring = Arc::new_cyclic(|this| Ring {
            plan: ArcSwap::from_pointee(Plan::build(Arc::clone(&upstream), Vec::new(), 0, false)),
            position: Position(AtomicUsize::new(start)),
            changed: Notify::new(),
            members: Mutex::new(Members {
                upstream: Arc::clone(&upstream),
                checks: None,
                targets: HashMap::new(),
                probes: None,
            }),
            context,
            this: this.clone(),
        });
        ring.configure(upstream);
        ring
    }

    /// The plan in force.
    pub(super) fn plan(&self) -> arc_swap::Guard<Arc<Plan>> {
        self.plan.load()
    }

    /// The turn that all workers share.
    pub(super) fn position(&self) -> &AtomicUsize {
        &self.position.0
    }

    /// Resolves when a new plan has been published.
    pub(super) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    pub(super) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    pub(super) fn name(&self) -> String {
        self.members().upstream.name.clone()
    }

    /// Takes new settings of the upstream; targets, their health and the position stay. A plan follows with
    /// [`Ring::publish`].
    pub(super) fn configure(&self, upstream: Arc<Upstream>) {
        let mut members = self.members();
        let checks = Checks::of(&upstream).map(Arc::new);
        if members.checks != checks {
            for (endpoint, _) in members.targets.values().flat_map(|m| &m.endpoints) {
                endpoint.set_checks(checks.clone());
            }
            members.checks = checks;
        }
        let probe = Probe::new(&upstream);
        if members.probes.as_ref().map(Probes::probe) != Some(&probe) {
            members.probes = Probes::start(probe, &self.this, &self.context.control);
        }
        members.upstream = upstream;
    }

    /// Adds or changes a target. A plan follows with [`Ring::publish`].
    pub(super) fn put_target(&self, target: Arc<Target>) {
        let mut members = self.members();
        let Members { checks, targets, .. } = &mut *members;
        let (host, port) = target.host_port();
        if let Some(member) = targets.get_mut(&target.id).filter(|m| m.entry.name().as_ref() == host && m.port == port)
        {
            member.target = target;
            member.weigh();
            return;
        }
        let entry = self.context.resolver.entry(host);
        let shown: Arc<str> = if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]").into() } else { host.into() };
        let id = target.id;
        let mut member = Member {
            target,
            host: shown,
            port,
            entry: Arc::clone(&entry),
            resolution: Resolution::Pending,
            endpoints: Vec::new(),
            _tracker: None,
        };
        let known = self.context.resolver.read(&entry);
        if let CacheState::Fresh(answer) | CacheState::Stale(answer) = &known {
            member.resolve(Ok(Arc::clone(answer)), checks.as_ref(), &self.this);
        }
        if !matches!(&known, CacheState::Fresh(answer) if answer.expires.is_none()) {
            let tracker = track(self.this.clone(), id, entry, Arc::clone(&self.context.resolver));
            member._tracker = Some(Task(self.context.control.spawn(tracker).abort_handle()));
        }
        targets.insert(id, member);
    }

    /// Forgets a target. A plan follows with [`Ring::publish`].
    pub(super) fn remove_target(&self, id: &Uuid) {
        self.members().targets.remove(id);
    }

    /// Ends probes and look-ups, since the upstream is gone; the last plan stays for requests that hold the ring. The
    /// result are the targets it had.
    pub(super) fn close(&self) -> Vec<Uuid> {
        let mut members = self.members();
        members.probes = None;
        let targets = members.targets.drain().map(|(id, _)| id).collect();
        if self.plan.load().pending {
            // The look-ups that requests wait for have ended with their targets.
            self.publish_locked(&members);
        }
        targets
    }

    /// Makes what has changed effective.
    pub(super) fn publish(&self) {
        let members = self.members();
        self.publish_locked(&members);
    }

    fn publish_locked(&self, members: &Members) {
        let plan = members.plan();
        let was = self.plan.swap(Arc::new(plan));
        drop(was);
        self.changed.notify_waiters();
    }

    /// An endpoint has changed its health by itself: says so once, and takes it out of or into the plan.
    pub(super) fn turned(&self, endpoint: &Endpoint, healthy: bool, active: bool, reason: Outcome) {
        let Some(this) = self.this.upgrade() else { return };
        log_turn(
            &self.plan.load().upstream.name,
            endpoint,
            healthy,
            if active { "probe" } else { "request" },
            Some(reason),
        );
        self.context.control.spawn(async move { this.publish() });
    }

    /// Sets the health of a target's addresses by hand. `false`: no health checks are configured.
    pub(super) fn set_health(&self, host: &str, port: u16, ip: Option<&str>, healthy: bool) -> bool {
        let members = self.members();
        if members.checks.is_none() {
            return false;
        }
        let bare = |host: &str| host.trim_matches(['[', ']']).to_owned();
        let wanted = ip.and_then(|ip| bare(ip).parse::<IpAddr>().ok());
        for member in members.targets.values().filter(|m| bare(&m.host) == bare(host)) {
            let chosen = |e: &&Arc<Endpoint>| match wanted {
                Some(ip) => e.address().ip() == ip && e.address().port() == port,
                None => member.port == port,
            };
            for endpoint in member.endpoints.iter().map(|(e, _)| e).filter(chosen) {
                if endpoint.set_health(healthy) {
                    log_turn(&members.upstream.name, endpoint, healthy, "set by hand", None);
                }
            }
        }
        self.publish_locked(&members);
        true
    }

    /// The view for the Admin API.
    pub(super) fn health(&self) -> UpstreamHealth {
        let members = self.members();
        let hosts: Vec<HostHealth> = members.in_order().into_iter().map(Member::health).collect();
        let mut weight = Weights::default();
        for host in &hosts {
            weight.total += host.weight.total;
            weight.available += host.weight.available;
            weight.unavailable += host.weight.unavailable;
        }
        let healthy = is_healthy(weight.available, weight.total, members.upstream.healthchecks.threshold);
        UpstreamHealth { checked: members.checks.is_some(), healthy, weight, hosts }
    }

    /// Takes what a look-up has brought for a target.
    fn resolved(&self, id: &Uuid, result: Result<Arc<Answer>, Failure>) {
        let mut members = self.members();
        let Members { upstream, checks, targets, .. } = &mut *members;
        let Some(member) = targets.get_mut(id) else { return };
        if let (Err(failure), false) = (&result, matches!(&member.resolution, Resolution::Failed(_))) {
            tracing::warn!(upstream = %upstream.name, target = %member.target.target, %failure, "the name of a target does not resolve");
        }
        if member.resolve(result, checks.as_ref(), &self.this) {
            self.publish_locked(&members);
        }
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        // What a panic could leave half done under this lock is a plan, and the next change makes it anew.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Members {
    /// Targets in the order of their creation.
    fn in_order(&self) -> Vec<&Member> {
        let mut members: Vec<&Member> = self.targets.values().collect();
        members.sort_by(|a, b| a.target.created_at.total_cmp(&b.target.created_at).then(a.target.id.cmp(&b.target.id)));
        members
    }

    fn plan(&self) -> Plan {
        let members = self.in_order();
        let host_header: Option<Arc<str>> = self.upstream.host_header.as_deref().map(Arc::from);
        let mut slots = Vec::new();
        for member in &members {
            let by_service = self.upstream.use_srv_name
                && matches!(&member.resolution, Resolution::Resolved(a) if a.kind == QueryType::Srv);
            for (endpoint, weight) in member.endpoints.iter().filter(|(_, weight)| *weight > 0) {
                let own = if by_service { endpoint.label() } else { &member.host };
                let host = Arc::clone(host_header.as_ref().unwrap_or(own));
                slots.push(WeightedEndpoint {
                    endpoint: Arc::clone(endpoint),
                    host,
                    weight: *weight,
                    target: (Arc::clone(&member.host), member.port),
                });
            }
        }
        let pending = members.iter().any(|m| m.target.weight > 0 && matches!(m.resolution, Resolution::Pending));
        Plan::build(Arc::clone(&self.upstream), slots, members.len(), pending)
    }
}

impl Member {
    /// Takes the outcome of a look-up; says whether anything has changed. Addresses that were there before keep their
    /// state.
    fn resolve(
        &mut self,
        result: Result<Arc<Answer>, Failure>,
        checks: Option<&Arc<Checks>>,
        ring: &Weak<Ring>,
    ) -> bool {
        let answer = match result {
            Ok(answer) => answer,
            Err(failure) => {
                let changed = !matches!(&self.resolution, Resolution::Failed(known) if *known == failure);
                self.resolution = Resolution::Failed(failure);
                self.endpoints.clear();
                return changed;
            }
        };
        if matches!(&self.resolution, Resolution::Resolved(known) if known.same_records(&answer)) {
            self.resolution = Resolution::Resolved(answer);
            return false;
        }
        let mut before = std::mem::take(&mut self.endpoints);
        for record in &answer.records {
            let address = record.address(self.port);
            let endpoint = match before.iter().position(|(e, _)| e.address() == address) {
                Some(at) => before.swap_remove(at).0,
                None => {
                    let label = record.service.as_ref().map_or_else(|| shown(record.ip), |s| Arc::clone(&s.name));
                    Arc::new(Endpoint::new(address, Arc::clone(&self.host), label, checks.cloned(), ring.clone()))
                }
            };
            if !self.endpoints.iter().any(|(e, _)| Arc::ptr_eq(e, &endpoint) || e.address() == address) {
                self.endpoints.push((endpoint, 0));
            }
        }
        self.resolution = Resolution::Resolved(answer);
        self.weigh();
        true
    }

    /// Gives each address its weight: that of the target, or of the SRV record. A target of weight 0 takes nothing
    /// either way.
    fn weigh(&mut self) {
        let Resolution::Resolved(answer) = &self.resolution else { return };
        for (endpoint, weight) in &mut self.endpoints {
            let record = answer.records.iter().find(|r| r.address(self.port) == endpoint.address());
            let service = record.and_then(|r| r.service.as_ref()).filter(|_| self.target.weight > 0);
            *weight = service.map_or(u32::from(self.target.weight), |s| s.weight);
        }
    }

    fn health(&self) -> HostHealth {
        let mut weight = Weights::default();
        let address = |(endpoint, share): &(Arc<Endpoint>, u32)| {
            let healthy = endpoint.is_available();
            weight.total += u64::from(*share);
            *(if healthy { &mut weight.available } else { &mut weight.unavailable }) += u64::from(*share);
            AddressHealth { ip: endpoint.label().to_string(), port: endpoint.address().port(), weight: *share, healthy }
        };
        let addresses = self.endpoints.iter().map(address).collect();
        let dns = match &self.resolution {
            Resolution::Pending => "unknown".to_owned(),
            Resolution::Failed(failure) => failure.to_string(),
            Resolution::Resolved(answer) => match answer.kind {
                QueryType::Srv => "SRV".to_owned(),
                QueryType::Aaaa => "AAAA".to_owned(),
                _ => "A".to_owned(),
            },
        };
        HostHealth {
            host: self.host.to_string(),
            port: self.port,
            dns,
            node_weight: self.target.weight.into(),
            weight,
            addresses,
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Keeps the addresses of a target up to date as long as the target is there.
async fn track(ring: Weak<Ring>, id: Uuid, entry: Arc<CachedName>, resolver: Arc<Resolver>) {
    let mut retry = FIRST_RETRY;
    loop {
        let result = match resolver.read(&entry) {
            CacheState::Fresh(answer) if !answer.is_expired(Instant::now()) => Ok(answer),
            _ => resolver.fresh(&entry).await,
        };
        let left = result
            .as_ref()
            .ok()
            .map(|a| a.expires.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now())));
        let Some(ring) = ring.upgrade() else { return };
        ring.resolved(&id, result);
        drop(ring);
        match left.filter(|left| !left.is_zero()) {
            Some(Duration::MAX) => return,
            Some(left) => {
                retry = FIRST_RETRY;
                tokio::time::sleep(left.max(LEAST_TTL)).await;
            }
            // No answer, or one that is past its time and could not be renewed.
            None => {
                tokio::time::sleep(retry).await;
                retry = (retry * 2).min(LAST_RETRY);
            }
        }
    }
}

fn log_turn(upstream: &str, endpoint: &Endpoint, healthy: bool, by: &str, reason: Option<Outcome>) {
    let (target, address) = (endpoint.host(), endpoint.address());
    let reason = reason.map_or_else(String::new, |reason| reason.to_string());
    if healthy {
        tracing::warn!(upstream, %target, %address, by, reason, "target is healthy again");
    } else {
        tracing::warn!(upstream, %target, %address, by, reason, "target is unhealthy");
    }
}

/// An address as the Admin API shows it.
fn shown(ip: IpAddr) -> Arc<str> {
    match ip {
        IpAddr::V4(ip) => ip.to_string().into(),
        IpAddr::V6(ip) => format!("[{ip}]").into(),
    }
}
