//! `/status`: memory, connections, and whether the database answers; `/status/ready` on the Status API.

use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::endpoint::{Drafts, Method};
use crate::node::Memory;
use model::Degraded;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use store::declarative::EMPTY_HASH;
use uuid::Uuid;

/// Different things that are said about records, at most.
const MOST: usize = 100;

pub fn add(drafts: &mut Drafts) {
    drafts.add("/status", &[(Method::Get, |call| Box::pin(status(call)))]);
    drafts.add("/status/dns", &[(Method::Get, |call| Box::pin(dns(call)))]);
}

pub fn add_ready(drafts: &mut Drafts) {
    drafts.add(
        "/status/ready",
        &[(Method::Get, |call| Box::pin(ready(call))), (Method::Post, |call| Box::pin(drain(call)))],
    );
}

async fn status(call: Call) -> HandlerResult {
    let unit = Unit::parse(call.query.first("unit").unwrap_or("m"), call.query.first("scale"))?;
    let node = &call.state.node;
    let counters = node.counters();
    let mut body = json!({
        "memory": memory(unit, node.memory(), &node.pids().workers),
        "server": {
            "connections_accepted": counters.connections_accepted,
            "connections_active": counters.connections_active,
            "connections_handled": counters.connections_handled,
            "connections_reading": counters.connections_reading,
            "connections_waiting": counters.connections_waiting,
            "connections_writing": counters.connections_writing,
            "total_requests": counters.total_requests,
        },
    });
    if call.state.options.dbless {
        body["configuration_hash"] = Value::String(call.store.whole().configuration_hash().await?);
    } else {
        body["database"] = json!({ "reachable": call.store.whole().is_reachable().await });
    }
    let degraded = node.degraded();
    if !degraded.is_empty() {
        body["degraded"] = Degraded::summary(degraded.iter().map(Arc::as_ref)).iter().take(MOST).map(show).collect();
        body["degraded_records"] = Value::from(degraded.len());
    }
    Ok(Answer::new(200, body))
}

/// What there is to say about some records.
fn show(degraded: &Degraded<'_>) -> Value {
    let Degraded { sample, count, ids } = degraded;
    json!({
        "entity": sample.entity,
        "name": sample.name,
        "effect": sample.effect.words(),
        "reason": sample.reason,
        "records": count,
        "ids": ids.iter().map(Uuid::to_string).collect::<Vec<_>>(),
    })
}

async fn ready(call: Call) -> HandlerResult {
    call.state.node.ready().map_err(|why| Answer::message(503, why))?;
    if call.state.options.dbless && call.store.whole().configuration_hash().await? == EMPTY_HASH {
        return Err(Answer::message(503, "no configuration available (empty configuration present)"));
    }
    Ok(Answer::message(200, "ready"))
}

async fn drain(call: Call) -> HandlerResult {
    if call.content.field("status").is_none_or(|status| status != "draining") {
        return Err(Answer::message(400, "Bad request"));
    }
    call.state.node.drain();
    Ok(Answer::empty(204))
}

async fn dns(call: Call) -> HandlerResult {
    let node = &call.state.node;
    match node.name_statistics() {
        Some(stats) => {
            Ok(Answer::new(200, json!({ "worker": { "id": 0, "count": node.pids().workers.len() }, "stats": stats })))
        }
        None => Err(Answer::message(501, "not implemented with the legacy DNS client")),
    }
}

/// What Kong has beside `kong`, and the MiB of each as it is delivered.
const DICTIONARIES: [(&str, u64); 10] = [
    ("kong_cluster_events", 5),
    ("kong_core_db_cache", 128),
    ("kong_core_db_cache_miss", 12),
    ("kong_db_cache", 128),
    ("kong_db_cache_miss", 12),
    ("kong_healthchecks", 5),
    ("kong_locks", 8),
    ("kong_rate_limiting_counters", 12),
    ("kong_secrets", 5),
    ("prometheus_metrics", 5),
];

/// Kong's shape. There is no shared memory here and no Lua heap per worker: `kong` is the memory of the process
/// within that of the machine, the others are there for those who look for them, and each worker's share is an equal
/// one.
fn memory(unit: Unit, of_process: Memory, workers: &[u32]) -> Value {
    let Memory { resident, total } = of_process;
    let share = resident / workers.len().max(1) as u64;
    let dict =
        |allocated, capacity| json!({ "allocated_slabs": unit.show(allocated), "capacity": unit.show(capacity) });
    let mut dicts = Map::new();
    dicts.insert("kong".to_owned(), dict(resident, total));
    dicts.extend(DICTIONARIES.map(|(name, size)| (name.to_owned(), dict(0, size << 20))));
    let vms: Vec<Value> =
        workers.iter().map(|pid| json!({ "pid": pid, "http_allocated_gc": unit.show(share) })).collect();
    json!({ "lua_shared_dicts": dicts, "workers_lua_vms": vms })
}

/// How amounts of memory are shown.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Unit {
    Bytes,
    /// The divisor, its name and the digits behind the point.
    Scaled(f64, &'static str, usize),
}

impl Unit {
    fn parse(unit: &str, scale: Option<&str>) -> Result<Unit, Answer> {
        let scale = scale.and_then(|text| text.parse::<f64>().ok()).unwrap_or(2.0);
        let scaled = |divisor: f64, name| {
            if !(0.0..100.0).contains(&scale) {
                return Err(Answer::message(400, "scale must be equal or greater than 0"));
            }
            Ok(Unit::Scaled(divisor, name, scale as usize))
        };
        match unit {
            "" | "b" | "B" => Ok(Unit::Bytes),
            "k" | "K" => scaled(1024.0, "KiB"),
            "m" | "M" => scaled(1024.0 * 1024.0, "MiB"),
            "g" | "G" => scaled(1024.0 * 1024.0 * 1024.0, "GiB"),
            _ => Err(Answer::message(400, format!("invalid unit '{unit}' (expected 'k/K', 'm/M', or 'g/G')"))),
        }
    }

    fn show(self, bytes: u64) -> Value {
        match self {
            Unit::Bytes => Value::from(bytes),
            Unit::Scaled(divisor, name, digits) => {
                Value::String(format!("{:.*} {name}", digits, bytes as f64 / divisor))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        assert_eq!(Unit::parse("m", None).unwrap().show(5_497_558), "5.24 MiB");
        assert_eq!(Unit::parse("G", Some("3")).unwrap().show(5_497_558_138), "5.120 GiB");
        assert_eq!(Unit::parse("b", Some("0")).unwrap().show(7), 7);
        assert_eq!(Unit::parse("k", Some("x")).unwrap().show(1024), "1.00 KiB");
        assert!(Unit::parse("k", Some("-1")).is_err());
        assert_eq!(
            Unit::parse("x", None).unwrap_err().body.unwrap()["message"],
            "invalid unit 'x' (expected 'k/K', 'm/M', or 'g/G')"
        );
    }
}
