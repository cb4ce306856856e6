//! What code may know of the node that it runs on.

use sdk::address::Cidr;
use sdk::{Connections, Env};
use serde_json::Value as Json;
use std::net::IpAddr;
use std::sync::{Mutex, OnceLock, PoisonError};

/// A node, as Lua sees it.
#[derive(Clone, Debug, Default)]
pub struct Node {
    pub id: String,
    pub hostname: String,
    pub prefix: String,
    /// How many workers there are.
    pub workers: usize,
    /// `kong.configuration`: the settings by name.
    pub configuration: Json,
    /// Who may say on whose behalf it asks.
    pub trusted_ips: Vec<Cidr>,
}

static NODE: OnceLock<Node> = OnceLock::new();
/// As long as the node lasts: it holds the database open.
static ENV: Mutex<Option<Env>> = Mutex::new(None);

/// Says what node this is, once, before any worker runs.
pub fn surround(node: Node, env: Env) {
    // Another node in this process, which only tests have, goes by the first one's.
    if NODE.set(node).is_ok() {
        *ENV.lock().unwrap_or_else(PoisonError::into_inner) = Some(env);
    }
}

/// The node ends: code finds nothing of it any more.
pub fn leave() {
    *ENV.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

pub(super) fn node() -> Node {
    NODE.get().cloned().unwrap_or_default()
}

/// What plugins of ours have, too; `None` before the node is put together, and when it ends.
pub(super) fn env() -> Option<Env> {
    ENV.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

pub(super) fn is_trusted(address: &str) -> bool {
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    NODE.get().is_some_and(|node| node.trusted_ips.iter().any(|network| network.contains(address)))
}

pub(super) fn connections() -> Connections {
    env().and_then(|env| env.facts().map(|facts| facts.connections())).unwrap_or_default()
}
