//! Plugins in Lua that ask at their beginning which subsystem they are loaded for, and read spans as tables.

use blackbox::http::{get, json};
use blackbox::{Backend, Node, eventually};
use serde_json::json;
use std::io::Read;
use std::net::TcpStream;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/runtimes/src/lua/plugins/fixtures/?.lua;;");

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
