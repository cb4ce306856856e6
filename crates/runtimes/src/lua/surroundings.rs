//! What code may know of the node that it runs on.

use super::vaults;
use sdk::address::Cidr;
use sdk::{BoxFuture, Connections, Env, Network};
use serde_json::Value as Json;
use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// A node, as Lua sees it.
#[derive(Clone, Debug, Default)]
pub struct Node {
    pub id: String,
    pub hostname: String,
    pub prefix: String,
    /// How many workers there are.
    pub workers: usize,
    /// Whether other nodes may have the same database.
    pub shares_database: bool,
    /// `kong.configuration`: the settings by name.
    pub configuration: Json,
    /// Who may say on whose behalf it asks.
    pub trusted_ips: Vec<Cidr>,
}

/// Fetches what a reference to a vault stands for.
pub type FetchSecret = Arc<dyn Fn(String) -> BoxFuture<'static, Secret> + Send + Sync>;

/// What a reference stands for, and how long code may keep that.
#[derive(Clone, Debug)]
pub struct Secret {
    pub value: Result<String, String>,
    pub ttl: Option<Duration>,
    /// How long it is kept that there is none.
    pub neg_ttl: Option<Duration>,
    /// How long after that an old value is good that cannot be renewed.
    pub resurrect_ttl: Option<Duration>,
}

/// How long code waits for what a name stands for.
const LONGEST_LOOK_UP: Duration = Duration::from_secs(10);

static NODE: OnceLock<Node> = OnceLock::new();
/// As long as the node lasts: it holds the database open.
static ENV: Mutex<Option<Env>> = Mutex::new(None);

thread_local! {
    /// What a thread goes by that works before there is a node.
    static OWN_ENV: RefCell<Option<Env>> = const { RefCell::new(None) };
}

static SECRETS: Mutex<Option<FetchSecret>> = Mutex::new(None);

/// Says what node this is, once, before any worker runs.
pub fn surround(node: Node, env: Env) {
    // Another node in this process, which only tests have, goes by the first one's.
    if NODE.set(node).is_ok() {
        *ENV.lock().unwrap_or_else(PoisonError::into_inner) = Some(env);
    }
    // What vaults have learned for settings is not of this node.
    vaults::forget();
}

/// Gives this thread what it is to go by as long as there is no node.
pub(super) fn lend(env: Env) {
    OWN_ENV.set(Some(env));
}

/// Lets code ask the vaults of the node (`kong.vault`).
pub fn open_vaults(fetch: FetchSecret) {
    *SECRETS.lock().unwrap_or_else(PoisonError::into_inner) = Some(fetch);
}

/// The node ends: code finds nothing of it any more.
pub fn leave() {
    *SECRETS.lock().unwrap_or_else(PoisonError::into_inner) = None;
    *ENV.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// What a reference stands for.
pub(super) async fn secret(reference: String) -> Secret {
    let fetch = SECRETS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let (Some(fetch), Some(env)) = (fetch, env()) else { return Secret::none("there are no vaults yet") };
    let fetched = env.tasks().call("a secret for Lua", async move { fetch(reference).await });
    fetched.await.unwrap_or_else(|| Secret::none("the node ends"))
}

impl Secret {
    fn none(why: &str) -> Secret {
        Secret { value: Err(why.to_owned()), ttl: None, neg_ttl: None, resurrect_ttl: None }
    }
}

/// What a name stands for, by the node's resolver.
pub(super) async fn addresses(name: String, port: u16) -> Result<Vec<SocketAddr>, String> {
    let found = match env() {
        Some(env) => {
            let network = env.network().clone();
            let resolving = async move { network.resolve(&name, port, LONGEST_LOOK_UP).await };
            let found = env.tasks().call("a name for Lua", resolving).await;
            found.unwrap_or_else(|| Err(io::Error::other("the node ends")))
        }
        None => Network::default().resolve(&name, port, LONGEST_LOOK_UP).await,
    };
    found.map_err(|error| error.to_string())
}

pub(super) fn node() -> Node {
    NODE.get().cloned().unwrap_or_default()
}

/// What plugins of ours have, too; `None` before the node is put together, and when it ends.
pub(super) fn env() -> Option<Env> {
    let env = ENV.lock().unwrap_or_else(PoisonError::into_inner).clone();
    env.or_else(|| OWN_ENV.with_borrow(Clone::clone))
}

pub(super) fn is_trusted(address: &str) -> bool {
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    NODE.get().is_some_and(|node| node.trusted_ips.iter().any(|network| network.contains(address)))
}

pub(super) fn connections() -> Connections {
    env().and_then(|env| env.facts().map(|facts| facts.connections())).unwrap_or_default()
}
