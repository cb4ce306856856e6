//! Traces: what collectors get, and that requests do not care whether they do.

use blackbox::http::{get, json, request};
use blackbox::{Backend, Node, Scripted, eventually};
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

fn post(node: &Node, path: &str, body: Value) {
    json(node.admin(), "POST", path, &body).expect(201);
}

/// A node that traces everything, and a route `/r`.
fn start(service: SocketAddr) -> Node {
    let node = Node::start(&[("tracing_instrumentations", "all"), ("tracing_sampling_rate", "1")]);
    post(&node, "/services", json!({ "name": "s", "url": format!("http://{service}") }));
    post(&node, "/services/s/routes", json!({ "name": "r", "paths": ["/r"] }));
    node
}

fn opentelemetry(collector: SocketAddr) -> Value {
    let queue = json!({ "max_batch_size": 200, "max_coalescing_delay": 0.1 });
    let config = json!({ "traces_endpoint": format!("http://{collector}/v1/traces"), "queue": queue });
    json!({ "name": "opentelemetry", "config": config })
}

fn zipkin(collector: SocketAddr) -> Value {
    let config = json!({ "http_endpoint": format!("http://{collector}/api/v2/spans"), "sample_ratio": 1 });
    json!({ "name": "zipkin", "config": config })
}

fn has(content: &[u8], text: &str) -> bool {
    content.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn spans_of_a_request_reach_the_collector_in_one_batch() {
    let backend = Backend::start("one");
    let collector = Scripted::answering("application/json", b"{}");
    let node = start(backend.address);
    post(&node, "/plugins", opentelemetry(collector.address));
    get(node.proxy(), "/r").expect(200);
    eventually("the spans come", || !collector.requests().is_empty());
    let seen = collector.last();
    assert_eq!(seen.header("Content-Type"), Some("application/x-protobuf"));
    for name in ["kong.router", "kong.access.plugin.opentelemetry", "kong.balancer", "http.url", "service.name"] {
        assert!(has(&seen.body, name), "{name}");
    }
}

#[test]
fn both_plugins_continue_the_trace_of_the_client() {
    let service = Scripted::answering("text/plain", b"ok");
    let collector = Scripted::answering("application/json", b"{}");
    let node = start(service.address);
    let trace = "80f198ee56343ba864fe8b2a57d3eff7";
    let parent = format!("00-{trace}-e457b5a2e4d86bd1-01");
    for plugin in [zipkin(collector.address), opentelemetry(collector.address)] {
        post(&node, "/plugins", plugin);
        request(node.proxy(), "GET", "/r", &[("traceparent", &parent)], b"").unwrap().expect(200);
        let seen = service.last();
        let sent = seen.header("traceparent").unwrap();
        assert!(sent.starts_with(&format!("00-{trace}-")), "{sent}");
        assert_ne!(sent, parent, "the service is told of our span, not of the client's");
    }
    eventually("Zipkin is told", || collector.requests().iter().any(|seen| has(&seen.body, trace)));
}

/// What a collector does must not be felt by clients.
#[test]
fn requests_do_not_wait_for_collectors() {
    let backend = Backend::start("one");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let garbage = Scripted::start(*b"nonsense\r\n\r\n");
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let node = start(backend.address);
    for (at, collector) in [silent.local_addr().unwrap(), garbage.address, gone].into_iter().enumerate() {
        let path = format!("/path{at}");
        post(&node, "/services/s/routes", json!({ "name": format!("route{at}"), "paths": [path] }));
        for plugin in [zipkin(collector), opentelemetry(collector)] {
            post(&node, &format!("/routes/route{at}/plugins"), plugin);
        }
        let begun = Instant::now();
        (0..50).for_each(|_| drop(get(node.proxy(), &path).expect(200)));
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
}

#[test]
fn what_the_node_logs_reaches_the_collector() {
    let collector = Scripted::answering("application/json", b"{}");
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let node = start(gone);
    let config = json!({ "logs_endpoint": format!("http://{}/v1/logs", collector.address) });
    post(&node, "/plugins", json!({ "name": "opentelemetry", "config": config }));
    get(node.proxy(), "/r").expect(502);
    let told = |text: &str| collector.requests().iter().any(|seen| has(&seen.body, text));
    eventually("the failed try is told", || told("while connecting to upstream"));
    assert!(told("request.id"));
}
