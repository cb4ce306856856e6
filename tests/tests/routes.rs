//! A single route is never too much for the node: it is bounded, refused, or answered with an error.

use blackbox::http::{form, get, json, request};
use blackbox::{Backend, Node, Usage};
use serde_json::{Value, json};
use std::net::SocketAddr;

fn list(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}{n}")).collect()
}

fn service(node: &Node, backend: &Backend) {
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
}

fn with_host(proxy: SocketAddr, host: &str, tenant: &str) -> u16 {
    request(proxy, "GET", "/p399/x", &[("Host", host), ("X-Tenant", tenant)], b"").unwrap().status
}

#[test]
fn what_a_route_lists_does_not_multiply() {
    let backend = Backend::start("b");
    let mut node = Node::start(&[]);
    service(&node, &backend);
    let before = Usage::of(node.pid()).memory;
    let hosts: Vec<_> = list("h", 400).into_iter().map(|host| format!("{host}.test")).collect();
    let route = json!({ "hosts": hosts, "paths": list("/p", 400), "headers": { "x-tenant": list("t", 400) } });
    json(node.admin(), "POST", "/services/s/routes", &route).expect(201);
    let grown = Usage::of(node.pid()).memory - before;
    assert!(grown < 32 << 10, "{grown} KiB for one route");
    for _ in 0..2 {
        assert_eq!(with_host(node.proxy(), "h399.test", "t0"), 200);
        assert_eq!(with_host(node.proxy(), "h399.test", "t400"), 404);
        assert_eq!(with_host(node.proxy(), "h400.test", "t0"), 404);
        node.kill();
        node.revive();
    }
}

#[test]
fn lists_longer_than_a_node_can_take_are_refused_with_their_field() {
    let node = Node::start(&[]);
    let refused = |route: Value| json(node.admin(), "POST", "/routes", &route).expect(400).json()["fields"].clone();
    let words = "length must be at most 10000";
    let long = |prefix: &str| list(prefix, 10_001);
    assert_eq!(refused(json!({ "paths": long("/p") })), json!({ "paths": words }));
    assert_eq!(refused(json!({ "hosts": long("h") })), json!({ "hosts": words }));
    assert_eq!(refused(json!({ "paths": ["/"], "snis": long("s") })), json!({ "snis": words }));
    assert_eq!(
        refused(json!({ "headers": { "a": list("a", 5_001), "b": list("b", 5_000) } })),
        json!({ "headers": words })
    );
    let regexes: Vec<_> = (0..8).map(|n| format!("~/{n}/x{{100000}}")).collect();
    let fields = refused(json!({ "paths": regexes }));
    assert_eq!(
        fields["@entity"],
        json!(["Router Expression failed validation: Compiled regex exceeds size limit of 10485760 bytes."])
    );
}

#[test]
fn a_stored_route_that_cannot_be_used_leaves_its_requests_to_no_other_route() {
    let backend = Backend::start("b");
    let mut node = Node::start(&[]);
    service(&node, &backend);
    form(node.admin(), "POST", "/services/s/routes", "name=private&paths[]=/private&hosts[]=a.test").expect(201);
    form(node.admin(), "POST", "/services/s/routes", "paths[]=/").expect(201);
    let status = |node: &Node, path: &str| request(node.proxy(), "GET", path, &[("Host", "a.test")], b"").unwrap();
    status(&node, "/private/x").expect(200);
    node.kill();
    // Look-ahead is correct for the library by which Kong checks a path, and nothing that its router or ours can do.
    let database = rusqlite::Connection::open(node.prefix().join("bascule.db")).unwrap();
    let paths = json!(["~/private/(?=x)"]).to_string();
    let changed = database.execute("UPDATE routes SET paths = ?1 WHERE name = 'private'", [paths]).unwrap();
    assert_eq!(changed, 1);
    drop(database);
    node.revive();
    status(&node, "/public").expect(200);
    let answer = status(&node, "/private/x").expect(500);
    assert_eq!(answer.json()["message"], "An unexpected error occurred");
    get(node.proxy(), "/private/x").expect(200);
    node.says("look-around");
    let degraded = get(node.status(), "/status").text();
    assert!(degraded.contains("requests are answered with status 500"), "{degraded}");
    // It is mended as any other.
    form(node.admin(), "PATCH", "/routes/private", "paths[]=/private").expect(200);
    status(&node, "/private/x").expect(200);
}
