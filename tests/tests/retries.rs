//! Requests that are tried again as a plugin says, and copies of requests.

use blackbox::http::{Response, form, json, request};
use blackbox::{Backend, Node, Scripted, eventually};
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};

const BUSY: &str = "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy";

/// A node with a service of these targets at `/`, which is not tried again by itself, and that plugin.
fn start(targets: &[SocketAddr], name: &str, config: Value) -> Node {
    let node = Node::start(&[]);
    form(node.admin(), "POST", "/upstreams", "name=u").expect(201);
    for target in targets {
        form(node.admin(), "POST", "/upstreams/u/targets", &format!("target={target}")).expect(201);
    }
    form(node.admin(), "POST", "/services", "name=s&host=u&retries=0").expect(201);
    form(node.admin(), "POST", "/services/s/routes", "paths[]=/").expect(201);
    json(node.admin(), "POST", "/plugins", &json!({ "name": name, "config": config })).expect(201);
    node
}

fn ask(node: &Node, method: &str, content: &[u8]) -> Response {
    request(node.proxy(), method, "/a?b=1", &[], content).unwrap()
}

#[test]
fn statuses_are_tried_again_by_method() {
    let (busy, backend) = (Scripted::start(BUSY), Backend::start("b"));
    let config = json!({ "statuses": [503], "methods": ["GET"], "budget": { "minimum": 1_000 } });
    let node = start(&[busy.address, backend.address], "retry", config);
    for _ in 0..10 {
        assert_eq!(ask(&node, "GET", b"").status, 200);
    }
    assert!(!busy.requests().is_empty());
    let posted: Vec<u16> = (0..10).map(|_| ask(&node, "POST", b"x").status).collect();
    assert!(posted.contains(&503), "{posted:?}");
}

#[test]
fn contents_are_sent_again() {
    let (busy, backend) = (Scripted::start(BUSY), Scripted::answering("text/plain", b"done"));
    let config = json!({ "methods": ["POST"], "budget": { "minimum": 1_000 } });
    let node = start(&[busy.address, backend.address], "retry", config);
    for _ in 0..4 {
        assert_eq!(ask(&node, "POST", b"hello").status, 200);
    }
    assert!(!busy.requests().is_empty());
    assert!(backend.requests().iter().all(|request| request.body == b"hello"));
}

#[test]
fn the_budget_bounds_what_a_failing_service_gets() {
    let busy = Scripted::start(BUSY);
    let config = json!({ "retries": 9, "budget": { "percentage": 0, "minimum": 3 } });
    let node = start(&[busy.address], "retry", config);
    for _ in 0..10 {
        let last = ask(&node, "GET", b"");
        assert_eq!(last.status, 503);
        assert_eq!(last.text(), "busy", "the last response is the service's");
    }
    // Three each ten seconds, and the machine may be slow.
    let asked = busy.requests().len();
    assert!((13..40).contains(&asked), "{asked}");
}

#[test]
fn copies_go_elsewhere() {
    let (backend, shadow) = (Backend::start("b"), Scripted::answering("text/plain", b"ignored"));
    let config = json!({ "url": format!("http://{}/shadow", shadow.address), "methods": ["POST"] });
    let node = start(&[backend.address], "traffic-mirror", config);
    assert_eq!(ask(&node, "GET", b"").header("X-Backend"), Some("b"));
    assert_eq!(ask(&node, "POST", b"hello").header("X-Backend"), Some("b"));
    eventually("the copy is there", || !shadow.requests().is_empty());
    let copy = shadow.last();
    assert_eq!(copy.body, b"hello");
    assert_eq!(copy.header("X-Traffic-Mirror"), Some("1"));
}

#[test]
fn nobody_waits_for_a_copy() {
    // It accepts nothing and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let backend = Backend::start("b");
    let url = format!("http://{}", silent.local_addr().unwrap());
    let node = start(&[backend.address], "traffic-mirror", json!({ "url": url, "max_pending": 2 }));
    for _ in 0..20 {
        assert_eq!(ask(&node, "POST", b"hello").status, 200);
    }
    eventually("it says so", || node.log().contains("2 copies are on their way already"));
}
