//! Requests that ask for their timing.

use blackbox::http::{Response, form, json, request};
use blackbox::{Backend, Node, Service, eventually};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;

const ASKS: (&str, &str) = ("X-Kong-Request-Debug", "*");
/// A trusted proxy, which any client on this machine is here, says that the request comes from elsewhere.
const FROM_ELSEWHERE: (&str, &str) = ("X-Real-IP", "192.0.2.7");

fn output(answer: &Response) -> Option<Value> {
    answer.header("X-Kong-Request-Debug-Output").map(|text| serde_json::from_str(text).expect("JSON"))
}

fn route(node: &Node, address: std::net::SocketAddr) {
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{address}")).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/a").expect(201);
}

fn ask(node: &Node, lines: &[(&str, &str)]) -> Response {
    request(node.proxy(), "GET", "/a", lines, b"").unwrap()
}

/// What a node writes of a request, put together.
fn logged(node: &Node, id: &str) -> Option<String> {
    let log = node.log();
    let parts: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("[request-debug]") && line.contains(id))
        .filter_map(|line| line.split_once(" output: "))
        .map(|(_, rest)| rest.split(", request_id").next().unwrap_or(rest))
        .collect();
    (!parts.is_empty()).then(|| parts.concat())
}

#[test]
fn this_machine_is_told() {
    let service = Service::start();
    let node = Node::start(&[]);
    route(&node, service.address);
    let plugin = json(node.admin(), "POST", "/routes/r/plugins", &json!({ "name": "correlation-id" })).expect(201);
    let id = plugin.json()["id"].as_str().unwrap().to_owned();
    let answering = std::thread::spawn(move || {
        let (mut connection, seen) = service.asked();
        connection.send_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        seen
    });
    let lines = [ASKS, ("X-Kong-Request-Debug-Log", "true"), ("X-Kong-Request-Debug-Token", "none")];
    let answer = ask(&node, &lines).expect(200);
    let seen = answering.join().unwrap();
    let told: Vec<_> = seen.headers.iter().filter(|(name, _)| name.starts_with("X-Kong-Request-Debug")).collect();
    assert!(told.is_empty(), "services are told nothing of it: {told:?}");

    let tree = output(&answer).expect("an output");
    assert_eq!(tree["request_id"].as_str(), answer.header("X-Kong-Request-Id"));
    assert!(tree["workspace_id"].is_string(), "{tree}");
    assert!(tree["total_time_without_upstream"].is_number(), "{tree}");
    let phases = &tree["child"];
    for phase in ["rewrite", "access", "balancer", "header_filter", "upstream"] {
        assert!(phases[phase]["total_time"].is_number(), "{phase} in {tree}");
    }
    assert!(phases["access"]["child"]["router"]["total_time"].is_number(), "{tree}");
    let timed = &phases["access"]["child"]["plugins"]["child"]["correlation-id"]["child"][&id];
    assert!(timed["total_time"].is_number(), "{tree}");
    assert!(phases["upstream"]["child"]["time_to_first_byte"]["total_time"].is_number(), "{tree}");

    let id = tree["request_id"].as_str().unwrap();
    eventually("a line in the log", || logged(&node, id).is_some());
    let tree: Value = serde_json::from_str(&logged(&node, id).unwrap()).expect("JSON");
    assert!(tree["child"]["upstream"]["child"]["streaming"]["total_time"].is_number(), "{tree}");
    assert!(tree["child"]["log"]["total_time"].is_number(), "{tree}");
    assert!(tree["child"]["body_filter"]["total_time"].is_number(), "{tree}");
}

#[test]
fn look_ups_of_names_are_told() {
    let backend = Backend::start("b");
    let folder = tempfile::tempdir().unwrap();
    let hosts = folder.path().join("hosts");
    std::fs::write(&hosts, "127.0.0.1 service.test\n").unwrap();
    let node = Node::start(&[("dns_hostsfile", hosts.to_str().unwrap())]);
    let url = format!("name=s&url=http://service.test:{}", backend.address.port());
    form(node.admin(), "POST", "/services", &url).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/a").expect(201);
    let tree = output(&ask(&node, &[ASKS]).expect(200)).expect("an output");
    let resolve = &tree["child"]["access"]["child"]["dns"]["child"]["service.test"]["child"]["resolve"];
    assert!(resolve["total_time"].is_number(), "{tree}");
    assert!(resolve["cache_hit"].is_boolean(), "{tree}");
}

#[test]
fn answers_of_the_node_tell_it_too() {
    let node = Node::start(&[]);
    let missing = request(node.proxy(), "GET", "/none", &[ASKS], b"").unwrap().expect(404);
    let tree = output(&missing).expect("an output");
    assert!(tree["child"]["access"]["child"]["router"]["total_time"].is_number(), "{tree}");
    assert_eq!(tree["child"]["upstream"], Value::Null);
    for asks in ["", "access", "1"] {
        let answer = request(node.proxy(), "GET", "/none", &[(ASKS.0, asks)], b"").unwrap();
        assert_eq!(output(&answer), None, "{asks}");
    }
}

#[test]
fn clients_elsewhere_need_the_token() {
    let backend = Backend::start("b");
    let node = Node::start(&[("trusted_ips", "127.0.0.1")]);
    route(&node, backend.address);
    let file = node.prefix().join(".request_debug_token");
    let made = std::fs::read_to_string(&file).unwrap();
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!node.log().contains(&made), "the token is in no log");
    let with = |token: &str| {
        let lines = [ASKS, FROM_ELSEWHERE, ("X-Kong-Request-Debug-Token", token)];
        output(&ask(&node, &lines).expect(200))
    };
    assert_eq!(output(&ask(&node, &[ASKS, FROM_ELSEWHERE]).expect(200)), None);
    assert_eq!(with(""), None);
    assert_eq!(with("wrong"), None);
    assert!(with(&made).is_some());
    // Whoever a proxy speaks for is elsewhere, whatever it says.
    assert_eq!(output(&ask(&node, &[ASKS, ("X-Real-IP", "127.0.0.1")]).expect(200)), None);
}

#[test]
fn the_token_can_be_chosen() {
    let node = Node::start(&[("trusted_ips", "127.0.0.1"), ("request_debug_token", "chosen")]);
    let lines = [ASKS, FROM_ELSEWHERE, ("X-Kong-Request-Debug-Token", "chosen")];
    assert!(output(&ask(&node, &lines).expect(404)).is_some());
    let shown = blackbox::http::get(node.admin(), "/").expect(200).text();
    assert!(!shown.contains("chosen"), "{shown}");
}

#[test]
fn what_is_long_goes_into_the_log() {
    let backend = Backend::start("b");
    let node = Node::start(&[("trusted_ips", "127.0.0.1"), ("request_debug_token", "chosen")]);
    route(&node, backend.address);
    let plugins = [
        ("basic-auth", json!({ "anonymous": "nobody" })),
        ("bot-detection", json!({})),
        ("correlation-id", json!({})),
        ("cors", json!({})),
        ("hmac-auth", json!({ "anonymous": "nobody" })),
        ("ip-restriction", json!({ "allow": ["0.0.0.0/0"] })),
        ("jwt", json!({ "anonymous": "nobody" })),
        ("key-auth", json!({ "anonymous": "nobody" })),
        ("rate-limiting", json!({ "minute": 1000, "policy": "local" })),
        ("request-size-limiting", json!({})),
        ("request-transformer", json!({ "add": { "headers": ["x-a:1"] } })),
        ("response-ratelimiting", json!({ "limits": { "video": { "minute": 1000 } }, "policy": "local" })),
        ("response-transformer", json!({ "add": { "headers": ["x-b:1"] } })),
        ("file-log", json!({ "path": "/dev/null" })),
        ("request-transformer-advanced", json!({ "add": { "headers": ["x-c:1"] } })),
        ("response-transformer-advanced", json!({ "add": { "headers": ["x-d:1"] } })),
        ("rate-limiting-advanced", json!({ "limit": [1000], "window_size": [60], "sync_rate": -1 })),
        ("json-threat-protection", json!({})),
        ("upstream-timeout", json!({ "read_timeout": 60000 })),
    ];
    form(node.admin(), "POST", "/consumers", "username=nobody").expect(201);
    for (name, config) in plugins {
        json(node.admin(), "POST", "/routes/r/plugins", &json!({ "name": name, "config": config })).expect(201);
    }
    let whole = output(&ask(&node, &[ASKS]).expect(200)).expect("an output");
    assert_eq!(whole["truncated"], Value::Null, "this machine gets all of it");
    let answer = ask(&node, &[ASKS, FROM_ELSEWHERE, ("X-Kong-Request-Debug-Token", "chosen")]).expect(200);
    let told = output(&answer).expect("an output");
    assert_eq!(told["truncated"], true, "{whole}");
    let id = answer.header("X-Kong-Request-Id").unwrap();
    assert_eq!(told["request_id"], id);
    let complete = || logged(&node, id).and_then(|text| serde_json::from_str::<Value>(&text).ok());
    eventually("all of it in the log", || complete().is_some());
    let tree = complete().unwrap();
    assert!(tree["child"]["access"]["child"]["plugins"]["child"]["cors"].is_object(), "{tree}");
    assert!(tree["child"]["log"]["child"]["plugins"]["child"]["file-log"].is_object(), "{tree}");
}

#[test]
fn nobody_may_when_that_is_off() {
    let service = Service::start();
    let node = Node::start(&[("request_debug", "off")]);
    route(&node, service.address);
    let answering = std::thread::spawn(move || {
        let (mut connection, seen) = service.asked();
        connection.send_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
        seen
    });
    assert_eq!(output(&ask(&node, &[ASKS]).expect(200)), None);
    assert_eq!(answering.join().unwrap().header(ASKS.0), Some("*"), "it is a line as any other");
    assert!(!node.prefix().join(".request_debug_token").exists());
}
