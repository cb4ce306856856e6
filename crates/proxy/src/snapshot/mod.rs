//! The configuration as requests see it: typed, immutable, sharing with its predecessor whatever did not change.

mod compile;

pub use compile::{Change, Compiler};

use crate::chain::Chain;
use crate::router::Router;
use crate::tls::{Certificates, Outbound};
use model::entities::{Consumer, Credential, Uuid};
use rpds::HashTrieMapSync;
use sdk::{Directory, ErrorPages};
use std::sync::Arc;

/// A map of which the next state of the configuration shares what did not change.
pub(crate) type Map<K, V> = HashTrieMapSync<K, V, foldhash::fast::RandomState>;

/// One state of the configuration. An exchange keeps the one it began with. Clones share everything.
#[derive(Clone)]
pub struct Snapshot {
    pub router: Router,
    pub(crate) chains: Chains,
    pub(crate) consumers: Map<Uuid, Arc<Consumer>>,
    pub(crate) usernames: Map<String, Uuid>,
    /// By entity, then by key field.
    pub(crate) credentials: Map<&'static str, Map<String, Arc<Credential>>>,
    pub(crate) certificates: Certificates,
    /// How connections to services are secured.
    pub(crate) outbound: Outbound,
    pub(crate) error_pages: Arc<ErrorPages>,
}

/// The chains: of routes and services with plugins of their own, and the one for all others.
#[derive(Clone)]
pub(crate) struct Chains {
    pub global: Arc<Chain>,
    pub by_route: Map<Uuid, Arc<Chain>>,
    pub by_service: Map<Uuid, Arc<Chain>>,
}

impl Snapshot {
    /// The chain of plugins for a route.
    pub fn chain(&self, route: &Uuid, service: Option<&Uuid>) -> &Arc<Chain> {
        let chains = &self.chains;
        if !chains.by_route.is_empty()
            && let Some(chain) = chains.by_route.get(route)
        {
            return chain;
        }
        if !chains.by_service.is_empty()
            && let Some(chain) = service.and_then(|id| chains.by_service.get(id))
        {
            return chain;
        }
        &chains.global
    }

    /// The chain of the global plugins.
    pub fn global_chain(&self) -> &Arc<Chain> {
        &self.chains.global
    }
}

impl Directory for Snapshot {
    fn credential(&self, entity: &str, key: &[u8]) -> Option<Arc<Credential>> {
        let credential = self.credentials.get(entity)?.get(std::str::from_utf8(key).ok()?)?;
        // Purging may be late: the end counts, not the removal.
        (!credential.is_over()).then(|| Arc::clone(credential))
    }

    fn consumer(&self, id: &Uuid) -> Option<Arc<Consumer>> {
        self.consumers.get(id).cloned()
    }

    fn consumer_by_username(&self, username: &str) -> Option<Arc<Consumer>> {
        self.consumers.get(self.usernames.get(username)?).cloned()
    }

    fn error_pages(&self) -> &ErrorPages {
        &self.error_pages
    }
}
