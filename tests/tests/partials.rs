//! Partials: what plugins have in common, and the plugins that refer to it.

use blackbox::http::{Response, form, get, json, request};
use blackbox::{Backend, Node};
use serde_json::{Value, json};

fn partial(node: &Node, name: &str, config: Value) -> Response {
    let partial = json!({ "name": name, "type": "redis-ce", "config": config });
    json(node.admin(), "POST", "/partials", &partial)
}

/// A plugin that counts in Redis, with that in it beside.
fn limits(node: &Node, more: Value) -> Response {
    let mut plugin = json!({ "name": "rate-limiting", "config": { "minute": 5, "policy": "redis" } });
    plugin.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json(node.admin(), "POST", "/plugins", &plugin)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn delete(node: &Node, path: &str) -> Response {
    request(node.admin(), "DELETE", path, &[], b"").unwrap()
}

#[test]
fn partials_live() {
    let node = Node::start(&[]);
    let made = partial(&node, "p", json!({ "host": "h.test" })).expect(201).json();
    assert_eq!(made["config"]["port"], 6379);
    assert_eq!(get(node.admin(), "/partials/p").expect(200).json(), made);
    partial(&node, "p", json!({})).expect(409);
    let refused = partial(&node, "q", json!({ "port": "x" })).expect(400).json();
    assert_eq!(refused["fields"], json!({ "config": { "port": "expected an integer" } }));
    let unknown = json!({ "name": "q", "type": "nonsense", "config": {} });
    let refused = json(node.admin(), "POST", "/partials", &unknown).expect(400).json();
    assert_eq!(refused["fields"], json!({ "type": "unknown partial type 'nonsense'" }));
    let changed = json(node.admin(), "PATCH", "/partials/p", &json!({ "type": "redis-ee" })).expect(400).json();
    assert_eq!(changed["fields"]["type"], "immutable field cannot be updated");
    let schema = get(node.admin(), "/schemas/partials/redis-ce").expect(200).json();
    assert!(schema["fields"][0]["config"]["fields"].is_array());
    get(node.admin(), "/schemas/partials/nonsense").expect(404);
    let plugin = get(node.admin(), "/schemas/plugins/rate-limiting").expect(200).json();
    assert_eq!(plugin["supported_partials"], json!({ "redis-ce": ["config.redis"] }));
    delete(&node, "/partials/p").expect(204);
    get(node.admin(), "/partials/p").expect(404);
}

#[test]
fn plugins_refer_to_partials() {
    let node = Node::start(&[]);
    let id = partial(&node, "p", json!({ "host": "h.test" })).expect(201).json()["id"].clone();
    limits(&node, json!({})).expect(400);
    limits(&node, json!({ "partials": [{ "name": "q" }] })).expect(400);
    let plugin = limits(&node, json!({ "partials": [{ "name": "p" }] })).expect(201).json();
    assert_eq!(plugin["partials"], json!([{ "id": id, "path": "config.redis" }]));
    assert_eq!(plugin["config"].get("redis"), None);
    let path = format!("/plugins/{}", text(&plugin["id"]));
    assert_eq!(get(node.admin(), &path).expect(200).json(), plugin);
    let expanded = get(node.admin(), &format!("{path}?expand_partials=true")).expect(200).json();
    assert_eq!(expanded["config"]["redis"]["host"], "h.test");
    let all = get(node.admin(), "/plugins?expand_partials=true").expect(200).json();
    assert_eq!(all["data"][0], expanded);
    let links = get(node.admin(), "/partials/p/links").expect(200).json();
    assert_eq!(links["count"], 1);
    assert_eq!(links["data"][0]["id"], plugin["id"]);
    json(node.admin(), "PATCH", &path, &json!({ "config": { "redis": { "host": "own.test" } } })).expect(400);
    let refused = delete(&node, "/partials/p").expect(400).json();
    assert!(text(&refused["message"]).contains(text(&plugin["id"])), "{refused}");
    json(node.admin(), "PATCH", "/partials/p", &json!({ "config": { "host": null } })).expect(400);
    json(node.admin(), "PATCH", &path, &json!({ "partials": null })).expect(400);
    let own = json!({ "partials": null, "config": { "redis": { "host": "own.test" } } });
    let own = json(node.admin(), "PATCH", &path, &own).expect(200).json();
    assert_eq!(own.get("partials"), None);
    assert_eq!(own["config"]["redis"]["host"], "own.test");
    delete(&node, "/partials/p").expect(204);
}

#[test]
fn a_changed_partial_is_in_force_in_all_its_plugins() {
    let backend = Backend::start("b");
    let mut node = Node::start(&[]);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "paths[]=/").expect(201);
    partial(&node, "p", json!({ "host": "127.0.0.1", "port": 1 })).expect(201);
    let id = limits(&node, json!({ "partials": [{ "name": "p" }] })).expect(201).json()["id"].clone();
    let shown = |node: &Node| {
        let path = format!("/plugins/{}?expand_partials=true", text(&id));
        get(node.admin(), &path).expect(200).json()["config"]["redis"]["port"].clone()
    };
    get(node.proxy(), "/").expect(200);
    json(node.admin(), "PATCH", "/partials/p", &json!({ "config": { "port": 2 } })).expect(200);
    get(node.proxy(), "/").expect(200);
    assert_eq!(shown(&node), 2);
    node.kill();
    node.revive();
    get(node.proxy(), "/").expect(200);
    assert_eq!(shown(&node), 2);
}

#[test]
fn files_have_partials() {
    let node = Node::start(&[("database", "off")]);
    let document = |links: Value| {
        let config = json!({ "minute": 5, "policy": "redis" });
        json!({
            "_format_version": "3.0",
            "plugins": [{ "name": "rate-limiting", "config": config, "partials": links }],
            "partials": [{ "name": "p", "type": "redis-ce", "config": { "host": "h.test" } }],
        })
    };
    json(node.admin(), "POST", "/config", &document(json!([{ "name": "q" }]))).expect(400);
    json(node.admin(), "POST", "/config", &document(json!([{ "name": "p" }]))).expect(201);
    let plugin = get(node.admin(), "/plugins?expand_partials=true").expect(200).json()["data"][0].clone();
    assert_eq!(plugin["config"]["redis"]["host"], "h.test");
    assert_eq!(plugin["partials"][0]["id"], get(node.admin(), "/partials/p").expect(200).json()["id"]);
}
