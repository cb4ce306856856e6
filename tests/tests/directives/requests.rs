//! Directives about requests: who may ask, and what of it counts.

use super::node_before;
use blackbox::http::{get, request};
use blackbox::{Node, Scripted, eventually};

#[test]
fn clients_that_are_not_let_in() {
    let service = Scripted::answering("text/plain", b"ok");
    let node = node_before(&service, &[("nginx_proxy_allow", "10.0.0.0/8"), ("nginx_proxy_deny", "all")]);
    let refused = get(node.proxy(), "/").expect(403);
    assert!(refused.text().contains("Forbidden"), "{}", refused.text());
    get(node.admin(), "/").expect(200);
    assert!(service.requests().is_empty());
    let open = node_before(&service, &[("nginx_http_allow", "127.0.0.0/8"), ("nginx_http_deny", "all")]);
    get(open.proxy(), "/").expect(200);
}

#[test]
fn the_apis_have_rules_of_their_own() {
    let node = Node::start(&[("nginx_http_deny", "all"), ("nginx_admin_allow", "all")]);
    get(node.admin(), "/").expect(200);
    assert_eq!(get(node.status(), "/status").expect(403).json()["message"], "Forbidden");
    get(node.proxy(), "/").expect(403);
}

#[test]
fn the_client_is_whom_a_trusted_proxy_names() {
    let service = Scripted::answering("text/plain", b"ok");
    let rules = [
        ("nginx_http_set_real_ip_from", "127.0.0.1"),
        ("nginx_http_deny", "192.0.2.0/24"),
        ("nginx_http_real_ip_header", "X-Real-IP"),
    ];
    let node = node_before(&service, &rules);
    for address in [node.proxy(), node.admin(), node.status()] {
        let status = |ip| request(address, "GET", "/", &[("X-Real-IP", ip)], b"").unwrap().status;
        assert_eq!(status("192.0.2.1"), 403, "{address}");
        assert_ne!(status("192.0.3.1"), 403, "{address}");
    }
    assert_eq!(service.last().header("X-Real-IP"), Some("192.0.3.1"));
    // Its word about the client's address counts, and nothing else that it says.
    let lines = [("X-Real-IP", "192.0.3.1"), ("X-Forwarded-Proto", "https")];
    request(node.proxy(), "GET", "/", &lines, b"").unwrap().expect(200);
    assert_eq!(service.last().header("X-Forwarded-Proto"), Some("http"));
}

#[test]
fn lines_that_are_dropped_for_their_names() {
    let service = Scripted::answering("text/plain", b"ok");
    let names = |settings: &[(&str, &str)]| {
        let node = node_before(&service, settings);
        let lines = [("X-A", "1"), ("X_Consumer_ID", "forged"), ("X.B", "2")];
        request(node.proxy(), "GET", "/", &lines, b"").unwrap().expect(200);
        let seen = service.last();
        ["X-A", "X_Consumer_ID", "X.B"].map(|name| seen.header(name).is_some())
    };
    assert_eq!(names(&[]), [true, true, true]);
    assert_eq!(names(&[("nginx_proxy_underscores_in_headers", "off")]), [true, false, true]);
    assert_eq!(names(&[("nginx_proxy_ignore_invalid_headers", "on")]), [true, true, false]);
}

#[test]
fn content_that_is_too_large() {
    let service = Scripted::answering("text/plain", b"ok");
    let node = node_before(
        &service,
        &[
            ("nginx_http_client_max_body_size", "1k"),
            ("nginx_proxy_client_max_body_size", "2k"),
            ("nginx_admin_client_max_body_size", "4k"),
        ],
    );
    let status = |address, size| request(address, "POST", "/", &[], &vec![b'x'; size]).unwrap().status;
    assert_eq!(status(node.proxy(), 2048), 200);
    assert_eq!(status(node.proxy(), 2049), 413);
    let told = "client intended to send too large body: 2049 bytes, client: 127.0.0.1, server: kong, request: \"POST / \
                HTTP/1.1\", host: \"";
    eventually("the log says so", || node.log().contains(told));
    // Before anything is asked about the request, as in nginx.
    let routes = request(node.admin(), "GET", "/routes", &[], b"").unwrap().json();
    let route = routes["data"][0]["id"].as_str().unwrap();
    request(node.admin(), "DELETE", &format!("/routes/{route}"), &[], b"").unwrap().expect(204);
    assert_eq!(status(node.proxy(), 2049), 413);
    assert_eq!(status(node.proxy(), 2048), 404);
    let json = |size| format!("{{\"name\":\"{}\"}}", "x".repeat(size));
    let headers = [("Content-Type", "application/json")];
    let admin = |size| request(node.admin(), "POST", "/services", &headers, json(size).as_bytes()).unwrap().status;
    assert_eq!(admin(5000), 413);
    assert_eq!(admin(2000), 400);
}

#[test]
fn heads_that_are_too_large() {
    let service = Scripted::answering("text/plain", b"ok");
    let node = node_before(&service, &[("nginx_http_large_client_header_buffers", "2 16k")]);
    let line = |size| request(node.proxy(), "GET", &format!("/{}", "a".repeat(size)), &[], b"").unwrap().status;
    assert_eq!(line(16_000), 200);
    assert_eq!(line(16_400), 414);
    let value = "b".repeat(12_000);
    let fields = |count: usize| {
        let lines = vec![("X-B", value.as_str()); count];
        request(node.proxy(), "GET", "/", &lines, b"").unwrap().status
    };
    assert_eq!(fields(2), 200);
    assert_eq!(fields(3), 400);
    let long = "c".repeat(16_400);
    assert_eq!(request(node.proxy(), "GET", "/", &[("X-C", &long)], b"").unwrap().status, 400);
    // The APIs take heads of the same size.
    let api = |path: &str, lines: &[(&str, &str)]| request(node.admin(), "GET", path, lines, b"").unwrap().status;
    assert_eq!(api("/", &[("X-B", &value), ("X-C", &value)]), 200);
    assert_eq!(api(&format!("/{}", "a".repeat(16_400)), &[]), 414);
    assert_eq!(api("/", &[("X-C", &long)]), 400);
    assert_eq!(api("/", &[("X-B", &value), ("X-C", &value), ("X-D", &value)]), 400);
}
