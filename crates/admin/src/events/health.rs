//! What hooks are told of the health of targets (`balancer`): the node is asked now and then, and what has changed
//! since is told.

use super::{BALANCER, Told, hooks, tell_of};
use crate::access::text;
use crate::answer::Answer;
use crate::node::Node;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Duration;
use store::{PageQuery, Scope, Store};

/// What an event has.
pub const FIELDS: [&str; 5] = ["upstream_id", "ip", "port", "hostname", "health"];
/// Its name.
pub const EVENT: &str = "health";
/// How often the node is asked while a hook wants to know, and how often it is looked whether one does.
const PERIOD: Duration = Duration::from_secs(1);
const IDLE: Duration = Duration::from_secs(5);

/// Addresses of targets by upstream, target, address and port: whether they are healthy.
type Seen = HashMap<(String, String, String, u16), bool>;

/// Tells for ever.
pub async fn watch(store: &Store, node: &dyn Node, told: &Told) {
    let store = store.of(Scope::All);
    let mut before: Option<Seen> = None;
    loop {
        tokio::time::sleep(if before.is_some() { PERIOD } else { IDLE }).await;
        match round(&store, node, told, before.take()).await {
            Ok(seen) => before = seen,
            Err(_) => tracing::error!("event hooks cannot be told of the health of targets: the database fails"),
        }
    }
}

/// What is seen now; `None` where nobody wants to know.
async fn round(store: &Store, node: &dyn Node, told: &Told, before: Option<Seen>) -> Result<Option<Seen>, Answer> {
    let mut hooks = hooks(store, told).await?;
    hooks.retain(|hook| text(hook, "source") == BALANCER);
    if hooks.is_empty() {
        return Ok(None);
    }
    let mut seen = Seen::new();
    let mut query = PageQuery { size: 1000, ..PageQuery::default() };
    loop {
        let page = store.page("upstreams", &query).await?;
        for upstream in &page.data {
            look(node, text(upstream, "id"), &mut seen);
        }
        query.offset = page.offset;
        if query.offset.is_none() {
            break;
        }
    }
    for (address, healthy) in before.iter().flat_map(|_| &seen) {
        if before.as_ref().and_then(|before| before.get(address)).is_some_and(|was| was != healthy) {
            let (upstream, host, ip, port) = address;
            let health = if *healthy { "HEALTHY" } else { "UNHEALTHY" };
            let data = json!({ "upstream_id": upstream, "ip": ip, "port": port, "hostname": host, "health": health });
            hooks.iter().for_each(|hook| tell_of(node, told, hook, BALANCER, EVENT, data.clone()));
        }
    }
    Ok(Some(seen))
}

fn look(node: &dyn Node, upstream: &str, seen: &mut Seen) {
    let health = upstream.parse().ok().and_then(|id| node.upstream_health(id));
    for host in health.iter().filter(|health| health.checked).flat_map(|health| &health.hosts) {
        for address in &host.addresses {
            let key = (upstream.to_owned(), host.host.clone(), address.ip.clone(), address.port);
            seen.insert(key, address.healthy);
        }
    }
}

/// As `/event-hooks/sources` shows it.
pub fn describe() -> Value {
    json!({ EVENT: { "fields": FIELDS } })
}
