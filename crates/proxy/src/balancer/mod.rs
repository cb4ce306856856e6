//! Choosing the server that gets a request.

use crate::dns;
use crate::health::UpstreamHealth;
use model::entities::{Target, Upstream, Uuid};
use sdk::Exchange;
use std::net::SocketAddr;
use std::sync::Arc;

/// The servers of all upstreams and services: their order, health and counters, which live on when the
/// configuration changes. Cheap to clone, shared by all workers; choosing takes no lock.
#[derive(Clone)]
pub struct Balancers {
    resolver: Arc<dns::Resolver>,
}

/// Everything that decides where the requests of one service go; part of a snapshot.
pub enum Destination {
    /// Targets of an upstream.
    Upstream(Arc<Ring>),
    /// A plain host, looked up by name.
    Host(Host),
}

/// A host that is no upstream, with what is known of its addresses.
pub struct Host {}

/// The targets of one upstream in their current state.
pub struct Ring {}

/// A server that was chosen.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    /// The name for `Host` (the port is to be added when it is not the usual one) and TLS: the upstream's `host_header`, or
    /// the host of target or service, or what the SRV record names (`use_srv_name`). An IPv6 address is in brackets.
    pub host: Arc<str>,
    /// Which target this is, for reports.
    pub target: Option<Arc<Endpoint>>,
    /// A `Set-Cookie` value to add to the response, for `hash_on: cookie` when the request had none. The same on every try.
    pub set_cookie: Option<Box<str>>,
    /// Counts as a connection of the endpoint until it is dropped: keep the peer until the exchange with it is over.
    lease: Lease,
}

/// An open exchange in the statistics of an endpoint; ends when dropped.
#[derive(Clone, Debug, Default)]
pub struct Lease {}

/// One address of one target, with its health and its counters.
#[derive(Debug)]
pub struct Endpoint {}

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
    /// An answer with that status.
    Status(u16),
    /// The connection failed or was cut before a response head.
    TcpFailure,
    /// Connect, write or read took too long.
    Timeout,
}

impl Balancers {
    /// Balancers with no upstream yet. Look-ups, probes and rebuilds run on `control`, never on a worker.
    pub fn new(settings: dns::Settings, control: tokio::runtime::Handle) -> Balancers {
        todo!("{settings:?} {control:?}")
    }

    /// The certificate authorities that https probes trust; without this call, those of the system.
    pub fn trust(&self, roots: Arc<rustls::RootCertStore>) {
        todo!("{roots:?}")
    }

    /// The balancer's view of an upstream, for the Admin API; `None` while it has none.
    pub fn upstream_health(&self, upstream: Uuid) -> Option<UpstreamHealth> {
        todo!("{upstream}")
    }

    /// Sets the health of the addresses of a target (`host` without port, `port`) by hand: of all of them, or of `ip` only.
    /// Addresses that are not there are passed over. The error is what the client of the Admin API is told with status 400.
    pub fn set_health(&self, upstream: Uuid, upstream_name: &str, host: &str, port: u16, ip: Option<&str>, healthy: bool) -> Result<(), String> {
        todo!("{upstream} {upstream_name} {host} {port} {ip:?} {healthy}")
    }

    /// Takes a new set of upstreams and targets into use: what changed is rebuilt, everything else (health, position,
    /// counters) stays as it is. Runs on the control runtime when a snapshot is compiled.
    pub fn apply(&self, put_upstreams: &[Arc<Upstream>], put_targets: &[Arc<Target>], removed_upstreams: &[Uuid], removed_targets: &[Uuid]) {
        todo!("{put_upstreams:?} {put_targets:?} {removed_upstreams:?} {removed_targets:?} {:p}", self.resolver)
    }

    /// Where the requests of a service go, now. Ask again when an upstream has come or gone; cheap enough for each request
    /// (two look-ups in lock-free tables).
    pub fn destination(&self, host: &str, port: u16) -> Destination {
        todo!("{host} {port}")
    }
}

impl Destination {
    /// A server for this exchange, not one of `tried` unless there is no other; `None` when a name must be resolved first
    /// (then [`Destination::pick`] waits for it). Takes no lock and allocates nothing but a new cookie.
    pub fn try_pick(&self, balancers: &Balancers, exchange: &Exchange, tried: &[SocketAddr]) -> Result<Option<Peer>, PickError> {
        todo!("{} {tried:?} {:p}", exchange.id_str(), balancers)
    }

    /// A server for this exchange, not one of `tried` unless there is no other. May wait for a name to be resolved.
    pub async fn pick(&self, balancers: &Balancers, exchange: &Exchange, tried: &[SocketAddr]) -> Result<Peer, PickError> {
        todo!("{} {tried:?} {:p}", exchange.id_str(), balancers)
    }
}

impl Peer {
    /// Tells the health checker and the latency statistics how a try went. To be called once for each try, with
    /// `Outcome::Status` when the head of the response has come.
    pub fn report(&self, outcome: Outcome) {
        todo!("{outcome:?} {:?}", self.lease)
    }
}
