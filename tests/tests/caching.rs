//! Responses that are kept in a Redis, shared by nodes.

use blackbox::http::{Response, form, get, json, request};
use blackbox::{Backend, Node, eventually};
use sdk::testing::RedisServer;
use serde_json::{Value, json};

/// A node with a service at `/`, and a cache with that configuration.
fn start(backend: &Backend, name: &str, config: Value) -> Node {
    start_with(&[], backend, name, config)
}

fn start_with(settings: &[(&str, &str)], backend: &Backend, name: &str, config: Value) -> Node {
    let node = Node::start(settings);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    // Keys have the route's id in them.
    let route = json!({ "paths": ["/"], "service": { "name": "s" } });
    json(node.admin(), "PUT", "/routes/00000000-0000-4000-8000-000000000001", &route).expect(200);
    json(node.admin(), "POST", "/plugins", &json!({ "name": name, "config": config })).expect(201);
    node
}

fn config(redis: &Value, more: Value) -> Value {
    let mut config = json!({ "strategy": "redis", "content_type": ["*/*"], "redis": redis });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config
}

fn ask(node: &Node) -> Response {
    request(node.proxy(), "GET", "/a", &[], b"").unwrap()
}

fn told(response: &Response) -> &str {
    response.header("X-Cache-Status").unwrap_or_default()
}

#[test]
fn a_memory_of_the_settings_holds_responses() {
    let backend = Backend::start("b");
    let settings = [("nginx_http_lua_shared_dict", "my_cache 12m")];
    let config = json!({ "strategy": "memory", "content_type": ["*/*"], "memory": { "dictionary_name": "my_cache" } });
    let node = start_with(&settings, &backend, "proxy-cache", config);
    assert_eq!(told(&ask(&node)), "Miss");
    let hit = ask(&node);
    // It looks as if the service had just sent it.
    let lines = ["X-Kong-Upstream-Latency", "X-Kong-Proxy-Latency", "Via"];
    assert_eq!((told(&hit), lines.map(|line| hit.header(line).is_some())), ("Hit", [true; 3]));
    let other = json!({ "strategy": "memory", "memory": { "dictionary_name": "none" } });
    json(node.admin(), "POST", "/plugins", &json!({ "name": "proxy-cache", "config": other })).expect(400);
}

#[test]
fn two_nodes_share_responses() {
    let (backend, redis) = (Backend::start("b"), RedisServer::start());
    let shared = config(&redis.record(json!({})), json!({}));
    let nodes = [(); 2].map(|()| start(&backend, "proxy-cache-advanced", shared.clone()));
    let first = ask(&nodes[0]);
    assert_eq!(told(&first), "Miss");
    eventually("it is stored", || !redis.keys().is_empty());
    let hit = ask(&nodes[1]);
    assert_eq!(told(&hit), "Hit");
    assert_eq!(hit.body, first.body);
    let path = format!("/proxy-cache-advanced/{}", hit.header("X-Cache-Key").unwrap());
    assert_eq!(get(nodes[1].admin(), &path).expect(200).json()["status"], 200);
    let delete = |path: &str| request(nodes[1].admin(), "DELETE", path, &[], b"").unwrap();
    delete(&path).expect(204);
    delete(&path).expect(404);
    assert_eq!(told(&ask(&nodes[0])), "Miss");
    eventually("it is stored again", || !redis.keys().is_empty());
    delete("/proxy-cache-advanced").expect(204);
    assert!(redis.keys().is_empty());
}

#[test]
fn what_the_service_said_is_kept() {
    let backend = Backend::start("b");
    let settings = [("headers", "server_tokens,x-kong-upstream-status")];
    let config = json!({ "strategy": "memory", "content_type": ["*/*"] });
    let node = start_with(&settings, &backend, "proxy-cache", config);
    for expected in ["Miss", "Hit"] {
        let answer = ask(&node);
        assert_eq!(told(&answer), expected);
        assert_eq!(answer.header("X-Kong-Upstream-Status"), Some("200"));
    }
}

#[test]
fn partials_say_where_the_redis_is() {
    let (backend, redis) = (Backend::start("b"), RedisServer::start());
    let node = Node::start(&[]);
    let partial = json!({ "name": "p", "type": "redis-ee", "config": redis.record(json!({})) });
    json(node.admin(), "POST", "/partials", &partial).expect(201);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/").expect(201);
    let config = json!({ "strategy": "redis", "content_type": ["*/*"] });
    let plugin = json!({ "name": "proxy-cache-advanced", "config": config, "partials": [{ "name": "p" }] });
    json(node.admin(), "POST", "/plugins", &plugin).expect(201);
    assert_eq!(told(&ask(&node)), "Miss");
    eventually("it is stored", || !redis.keys().is_empty());
    assert_eq!(told(&ask(&node)), "Hit");
    request(node.admin(), "DELETE", "/proxy-cache-advanced", &[], b"").unwrap().expect(204);
    assert!(redis.keys().is_empty());
}

#[test]
fn without_the_redis_requests_go_on_as_configured() {
    let backend = Backend::start("b");
    let redis = RedisServer::start();
    let record = redis.record(json!({}));
    let refuses = start(&backend, "proxy-cache-advanced", config(&record, json!({})));
    let passes = start(&backend, "proxy-cache-advanced", config(&record, json!({ "bypass_on_err": true })));
    let plain = start(&backend, "proxy-cache", config(&record, json!({})));
    drop(redis);
    assert_eq!(ask(&refuses).status, 500);
    for node in [passes, plain] {
        let answer = ask(&node).expect(200);
        assert_eq!(told(&answer), "Bypass");
    }
}
