//! Choosing the server that gets a request.

mod affinity;
mod continuum;
mod endpoint;
mod host;
mod plan;
mod prober;
mod ring;
pub(crate) mod wheel;

pub use endpoint::{Endpoint, Lease};
pub use host::Host;
pub use ring::Ring;

use crate::dns;
use crate::health::UpstreamHealth;
use crate::health::tls::ProbeTls;
use crate::tls::{Certificates, Outbound};
use model::entities::{Target, Upstream, Uuid};
use plan::{Plan, WeightedEndpoint};
use ring::Context;
use sdk::Exchange;
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;

/// The servers of all upstreams and services: their order, health and counters, which live on when the
/// configuration changes. Cheap to clone, shared by all workers; choosing takes no lock.
#[derive(Clone)]
pub struct Balancers {
    shared: Arc<Shared>,
}

/// Everything that decides where the requests of one service go; part of a snapshot.
pub enum Destination {
    /// Targets of an upstream.
    Upstream(Arc<Ring>),
    /// A plain host, looked up by name.
    Host(Host),
}

/// A server that was chosen.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    /// The name for `Host` (the port is to be added when it is not the usual one) and TLS: the upstream's
    /// `host_header`, or the host of target or service, or what the SRV record names (`use_srv_name`). An IPv6 address
    /// is in brackets.
    pub host: Arc<str>,
    /// Which target this is, for reports.
    pub target: Option<Arc<Endpoint>>,
    /// A `Set-Cookie` value to add to the response, for `hash_on: cookie` when the request had none. The same on every
    /// try.
    pub set_cookie: Option<Box<str>>,
    /// Counts as a connection of the endpoint until it is dropped: keep the peer until the exchange with it is over.
    lease: Lease,
}

/// Why there is no server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PickError {
    /// `name resolution failed`
    NameResolution,
    /// `failure to get a peer from the ring-balancer`
    NoPeer,
}

/// How a try at a peer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer with that status; 0 for an answer that is no HTTP.
    Status(u16),
    /// The connection stands, and where the gateway does not look into it (streams, tcp probes) that is a success.
    Connected,
    /// The connection failed or was cut before a response head.
    TcpFailure,
    /// Connect, write or read took too long.
    Timeout,
    /// It is not the peer's fault: there was no descriptor, port or memory for a connection here. Says nothing about
    /// the peer's health.
    LocalFault,
}

struct Shared {
    context: Arc<Context>,
    /// Read for requests.
    by_name: papaya::HashMap<Arc<str>, Arc<Ring>, foldhash::fast::RandomState>,
    /// Written and read on the control runtime only.
    registry: Mutex<Registry>,
}

#[derive(Default)]
struct Registry {
    rings: HashMap<Uuid, Arc<Ring>>,
    /// The upstream of each target.
    homes: HashMap<Uuid, Uuid>,
}

impl Balancers {
    /// Balancers with no upstream yet. Look-ups, probes and rebuilds run on `control`, never on a worker.
    pub fn new(settings: dns::Settings, control: Handle) -> Balancers {
        let resolver = dns::Resolver::new(settings, control.clone());
        let context = Arc::new(Context { resolver, control, tls: ProbeTls::default() });
        let by_name = papaya::HashMap::with_hasher(foldhash::fast::RandomState::default());
        Balancers { shared: Arc::new(Shared { context, by_name, registry: Mutex::default() }) }
    }

    /// How https probes are secured from now on; without this call, there are none.
    pub(crate) fn secure(&self, outbound: &Outbound, certificates: &Certificates) {
        self.shared.context.tls.secure(outbound.emptied(), certificates.clone());
    }

    /// The resolver, for other names that the node needs.
    pub fn resolver(&self) -> &Arc<dns::Resolver> {
        &self.shared.context.resolver
    }

    /// Takes a new set of upstreams and targets into use: what changed is rebuilt, everything else (health, position,
    /// counters) stays as it is. Runs on the control runtime when a snapshot is compiled. An upstream that is both
    /// removed and put starts afresh.
    pub fn apply(
        &self,
        put_upstreams: &[Arc<Upstream>],
        put_targets: &[Arc<Target>],
        removed_upstreams: &[Uuid],
        removed_targets: &[Uuid],
    ) {
        let mut registry = self.registry();
        let by_name = self.shared.by_name.pin();
        let forget_name = |ring: &Arc<Ring>, name: &str| {
            if by_name.get(name).is_some_and(|known| Arc::ptr_eq(known, ring)) {
                by_name.remove(name);
            }
        };
        for id in removed_upstreams {
            if let Some(ring) = registry.rings.remove(id) {
                forget_name(&ring, &ring.name());
                for target in ring.close() {
                    registry.homes.remove(&target);
                }
            }
        }
        let mut changed: HashMap<Uuid, Arc<Ring>> = HashMap::new();
        for id in removed_targets {
            let Some(home) = registry.homes.remove(id) else { continue };
            if let Some(ring) = registry.rings.get(&home) {
                ring.remove_target(id);
                changed.insert(home, Arc::clone(ring));
            }
        }
        for upstream in put_upstreams {
            let ring = match registry.rings.get(&upstream.id) {
                Some(ring) => {
                    let name = ring.name();
                    if name != upstream.name {
                        forget_name(ring, &name);
                    }
                    ring.configure(Arc::clone(upstream));
                    Arc::clone(ring)
                }
                None => {
                    let ring = Ring::new(Arc::clone(upstream), Arc::clone(&self.shared.context));
                    registry.rings.insert(upstream.id, Arc::clone(&ring));
                    ring
                }
            };
            changed.insert(upstream.id, ring);
        }
        for target in put_targets {
            let Some(ring) = registry.rings.get(&target.upstream).cloned() else {
                tracing::warn!(target = %target.target, upstream = %target.upstream, "a target of an upstream that does not exist");
                continue;
            };
            ring.put_target(Arc::clone(target));
            registry.homes.insert(target.id, target.upstream);
            changed.insert(target.upstream, ring);
        }
        for ring in changed.values() {
            ring.publish();
        }
        // Names last: whoever finds a ring by its name finds it complete.
        for upstream in put_upstreams {
            if let Some(ring) = changed.get(&upstream.id) {
                by_name.insert(upstream.name.as_str().into(), Arc::clone(ring));
            }
        }
    }

    /// Where the requests of a service go, now. Ask again when an upstream has come or gone; cheap enough for each
    /// request (two look-ups in lock-free tables).
    pub fn destination(&self, host: &str, port: u16) -> Destination {
        match self.shared.by_name.pin().get(host) {
            Some(ring) => Destination::Upstream(Arc::clone(ring)),
            None => Destination::Host(Host::new(self.resolver().entry(host), port)),
        }
    }

    /// The balancer's view of an upstream, for the Admin API; `None` while it has none.
    pub fn upstream_health(&self, upstream: Uuid) -> Option<UpstreamHealth> {
        let ring = self.registry().rings.get(&upstream).cloned();
        ring.map(|ring| ring.health())
    }

    /// Sets the health of the addresses of a target (`host` without port, `port`) by hand: of all of them, or of `ip`
    /// only, in which case `port` is the port of that address. Addresses that are not there are passed over. The error
    /// is what the client of the Admin API is told with status 400.
    pub fn set_health(
        &self,
        upstream: Uuid,
        upstream_name: &str,
        host: &str,
        port: u16,
        ip: Option<&str>,
        healthy: bool,
    ) -> Result<(), String> {
        let ring = self.registry().rings.get(&upstream).cloned();
        let ring = ring.ok_or_else(|| format!("Upstream {upstream_name} has no balancer"))?;
        if ring.set_health(host, port, ip, healthy) {
            Ok(())
        } else {
            Err(format!("no healthchecker found for {upstream_name}"))
        }
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        // A panic elsewhere leaves the maps whole: each change to them is one call.
        self.shared.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Destination {
    /// The certificate to be shown to the targets of the upstream, where the service has none of its own.
    pub(crate) fn client_certificate(&self) -> Option<Uuid> {
        match self {
            Destination::Upstream(ring) => ring.plan().upstream.client_certificate,
            Destination::Host(_) => None,
        }
    }

    /// A server for this exchange, not one of `tried` unless there is no other; `None` when a name must be resolved
    /// first (then [`Destination::pick`] waits for it). Takes no lock and allocates nothing but a new cookie.
    pub fn try_pick(
        &self,
        balancers: &Balancers,
        exchange: &Exchange,
        tried: &[SocketAddr],
    ) -> Result<Option<Peer>, PickError> {
        match self {
            Destination::Upstream(ring) => {
                let plan = ring.plan();
                let (hash, set_cookie) =
                    if plan.hashes() { affinity::of(&plan.upstream, exchange) } else { (None, None) };
                match plan.pick(ring.position(), hash, tried) {
                    Some(slot) => Ok(Some(Peer::of(slot, &plan, set_cookie))),
                    None if plan.pending => Ok(None),
                    None => Err(PickError::NoPeer),
                }
            }
            Destination::Host(host) => host.try_pick(balancers.resolver(), tried),
        }
    }

    /// As [`Destination::try_pick`]; waits for a name to be resolved.
    pub async fn pick(
        &self,
        balancers: &Balancers,
        exchange: &Exchange,
        tried: &[SocketAddr],
    ) -> Result<Peer, PickError> {
        let ring = match self {
            Destination::Upstream(ring) => ring,
            Destination::Host(host) => return host.pick(balancers.resolver(), tried).await,
        };
        loop {
            let changed = ring.changed();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(peer) = self.try_pick(balancers, exchange, tried)? {
                return Ok(peer);
            }
            // Every look-up ends, and then there is a new plan.
            changed.await;
        }
    }
}

impl Peer {
    /// Tells the health checker and the latency statistics how a try went. To be called once for each try, with
    /// `Outcome::Status` when the head of the response has come.
    pub fn report(&self, outcome: Outcome) {
        let Some(endpoint) = &self.target else { return };
        if let (Some(time), false) =
            (self.lease.elapsed(), matches!(outcome, Outcome::TcpFailure | Outcome::LocalFault))
        {
            endpoint.took(time);
        }
        endpoint.count(false, outcome);
    }

    fn of(slot: &WeightedEndpoint, plan: &Plan, set_cookie: Option<Box<str>>) -> Peer {
        let lease = match (plan.counts_exchanges(), plan.measures_latency()) {
            (true, _) => Lease::counted(&slot.endpoint),
            (_, true) => Lease::timed(),
            _ => Lease::default(),
        };
        let endpoint = Arc::clone(&slot.endpoint);
        Peer { address: endpoint.address(), host: Arc::clone(&slot.host), target: Some(endpoint), set_cookie, lease }
    }
}

impl fmt::Display for PickError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PickError::NameResolution => "name resolution failed",
            PickError::NoPeer => "failure to get a peer from the ring-balancer",
        })
    }
}

impl std::error::Error for PickError {}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Status(0) => f.write_str("not HTTP"),
            Outcome::Status(status) => write!(f, "status {status}"),
            Outcome::Connected => f.write_str("connected"),
            Outcome::TcpFailure => f.write_str("connection failed"),
            Outcome::Timeout => f.write_str("timeout"),
            Outcome::LocalFault => f.write_str("a fault of this node"),
        }
    }
}

#[cfg(test)]
mod tests;
