//! Workspaces on one node, which know nothing of each other.

use blackbox::http::{Response, form, json, request};
use blackbox::{Backend, Node};
use serde_json::{Value, json};

/// The paths of the Admin API, and of the routes: that of the default workspace, and that of `other`.
const WORKSPACES: [(&str, &str); 2] = [("", "/default"), ("/other", "/other")];

/// A node with a route to an upstream in each workspace, all of the same names.
fn start(backends: &[Backend; 2]) -> Node {
    let node = Node::start(&[]);
    form(node.admin(), "POST", "/workspaces", "name=other").expect(201);
    for ((workspace, path), backend) in WORKSPACES.iter().zip(backends) {
        let post = |path: &str, body: Value| post(&node, &format!("{workspace}{path}"), body);
        post("/upstreams", json!({ "name": "u" }));
        post("/upstreams/u/targets", json!({ "target": backend.address.to_string() }));
        post("/services", json!({ "name": "s", "host": "u" }));
        post("/services/s/routes", json!({ "name": "r", "paths": [path] }));
    }
    node
}

fn post(node: &Node, path: &str, body: Value) -> Response {
    json(node.admin(), "POST", path, &body).expect(201)
}

/// A plugin that answers with that status.
fn stop(status: u16) -> Value {
    json!({ "name": "request-termination", "config": { "status_code": status } })
}

fn ask(node: &Node, path: &str, key: &str) -> Response {
    request(node.proxy(), "GET", path, &[("apikey", key)], b"").unwrap()
}

#[test]
fn equal_names_of_upstreams_are_two_upstreams() {
    let backends = [Backend::start("one"), Backend::start("two")];
    let mut node = start(&backends);
    assert_eq!(ask(&node, "/default", "").header("X-Backend"), Some("one"));
    assert_eq!(ask(&node, "/other", "").header("X-Backend"), Some("two"));
    node.kill();
    node.revive();
    assert_eq!(ask(&node, "/default", "").header("X-Backend"), Some("one"));
    assert_eq!(ask(&node, "/other", "").header("X-Backend"), Some("two"));
}

#[test]
fn keys_open_the_routes_of_their_own_workspace() {
    let backends = [Backend::start("one"), Backend::start("two")];
    let mut node = start(&backends);
    for (workspace, _) in WORKSPACES {
        post(&node, &format!("{workspace}/plugins"), json!({ "name": "key-auth" }));
        post(&node, &format!("{workspace}/consumers"), json!({ "username": "ada", "custom_id": "1" }));
        post(&node, &format!("{workspace}/consumers/ada/key-auth"), json!({ "key": "same" }));
    }
    post(&node, "/other/consumers/ada/key-auth", json!({ "key": "of other" }));
    post(&node, "/other/consumers/ada/plugins", stop(418));
    for revived in [false, true] {
        if revived {
            node.kill();
            node.revive();
        }
        assert_eq!(ask(&node, "/default", "same").status, 200);
        assert_eq!(ask(&node, "/other", "same").status, 418, "it is that of another consumer");
        assert_eq!(ask(&node, "/default", "of other").status, 401);
        assert_eq!(ask(&node, "/other", "of other").status, 418);
    }
    request(node.admin(), "DELETE", "/other/consumers/ada", &[], b"").unwrap().expect(204);
    assert_eq!(ask(&node, "/default", "same").status, 200);
    assert_eq!(ask(&node, "/other", "same").status, 401);
}

#[test]
fn global_plugins_act_in_their_own_workspace() {
    let backends = [Backend::start("one"), Backend::start("two")];
    let node = start(&backends);
    let id = post(&node, "/other/plugins", stop(418)).json()["id"].as_str().unwrap().to_owned();
    assert_eq!(ask(&node, "/other", "").status, 418);
    assert_eq!(ask(&node, "/default", "").status, 200);
    post(&node, "/plugins", stop(410));
    assert_eq!(ask(&node, "/other", "").status, 418);
    assert_eq!(ask(&node, "/default", "").status, 410);
    request(node.admin(), "DELETE", &format!("/other/plugins/{id}"), &[], b"").unwrap().expect(204);
    assert_eq!(ask(&node, "/other", "").status, 200);
    assert_eq!(ask(&node, "/default", "").status, 410);
}
