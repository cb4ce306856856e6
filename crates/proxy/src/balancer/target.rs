//! A target: what its name resolves to, kept up to date, with the state of each address.
//!
//! Lives as long as any ring has it; the rings that follow each other share it as long as it stays the same host and
//! port.

use super::Context;
use super::endpoint::Endpoint;
use super::state::UpstreamState;
use crate::dns::{Answer, CacheState, CachedName, Failure, QueryType};
use model::entities::{Target, Uuid};
use model::health::{AddressHealth, HostHealth, Weights};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// The state of a target.
pub struct TargetState {
    id: Uuid,
    /// An IPv6 address is in brackets.
    host: Arc<str>,
    port: u16,
    entry: Arc<CachedName>,
    resolved: Mutex<Resolved>,
    tracker: OnceLock<Task>,
    upstream: Weak<UpstreamState>,
}

/// What became of the name.
struct Resolved {
    resolution: Resolution,
    /// In the order of the answer's records.
    endpoints: Vec<Arc<Endpoint>>,
}

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

impl TargetState {
    /// Begins to look after a target.
    pub fn start(target: &Target, upstream: &UpstreamState) -> Arc<TargetState> {
        let (host, port) = target.host_port();
        let context = upstream.context();
        let entry = context.resolver.entry(host);
        let shown: Arc<str> = if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]").into() } else { host.into() };
        let resolved = Resolved { resolution: Resolution::Pending, endpoints: Vec::new() };
        let this = Arc::new(TargetState {
            id: target.id,
            host: shown,
            port,
            entry,
            resolved: Mutex::new(resolved),
            tracker: OnceLock::new(),
            upstream: upstream.weak(),
        });
        let known = context.resolver.read(&this.entry);
        if let CacheState::Fresh(answer) | CacheState::Stale(answer) = &known {
            this.resolve(Ok(Arc::clone(answer)));
        }
        if !matches!(&known, CacheState::Fresh(answer) if answer.expires.is_none()) {
            let tracker = track(Arc::downgrade(&this), Arc::clone(&this.entry), Arc::clone(context));
            let _ = this.tracker.set(Task(context.control.spawn(tracker).abort_handle()));
        }
        this
    }

    /// Whether it is the state of that target too.
    pub fn is_of(&self, target: &Target) -> bool {
        let (host, port) = target.host_port();
        self.id == target.id && self.port == port && self.entry.name().as_ref() == host
    }

    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The target without its port; an IPv6 address in brackets.
    pub fn host(&self) -> &Arc<str> {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether no look-up has been answered yet.
    pub fn is_pending(&self) -> bool {
        matches!(self.resolved().resolution, Resolution::Pending)
    }

    /// Whether the addresses come from SRV records.
    pub fn is_by_service(&self) -> bool {
        matches!(&self.resolved().resolution, Resolution::Resolved(a) if a.kind == QueryType::Srv)
    }

    /// The addresses with their weights: that of the target, or of the SRV record. A target of weight 0 takes nothing
    /// either way.
    pub fn endpoints(&self, weight: u16) -> Vec<(Arc<Endpoint>, u32)> {
        let resolved = self.resolved();
        let Resolution::Resolved(answer) = &resolved.resolution else { return Vec::new() };
        let weighed = |endpoint: &Arc<Endpoint>| {
            let record = answer.records.iter().find(|r| r.address(self.port) == endpoint.address());
            let service = record.and_then(|r| r.service.as_ref()).filter(|_| weight > 0);
            (Arc::clone(endpoint), service.map_or(u32::from(weight), |s| s.weight))
        };
        resolved.endpoints.iter().map(weighed).collect()
    }

    /// Sets the health of all addresses.
    pub fn set_health(&self, healthy: bool) {
        for endpoint in &self.resolved().endpoints {
            endpoint.set_health(healthy);
        }
    }

    /// The view for the Admin API; without checks all addresses are healthy.
    pub fn health(&self, node_weight: u16, checked: bool) -> HostHealth {
        let mut weight = Weights::default();
        let address = |(endpoint, share): (Arc<Endpoint>, u32)| {
            let healthy = !checked || endpoint.is_available();
            weight.total += u64::from(share);
            *(if healthy { &mut weight.available } else { &mut weight.unavailable }) += u64::from(share);
            AddressHealth { ip: endpoint.label().to_string(), port: endpoint.address().port(), weight: share, healthy }
        };
        let addresses = self.endpoints(node_weight).into_iter().map(address).collect();
        let dns = match &self.resolved().resolution {
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
            node_weight: node_weight.into(),
            weight,
            addresses,
        }
    }

    /// Takes the outcome of a look-up; says whether anything has changed. Addresses that were there before keep their
    /// state.
    fn resolve(&self, result: Result<Arc<Answer>, Failure>) -> bool {
        let mut resolved = self.resolved();
        let Resolved { resolution, endpoints } = &mut *resolved;
        let answer = match result {
            Ok(answer) => answer,
            Err(failure) => {
                if !matches!(resolution, Resolution::Failed(_)) {
                    tracing::warn!(target = %self.host, %failure, "the name of a target does not resolve");
                }
                let changed = !matches!(resolution, Resolution::Failed(known) if *known == failure);
                *resolution = Resolution::Failed(failure);
                endpoints.clear();
                return changed;
            }
        };
        if matches!(resolution, Resolution::Resolved(known) if known.same_records(&answer)) {
            *resolution = Resolution::Resolved(answer);
            return false;
        }
        let mut before = std::mem::take(endpoints);
        for record in &answer.records {
            let address = record.address(self.port);
            if endpoints.iter().any(|known| known.address() == address) {
                continue;
            }
            endpoints.push(match before.iter().position(|known| known.address() == address) {
                Some(at) => before.swap_remove(at),
                None => {
                    let label = record.service.as_ref().map_or_else(|| shown(record.ip), |s| Arc::clone(&s.name));
                    Arc::new(Endpoint::new(address, Arc::clone(&self.host), label, self.upstream.clone()))
                }
            });
        }
        *resolution = Resolution::Resolved(answer);
        true
    }

    fn resolved(&self) -> MutexGuard<'_, Resolved> {
        // What a panic could leave half done is made anew by the next look-up.
        self.resolved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Keeps the addresses of a target up to date as long as the target is there.
async fn track(target: Weak<TargetState>, entry: Arc<CachedName>, context: Arc<Context>) {
    let resolver = &context.resolver;
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
        let Some(target) = target.upgrade() else { return };
        let changed = target.resolve(result);
        if let Some(upstream) = target.upstream.upgrade().filter(|_| changed) {
            upstream.publish();
        }
        drop(target);
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

/// An address as the Admin API shows it.
fn shown(ip: IpAddr) -> Arc<str> {
    match ip {
        IpAddr::V4(ip) => ip.to_string().into(),
        IpAddr::V6(ip) => format!("[{ip}]").into(),
    }
}
