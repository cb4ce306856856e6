//! Choosing the server that gets a request.

use crate::dns;
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
    Host { name: Arc<str>, port: u16 },
}

/// The targets of one upstream in their current state.
pub struct Ring {}

/// A server that was chosen.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    /// The name in the target or service, for `Host` and TLS.
    pub host: Arc<str>,
    /// Which target this is, for reports.
    pub target: Option<Arc<Endpoint>>,
}

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
    /// Takes a new set of upstreams and targets into use: what changed is rebuilt, everything else (health, position,
    /// counters) stays as it is. Runs on the control runtime when a snapshot is compiled.
    pub fn apply(&self, put_upstreams: &[Arc<Upstream>], put_targets: &[Arc<Target>], removed_upstreams: &[Uuid], removed_targets: &[Uuid]) {
        todo!("{put_upstreams:?} {put_targets:?} {removed_upstreams:?} {removed_targets:?} {:p}", self.resolver)
    }

    /// Where the requests of a service go, now.
    pub fn destination(&self, host: &str, port: u16) -> Destination {
        todo!("{host} {port}")
    }
}

impl Destination {
    /// A server for this exchange, not one of `tried` unless there is no other. May wait for a name to be resolved.
    pub async fn pick(&self, balancers: &Balancers, exchange: &Exchange, tried: &[SocketAddr]) -> Result<Peer, PickError> {
        todo!("{} {tried:?} {:p}", exchange.id_str(), balancers)
    }
}

impl Peer {
    /// Tells the health checker and the latency statistics how a try went.
    pub fn report(&self, outcome: Outcome) {
        todo!("{outcome:?}")
    }
}
