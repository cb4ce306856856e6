//! What plugins keep across configuration changes.

use crate::{Facts, MemoryBudget, Metrics, Network, NodeLog, OwnCertificate, Records, Scripts, Tasks};
use model::entities::Uuid;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use std::any::{Any, TypeId};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

/// The surroundings of plugin instances; one per node, handed to [`crate::PluginKind::configure`].
#[derive(Clone)]
pub struct Env {
    shared: Arc<Mutex<Vec<Shared>>>,
    node: Arc<NodeInfo>,
    cache_size: usize,
    memory: MemoryBudget,
    metrics: Metrics,
    log: NodeLog,
    tasks: Tasks,
    network: Network,
    records: Records,
    scripts: Option<Arc<dyn Scripts>>,
    facts: Arc<OnceLock<Weak<dyn Facts>>>,
}

/// The version of Kong that clients may count on.
pub const KONG_VERSION: &str = "3.10.0";

type Shared = (TypeId, Arc<dyn Any + Send + Sync>);

/// What the node says of itself.
#[derive(Clone, Debug)]
pub struct NodeInfo {
    pub id: Uuid,
    pub hostname: String,
}

impl Env {
    /// The surroundings on that node; background tasks run where this is called.
    pub fn new(node: NodeInfo) -> Env {
        let tasks = Tasks::default();
        Env {
            shared: Arc::default(),
            node: Arc::new(node),
            cache_size: 128 << 20,
            memory: MemoryBudget::default(),
            metrics: Metrics::default(),
            log: NodeLog::default(),
            records: Records::nowhere(tasks.clone()),
            tasks,
            network: Network::default(),
            scripts: None,
            facts: Arc::default(),
        }
    }

    /// With room for that many bytes in each cache of a plugin's own (`mem_cache_size`), and for metrics.
    pub fn with_cache_size(self, bytes: usize) -> Env {
        Env { cache_size: bytes, metrics: Metrics::new(bytes), ..self }
    }

    /// How many bytes a cache of a plugin's own may hold.
    pub fn cache_size(&self) -> usize {
        self.cache_size
    }

    /// With that budget for the contents that are held in memory, in place of one of its own.
    pub fn with_memory(self, memory: MemoryBudget) -> Env {
        Env { memory, ..self }
    }

    /// What contents of requests and responses may be held in memory, by plugins and by the gateway itself.
    pub fn memory(&self) -> &MemoryBudget {
        &self.memory
    }

    /// With that way to other servers.
    pub fn with_network(self, network: Network) -> Env {
        Env { network, ..self }
    }

    /// How other servers are reached.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// With that way to the store.
    pub fn with_records(self, records: Records) -> Env {
        Env { records, ..self }
    }

    /// The records of plugins' own that requests read and write.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// With that log of the node.
    pub fn with_log(self, log: NodeLog) -> Env {
        Env { log, ..self }
    }

    /// What the node logs.
    pub fn log(&self) -> &NodeLog {
        &self.log
    }

    /// What plugins count for those who export it.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Says who knows what the node is about, once it is put together.
    pub fn tell(&self, facts: &Arc<dyn Facts>) {
        // The first one stays.
        let _ = self.facts.set(Arc::downgrade(facts));
    }

    /// What the node tells of itself; `None` before it runs, and after.
    pub fn facts(&self) -> Option<Arc<dyn Facts>> {
        self.facts.get()?.upgrade()
    }

    /// What [`crate::HttpClient::showing`] takes for the certificate of that id among `certificates`. Servers are shown
    /// what it is when they ask, and nothing while it is not there.
    pub fn certificate(&self, id: Uuid) -> OwnCertificate {
        OwnCertificate::new(Arc::new(Configured { facts: Arc::clone(&self.facts), id }))
    }

    /// With that run time for code in configurations.
    pub fn with_scripts(self, scripts: Arc<dyn Scripts>) -> Env {
        Env { scripts: Some(scripts), ..self }
    }

    /// The run time for code in configurations, where there is one.
    pub fn scripts(&self) -> Option<&Arc<dyn Scripts>> {
        self.scripts.as_ref()
    }

    /// What goes on beside requests.
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// The node that the plugin runs on.
    pub fn node(&self) -> &Arc<NodeInfo> {
        &self.node
    }

    /// The one value of that type on this node, made on first use. It outlives configuration changes: counters,
    /// caches and connection pools live in such values, keyed by whatever must tell instances apart.
    /// Called when an instance is configured, never on the request path.
    pub fn shared<T: Any + Send + Sync + Default>(&self) -> Arc<T> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let known = shared.iter().find(|(id, _)| *id == TypeId::of::<T>()).map(|(_, value)| Arc::clone(value));
        let value = known.unwrap_or_else(|| {
            let value: Arc<dyn Any + Send + Sync> = Arc::new(T::default());
            shared.push((TypeId::of::<T>(), Arc::clone(&value)));
            value
        });
        drop(shared);
        value.downcast().unwrap_or_default()
    }
}

/// A certificate that may change.
struct Configured {
    facts: Arc<OnceLock<Weak<dyn Facts>>>,
    id: Uuid,
}

impl ResolvesClientCert for Configured {
    fn resolve(&self, hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let facts = self.facts.get().and_then(Weak::upgrade);
        let certificate = facts.and_then(|facts| facts.certificate(&self.id));
        if certificate.is_none() {
            tracing::error!("a server is shown no certificate: {} is not there or of no use", self.id);
        }
        certificate?.resolve(hints, schemes)
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl fmt::Debug for Configured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Configured({})", self.id)
    }
}

impl Default for Env {
    fn default() -> Env {
        Env::new(NodeInfo::default())
    }
}

impl Default for NodeInfo {
    /// A new id, and the name of this machine.
    fn default() -> NodeInfo {
        let hostname =
            std::fs::read_to_string("/proc/sys/kernel/hostname").map(|name| name.trim().to_owned()).unwrap_or_default();
        NodeInfo { id: Uuid::new_v4(), hostname }
    }
}
