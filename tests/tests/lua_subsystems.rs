//! Plugins in Lua that ask at their beginning which subsystem they are loaded for, and read spans as tables.

use blackbox::http::{get, json, request};
use blackbox::{Backend, Node, eventually};
use serde_json::{Value, json};
use std::io::Read;
use std::net::TcpStream;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/runtimes/src/lua/plugins/fixtures/?.lua;;");

/// A plugin learns of its last instance's end as of others, though no request comes by.
#[test]
fn plugins_are_told_when_they_are_configured_no_more() {
    let usual = [("plugins", "bundled, twofold"), ("lua_package_path", PATH), ("nginx_worker_processes", "1")];
    let told = |node: &Node| {
        let log = node.log();
        let lines = log.lines().filter_map(|line| line.split_once("http is configured "));
        lines.filter_map(|(_, count)| count.split([',', ' ']).next().map(str::to_owned)).collect::<Vec<_>>()
    };
    let node = Node::start(&[&usual[..], &[("log_level", "notice")]].concat());
    eventually("there is none", || told(&node) == ["nil"]);
    let created = json(node.admin(), "POST", "/plugins", &json!({ "name": "twofold" })).expect(201).json();
    eventually("there is one", || told(&node) == ["nil", "1"]);
    let path = format!("/plugins/{}", created["id"].as_str().unwrap());
    request(node.admin(), "DELETE", &path, &[], b"").unwrap().expect(204);
    eventually("there is none again", || told(&node) == ["nil", "1", "nil"]);

    let node = Node::start(&[&usual[..], &[("log_level", "notice"), ("database", "off")]].concat());
    let load = |plugins: Value| {
        let content = json!({ "_format_version": "3.0", "plugins": plugins });
        json(node.admin(), "POST", "/config", &content).expect(201);
    };
    load(json!([{ "name": "twofold" }]));
    eventually("there is one", || told(&node).last().is_some_and(|last| last == "1"));
    load(json!([]));
    eventually("there is none", || told(&node).last().is_some_and(|last| last == "nil"));
}

#[test]
fn a_handler_is_there_once_for_requests_and_once_for_streams() {
    let backend = Backend::start("one");
    let node = Node::start(&[
        ("plugins", "bundled, twofold"),
        ("lua_package_path", PATH),
        ("log_level", "notice"),
        ("stream_listen", "127.0.0.1:0"),
        ("tracing_instrumentations", "all"),
        ("tracing_sampling_rate", "1"),
    ]);
    let admin = node.admin();
    let url = format!("http://{}", backend.address);
    json(admin, "POST", "/services", &json!({ "name": "s", "url": url })).expect(201);
    json(admin, "POST", "/services/s/routes", &json!({ "paths": ["/"] })).expect(201);
    let url = format!("tcp://{}", backend.address);
    json(admin, "POST", "/services", &json!({ "name": "t", "url": url })).expect(201);
    let route = json!({ "protocols": ["tcp"], "destinations": [{ "port": node.stream(0).port() }] });
    json(admin, "POST", "/services/t/routes", &route).expect(201);
    json(admin, "POST", "/plugins", &json!({ "name": "twofold" })).expect(201);
    for subsystem in ["http", "stream"] {
        let begins = format!("it begins for {subsystem}");
        eventually(&begins, || node.log().contains(&begins));
    }
    get(node.proxy(), "/").expect(200);
    let mut told = String::new();
    TcpStream::connect(node.stream(0)).unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(told, "it is stream\n");
    for subsystem in ["http", "stream"] {
        let ends = format!("it ends for {subsystem}");
        eventually(&ends, || node.log().contains(&ends));
    }
    let span = "\"attributes\":{\"word\":\"a\"}";
    eventually("the span is a table", || node.log().lines().any(|line| line.contains("span {") && line.contains(span)));
    let log = node.log();
    let line = log.lines().find(|line| line.contains("span {")).unwrap();
    for part in ["\"end_time_ns\":true", "\"trace_id\":16", "\"span_id\":8", "\"parent_id\":8", "\"kind\":1"] {
        assert!(line.contains(part), "{part}: {line}");
    }
}
