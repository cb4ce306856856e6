//! Callers, from their records to the service, where the recorded scenarios do not go.

use blackbox::http::{Response, form, json, request};
use blackbox::{Backend, Node};
use serde_json::{Value, json};

/// A node with a service at `/`, and the consumers `ada` and `bob`.
fn start(backend: &Backend) -> Node {
    let node = Node::start(&[]);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/").expect(201);
    for consumer in ["ada", "bob"] {
        form(node.admin(), "POST", "/consumers", &format!("username={consumer}")).expect(201);
    }
    node
}

fn admin(node: &Node, method: &str, path: &str, body: Value) -> Response {
    json(node.admin(), method, path, &body)
}

fn ask(node: &Node, lines: &[(&str, &str)]) -> u16 {
    request(node.proxy(), "GET", "/", lines, b"").unwrap().status
}

#[test]
fn a_password_is_hashed_once() {
    let backend = Backend::start("b");
    let mut node = start(&backend);
    admin(&node, "POST", "/plugins", json!({ "name": "basic-auth" })).expect(201);
    let account = json!({ "username": "u", "password": "p" });
    let stored = admin(&node, "POST", "/consumers/ada/basic-auth", account).expect(201).json()["password"].clone();
    let tagged = admin(&node, "PATCH", "/basic-auths/u", json!({ "tags": ["t"] })).expect(200).json();
    assert_eq!(tagged["password"], stored);
    let given_away = json!({ "consumer": { "username": "bob" } });
    let refused = admin(&node, "PATCH", "/basic-auths/u", given_away).expect(400).json();
    let words = "all or none of these fields must be set: 'password', 'consumer.id'";
    assert_eq!(refused["fields"], json!({ "@entity": [words] }));
    node.kill();
    node.revive();
    assert_eq!(ask(&node, &[("Authorization", "Basic dTpw")]), 200);
    admin(&node, "PATCH", "/basic-auths/u", json!({ "password": "q" })).expect(200);
    assert_eq!(ask(&node, &[("Authorization", "Basic dTpw")]), 401);
    assert_eq!(ask(&node, &[("Authorization", "Basic dTpx")]), 200);
}
