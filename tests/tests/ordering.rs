//! `ordering` of plugins.

use blackbox::http::{form, get, json, request};
use blackbox::{Backend, Node};
use serde_json::json;

fn start(backend: &Backend) -> Node {
    let node = Node::start(&[]);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/").expect(201);
    form(node.admin(), "POST", "/plugins", "name=key-auth").expect(201);
    node
}

fn ask(node: &Node) -> u16 {
    request(node.proxy(), "GET", "/", &[], b"").unwrap().status
}

#[test]
fn a_plugin_acts_before_authentication_if_it_says_so() {
    let backend = Backend::start("b");
    let mut node = start(&backend);
    let plugin = json!({
        "name": "request-termination", "config": { "status_code": 418 },
        "ordering": { "before": { "access": ["key-auth"] } },
    });
    let added = json(node.admin(), "POST", "/plugins", &plugin).expect(201).json();
    assert_eq!(added["ordering"]["before"], plugin["ordering"]["before"]);
    assert_eq!(ask(&node), 418);
    node.kill();
    node.revive();
    assert_eq!(ask(&node), 418);
    let path = format!("/plugins/{}", added["id"].as_str().unwrap());
    let cleared = json(node.admin(), "PATCH", &path, &json!({ "ordering": null })).expect(200).json();
    assert_eq!(cleared.get("ordering"), None);
    assert_eq!(ask(&node), 401);
    let after = json!({ "ordering": { "after": { "access": ["request-termination"] } } });
    let auth = get(node.admin(), "/plugins").json();
    let auth = auth["data"].as_array().unwrap().iter().find(|plugin| plugin["name"] == "key-auth").unwrap();
    json(node.admin(), "PATCH", &format!("/plugins/{}", auth["id"].as_str().unwrap()), &after).expect(200);
    assert_eq!(ask(&node), 418);
}

#[test]
fn only_the_access_phase_has_an_order() {
    let backend = Backend::start("b");
    let node = start(&backend);
    for ordering in [json!({ "before": { "rewrite": ["cors"] } }), json!({ "around": {} }), json!("x")] {
        let plugin = json!({ "name": "request-termination", "ordering": ordering });
        json(node.admin(), "POST", "/plugins", &plugin).expect(400);
    }
}
