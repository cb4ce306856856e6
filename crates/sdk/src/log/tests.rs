//! The entry of an exchange, member by member.

use super::*;
use crate::testing::{self, Entries};
use crate::{Directory, SnapshotRef, Tls, Try};
use model::Record;
use model::entities::{Route, Service, Uuid};
use serde_json::{Value, json};

fn record(value: Value) -> Record {
    value.as_object().unwrap().clone()
}

fn entry(exchange: &Exchange) -> Value {
    serde_json::from_slice(&serialize(exchange)).unwrap()
}

/// A request that a service has answered.
fn proxied(target: &str) -> Exchange {
    let lines = [("Host", "Front.test:8000"), ("X-T", "1"), ("x-t", "2"), ("Authorization", "Bearer abc")];
    let mut exchange = testing::exchange("GET", target, &lines);
    let service = json!({
        "id": Uuid::from_u128(1).to_string(), "name": "s", "protocol": "http", "host": "up.test", "port": 80,
        "retries": 1, "connect_timeout": 60_000, "read_timeout": 60_000, "write_timeout": 60_000, "enabled": true,
        "created_at": 7, "updated_at": 8, "tags": null
    });
    let route = json!({
        "id": Uuid::from_u128(2).to_string(), "name": "r", "protocols": ["https", "http"], "paths": ["/a"],
        "service": { "id": Uuid::from_u128(1).to_string() }, "created_at": 7, "updated_at": 8,
        "headers": { "X-V": ["1", "2"] }, "methods": null, "sources": [{ "ip": "10.0.0.0/8", "port": 80 }]
    });
    exchange.service = Some(SnapshotRef::from(Service::from_record(&record(service)).unwrap()));
    exchange.route = Some(SnapshotRef::from(Route::from_record(&record(route)).unwrap()));
    exchange.upstream.path = "/x".to_owned();
    exchange.response.status = 200;
    exchange.response.fields = [("Content-Type", "text/plain"), ("X-B", "1"), ("x-b", "2")].into_iter().collect();
    exchange.traffic.received = 80;
    exchange.traffic.sent = 150;
    exchange.tries = vec![attempt(200)];
    exchange.timing.proxy = Some(Duration::ZERO);
    exchange.timing.upstream = Some(Duration::from_millis(3));
    exchange
}

fn attempt(status: u16) -> Try {
    let address = "10.0.0.1:80".parse().unwrap();
    Try { status, waited: Duration::from_millis(3), ..Try::new(address, Instant::now()) }
}

#[test]
fn an_answered_request() {
    let entry = entry(&proxied("/a/x?b=1&c&b=%32"));
    let mut members: Vec<_> = entry.as_object().unwrap().keys().map(String::as_str).collect();
    members.sort_unstable();
    let all = [
        "client_ip",
        "latencies",
        "request",
        "response",
        "route",
        "service",
        "source",
        "started_at",
        "tries",
        "upstream_status",
        "upstream_uri",
        "workspace",
        "workspace_name",
    ];
    assert_eq!(members, all);
    let request = json!({
        "id": testing::ID, "uri": "/a/x?b=1&c&b=%32", "url": "http://front.test:8000/a/x?b=1&c&b=%32",
        "querystring": { "b": ["1", "2"], "c": true }, "method": "GET", "size": 80,
        "headers": { "authorization": "REDACTED", "host": "Front.test:8000", "x-t": ["1", "2"] }
    });
    assert_eq!(entry["request"], request);
    let response = json!({
        "status": 200, "size": 150, "headers": { "content-type": "text/plain", "x-b": ["1", "2"] }
    });
    assert_eq!(entry["response"], response);
    assert_eq!(entry["upstream_uri"], "/x?b=1&c&b=%32");
    assert_eq!(entry["upstream_status"], "200");
    assert_eq!(entry["source"], "upstream");
    assert_eq!(entry["client_ip"], "127.0.0.1");
    assert_eq!(entry["workspace_name"], "default");
    assert!(entry["started_at"].as_u64().unwrap() > 1_700_000_000_000);
    let latencies = entry["latencies"].as_object().unwrap();
    assert!(["kong", "proxy", "request", "receive"].iter().all(|name| latencies[*name].is_i64()));
    assert_eq!(latencies["proxy"], 3);
    let attempt = &entry["tries"][0];
    assert_eq!(attempt["ip"], "10.0.0.1");
    assert_eq!(attempt["port"], 80);
    assert!(attempt["balancer_start"].as_u64().unwrap() > 1_700_000_000_000);
    assert_eq!(attempt.get("state"), None);
}

#[test]
fn records_are_complete_and_without_nulls() {
    let entry = entry(&proxied("/a"));
    let service = json!({
        "id": Uuid::from_u128(1).to_string(), "name": "s", "created_at": 7, "updated_at": 8, "protocol": "http",
        "host": "up.test", "port": 80, "retries": 1, "connect_timeout": 60_000, "write_timeout": 60_000,
        "read_timeout": 60_000, "enabled": true, "ws_id": DEFAULT_WORKSPACE.to_string()
    });
    assert_eq!(entry["service"], service);
    let route = json!({
        "id": Uuid::from_u128(2).to_string(), "name": "r", "created_at": 7, "updated_at": 8,
        "protocols": ["http", "https"], "paths": ["/a"], "headers": { "x-v": ["1", "2"] },
        "sources": [{ "ip": "10.0.0.0/8", "port": 80 }], "regex_priority": 0, "path_handling": "v0",
        "strip_path": true, "preserve_host": false, "https_redirect_status_code": 426, "request_buffering": true,
        "response_buffering": true,
        "service": { "id": Uuid::from_u128(1).to_string() }, "ws_id": DEFAULT_WORKSPACE.to_string()
    });
    assert_eq!(entry["route"], route);
}

#[test]
fn a_record_may_be_in_another_workspace() {
    let mut exchange = proxied("/a");
    let id = Uuid::from_u128(3);
    let other = json!({ "id": Uuid::from_u128(2).to_string(), "protocols": ["http"], "ws_id": id.to_string() });
    exchange.route = Some(SnapshotRef::from(Route::from_record(&record(other)).unwrap()));
    let entry = entry(&exchange);
    assert_eq!(entry["workspace"], id.to_string());
    assert_eq!(entry["route"]["ws_id"], id.to_string());
    assert_eq!(entry.get("workspace_name"), None, "a directory without it");
}

#[test]
fn callers_are_named() {
    let mut entries = Entries::default();
    let ada = entries.consumer("ada", Some("c7"));
    let credential = entries.credential("keyauth_credentials", "k", &ada);
    let directory: Directory = entries.into();
    let mut exchange = testing::exchange_with("GET", "/", &[], directory);
    exchange.authenticate(Some(ada.clone()), Some(credential.clone()));
    let entry = entry(&exchange);
    assert_eq!(entry["consumer"]["username"], "ada");
    assert_eq!(entry["consumer"]["custom_id"], "c7");
    let entity = json!({ "id": credential.id.to_string(), "consumer_id": ada.id.to_string() });
    assert_eq!(entry["authenticated_entity"], entity);
}

#[test]
fn answers_of_the_gateway_have_no_tries() {
    let mut exchange = proxied("/a");
    exchange.source = Source::Exit;
    exchange.tries.clear();
    (exchange.timing.proxy, exchange.timing.upstream) = (None, None);
    let routed = entry(&exchange);
    assert_eq!(routed["tries"], json!([]));
    assert_eq!(routed["source"], "kong");
    assert_eq!(routed["upstream_status"], "");
    assert_eq!(routed["latencies"]["proxy"], -1);
    assert_eq!(routed["latencies"]["receive"], 0);
    (exchange.route, exchange.service) = (None, None);
    let unrouted = entry(&exchange);
    assert_eq!(unrouted.get("tries"), None);
    assert_eq!(unrouted["upstream_uri"], "");
}

#[test]
fn failed_tries_say_so() {
    let mut exchange = proxied("/a");
    exchange.tries = vec![attempt(504), attempt(200)];
    let again = entry(&exchange);
    assert_eq!(again["upstream_status"], "504, 200");
    assert_eq!(again["tries"][0]["state"], "failed");
    assert_eq!(again["tries"][0]["code"], 504);
    assert_eq!(again["tries"][1].get("state"), None);
    exchange.tries = vec![attempt(502), attempt(502)];
    (exchange.source, exchange.response.status) = (Source::Error, 502);
    let failed = entry(&exchange);
    assert!(failed["tries"].as_array().unwrap().iter().all(|attempt| attempt["state"] == "failed"));
    // The client did not wait for what the second one would say.
    exchange.tries = vec![attempt(504), attempt(0)];
    (exchange.source, exchange.response.status) = (Source::Error, 499);
    let given_up = entry(&exchange);
    assert_eq!(given_up["upstream_status"], "504, -");
    assert_eq!(given_up["tries"][0]["state"], "failed");
    assert_eq!(given_up["tries"][1].get("state"), None);
}

#[test]
fn lines_are_those_of_before_the_service_and_octets_stay() {
    let mut exchange = testing::exchange("GET", "/?q=%E9", &[("Host", "service")]);
    let mut kept = Fields::new();
    kept.append("Host", b"front");
    kept.append("X-L", b"\xe9");
    exchange.kept_lines = Some(Box::new(kept));
    let text = serialize(&exchange);
    let has = |part: &[u8]| text.windows(part.len()).any(|window| window == part);
    assert!(has(b"\"headers\":{\"host\":\"front\",\"x-l\":\"\xe9\"}"));
    assert!(has(b"\"querystring\":{\"q\":\"\xe9\"}"));
}

#[test]
fn tls_and_what_plugins_have_set() {
    let mut exchange = proxied("/a");
    let tls = Tls {
        version: "TLSv1.3",
        cipher: "TLS_AES_256_GCM_SHA384",
        group: "X25519",
        alpn: "h2",
        resumed: false,
        client_verify: "NONE",
    };
    exchange.client.tls = Some(tls);
    exchange.client.public_port = 443;
    exchange.log_values.push(LogValue::set("correlation_id", json!("c")));
    exchange.log_values.push(LogValue { key: "route".to_owned(), value: None, mode: LogMode::Set });
    let entry = entry(&exchange);
    assert_eq!(entry["request"]["url"], "https://front.test:443/a");
    let tls = json!({ "version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384", "client_verify": "NONE" });
    assert_eq!(entry["request"]["tls"], tls);
    assert_eq!(entry["correlation_id"], "c");
    assert_eq!(entry.get("route"), None);
}
