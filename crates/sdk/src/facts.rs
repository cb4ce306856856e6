//! What the node tells plugins of itself while it runs, for those that export it.

use crate::{BoxFuture, OwnCertificate};
use model::entities::Uuid;
use model::health::UpstreamHealth;

/// A node that runs. Asked on the control runtime.
pub trait Facts: Send + Sync {
    /// What the proxy's listeners have counted since the start.
    fn connections(&self) -> Connections;

    fn memory(&self) -> Memory;

    /// How many workers there are, in which process.
    fn workers(&self) -> (usize, u32);

    /// The upstreams of all workspaces by name, as the balancer sees them.
    fn upstreams(&self) -> Vec<(String, UpstreamHealth)>;

    /// The certificate of that id among `certificates`; `None`: it is not there or of no use.
    fn certificate(&self, _id: &Uuid) -> Option<OwnCertificate> {
        None
    }

    /// Whether there are listeners for streams.
    fn has_streams(&self) -> bool {
        false
    }

    /// Whether the database answers; true without one.
    fn database_reachable(&self) -> BoxFuture<'_, bool>;
}

/// Connections of clients, in nginx's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    pub accepted: u64,
    pub handled: u64,
    pub active: u64,
    pub reading: u64,
    pub writing: u64,
    pub waiting: u64,
    /// Requests on all of them.
    pub requests: u64,
}

/// Memory in octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// What the process has of it.
    pub resident: u64,
    /// What the machine has.
    pub total: u64,
}
