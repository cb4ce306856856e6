//! Directives about requests to services.

use super::node_before;
use blackbox::http::{form, get, json, request};
use blackbox::{Node, Scripted};
use serde_json::json;
use std::net::IpAddr;

#[test]
fn lines_of_requests_to_services() {
    let service = Scripted::answering("text/plain", b"ok");
    let node = node_before(
        &service,
        &[
            ("nginx_proxy_proxy_set_header", "X-Outer 1"),
            ("nginx_location_proxy_set_header", "X-Client \"$remote_addr-$arg_a\"; proxy_set_header X-Gone ''"),
        ],
    );
    let sent = [("X-Client", "forged"), ("X-Gone", "x"), ("X-Outer", "mine")];
    request(node.proxy(), "GET", "/?a=b", &sent, b"").unwrap().expect(200);
    let seen = service.last();
    assert_eq!(seen.header("X-Client"), Some("127.0.0.1-b"));
    assert_eq!(seen.header("X-Gone"), None);
    assert_eq!(seen.header("X-Outer"), Some("mine"));
    assert!(node.log().contains("'nginx_proxy_proxy_set_header' has no effect, as in Kong"), "{}", node.log());
}

#[test]
fn connections_come_from_an_address_of_ours() {
    let service = Scripted::answering("text/plain", b"ok");
    let node =
        node_before(&service, &[("nginx_proxy_proxy_bind", "127.0.0.2"), ("nginx_proxy_proxy_socket_keepalive", "on")]);
    get(node.proxy(), "/").expect(200);
    assert_eq!(service.last().peer.ip(), "127.0.0.2".parse::<IpAddr>().unwrap());
}

/// A node before two targets, of which the first answers 503.
fn before_two(settings: &[(&str, &str)]) -> (Node, [Scripted; 2]) {
    let services =
        [Scripted::start("HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno"), Scripted::answering("text/plain", b"ok")];
    let node = Node::start(settings);
    form(node.admin(), "POST", "/upstreams", "name=u").expect(201);
    for service in &services {
        let target = json!({ "target": service.address.to_string() });
        json(node.admin(), "POST", "/upstreams/u/targets", &target).expect(201);
    }
    form(node.admin(), "POST", "/services", "name=s&host=u").expect(201);
    form(node.admin(), "POST", "/services/s/routes", "paths[]=/").expect(201);
    (node, services)
}

#[test]
fn another_target_is_tried() {
    let (node, _services) = before_two(&[("nginx_proxy_proxy_next_upstream", "error timeout http_503")]);
    for _ in 0..4 {
        get(node.proxy(), "/").expect(200);
    }
    // What may not be done twice is not.
    let statuses: Vec<u16> = (0..4).map(|_| request(node.proxy(), "POST", "/", &[], b"x").unwrap().status).collect();
    assert!(statuses.contains(&503) && statuses.contains(&200), "{statuses:?}");
}

#[test]
fn no_other_target_is_tried() {
    let settings = [("nginx_http_proxy_next_upstream", "http_503"), ("nginx_http_proxy_next_upstream_tries", "1")];
    let (node, _services) = before_two(&settings);
    let statuses: Vec<u16> = (0..4).map(|_| get(node.proxy(), "/").status).collect();
    assert!(statuses.contains(&503) && statuses.contains(&200), "{statuses:?}");
}
