//! Filters in WebAssembly, as clients and operators see them. Only with the feature `wasm`, by which the program is
//! built with them.
#![cfg(feature = "wasm")]

use blackbox::http::{Response, get, json, request};
use blackbox::{Node, Scripted, eventually};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;

const PROBE: &str = include_str!("../../crates/runtimes/src/wasm/fixtures/probe.wat");

/// A folder with the filter `probe`, and with `strict`, which is the same and wants a configuration of its own form.
fn filters() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let code = wat::parse_str(PROBE).unwrap();
    for name in ["probe", "strict"] {
        std::fs::write(folder.path().join(format!("{name}.wasm")), &code).unwrap();
    }
    let meta = json!({ "config_schema": { "type": "object", "required": ["add"] } });
    std::fs::write(folder.path().join("strict.meta.json"), meta.to_string()).unwrap();
    folder
}

fn start(folder: &Path) -> Node {
    let path = folder.display().to_string();
    let settings = [("wasm", "on"), ("wasm_filters_path", &*path), ("nginx_main_worker_processes", "1")];
    Node::start(&settings)
}

/// A node with a service and a route to it, and both chains of filters.
fn routed(node: &Node, service: SocketAddr, of_service: Option<Value>, of_route: Option<Value>) {
    let admin = node.admin();
    json(admin, "POST", "/services", &json!({ "name": "s", "url": format!("http://{service}") })).expect(201);
    json(admin, "POST", "/services/s/routes", &json!({ "name": "r", "paths": ["/"] })).expect(201);
    for (owner, filters) in [("services/s", of_service), ("routes/r", of_route)] {
        if let Some(filters) = filters {
            json(admin, "POST", &format!("/{owner}/filter-chains"), &json!({ "filters": filters })).expect(201);
        }
    }
}

fn probe(config: &str) -> Value {
    json!([{ "name": "probe", "config": config }])
}

/// Has the route's chain do something else.
fn set(node: &Node, config: &str) {
    let chain = get(node.admin(), "/routes/r/filter-chains").expect(200).json()["data"][0]["id"].clone();
    let path = format!("/filter-chains/{}", chain.as_str().unwrap());
    json(node.admin(), "PATCH", &path, &json!({ "filters": probe(config) })).expect(200);
}

fn ask(node: &Node) -> Response {
    get(node.proxy(), "/")
}

#[test]
fn chains_of_services_and_routes_act_on_requests() {
    let (folder, service) = (filters(), Scripted::answering("text/plain", b"content"));
    let node = start(folder.path());
    routed(&node, service.address, Some(probe("p")), Some(probe("a")));
    let response = ask(&node).expect(200);
    assert_eq!(response.header("x-response"), Some("yes"));
    let seen = service.last();
    assert!(seen.line.starts_with("GET /other?by=filter "), "{}", seen.line);
    assert_eq!(seen.header("x-filter"), Some("probe"), "the service's filter comes first");
}

#[test]
fn filters_answer_fail_and_change_contents() {
    let (folder, service) = (filters(), Scripted::answering("text/plain", b"content"));
    let node = start(folder.path());
    routed(&node, service.address, None, Some(probe("r")));
    let refused = ask(&node).expect(403);
    assert_eq!(refused.text(), "no");
    assert_eq!(refused.header("content-type"), Some("text/plain"));
    set(&node, "b");
    let posted = request(node.proxy(), "POST", "/", &[], b"what the client sends").unwrap().expect(200);
    assert_eq!(posted.text(), "filteredcontent");
    assert_eq!(service.last().body, b"filtered");
    set(&node, "h");
    assert_eq!(ask(&node).expect(418).text(), "no");
    for failing in ["t", "u", "l"] {
        set(&node, failing);
        let message = ask(&node).expect(500).json()["message"].clone();
        assert_eq!(message, "An unexpected error occurred", "{failing}");
    }
    node.says("it has run too long in proxy_on_request_headers");
    set(&node, "a");
    ask(&node).expect(200);
}

#[test]
fn filters_ask_other_servers_while_requests_wait() {
    let (folder, service) = (filters(), Scripted::answering("text/plain", b"content"));
    let other = Scripted::answering("text/plain", b"told");
    let node = start(folder.path());
    routed(&node, service.address, None, Some(probe(&format!("c{}", other.address))));
    ask(&node).expect(200);
    assert_eq!(service.last().header("x-called"), Some("told"));
    assert!(other.last().line.starts_with("GET /called "));
    assert_eq!(other.last().header("host"), Some("other.test"));
    set(&node, &format!("d{}", other.address));
    assert_eq!(ask(&node).expect(200).text(), "told");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    set(&node, &format!("d{nobody}"));
    ask(&node).expect(502);
}

#[test]
fn ticks_and_queues_go_on_beside_requests() {
    let (folder, service) = (filters(), Scripted::answering("text/plain", b"content"));
    let node = start(folder.path());
    routed(&node, service.address, None, Some(probe("k")));
    for config in ["k", "q"] {
        set(&node, config);
        eventually(config, || ask(&node).expect(200).header("x-reply") == Some("yes"));
    }
}

#[test]
fn the_admin_api_knows_chains_and_filters() {
    let folder = filters();
    let node = start(folder.path());
    let admin = node.admin();
    json(admin, "POST", "/services", &json!({ "name": "s", "host": "h.test" })).expect(201);
    json(admin, "POST", "/services/s/routes", &json!({ "name": "r", "paths": ["/"] })).expect(201);
    let post = |body: Value| json(admin, "POST", "/filter-chains", &body);
    let by_service = json!({ "name": "c", "service": { "name": "s" }, "filters": probe("a"), "tags": ["t"] });
    let chain = post(by_service).expect(201).json();
    assert_eq!(chain["filters"][0], json!({ "name": "probe", "config": "a", "enabled": true }));
    let twice = post(json!({ "service": { "name": "s" }, "filters": probe("a") })).expect(409).json();
    assert_eq!(twice["name"], "unique constraint violation");
    let of_route = json!([{ "name": "probe", "enabled": false }, { "name": "strict", "config": { "add": 1 } }]);
    json(admin, "POST", "/routes/r/filter-chains", &json!({ "filters": of_route })).expect(201);
    let filters = |which: &str| get(admin, &format!("/routes/r/filters/{which}")).expect(200).json()["filters"].clone();
    let from = |list: &Value| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        list.as_array().unwrap().iter().map(|filter| (text(&filter["name"]), text(&filter["from"]))).collect()
    };
    let pair = |name: &str, from: &str| (name.to_owned(), from.to_owned());
    let (all, on, off) = (filters("all"), filters("enabled"), filters("disabled"));
    assert_eq!(from(&all), [pair("probe", "service"), pair("probe", "route"), pair("strict", "route")]);
    assert_eq!(from(&on), [pair("probe", "service"), pair("strict", "route")]);
    assert_eq!(from(&off), [pair("probe", "route")]);
    assert_eq!(all[0]["filter_chain"], json!({ "name": "c", "id": chain["id"] }));
    let refused = |filters: Value| {
        let body = json!({ "route": { "name": "r" }, "filters": filters });
        post(body).expect(400).json()["fields"].clone()
    };
    assert_eq!(refused(json!([{ "name": "x" }])), json!({ "filters": [{ "name": "no such filter" }] }));
    let lacking = refused(json!([{ "name": "strict", "config": {} }]));
    assert_eq!(lacking, json!({ "filters": [{ "config": "property add is required" }] }));
    let wrong = refused(json!([{ "name": "probe", "config": {} }]));
    let words = "wrong type: expected one of string, null, got object";
    assert_eq!(wrong, json!({ "filters": [{ "config": words }] }));
    let schema = get(admin, "/schemas/filters/strict").expect(200).json();
    assert_eq!(schema["required"], json!(["add"]));
    let unknown = get(admin, "/schemas/filters/x").expect(404).json();
    assert_eq!(unknown["message"], "Filter 'x' not found");
    request(admin, "DELETE", "/filter-chains/c", &[], b"").unwrap().expect(204);
    assert_eq!(from(&filters("all")).len(), 2);
}

#[test]
fn a_file_of_a_configuration_has_chains() {
    let (folder, service) = (filters(), Scripted::answering("text/plain", b"content"));
    let file = folder.path().join("kong.yml");
    let chain = json!({ "filters": probe("r") });
    let route = json!({ "name": "r", "paths": ["/"], "filter_chains": [chain] });
    let of = |route: &Value| {
        let url = format!("http://{}", service.address);
        json!({ "_format_version": "3.0", "services": [{ "name": "s", "url": url, "routes": [route] }] }).to_string()
    };
    std::fs::write(&file, of(&route)).unwrap();
    let (path, file) = (folder.path().display().to_string(), file.display().to_string());
    let settings = [("wasm", "on"), ("wasm_filters_path", &*path), ("database", "off"), ("declarative_config", &*file)];
    let node = Node::start(&settings);
    ask(&node).expect(403);
}

#[test]
fn what_is_no_filter_stops_the_start() {
    let folder = filters();
    std::fs::write(folder.path().join("broken.wasm"), "text").unwrap();
    let path = folder.path().display().to_string();
    let owned = |settings: &[(&str, &str)]| -> Vec<(String, String)> {
        settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let refused = |settings: &[(&str, &str)]| Node::try_start(&owned(settings)).err().unwrap();
    let words = refused(&[("wasm", "on"), ("wasm_filters_path", &path)]);
    assert!(words.contains("cannot be loaded: broken ("), "{words}");
    let words = refused(&[("wasm", "on"), ("wasm_filters_path", "/nowhere/at/all")]);
    assert!(words.contains("wasm_filters_path '/nowhere/at/all' is not a valid directory"), "{words}");
    // What is not enabled is not looked at.
    Node::start(&[("wasm", "on"), ("wasm_filters_path", &*path), ("wasm_filters", "probe")]);
}
