//! Plugins of the operator's own, in Lua, on a node.

use blackbox::http::{get, json, request};
use blackbox::{Backend, Node};
use rustix::process::Signal;
use serde_json::{Value, json};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/runtimes/src/lua/plugins/fixtures/?.lua;;");

/// A node with the plugin on all routes, of which there is one to the backend.
fn node(backend: &Backend) -> Node {
    let node = Node::start(&[("plugins", "bundled, probe"), ("lua_package_path", PATH)]);
    let admin = node.admin();
    json(admin, "POST", "/services", &json!({ "name": "s", "url": format!("http://{}", backend.address) })).expect(201);
    json(admin, "POST", "/services/s/routes", &json!({ "paths": ["/"] })).expect(201);
    json(admin, "POST", "/plugins", &json!({ "name": "probe", "config": { "old": "X-Old" } })).expect(201);
    node
}

fn head_of(echoed: &Value) -> Vec<String> {
    echoed["head"].as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_ascii_lowercase()).collect()
}

#[test]
fn a_plugin_is_a_plugin_like_any_other() {
    let backend = Backend::start("a");
    let node = node(&backend);
    let admin = node.admin();
    let root = get(admin, "/").expect(200).json();
    assert_eq!(root["plugins"]["available_on_server"]["probe"], json!({ "version": "1.2.3", "priority": 1001 }));
    let schema = get(admin, "/schemas/plugins/probe").expect(200).json();
    assert_eq!(schema["fields"][2]["config"]["fields"][1]["ttl"]["gt"], 0);
    let wrong =
        json(admin, "POST", "/plugins", &json!({ "name": "probe", "config": { "even": 3 } })).expect(400).json();
    assert_eq!(wrong["fields"]["config"]["even"], "must be even");
    let answer = request(node.proxy(), "GET", "/", &[], b"").unwrap().expect(200);
    assert_eq!(answer.header("X-Word"), Some("kept"));
    assert!(head_of(&answer.json()).contains(&"x-old: yes".to_owned()));
    let exit = get(node.proxy(), "/?do=exit").expect(418);
    assert_eq!(exit.json()["ttl"], 60);
    assert_eq!(exit.header("X-A"), Some("b"));
}

#[test]
fn a_plugin_waits_and_others_go_on() {
    let backend = Backend::start("a");
    let node = node(&backend);
    get(node.proxy(), "/?do=sleep").expect(200);
    assert_eq!(get(node.proxy(), "/?do=coroutines").expect(200).json(), json!({ "out": [1, 2, 3] }));
    let port = node.admin().port();
    let line = get(node.proxy(), &format!("/?do=socket&port={port}")).expect(200).json();
    assert_eq!(line["line"], "HTTP/1.1 200 OK");
    assert_eq!(get(node.proxy(), "/?do=state").expect(200).json()["timer"], "fired false timer");
    get(node.proxy(), "/?do=fail").expect(500);
    get(node.proxy(), "/?do=loop").expect(500);
    get(node.proxy(), "/?filter=sleep").expect(200);
}

#[test]
fn a_plugin_that_cannot_be_loaded_stops_the_start() {
    let mut node = Node::start(&[("lua_package_path", PATH)]);
    node.end(Signal::TERM);
    node.set("plugins", "bundled,nowhere");
    let said = node.refusal();
    assert!(said.contains("on plugin 'nowhere': nowhere plugin is enabled but not installed"), "{said}");
    node.set("plugins", "broken");
    let said = node.refusal();
    assert!(said.contains("error loading module 'kong.plugins.broken.handler'"), "{said}");
}
