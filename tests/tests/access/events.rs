//! Event hooks.

use super::ask;
use blackbox::http::json;
use blackbox::{Node, Service, eventually};
use serde_json::{Value, json};

/// Answers a request to the server of a hook; its content, and its signature.
fn told(service: &Service, status: &str) -> (Value, String) {
    let (mut connection, request) = service.asked();
    connection
        .send_raw(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes())
        .unwrap();
    let signed = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("x-kong-signature"));
    let signature = signed.map(|(_, value)| value.clone()).unwrap_or_default();
    (serde_json::from_slice(&request.body).unwrap(), signature)
}

#[test]
fn servers_are_told_of_writes() {
    let service = Service::start();
    let node = Node::start(&[]);
    let url = format!("http://{}/hook", service.address);
    let config = json!({ "url": url, "secret": "s" });
    let hook = json!({ "source": "crud", "event": "consumers", "handler": "webhook", "config": config });
    json(node.admin(), "POST", "/event-hooks", &hook).expect(201);
    let (ping, signature) = told(&service, "200 OK");
    assert_eq!(ping["event"], "ping");
    assert!(signature.starts_with("sha1="), "{signature}");
    json(node.admin(), "POST", "/consumers", &json!({ "username": "ada" })).expect(201);
    // What the server cannot take yet is sent again.
    assert_eq!(told(&service, "503 Service Unavailable").0["entity"]["username"], "ada");
    assert_eq!(told(&service, "200 OK").0["entity"]["username"], "ada");
    json(node.admin(), "POST", "/services", &json!({ "name": "s", "host": "h.test" })).expect(201);
    json(node.admin(), "PATCH", "/consumers/ada", &json!({ "custom_id": "1" })).expect(200);
    let (update, _) = told(&service, "200 OK");
    assert_eq!(update["operation"], "update");
    assert_eq!(update["old_entity"]["custom_id"], Value::Null);
}

#[test]
fn the_log_has_events() {
    let node = Node::start(&[("log_level", "info")]);
    ask(&node, "", "POST", "/event-hooks", "source=crud&event=consumers&handler=log").expect(201);
    ask(&node, "", "POST", "/consumers", "username=Lovelace").expect(201);
    eventually("the log has it", || node.log().contains("Lovelace"));
    ask(&node, "", "POST", "/event-hooks", "source=crud&handler=log").expect(201);
    ask(&node, "", "POST", "/consumers/Lovelace/key-auth", "key=planted").expect(201);
    eventually("the log has that too", || node.log().contains("keyauth_credentials"));
    assert!(!node.log().contains("planted"));
}

#[test]
fn servers_are_told_of_the_health_of_targets() {
    let service = Service::start();
    let node = Node::start(&[]);
    let config = json!({ "url": format!("http://{}/hook", service.address) });
    let hook = json!({ "source": "balancer", "event": "health", "handler": "webhook", "config": config });
    json(node.admin(), "POST", "/event-hooks", &hook).expect(201);
    assert_eq!(told(&service, "200 OK").0["event"], "ping");
    let unhealthy = json!({ "http_failures": 1, "tcp_failures": 1 });
    let checks = json!({ "passive": { "unhealthy": unhealthy } });
    let upstream = json!({ "name": "u", "healthchecks": checks });
    let upstream = json(node.admin(), "POST", "/upstreams", &upstream).expect(201).json();
    json(node.admin(), "POST", "/upstreams/u/targets", &json!({ "target": "127.0.0.1:9" })).expect(201);
    // The node is asked for what it was before now and then: it changes until it is told.
    let mut healthy = true;
    let (mut connection, request) = loop {
        healthy = !healthy;
        let mark = if healthy { "healthy" } else { "unhealthy" };
        let path = format!("/upstreams/u/targets/127.0.0.1:9/{mark}");
        json(node.admin(), "PUT", &path, &json!({})).expect(204);
        if let Some(mut connection) = service.accept_within(std::time::Duration::from_millis(1500)) {
            let request = connection.request().unwrap();
            break (connection, request);
        }
    };
    connection.send_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    let event: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(event["upstream_id"], upstream["id"]);
    assert_eq!(event["hostname"], "127.0.0.1");
    assert_eq!(event["port"], 9);
    assert!(["HEALTHY", "UNHEALTHY"].contains(&event["health"].as_str().unwrap()));
}
