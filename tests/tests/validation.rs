//! Requests are judged by what is in them, over sockets.

use blackbox::http::{Response, form, json, request};
use blackbox::{Backend, Node};
use serde_json::{Value, json};

/// A node with a route to a backend, and that plugin on it.
fn node_with(settings: &[(&str, &str)], name: &str, config: Value) -> (Backend, Node) {
    let (backend, node) = (Backend::start("backend"), Node::start(settings));
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=~/items/(?<id>[^/]%2B)&paths[]=/").expect(201);
    json(node.admin(), "POST", "/routes/r/plugins", &json!({ "name": name, "config": config })).expect(201);
    (backend, node)
}

fn post(node: &Node, path: &str, body: &[u8]) -> Response {
    request(node.proxy(), "POST", path, &[("Content-Type", "application/json")], body).unwrap()
}

#[test]
fn request_validator_lets_through_what_conforms() {
    let schema = json!({ "type": "object", "properties": { "name": { "type": "string" } }, "required": ["name"] });
    let id = json!({
        "in": "path", "name": "id", "required": false, "style": "simple", "explode": false,
        "schema": r#"{"type":"integer"}"#
    });
    let config = json!({ "version": "draft7", "body_schema": schema.to_string(), "parameter_schema": [id] });
    let (_backend, node) = node_with(&[], "request-validator", config);
    post(&node, "/", br#"{"name":"a"}"#).expect(200);
    let refused = post(&node, "/", br#"{"name":1}"#).expect(400);
    assert_eq!(refused.json(), json!({ "message": "request body doesn't conform to schema" }));
    post(&node, "/items/5", br#"{"name":"a"}"#).expect(200);
    let refused = post(&node, "/items/five", br#"{"name":"a"}"#).expect(400);
    assert_eq!(refused.json(), json!({ "message": "request param doesn't conform to schema" }));
}

#[test]
fn request_validator_refuses_what_it_cannot_read() {
    let config = json!({ "body_schema": r#"[{"name":{"type":"string"}}]"# });
    let settings = [("nginx_proxy_client_body_buffer_size", "1k")];
    let (_backend, node) = node_with(&settings, "request-validator", config);
    post(&node, "/", br#"{"name":"a"}"#).expect(200);
    let long = json!({ "name": "x".repeat(4_000) }).to_string();
    post(&node, "/", long.as_bytes()).expect(413);
    post(&node, "/", &[b"[".repeat(500), b"]".repeat(500)].concat()).expect(400);
    let broken = json!({ "name": "request-validator", "config": { "version": "draft4", "body_schema": "{" } });
    json(node.admin(), "POST", "/services/s/plugins", &broken).expect(400);
}

#[test]
fn json_threat_protection_refuses_what_is_too_much() {
    let config = json!({ "max_container_depth": 2, "allow_duplicate_object_entry_name": false });
    let settings = [("nginx_proxy_client_body_buffer_size", "1k")];
    let (_backend, node) = node_with(&settings, "json-threat-protection", config);
    post(&node, "/", br#"{"a":[1]}"#).expect(200);
    let refused = post(&node, "/", br#"{"a":[[1]]}"#).expect(400);
    assert_eq!(refused.json(), json!({ "message": "Bad Request" }));
    post(&node, "/", br#"{"a":1,"a":2}"#).expect(400);
    post(&node, "/", &[b"[\"", &[b'x'; 4_000][..], b"\"]"].concat()).expect(400);
    request(node.proxy(), "GET", "/", &[], b"").unwrap().expect(200);
}
