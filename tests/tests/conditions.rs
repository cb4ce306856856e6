//! `condition` of plugins.

use blackbox::http::{form, get, json, request};
use blackbox::{Backend, Node};
use serde_json::{Value, json};

/// A node with a service, a route and this condition of a plugin that answers with 418; and the path of that plugin.
fn start(backend: &Backend, condition: &str) -> (Node, String) {
    let node = Node::start(&[]);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/").expect(201);
    let added = json(node.admin(), "POST", "/plugins", &stop(json!(condition))).expect(201).json();
    assert_eq!(added["condition"], condition);
    (node, format!("/plugins/{}", added["id"].as_str().unwrap()))
}

fn stop(condition: Value) -> Value {
    json!({ "name": "request-termination", "config": { "status_code": 418 }, "condition": condition })
}

fn ask(node: &Node, headers: &[(&str, &str)]) -> u16 {
    request(node.proxy(), "GET", "/", headers, b"").unwrap().status
}

#[test]
fn a_plugin_acts_only_on_requests_for_which_its_condition_holds() {
    let backend = Backend::start("b");
    let (mut node, path) = start(&backend, r#"http.headers.x_stop == "1" && route.name == "r""#);
    for revived in [false, true] {
        if revived {
            node.kill();
            node.revive();
        }
        assert_eq!(ask(&node, &[]), 200);
        assert_eq!(ask(&node, &[("X-Stop", "1")]), 418);
    }
    let cleared = json(node.admin(), "PATCH", &path, &json!({ "condition": null })).expect(200).json();
    assert_eq!(cleared.get("condition"), None);
    assert_eq!(ask(&node, &[]), 418);
}

#[test]
fn a_condition_can_be_about_the_caller() {
    let backend = Backend::start("b");
    let (node, _) = start(&backend, r#"consumer.username == "ada""#);
    form(node.admin(), "POST", "/plugins", "name=key-auth").expect(201);
    for name in ["ada", "bob"] {
        form(node.admin(), "POST", "/consumers", &format!("username={name}")).expect(201);
        form(node.admin(), "POST", &format!("/consumers/{name}/key-auth"), &format!("key={name}")).expect(201);
    }
    assert_eq!(ask(&node, &[("apikey", "ada")]), 418);
    assert_eq!(ask(&node, &[("apikey", "bob")]), 200);
}

#[test]
fn conditions_are_checked() {
    let node = Node::start(&[]);
    for condition in [json!("x"), json!(1), json!(""), json!(r#"consumer.nonsense == "x""#), json!("x".repeat(1025))] {
        let refused = json(node.admin(), "POST", "/plugins", &stop(condition)).expect(400).json();
        assert!(refused["fields"]["condition"].is_string(), "{refused}");
    }
    assert_eq!(get(node.admin(), "/plugins").expect(200).json()["data"], json!([]));
}
