//! What code may know of the node that it runs on.

use sdk::address::Cidr;
use sdk::{Connections, Env};
use serde_json::Value as Json;
use std::net::IpAddr;
use std::sync::OnceLock;

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

struct Surroundings {
    node: Node,
    env: Env,
}

static SURROUNDINGS: OnceLock<Surroundings> = OnceLock::new();

/// Says what node this is, once, before any worker runs.
pub fn surround(node: Node, env: Env) {
    // Another node in this process, which only tests have, goes by the first one's.
    let _ = SURROUNDINGS.set(Surroundings { node, env });
}

pub(super) fn node() -> Node {
    SURROUNDINGS.get().map(|surroundings| surroundings.node.clone()).unwrap_or_default()
}

/// What plugins of ours have, too; `None` before the node is put together.
pub(super) fn env() -> Option<&'static Env> {
    SURROUNDINGS.get().map(|surroundings| &surroundings.env)
}

pub(super) fn is_trusted(address: &str) -> bool {
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    SURROUNDINGS.get().is_some_and(|of| of.node.trusted_ips.iter().any(|network| network.contains(address)))
}

pub(super) fn connections() -> Connections {
    env().and_then(Env::facts).map(|facts| facts.connections()).unwrap_or_default()
}
