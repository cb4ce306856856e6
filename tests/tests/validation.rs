//! Requests are judged by what is in them, over sockets.

use blackbox::http::{Response, form, get, json, request};
use blackbox::{Backend, Node, Scripted};
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
fn fields_that_go_away_are_told_of_when_they_are_set() {
    let node = Node::start(&[]);
    let admin = node.admin();
    let message = "rate-limiting: config.redis_host is deprecated, please use config.redis.host instead";
    let config = json!({ "minute": 1, "policy": "redis", "redis": { "host": "a" } });
    let plugin = json(admin, "POST", "/plugins", &json!({ "name": "rate-limiting", "config": config })).expect(201);
    assert!(!node.log().contains("is deprecated"));
    let path = format!("/plugins/{}", plugin.json()["id"].as_str().unwrap());
    let config = json!({ "redis_host": "b", "redis": { "host": null } });
    json(admin, "PATCH", &path, &json!({ "config": config })).expect(200);
    node.says(&format!("{message} (deprecated after 4.0)"));
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

#[test]
fn opa_decides() {
    let refuses = json!({ "result": { "allow": false, "status": 401, "message": "no" } }).to_string();
    let agent = Scripted::answering("application/json", refuses.as_bytes());
    let config = |port: u16| json!({ "opa_host": "127.0.0.1", "opa_port": port, "opa_path": "/v1/data/app/allow" });
    let (_backend, node) = node_with(&[], "opa", config(agent.address.port()));
    let refused = post(&node, "/", b"{}").expect(401);
    assert_eq!(refused.json(), json!({ "message": "no" }));
    let asked: Value = serde_json::from_slice(&agent.last().body).unwrap();
    assert_eq!(asked["input"]["request"]["http"]["method"], "POST");
    let allows = Scripted::answering("application/json", b"{\"result\":true}");
    let plugins = get(node.admin(), "/routes/r/plugins").expect(200).json();
    let path = format!("/plugins/{}", plugins["data"][0]["id"].as_str().unwrap());
    json(node.admin(), "PATCH", &path, &json!({ "config": config(allows.address.port()) })).expect(200);
    post(&node, "/", b"{}").expect(200);
    // Nobody listens there.
    json(node.admin(), "PATCH", &path, &json!({ "config": config(1) })).expect(200);
    post(&node, "/", b"{}").expect(500);
}

#[test]
fn oas_validation_goes_by_a_document() {
    let document = "openapi: 3.0.3\npaths:\n  /items/{id}:\n    post:\n      parameters:\n\
                    \x20       - {name: id, in: path, required: true, schema: {type: integer}}\n\
                    \x20     requestBody:\n        required: true\n        content:\n          application/json:\n\
                    \x20           schema: {$ref: '#/components/schemas/item'}\n\
                    components:\n  schemas:\n    item: {type: object, required: [name]}\n";
    let config = json!({ "api_spec": document, "verbose_response": true });
    let (_backend, node) = node_with(&[], "oas-validation", config);
    post(&node, "/items/5", br#"{"name":"a"}"#).expect(200);
    let refused = post(&node, "/items/5", b"{}").expect(400).json();
    assert_eq!(refused["message"], "body validation failed with error: 'property name is required'");
    post(&node, "/items/five", br#"{"name":"a"}"#).expect(400);
    post(&node, "/other", b"{}").expect(400);
    let broken = json!({ "name": "oas-validation", "config": { "api_spec": "openapi: 3.0.3" } });
    json(node.admin(), "POST", "/services/s/plugins", &broken).expect(400);
}

#[test]
fn oas_validation_keeps_responses_back_that_are_none_of_the_api() {
    let document = "openapi: 3.0.3\npaths:\n  /item:\n    get:\n      responses:\n        '200':\n          content:\n\
                    \x20           application/json:\n              schema: {type: object, required: [name]}\n";
    for (content, status) in [(br#"{"name":"a"}"#.as_slice(), 200), (b"{}", 406)] {
        let (service, node) = (Scripted::answering("application/json", content), Node::start(&[]));
        form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", service.address)).expect(201);
        form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/").expect(201);
        let config = json!({ "api_spec": document, "validate_response_body": true, "verbose_response": true });
        let plugin = json!({ "name": "oas-validation", "config": config });
        json(node.admin(), "POST", "/routes/r/plugins", &plugin).expect(201);
        let answer = get(node.proxy(), "/item").expect(status);
        let words = "response body validation failed with error: 'property name is required'";
        assert!(status == 200 || answer.json()["message"] == words, "{}", answer.text());
    }
}
