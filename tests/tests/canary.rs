//! Requests that go to another version of a service, or may take longer, over sockets.

use blackbox::http::{form, json, request};
use blackbox::{Backend, Node, Service};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// A node with a route to a service at that address, and that plugin on it.
fn node_with(service: SocketAddr, name: &str, config: Value) -> Node {
    let node = Node::start(&[]);
    form(node.admin(), "POST", "/services", &format!("name=s&retries=0&url=http://{service}")).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/").expect(201);
    json(node.admin(), "POST", "/routes/r/plugins", &json!({ "name": name, "config": config })).expect(201);
    node
}

#[test]
fn canary_sends_requests_to_the_new_version() {
    let (usual, new) = (Backend::start("usual"), Backend::start("new"));
    let config = json!({
        "percentage": 0, "upstream_host": "127.0.0.1", "upstream_port": new.address.port(),
        "canary_by_header_name": "X-Canary"
    });
    let node = node_with(usual.address, "canary", config);
    let ask = |lines: &[(&str, &str)]| request(node.proxy(), "GET", "/", lines, b"").unwrap().expect(200).text();
    assert!(ask(&[]).contains("usual"));
    assert!(ask(&[("X-Canary", "always")]).contains("new"));
}

#[test]
fn canary_falls_back_while_the_new_version_is_unhealthy() {
    let (usual, new) = (Backend::start("usual"), Backend::start("new"));
    let config = json!({ "percentage": 100, "upstream_host": "u", "upstream_fallback": true });
    let node = node_with(usual.address, "canary", config);
    let checks = "healthchecks.passive.unhealthy.http_failures=1&healthchecks.passive.unhealthy.http_statuses=500";
    form(node.admin(), "POST", "/upstreams", &format!("name=u&{checks}")).expect(201);
    form(node.admin(), "POST", "/upstreams/u/targets", &format!("target={}", new.address)).expect(201);
    let ask = || request(node.proxy(), "GET", "/", &[], b"").unwrap().expect(200).text();
    assert!(ask().contains("new"));
    form(node.admin(), "PUT", &format!("/upstreams/u/targets/{}/unhealthy", new.address), "").expect(204);
    assert!(ask().contains("usual"));
}

#[test]
fn upstream_timeout_ends_a_try() {
    let service = Service::start();
    let node = node_with(service.address, "upstream-timeout", json!({ "read_timeout": 50 }));
    // It never answers; its record would let it for a minute.
    request(node.proxy(), "GET", "/", &[], b"").unwrap().expect(504);
}
