//! Requests and responses are edited on their way, over sockets.

use blackbox::http::{form, json, request};
use blackbox::{Backend, Node};
use serde_json::{Value, json};

/// A node with a route to a service that shows the request, and these plugins on it.
fn node_with(plugins: &[(&str, Value)]) -> (Backend, Node) {
    let (backend, node) = (Backend::start("backend"), Node::start(&[]));
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/").expect(201);
    for (name, config) in plugins {
        json(node.admin(), "POST", "/routes/r/plugins", &json!({ "name": name, "config": config })).expect(201);
    }
    (backend, node)
}

/// The request as a plugin behind the transformer sees it.
fn echo() -> (&'static str, Value) {
    ("request-termination", json!({ "status_code": 200, "echo": true }))
}

#[test]
fn request_transformer_advanced_edits_what_is_nested() {
    let config = json!({
        "dots_in_keys": false, "allow": { "body": ["users", "n"] }, "remove": { "body": ["users[*].secret"] },
        "replace": { "body": ["n:5"], "json_types": ["number"] }
    });
    let (_backend, node) = node_with(&[("request-transformer-advanced", config)]);
    let (name, config) = echo();
    json(node.admin(), "POST", "/plugins", &json!({ "name": name, "config": config })).expect(201);
    let send = |body: &[u8]| request(node.proxy(), "POST", "/", &[("Content-Type", "application/json")], body).unwrap();
    let sent = send(br#"{"users":[{"secret":1,"a":"b"}],"n":"x","other":1}"#).expect(200).json();
    assert_eq!(sent["request"]["body"], json!({ "users": [{ "a": "b" }], "n": 5 }));
    send(b"{\"users\":[],\"other\":1,}").expect(400);
}

#[test]
fn response_transformer_advanced_edits_by_status() {
    let config = json!({
        "dots_in_keys": false, "add": { "headers": ["X-Seen:1"], "if_status": ["200"] },
        "remove": { "json": ["request.headers"], "if_status": ["200"] },
        "replace": { "body": "sorry", "if_status": ["500-599"] }
    });
    let (_backend, node) = node_with(&[("response-transformer-advanced", config), echo()]);
    let answer = request(node.proxy(), "GET", "/", &[], b"").unwrap().expect(200);
    assert_eq!(answer.header("x-seen"), Some("1"));
    assert_eq!(answer.json()["request"]["headers"], Value::Null);
    let plugins = blackbox::http::get(node.admin(), "/routes/r/plugins").expect(200).json();
    let echo = plugins["data"].as_array().unwrap().iter().find(|plugin| plugin["name"] == "request-termination");
    let path = format!("/plugins/{}", echo.unwrap()["id"].as_str().unwrap());
    let broken = json!({ "config": { "status_code": 503, "echo": false, "message": "secret" } });
    json(node.admin(), "PATCH", &path, &broken).expect(200);
    let answer = request(node.proxy(), "GET", "/", &[], b"").unwrap().expect(503);
    assert_eq!(answer.text(), "sorry");
    assert_eq!(answer.header("x-seen"), None);
    let functions = json!({ "transform": { "functions": ["return function(data) return data end"] } });
    let refused = json!({ "name": "response-transformer-advanced", "config": functions });
    json(node.admin(), "POST", "/services/s/plugins", &refused).expect(400);
}
