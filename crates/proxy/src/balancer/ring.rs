//! One upstream as a snapshot has it: its settings, its targets, and the plan that follows from both.
//!
//! A change of the configuration makes a new ring, which takes over what the former one knew of targets that stay.
//! Look-ups and health change the plan of a ring, on the control runtime; picks read the plan and the endpoints, never
//! a lock.

use super::plan::{Plan, WeightedEndpoint, is_healthy};
use super::state::{UpstreamState, Waiting, log_turn};
use super::target::TargetState;
use super::{Balancers, Endpoint};
use crate::health::state::Checks;
use crate::published::{Hold, Published, Reader};
use model::entities::{Algorithm, Target, Upstream, Uuid};
use model::health::{HostHealth, UpstreamHealth, Weights};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// The targets of one upstream.
pub struct Ring {
    upstream: Arc<Upstream>,
    name: Arc<str>,
    checks: Option<Arc<Checks>>,
    /// In the order of their creation.
    members: Vec<Member>,
    plan: Published<Plan>,
    /// Held while a plan is made, so that the last one made is that of the last change.
    publishing: Mutex<()>,
    changed: Notify,
    state: Arc<UpstreamState>,
}

/// An address of a target as it stands, or a target without any.
pub struct Standing {
    pub target: Uuid,
    /// Host and port of the target.
    pub name: String,
    pub address: Option<SocketAddr>,
    pub weight: u32,
    /// In the words of `GET /upstreams/…/health`.
    pub health: &'static str,
}

struct Member {
    weight: u16,
    priority: u32,
    state: Arc<TargetState>,
}

/// Targets of this priority and beyond are for the failure of all others.
const FAILOVER: u32 = 1 << 16;

impl Ring {
    /// The ring of an upstream with these targets. What `former` knows of them goes on; a request sees nothing of it
    /// before it is in a snapshot that is in force.
    pub(super) fn new(
        former: Option<&Ring>,
        upstream: Arc<Upstream>,
        mut targets: Vec<&Arc<Target>>,
        balancers: &Balancers,
    ) -> Arc<Ring> {
        let state = former.map_or_else(|| UpstreamState::new(balancers), |former| Arc::clone(&former.state));
        let known: HashMap<Uuid, &Arc<TargetState>> =
            former.into_iter().flat_map(|f| &f.members).map(|m| (m.state.id(), &m.state)).collect();
        targets.sort_by(|a, b| a.created_at.total_cmp(&b.created_at).then(a.id.cmp(&b.id)));
        let member = |target: &Arc<Target>| {
            let known = known.get(&target.id).filter(|known| known.is_of(target)).copied();
            let state = known.map_or_else(|| TargetState::start(target, &state), Arc::clone);
            Member { weight: target.weight, priority: priority(target), state }
        };
        let members = targets.into_iter().map(member).collect();
        let checks = Checks::of(&upstream).map(Arc::new);
        let ring = Arc::new(Ring {
            name: upstream.name.as_str().into(),
            plan: Published::new(Arc::new(Plan::build(Arc::clone(&upstream), None, Vec::new(), 0, true))),
            upstream,
            checks,
            members,
            publishing: Mutex::default(),
            changed: Notify::new(),
            state,
        });
        // In this order: what is resolved from now on is not missed.
        ring.state.add(&ring);
        ring.publish();
        ring
    }

    /// Takes effect in place of `former`: the snapshot that has it is in force.
    pub(super) fn activate(&self, former: Option<&Ring>) {
        // While there are no checks nobody counts, and what was counted before is old.
        if self.checks.is_some() && former.is_some_and(|former| former.checks.is_none()) {
            self.members.iter().for_each(|member| member.state.set_health(true));
            self.publish();
        }
        self.state.probe(self);
    }

    /// Ends what goes on in the background, since the upstream is gone. Requests that hold the ring go on with it.
    pub(super) fn close(&self) {
        self.state.close();
    }

    pub(crate) fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn checks(&self) -> Option<&Arc<Checks>> {
        self.checks.as_ref()
    }

    /// A worker's hold on the plan.
    pub(super) fn reader(&self) -> Reader<Plan> {
        self.plan.reader()
    }

    /// The plan in force.
    pub(super) fn plan(&self, reader: &Reader<Plan>) -> Rc<Hold<Plan>> {
        self.plan.read(reader)
    }

    /// Whether requests can go to one of its targets.
    pub(super) fn is_available(&self) -> bool {
        self.plan.load().has_available()
    }

    /// The addresses that are available (or are not).
    pub(super) fn endpoints(&self, available: bool) -> Vec<Arc<Endpoint>> {
        let plan = self.plan.load();
        plan.slots().iter().map(|s| &s.endpoint).filter(|e| e.is_available() == available).cloned().collect()
    }

    /// The turn that all workers share.
    pub(super) fn position(&self) -> &AtomicUsize {
        self.state.position()
    }

    /// Tells of places at targets that have become free.
    pub(super) fn freed(&self) -> &Notify {
        self.state.freed()
    }

    /// Whether a request may wait for a place.
    pub(super) fn lets_wait(&self) -> bool {
        self.plan.load().lets_wait()
    }

    /// A place among the requests that wait for one, as many as may.
    pub(super) fn queue(&self) -> Option<Waiting> {
        self.state.queue(self.upstream.max_pending_requests)
    }

    /// Resolves when a new plan has been published.
    pub(super) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// Makes effective what has changed in health and addresses.
    pub(super) fn publish(&self) {
        let _publishing = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        self.state.context().retired.put(self.plan.replace(Arc::new(self.build())));
        self.changed.notify_waiters();
    }

    /// Sets the health of a target's addresses by hand: of all of them, or of the one that is shown as `address`.
    /// `false`: no health checks are configured.
    pub(super) fn set_health(&self, host: &str, port: u16, address: Option<&str>, healthy: bool) -> bool {
        if self.checks.is_none() {
            return false;
        }
        let bare = |host: &str| host.trim_matches(['[', ']']).to_ascii_lowercase();
        let wanted = address.map(bare);
        let ip = wanted.as_ref().and_then(|wanted| wanted.parse::<IpAddr>().ok());
        for Member { state, weight, .. } in self.members.iter().filter(|m| bare(m.state.host()) == bare(host)) {
            let own_name = bare(state.host());
            let chosen = |e: &Endpoint| match &wanted {
                Some(wanted) if *wanted != own_name => {
                    e.address().port() == port && (Some(e.address().ip()) == ip || bare(e.label()) == *wanted)
                }
                // The name stands for all that it resolves to.
                _ => state.port() == port,
            };
            for (endpoint, _) in state.endpoints(*weight).into_iter().filter(|(e, _)| chosen(e)) {
                if endpoint.set_health(healthy) {
                    log_turn(&self.name, endpoint.host(), endpoint.address(), healthy, "set by hand", "");
                }
            }
        }
        self.state.publish();
        true
    }

    /// The view for the Admin API.
    pub(super) fn health(&self) -> UpstreamHealth {
        let checked = self.checks.is_some();
        let hosts: Vec<HostHealth> = self.members.iter().map(|m| m.state.health(m.weight, checked)).collect();
        let mut weight = Weights::default();
        for host in &hosts {
            weight.total += host.weight.total;
            weight.available += host.weight.available;
            weight.unavailable += host.weight.unavailable;
        }
        let healthy = is_healthy(weight.available, weight.total, self.upstream.healthchecks.threshold);
        UpstreamHealth { checked, healthy, weight, hosts }
    }

    /// The targets as they stand.
    pub(crate) fn standings(&self) -> Vec<Standing> {
        let checked = self.checks.is_some();
        let mut standings = Vec::new();
        for Member { state, weight, .. } in &self.members {
            let endpoints = state.endpoints(*weight);
            let standing = |address: Option<SocketAddr>, weight, health| Standing {
                target: state.id(),
                name: format!("{}:{}", state.host(), state.port()),
                address,
                weight,
                health,
            };
            if endpoints.is_empty() {
                standings.push(standing(None, u32::from(*weight), "DNS_ERROR"));
            }
            standings.extend(endpoints.into_iter().map(|(endpoint, weight)| {
                let health = match (checked && weight > 0, endpoint.is_available()) {
                    (false, _) => "HEALTHCHECKS_OFF",
                    (true, true) => "HEALTHY",
                    (true, false) => "UNHEALTHY",
                };
                standing(Some(endpoint.address()), weight, health)
            }));
        }
        standings
    }

    fn build(&self) -> Plan {
        let host_header: Option<Arc<str>> = self.upstream.host_header.as_deref().map(Arc::from);
        let is_sticky = self.upstream.algorithm == Algorithm::StickySessions;
        // Where a key or a cookie decides, targets for the failure of others are never asked, as in Kong.
        let decided = is_sticky || self.upstream.algorithm == Algorithm::ConsistentHashing;
        let mut slots = Vec::new();
        for Member { state, weight, priority } in &self.members {
            if decided && *priority >= FAILOVER {
                continue;
            }
            let by_service = self.upstream.use_srv_name && state.is_by_service();
            for (endpoint, weight) in state.endpoints(*weight).into_iter().filter(|(_, w)| *w > 0 || is_sticky) {
                let own = if by_service { endpoint.label() } else { state.host() };
                let host = Arc::clone(host_header.as_ref().unwrap_or(own));
                let target = (Arc::clone(state.host()), state.port());
                let (target_id, priority) = (state.id(), *priority);
                slots.push(WeightedEndpoint { endpoint, host, weight, target, target_id, priority });
            }
        }
        let pending = self.members.iter().any(|m| m.weight > 0 && m.state.is_pending());
        Plan::build(Arc::clone(&self.upstream), self.checks.clone(), slots, self.members.len(), pending)
    }
}

/// Lower ones come first.
fn priority(target: &Target) -> u32 {
    u32::from(target.priority) + if target.failover { FAILOVER } else { 0 }
}
