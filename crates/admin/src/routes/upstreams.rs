//! `/upstreams/{upstreams}/health`: targets as the balancer of this node sees them.

use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::endpoint::{Drafts, Method};
use crate::routes::targets;
use crate::{entity, nested, page};
use model::Record;
use model::health::{AddressHealth, HostHealth, UpstreamHealth, Weights};
use serde_json::{Value, json};
use uuid::Uuid;

const OFF: &str = "HEALTHCHECKS_OFF";

pub fn add(drafts: &mut Drafts) {
    let Some(subject) = drafts.subject("/upstreams/{upstreams}") else { return };
    drafts.add_about(subject, "/upstreams/{upstreams}/health", &[(Method::Get, |call| Box::pin(health(call)))]);
}

async fn health(call: Call) -> HandlerResult {
    let outer = entity::subject(&call)?.outer;
    let upstream = entity::find(&call, &outer, &call.key(&outer, 0)).await?;
    let id = nested::id(&upstream);
    let uuid = Uuid::parse_str(&id).map_err(|_| Answer::unexpected())?;
    let health = call.state.node.upstream_health(uuid);
    let mut body = if call.query.first("balancer_health") == Some("1") {
        match &health {
            Some(health) => json!({ "data": balancer(&id, health), "next": null }),
            None => json!({ "next": null }),
        }
    } else {
        let (mut data, offset) = targets::page_of(&call, &id).await?;
        if let Some(health) = &health {
            data.iter_mut().for_each(|target| add_health(target, health));
        }
        page::records(data, offset, &format!("{}/upstreams/{}/health", call.prefix, call.raw_parameter(0)), "")
    };
    body["node_id"] = Value::String(call.state.node.id().to_string());
    Ok(Answer::new(200, body))
}

/// The whole upstream (`?balancer_health=1`).
fn balancer(id: &str, upstream: &UpstreamHealth) -> Value {
    let balancer_health = if upstream.healthy { "HEALTHY" } else { "UNHEALTHY" };
    let healthy = |address: &AddressHealth| json!(address.healthy);
    let hosts: Vec<Value> = upstream.hosts.iter().map(|host| show(host, "healthy", healthy)).collect();
    json!({
        "id": id,
        "health": if upstream.checked { balancer_health } else { OFF },
        "balancer_health": balancer_health,
        "details": { "healthy": upstream.healthy, "hosts": hosts, "weight": weights(upstream.weight) },
    })
}

/// Adds `health` and `data` to a target. What the balancer has no address of did not resolve.
fn add_health(target: &mut Record, upstream: &UpstreamHealth) {
    let (name, port) = targets::split(targets::address(target));
    let Some(host) = upstream.hosts.iter().find(|host| host.port == port && host.host == name) else {
        target.insert("health".to_owned(), json!("DNS_ERROR"));
        return;
    };
    let checked = upstream.checked && host.node_weight > 0;
    let state = |address: &AddressHealth| match (checked, address.healthy) {
        (false, _) => OFF,
        (true, true) => "HEALTHY",
        (true, false) => "UNHEALTHY",
    };
    let health = if host.addresses.is_empty() {
        "DNS_ERROR"
    } else if !checked {
        OFF
    } else if host.addresses.iter().any(|address| address.healthy) {
        "HEALTHY"
    } else {
        "UNHEALTHY"
    };
    target.insert("health".to_owned(), json!(health));
    target.insert("data".to_owned(), show(host, "health", |address| json!(state(address))));
}

/// A host with its addresses, whose `state` stands under `name`.
fn show(host: &HostHealth, name: &str, state: impl Fn(&AddressHealth) -> Value) -> Value {
    let shown = |address: &AddressHealth| {
        let AddressHealth { ip, port, weight, .. } = address;
        json!({ "ip": ip, "port": port, "weight": weight, name: state(address) })
    };
    json!({
        "host": host.host,
        "port": host.port,
        "dns": host.dns,
        "nodeWeight": host.node_weight,
        "weight": weights(host.weight),
        "addresses": host.addresses.iter().map(shown).collect::<Vec<_>>(),
    })
}

fn weights(weights: Weights) -> Value {
    json!({ "total": weights.total, "available": weights.available, "unavailable": weights.unavailable })
}
