//! Ten times as many requests at once as a limit allows: exactly the limit is let through, wherever it is counted.

use blackbox::http::{Connection, Response, form, json};
use blackbox::{Backend, Node, Scripted, eventually};
use sdk::testing::RedisServer;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;

const LIMIT: usize = 20;
const CLIENTS: usize = 20;
const EACH: usize = 10 * LIMIT / CLIENTS;
/// In seconds. None of these windows begins before the year 2052.
const WINDOW: u64 = 864_000_000;

/// A node of four workers with a service at `/`, and that plugin of it.
fn start(service: SocketAddr, name: &str, config: &Value) -> Node {
    start_with(&[], service, name, config)
}

fn start_with(settings: &[(&str, &str)], service: SocketAddr, name: &str, config: &Value) -> Node {
    let node = Node::start(&[&[("nginx_worker_processes", "4")], settings].concat());
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{service}")).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/").expect(201);
    json(node.admin(), "POST", "/services/s/plugins", &json!({ "name": name, "config": config })).expect(201);
    node
}

/// The answers to all clients at once, each of which asks again and again on a connection of its own.
fn burst(proxy: SocketAddr) -> Vec<Response> {
    let client = |number: usize| {
        let mut connection = Connection::open(proxy).unwrap();
        let ask = move |at: usize| {
            connection.send("GET", &format!("/{number}/{at}"), &[], b"").unwrap();
            connection.receive(false).unwrap()
        };
        (0..EACH).map(ask).collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || client(number))).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    })
}

/// How often there was which status.
fn statuses(answers: &[Response]) -> BTreeMap<u16, usize> {
    let mut found = BTreeMap::new();
    for answer in answers {
        *found.entry(answer.status).or_default() += 1;
    }
    found
}

/// The limit is let through, and all else is refused by 429.
fn exactly_the_limit() -> BTreeMap<u16, usize> {
    BTreeMap::from([(200, LIMIT), (429, CLIENTS * EACH - LIMIT)])
}

fn windows(kind: &str, more: Value) -> Value {
    let mut config = json!({ "limit": [LIMIT], "window_size": [WINDOW], "window_type": kind });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config
}

#[test]
fn counted_on_a_node() {
    let backend = Backend::start("b");
    let local = json!({ "sync_rate": -1 });
    for (name, config) in [
        ("rate-limiting", json!({ "year": LIMIT, "policy": "local" })),
        ("rate-limiting-advanced", windows("fixed", local.clone())),
        ("rate-limiting-advanced", windows("sliding", local.clone())),
        ("service-protection", windows("fixed", local.clone())),
        ("service-protection", windows("sliding", local)),
    ] {
        let node = start(backend.address, name, &config);
        let before = backend.requests();
        assert_eq!(statuses(&burst(node.proxy())), exactly_the_limit(), "{name}: {config}");
        assert_eq!(backend.requests() - before, LIMIT, "{name}: {config}");
    }
}

#[test]
fn counted_by_a_redis() {
    let backend = Backend::start("b");
    let redis = RedisServer::start();
    let record = redis.record(json!({}));
    let advanced = |namespace: &str| {
        let more = json!({ "strategy": "redis", "sync_rate": 0, "redis": record, "namespace": namespace });
        move |kind: &str| windows(kind, more.clone())
    };
    let plain = json!({ "year": LIMIT, "policy": "redis", "fault_tolerant": false, "redis": record });
    for (name, config) in [
        ("rate-limiting", plain),
        ("rate-limiting-advanced", advanced("a")("fixed")),
        ("rate-limiting-advanced", advanced("b")("sliding")),
        ("service-protection", advanced("c")("fixed")),
        ("service-protection", advanced("d")("sliding")),
    ] {
        let node = start(backend.address, name, &config);
        assert_eq!(statuses(&burst(node.proxy())), exactly_the_limit(), "{name}: {config}");
    }
}

#[test]
fn counted_by_the_database() {
    let backend = Backend::start("b");
    let shared = |namespace: &str| json!({ "strategy": "cluster", "sync_rate": 0, "namespace": namespace });
    for (name, config) in [
        ("rate-limiting", json!({ "year": LIMIT, "policy": "cluster", "fault_tolerant": false })),
        ("rate-limiting-advanced", windows("fixed", shared("a"))),
        ("rate-limiting-advanced", windows("sliding", shared("b"))),
        ("service-protection", windows("fixed", shared("c"))),
    ] {
        let node = start(backend.address, name, &config);
        assert_eq!(statuses(&burst(node.proxy())), exactly_the_limit(), "{name}: {config}");
    }
}

/// Each response uses up one of what is limited.
fn costly_service() -> Scripted {
    Scripted::start("HTTP/1.1 200 OK\r\nX-Kong-Limit: video=1\r\nContent-Length: 2\r\n\r\nok")
}

#[test]
fn counted_by_what_services_say() {
    let service = costly_service();
    let config = json!({ "limits": { "video": { "year": LIMIT } } });
    let node = start(service.address, "response-ratelimiting", &config);
    assert_eq!(statuses(&burst(node.proxy())), exactly_the_limit());
}

/// What services say is told to others when the answer is on its way: a burst is counted whole, and who comes then is
/// refused.
#[test]
fn counted_later_by_what_services_say() {
    let redis = RedisServer::start();
    for policy in [json!({ "policy": "redis", "redis": redis.record(json!({})) }), json!({ "policy": "cluster" })] {
        let service = costly_service();
        let mut config = json!({ "limits": { "video": { "year": LIMIT } }, "block_on_first_violation": true });
        config.as_object_mut().unwrap().extend(policy.as_object().unwrap().clone());
        let node = start(service.address, "response-ratelimiting", &config);
        let found = statuses(&burst(node.proxy()));
        assert!(found[&200] >= LIMIT, "{policy}: {found:?}");
        assert!(found.keys().all(|status| [200, 429].contains(status)), "{policy}: {found:?}");
        eventually("all is used up", || blackbox::http::get(node.proxy(), "/").status == 429);
    }
}

/// What becomes of a burst in whose midst the Redis goes away.
fn without_redis(name: &str, config: impl FnOnce(Value) -> Value) -> BTreeMap<u16, usize> {
    let (service, redis) = (costly_service(), RedisServer::start());
    let node = start(service.address, name, &config(redis.record(json!({}))));
    std::thread::scope(|scope| {
        let burst = scope.spawn(|| statuses(&burst(node.proxy())));
        eventually("requests are counted", || !service.requests().is_empty());
        drop(redis);
        burst.join().unwrap()
    })
}

#[test]
fn each_node_counts_when_the_redis_goes_away() {
    for (name, kind, sync_rate) in [
        ("rate-limiting-advanced", "fixed", 0.0),
        ("rate-limiting-advanced", "sliding", 0.0),
        ("rate-limiting-advanced", "sliding", 0.05),
        ("service-protection", "fixed", 0.0),
        ("service-protection", "sliding", 0.05),
    ] {
        let found = without_redis(name, |redis| {
            windows(kind, json!({ "strategy": "redis", "sync_rate": sync_rate, "redis": redis }))
        });
        let case = format!("{name}, {kind}, {sync_rate}: {found:?}");
        // What the Redis has counted, and what the node counts from then on.
        assert!((1..=2 * LIMIT).contains(&found[&200]), "{case}");
        assert!(found.keys().all(|status| [200, 429].contains(status)), "{case}");
    }
}

#[test]
fn what_services_say_is_forgotten_when_the_redis_goes_away() {
    for (tolerant, allowed) in [(true, &[200, 429][..]), (false, &[200, 429, 500])] {
        let found = without_redis("response-ratelimiting", |redis| {
            json!({
                "limits": { "video": { "year": LIMIT } }, "policy": "redis", "redis": redis, "fault_tolerant": tolerant
            })
        });
        assert!(found.keys().all(|status| allowed.contains(status)), "{tolerant}: {found:?}");
    }
}

/// A plugin that has the whole response before the client gets any of it.
const HELD: &str = "return { VERSION = '1', PRIORITY = 1, response = function() \
    local body = kong.service.response.get_raw_body() \
    kong.response.set_header('X-Held', #body) \
end }";
const SCHEMA: &str = "return { name = 'held', fields = { { config = { type = 'record', fields = {} } } } }";

#[test]
fn responses_that_are_held_stay_apart() {
    let (backend, folder) = (Backend::start("b"), tempfile::tempdir().unwrap());
    let code = folder.path().join("kong/plugins/held");
    std::fs::create_dir_all(&code).unwrap();
    std::fs::write(code.join("handler.lua"), HELD).unwrap();
    std::fs::write(code.join("schema.lua"), SCHEMA).unwrap();
    let path = format!("{}/?.lua;;", folder.path().display());
    let settings = [("plugins", "bundled, held"), ("lua_package_path", &*path)];
    let limits = json!({ "year": LIMIT, "policy": "local" });
    let node = start_with(&settings, backend.address, "rate-limiting", &limits);
    json(node.admin(), "POST", "/routes/r/plugins", &json!({ "name": "held" })).expect(201);
    let answers = burst(node.proxy());
    assert_eq!(statuses(&answers), exactly_the_limit());
    let mut lines: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 200)
        .inspect(|answer| assert_eq!(answer.header("X-Held"), Some(&*answer.body.len().to_string())))
        .map(|answer| answer.json()["head"][0].to_string())
        .collect();
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), LIMIT, "each has the answer to its own request");
    assert_eq!(backend.requests(), LIMIT);
}
