//! How long clients' connections stay, and how fast they are served.

use super::node_before;
use blackbox::http::Connection;
use blackbox::{Node, Scripted};
use std::time::{Duration, Instant};

#[test]
fn connections_end_after_so_many_requests() {
    let service = Scripted::answering("text/plain", b"ok");
    let node = node_before(&service, &[("nginx_http_keepalive_requests", "2")]);
    for address in [node.proxy(), node.admin(), node.status()] {
        let mut connection = Connection::open(address).unwrap();
        let answers = [(); 2].map(|()| {
            connection.send("GET", "/status", &[], b"").unwrap();
            connection.receive(false).unwrap().header("Connection").map(str::to_owned)
        });
        assert_eq!(answers, [Some("keep-alive".to_owned()), Some("close".to_owned())], "{address}");
        assert_eq!(connection.rest().unwrap(), b"");
    }
}

#[test]
fn connections_are_not_kept() {
    let service = Scripted::answering("text/plain", b"ok");
    let node = node_before(&service, &[("nginx_http_keepalive_timeout", "0")]);
    for address in [node.proxy(), node.admin(), node.status()] {
        let mut connection = Connection::open(address).unwrap();
        connection.send("GET", "/status", &[], b"").unwrap();
        let answer = connection.receive(false).unwrap();
        assert_eq!(answer.header("Connection"), Some("close"), "{address}");
        assert_eq!(connection.rest().unwrap(), b"");
    }
}

#[test]
fn idle_connections_are_closed_and_told_so() {
    let service = Scripted::answering("text/plain", b"ok");
    let node = node_before(&service, &[("nginx_http_keepalive_timeout", "300ms 7s")]);
    for address in [node.proxy(), node.admin(), node.status()] {
        let mut connection = Connection::open(address).unwrap();
        connection.send("GET", "/status", &[], b"").unwrap();
        let answer = connection.receive(false).unwrap();
        assert_eq!(answer.header("Keep-Alive"), Some("timeout=7"), "{address}");
        // It ends without being asked to, long before any other time is over.
        assert_eq!(connection.rest().unwrap(), b"");
    }
}

#[test]
fn connections_have_an_age() {
    let service = Scripted::answering("text/plain", b"ok");
    let node = node_before(&service, &[("nginx_proxy_keepalive_time", "1ms")]);
    let mut connection = Connection::open(node.proxy()).unwrap();
    let mut last = None;
    while last.as_deref() != Some("close") {
        connection.send("GET", "/", &[], b"").unwrap();
        last = connection.receive(false).unwrap().header("Connection").map(str::to_owned);
    }
    assert_eq!(connection.rest().unwrap(), b"");
}

#[test]
fn content_that_does_not_come() {
    let service = Scripted::answering("text/plain", b"ok");
    let node = node_before(&service, &[("nginx_http_client_body_timeout", "300ms")]);
    for address in [node.proxy(), node.admin()] {
        let mut connection = Connection::open(address).unwrap();
        let head = "POST /services HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{";
        connection.send_raw(head.as_bytes()).unwrap();
        assert_eq!(connection.receive(false).unwrap().status, 408, "{address}");
    }
}

#[test]
fn responses_take_their_time() {
    let content = vec![b'x'; 40_000];
    let service = Scripted::answering("text/plain", &content);
    let node = node_before(&service, &[("nginx_http_limit_rate", "20k"), ("nginx_proxy_limit_rate_after", "4k")]);
    let mut connection = Connection::open(node.proxy()).unwrap();
    let start = Instant::now();
    connection.send("GET", "/", &[], b"").unwrap();
    let answer = connection.receive(false).unwrap().expect(200);
    assert_eq!(answer.body, content);
    // 4 KiB and one second's worth at once, the rest at 20 KiB a second.
    assert!(start.elapsed() > Duration::from_millis(600), "{:?}", start.elapsed());
}

#[test]
fn requests_may_take_so_long_to_finish() {
    let slow = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut node = Node::start(&[("nginx_main_worker_shutdown_timeout", "200ms")]);
    let url = format!("name=s&url=http://{}", slow.local_addr().unwrap());
    blackbox::http::form(node.admin(), "POST", "/services", &url).expect(201);
    blackbox::http::form(node.admin(), "POST", "/services/s/routes", "paths[]=/").expect(201);
    let mut connection = Connection::open(node.proxy()).unwrap();
    connection.send("GET", "/", &[], b"").unwrap();
    let _held = slow.accept().unwrap();
    assert!(node.end(rustix::process::Signal::QUIT));
}
