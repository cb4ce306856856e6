//! Requests of REST, and what becomes of them.

use super::*;
use sdk::testing;
use serde_json::json;

const PROTO: &str = r#"
syntax = "proto3";
package t;
import "google/api/annotations.proto";
service T {
  rpc Read (Query) returns (Item) {
    option (google.api.http) = { get: "/v1/{name=items/*}/{id}" additional_bindings { get: "/v0/{id}" } };
  }
  rpc Write (Query) returns (Item) { option (google.api.http) = { post: "/v1/items/{id}" body: "item" }; }
  rpc All (Query) returns (Item) { option (google.api.http) = { put: "/v1/all/{name=**}" body: "*" }; }
}
message Query {
  string name = 1; int32 id = 2; Item item = 3; bool deep = 4; repeated int32 ids = 5; repeated bool on = 6;
  Tags within = 7;
}
message Item { string text = 1; }
message Tags { repeated string tags = 1; }
"#;

fn instance() -> Instance {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("t.proto");
    std::fs::write(&file, PROTO).unwrap();
    Instance { bindings: Some(Binding::all(&Schema::read(file.to_str().unwrap()).unwrap()).unwrap()) }
}

/// The path of the method and its message, as JSON of our own making.
fn translated(method: &str, target: &str, body: &str) -> Result<(String, Vec<u8>), String> {
    let mut exchange = testing::exchange(method, target, &[]);
    exchange.body = Bytes::copy_from_slice(body.as_bytes()).into();
    let (method, message) = instance().translate(&exchange)?;
    Ok((method.path(), message))
}

fn message(json: &Value) -> Vec<u8> {
    let instance = instance();
    instance.bindings.unwrap()[0].method.request(json).unwrap()
}

#[test]
fn requests_stand_for_methods() {
    let read = "/t.T/Read".to_owned();
    let with = |json: Value| message(&json);
    let got = translated("GET", "/v1/items/a/7?item.text=x&deep=true&other=1", "");
    let expected = with(json!({ "name": "items/a", "id": 7, "item": { "text": "x" }, "deep": true }));
    assert_eq!(got, Ok((read.clone(), expected)));
    let got = translated("GET", "/v1/items/a/7?ids=1&ids=-2&within.tags=x&on=0&on=true", "");
    let within = json!({ "tags": ["x"] });
    let expected = json!({ "name": "items/a", "id": 7, "ids": [1, -2], "within": within, "on": [false, true] });
    assert_eq!(got, Ok((read.clone(), with(expected))));
    assert_eq!(translated("GET", "/v0/8", ""), Ok((read, with(json!({ "id": 8 })))));
    let got = translated("POST", "/v1/items/9?deep=true", r#"{"text": "x"}"#);
    assert_eq!(got, Ok(("/t.T/Write".to_owned(), with(json!({ "id": 9, "item": { "text": "x" } })))));
    let got = translated("PUT", "/v1/all/a/b", r#"{"id": 1}"#);
    assert_eq!(got, Ok(("/t.T/All".to_owned(), with(json!({ "name": "a/b", "id": 1 })))));
}

#[test]
fn what_fits_no_method_is_refused() {
    let error = |method, target, body| translated(method, target, body).unwrap_err();
    let failed = "failed to transcode .proto file Unknown";
    assert_eq!(error("GET", "/v1/x", ""), format!("{failed} path \"/v1/x\""));
    assert_eq!(error("DELETE", "/v1/x", ""), format!("{failed} method \"delete\""));
    assert!(error("POST", "/v1/items/9", "{").starts_with("decode json err: "));
    assert_eq!(error("PUT", "/v1/all/a", "[]"), "body must be a table");
    assert_eq!(error("GET", "/v0/x", ""), "failed to encode payload");
    let none = Instance { bindings: None }.translate(&testing::exchange("GET", "/", &[])).err();
    assert_eq!(none.as_deref(), Some("transcoding requests require a .proto file defining the service"));
}

#[test]
fn responses_are_json() {
    let instance = instance();
    let answer = |lines: &[(&str, &str)], body: &[&[u8]]| {
        let mut exchange = testing::exchange("GET", "/v0/8", &[]);
        assert!(testing::access(&instance, &mut exchange).is_none());
        let content = testing::respond_octets(&instance, &mut exchange, 200, lines, body);
        (exchange.response.status, String::from_utf8(content).unwrap())
    };
    let framed = frame(0, b"\x0a\x01a");
    assert_eq!(answer(&[], &[&framed[..3], &framed[3..]]), (200, r#"{"text":"a"}"#.to_owned()));
    assert_eq!(answer(&[("grpc-status", "5")], &[]), (404, String::new()));
    assert_eq!(answer(&[], &[b"what"]), (200, "what".to_owned()));
}
