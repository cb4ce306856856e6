//! The configuration as requests see it: typed, immutable, sharing with its predecessor whatever did not change.
//!
//! `compile` makes the next one aside, from the last one and changed records (`state`, `plugins`, `unusable`); it takes
//! effect with one pointer, and only then what goes with it outside (`Prepared`). A worker reads through its [`View`].

mod compile;
mod consumers;
mod credentials;
mod filter_chains;
mod groups;
mod hash_index;
mod partials;
mod plugins;
mod prepared;
mod state;
mod unusable;
mod view;

pub use compile::{Change, Compiler};
pub use prepared::{Prepared, Replacement};
pub use view::{Found, View};

use crate::balancer::Rings;
use crate::chain::Chain;
use crate::router::Router;
use crate::tls::{CertificateRequests, Certificates, Outbound};
use consumers::Consumers;
use credentials::Credentials;
use groups::Groups;
use model::Degradation;
use model::entities::{DEFAULT_WORKSPACE, Route, Uuid};
use rpds::HashTrieMapSync;
use sdk::{CertificateDer, ErrorPages};
use std::sync::Arc;

/// A map of which the next state of the configuration shares what did not change.
pub(crate) type Map<K, V> = HashTrieMapSync<K, V, foldhash::fast::RandomState>;

/// One state of the configuration. An exchange keeps the one it began with. Clones share everything.
#[derive(Clone)]
pub struct Snapshot {
    pub router: Router,
    pub(crate) chains: Chains,
    pub(crate) rings: Rings,
    pub(crate) consumers: Consumers,
    pub(crate) groups: Groups,
    /// Names of workspaces.
    pub(crate) workspaces: Map<Uuid, Arc<str>>,
    pub(crate) credentials: Credentials,
    pub(crate) certificates: Certificates,
    /// Whom plugins have asked for a certificate.
    pub(crate) requests: Arc<CertificateRequests>,
    /// Certificates of authorities.
    pub(crate) authorities: Map<Uuid, Arc<CertificateDer<'static>>>,
    /// How connections to services are secured.
    pub(crate) outbound: Outbound,
    pub(crate) error_pages: Arc<ErrorPages>,
    /// Records that this node cannot do justice to.
    pub(crate) degraded: Map<Subject, Arc<Degradation>>,
}

/// A record, by the name of its entity and its id.
pub(crate) type Subject = (String, Uuid);

/// The chains: of routes and services with plugins of their own, and those for all others.
#[derive(Clone, Default)]
pub(crate) struct Chains {
    /// That of the default workspace; also for what has no route.
    pub global: Arc<Chain>,
    /// Those of other workspaces, where they have global plugins.
    pub by_workspace: Map<Uuid, Arc<Chain>>,
    /// For workspaces without.
    pub empty: Arc<Chain>,
    pub by_route: Map<Uuid, Arc<Chain>>,
    pub by_service: Map<Uuid, Arc<Chain>>,
}

impl Snapshot {
    /// The chain of plugins for a route.
    pub fn chain(&self, route: &Route, service: Option<&Uuid>) -> &Arc<Chain> {
        let chains = &self.chains;
        if !chains.by_route.is_empty()
            && let Some(chain) = chains.by_route.get(&route.id)
        {
            return chain;
        }
        if !chains.by_service.is_empty()
            && let Some(chain) = service.and_then(|id| chains.by_service.get(id))
        {
            return chain;
        }
        if route.workspace == DEFAULT_WORKSPACE {
            return &chains.global;
        }
        chains.by_workspace.get(&route.workspace).unwrap_or(&chains.empty)
    }

    /// Whether plugins have a say while clients connect by TLS.
    pub(crate) fn has_handshakes(&self) -> bool {
        let global = &self.chains.global;
        !self.requests.is_empty() || !global.certifying.is_empty() || !global.connecting.is_empty()
    }

    /// The chain for what has no route: of the default workspace's global plugins.
    pub fn global_chain(&self) -> &Arc<Chain> {
        &self.chains.global
    }
}

#[cfg(test)]
mod tests;
