//! Limits that nodes keep together, and what becomes of requests when they cannot.

use blackbox::http::{Response, form, json, request};
use blackbox::{Backend, Node, eventually};
use rustix::process::Signal;
use sdk::testing::RedisServer;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A node with a service at `/` and that plugin.
fn start(backend: &Backend, plugin: Value) -> Node {
    let node = Node::start(&[("nginx_worker_processes", "4")]);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/").expect(201);
    json(node.admin(), "POST", "/plugins", &plugin).expect(201);
    node
}

fn by_redis(config: Value) -> Value {
    let mut all = json!({ "year": 20, "policy": "redis", "fault_tolerant": false });
    all.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    json!({ "name": "rate-limiting", "config": all })
}

fn ask(node: &Node) -> Response {
    request(node.proxy(), "GET", "/", &[], b"").unwrap()
}

/// So many requests at each node, from four clients at a time; how often there was which status.
fn burst(nodes: &[&Node], each: usize) -> BTreeMap<u16, usize> {
    let mut statuses = BTreeMap::new();
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let clients = nodes.iter().flat_map(|node| std::iter::repeat_n(*node, 4));
        let work = |node| scope.spawn(move || (0..each / 4).map(|_| ask(node).status).collect::<Vec<_>>());
        let clients: Vec<_> = clients.map(work).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    for status in answers {
        *statuses.entry(status).or_default() += 1;
    }
    statuses
}

#[test]
fn two_nodes_with_one_redis_let_exactly_the_limit_through() {
    let (backend, redis) = (Backend::start("b"), RedisServer::start());
    let plugin = by_redis(json!({ "redis": redis.record(json!({})) }));
    let nodes = [start(&backend, plugin.clone()), start(&backend, plugin)];
    assert_eq!(burst(&[&nodes[0], &nodes[1]], 100), BTreeMap::from([(200, 20), (429, 180)]));
    let refused = ask(&nodes[0]);
    assert_eq!(refused.header("RateLimit-Remaining"), Some("0"));
}

#[test]
fn windows_of_any_length_hold_over_two_nodes() {
    let (backend, redis) = (Backend::start("b"), RedisServer::start());
    let config = json!({
        "limit": [20], "window_size": [86_400], "strategy": "redis", "sync_rate": 0, "namespace": "n",
        "redis": redis.record(json!({}))
    });
    let plugin = json!({ "name": "rate-limiting-advanced", "config": config });
    let nodes = [start(&backend, plugin.clone()), start(&backend, plugin)];
    assert_eq!(burst(&[&nodes[0], &nodes[1]], 100), BTreeMap::from([(200, 20), (429, 180)]));
    drop(redis);
    assert_eq!(ask(&nodes[0]).header("RateLimit-Remaining"), Some("19"), "it counts by itself");
}

#[test]
fn the_database_counts_windows_of_any_length() {
    let backend = Backend::start("b");
    let config = json!({ "limit": [20], "window_size": [86_400], "strategy": "cluster", "sync_rate": 0 });
    let mut node = start(&backend, json!({ "name": "rate-limiting-advanced", "config": config }));
    assert_eq!(burst(&[&node], 200), BTreeMap::from([(200, 20), (429, 180)]));
    // Its end waits for what is still to be told to the database.
    assert!(node.end(Signal::TERM));
    node.revive();
    assert_eq!(ask(&node).status, 429, "the database knows");
}

#[test]
fn nodes_tell_each_other_of_counts_every_now_and_then() {
    let (backend, redis) = (Backend::start("b"), RedisServer::start());
    let config = json!({
        "limit": [5], "window_size": [86_400], "strategy": "redis", "sync_rate": 0.05, "namespace": "n",
        "disable_penalty": true, "redis": redis.record(json!({}))
    });
    let plugin = json!({ "name": "rate-limiting-advanced", "config": config });
    let nodes = [start(&backend, plugin.clone()), start(&backend, plugin)];
    assert_eq!(burst(&[&nodes[0]], 40), BTreeMap::from([(200, 5), (429, 35)]));
    // One request of its own has the second node ask for the count of the caller.
    assert_eq!(ask(&nodes[1]).status, 200);
    eventually("the second node knows", || ask(&nodes[1]).status == 429);
}

#[test]
fn a_redis_that_comes_back_counts_again() {
    let (backend, redis) = (Backend::start("b"), RedisServer::start());
    let node = start(&backend, by_redis(json!({ "redis": redis.record(json!({})) })));
    assert_eq!(ask(&node).status, 200);
    redis.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    assert_eq!(ask(&node).header("RateLimit-Remaining"), Some("18"));
    drop(redis);
    let failed = ask(&node);
    assert_eq!(failed.status, 500);
    assert_eq!(failed.json()["message"], "An unexpected error occurred");
}

#[test]
fn the_database_counts_for_all_nodes() {
    let backend = Backend::start("b");
    let plugin = json!({ "name": "rate-limiting", "config": { "year": 20, "policy": "cluster" } });
    let mut node = start(&backend, plugin);
    assert_eq!(burst(&[&node], 200), BTreeMap::from([(200, 20), (429, 180)]));
    assert!(node.end(Signal::TERM));
    node.revive();
    assert_eq!(ask(&node).status, 429, "the database knows");
}

#[test]
fn workers_let_exactly_the_limit_through_together() {
    let backend = Backend::start("b");
    let windows = json!({ "limit": [20], "window_size": [86_400], "sync_rate": -1 });
    for (name, config) in [
        ("rate-limiting", json!({ "year": 20, "policy": "local" })),
        ("rate-limiting-advanced", windows.clone()),
        ("service-protection", windows),
    ] {
        let node = start(&backend, json!({ "name": "correlation-id" }));
        json(node.admin(), "POST", "/services/s/plugins", &json!({ "name": name, "config": config })).expect(201);
        assert_eq!(burst(&[&node], 200), BTreeMap::from([(200, 20), (429, 180)]), "{name}");
    }
}

/// What becomes of a burst in whose midst the Redis goes away.
fn burst_without_redis(plugin: impl FnOnce(Value) -> Value) -> BTreeMap<u16, usize> {
    let (backend, redis) = (Backend::start("b"), RedisServer::start());
    let node = start(&backend, plugin(redis.record(json!({}))));
    std::thread::scope(|scope| {
        let burst = scope.spawn(|| burst(&[&node], 200));
        eventually("requests are counted", || backend.requests() > 0);
        drop(redis);
        burst.join().unwrap()
    })
}

#[test]
fn a_redis_that_goes_away_lets_nobody_through_beyond_the_limit() {
    let statuses = burst_without_redis(|redis| by_redis(json!({ "redis": redis })));
    assert!((1..=20).contains(&statuses[&200]), "{statuses:?}");
    assert!(statuses.keys().all(|status| [200, 429, 500].contains(status)), "{statuses:?}");
}

#[test]
fn a_redis_that_goes_away_keeps_nobody_out_where_that_is_tolerated() {
    let statuses = burst_without_redis(|redis| by_redis(json!({ "redis": redis, "fault_tolerant": true })));
    assert!(statuses[&200] > 0, "{statuses:?}");
    assert!(statuses.keys().all(|status| [200, 429].contains(status)), "{statuses:?}");
}
