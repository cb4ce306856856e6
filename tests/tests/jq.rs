//! Contents of requests and responses that programs of jq make something else of, over sockets; and programs that want
//! all there is.

use blackbox::http::{Response, json, request};
use blackbox::{Node, Scripted};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::io::Write;

const JSON: &[(&str, &str)] = &[("Content-Type", "application/json; charset=utf-8")];

/// A node with a route to that service, and the plugin on it.
fn node_with(service: &Scripted, config: Value) -> Node {
    let node = Node::start(&[]);
    let record = json!({ "name": "s", "url": format!("http://{}", service.address) });
    json(node.admin(), "POST", "/services", &record).expect(201);
    json(node.admin(), "POST", "/services/s/routes", &json!({ "name": "r", "paths": ["/"] })).expect(201);
    json(node.admin(), "POST", "/routes/r/plugins", &json!({ "name": "jq", "config": config })).expect(201);
    node
}

fn post(node: &Node, lines: &[(&str, &str)], content: &[u8]) -> Response {
    request(node.proxy(), "POST", "/", lines, content).unwrap()
}

#[test]
fn requests_are_filtered() {
    let service = Scripted::answering("application/json", b"{}");
    let config = json!({
        "request_jq_program": ".users[] | {name, old: (.age >= 30)}",
        "request_jq_program_options": { "sort_keys": true }
    });
    let node = node_with(&service, config);
    post(&node, JSON, br#"{"users":[{"name":"Ada","age":36},{"age":3,"name":"Bo"}]}"#).expect(200);
    let seen = service.last();
    assert_eq!(
        String::from_utf8(seen.body.clone()).unwrap(),
        "{\"name\":\"Ada\",\"old\":true}\n{\"name\":\"Bo\",\"old\":false}\n"
    );
    assert_eq!(seen.header("content-length"), Some(seen.body.len().to_string().as_str()));
    // Of another type, no JSON, or nothing comes of it.
    for (lines, content) in [
        (&[("Content-Type", "text/plain")][..], &br#"{"users":[{}]}"#[..]),
        (JSON, b"{\"users\":"),
        (JSON, b"{\"users\":[]}"),
        (JSON, b"[]"),
    ] {
        post(&node, lines, content).expect(200);
        assert_eq!(service.last().body, content);
    }
}

#[test]
fn responses_are_filtered() {
    let service = Scripted::answering("application/json", br#"{"a":"x","secret":1}"#);
    let config = json!({
        "response_jq_program": "del(.secret) | ., .a",
        "response_jq_program_options": { "compact_output": false, "raw_output": true }
    });
    let node = node_with(&service, config);
    let answer = request(node.proxy(), "GET", "/", &[], b"").unwrap().expect(200);
    assert_eq!(answer.text(), "{\n  \"a\": \"x\"\n}\nx\n");
    let head = request(node.proxy(), "HEAD", "/", &[], b"").unwrap().expect(200);
    assert_eq!(head.text(), "");
}

#[test]
fn responses_of_other_statuses_and_types_stream() {
    let service =
        Scripted::start("HTTP/1.1 404 No\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"a\":1}");
    let node = node_with(&service, json!({ "response_jq_program": ".a" }));
    let answer = request(node.proxy(), "GET", "/", &[], b"").unwrap().expect(404);
    assert_eq!(answer.text(), "{\"a\":1}");
    assert_eq!(answer.header("content-length"), Some("7"));
}

#[test]
fn what_was_compressed_is_filtered() {
    let mut zipped = GzEncoder::new(Vec::new(), Compression::default());
    zipped.write_all(br#"{"a":[1,2]}"#).unwrap();
    let zipped = zipped.finish().unwrap();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        zipped.len()
    );
    let service = Scripted::start([head.as_bytes(), &zipped].concat());
    let node = node_with(&service, json!({ "response_jq_program": ".a | add" }));
    let answer = request(node.proxy(), "GET", "/", &[], b"").unwrap().expect(200);
    assert_eq!(answer.text(), "3\n");
    assert_eq!(answer.header("content-encoding"), None);
}

#[test]
fn a_program_with_a_mistake_is_refused_at_its_field() {
    let node = Node::start(&[]);
    let config = json!({ "request_jq_program": ".a |", "response_jq_program": "." });
    let refused = json(node.admin(), "POST", "/plugins", &json!({ "name": "jq", "config": config })).expect(400).json();
    let words = "invalid jq program: expected term at its end";
    assert_eq!(refused["fields"]["config"], json!({ "request_jq_program": words }));
    json(node.admin(), "POST", "/plugins", &json!({ "name": "jq", "config": {} })).expect(400);
}

/// Neither takes the node along: others are served meanwhile and afterwards.
#[test]
fn programs_end_with_their_time_and_their_memory() {
    let service = Scripted::answering("application/json", b"{\"s\":1}");
    let config = json!({
        "request_jq_program": "if .do == \"run\" then last(repeat(1)) \
            elif .do == \"grow\" then [range(1e12)] \
            elif .do == \"nest\" then def f: 1 + f; f \
            elif .do == \"print\" then range(1e12) else .n + 1 end"
    });
    let node = node_with(&service, config);
    for what in ["run", "grow", "nest", "print"] {
        let content = json!({ "do": what, "n": 1 }).to_string();
        let refused = post(&node, JSON, content.as_bytes()).expect(500).json();
        assert_eq!(refused["message"], "An unexpected error occurred", "{what}");
        post(&node, JSON, b"{\"n\":1}").expect(200);
        assert_eq!(service.last().body, b"2\n");
    }
    assert_eq!(service.requests().len(), 4);
}
