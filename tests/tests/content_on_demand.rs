//! The content of requests is read when code asks for it, and not because it could.

use blackbox::http::{Connection, form, json};
use blackbox::{Node, Service, eventually};
use serde_json::{Value, json};
use std::net::SocketAddr;

const CHUNKED: (&str, &str) = ("Transfer-Encoding", "chunked");

/// A node with a route to the service, on which content is not held for the service's sake, and functions in Lua on
/// all routes.
fn node(service: &Service, settings: &[(&str, &str)], functions: &Value) -> Node {
    let node = Node::start(&[&[("untrusted_lua", "on"), ("nginx_http_client_body_timeout", "2s")], settings].concat());
    form(node.admin(), "POST", "/services", &format!("name=s&retries=0&url=http://{}", service.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "paths[]=/&request_buffering=false").expect(201);
    json(node.admin(), "POST", "/plugins", &json!({ "name": "pre-function", "config": functions })).expect(201);
    node
}

fn begin(proxy: SocketAddr, path: &str, lines: &[(&str, &str)]) -> Connection {
    let mut client = Connection::open(proxy).unwrap();
    let lines: String = lines.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    client.send_raw(format!("POST {path} HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n").as_bytes()).unwrap();
    client
}

#[test]
fn code_that_does_not_ask_holds_nothing_up() {
    let service = Service::start();
    let code = "if kong.request.get_header('X-Ask') then ngx.req.read_body() kong.request.get_body() end";
    let node = node(&service, &[], &json!({ "rewrite": [code], "access": [code] }));
    let mut client = begin(node.proxy(), "/", &[CHUNKED]);
    let mut upstream = service.accept();
    upstream.request_head().unwrap();
    client.send_raw(b"4\r\nlate\r\n0\r\n\r\n").unwrap();
    assert_eq!(upstream.take(9).unwrap(), b"4\r\nlate\r\n");
    upstream.answer("thanks").unwrap();
    assert_eq!(client.receive(false).unwrap().expect(200).text(), "thanks");
}

#[test]
fn code_that_asks_gets_what_comes_later() {
    const ASKING: [&str; 7] = [
        "return kong.request.get_raw_body()",
        "return (kong.request.get_body('application/x-www-form-urlencoded') or {}).a and 'a=piece'",
        "ngx.req.read_body() return ngx.req.get_body_data()",
        "local ok, body = pcall(kong.request.get_raw_body) return body",
        "return coroutine.wrap(function() return kong.request.get_raw_body() end)()",
        "local t = ngx.thread.spawn(kong.request.get_raw_body) local u = ngx.thread.spawn(kong.request.get_raw_body) \
         local _, a = ngx.thread.wait(t) local _, b = ngx.thread.wait(u) return a == b and a",
        "return setmetatable({}, { __index = function() return kong.request.get_raw_body() end }).body",
    ];
    let service = Service::start();
    for asking in ASKING {
        let code = format!("kong.service.request.set_header('X-Content', (function() {asking} end)() or 'none')");
        for phase in ["rewrite", "access"] {
            let node = node(&service, &[], &json!({ phase: [code] }));
            let pieces_of =
                [(("Content-Length", "7"), ["a=", "piece"]), (CHUNKED, ["4\r\na=pi\r\n", "3\r\nece\r\n0\r\n\r\n"])];
            for (line, pieces) in pieces_of {
                let mut client = begin(node.proxy(), "/", &[line]);
                client.send_raw(pieces[0].as_bytes()).unwrap();
                client.send_raw(pieces[1].as_bytes()).unwrap();
                let mut upstream = service.accept();
                let asked = upstream.request().unwrap();
                assert_eq!(asked.header("X-Content"), Some("a=piece"), "{phase}: {asking}");
                assert_eq!(asked.body, b"a=piece", "{phase}: {asking}");
                upstream.answer("").unwrap();
                client.receive(false).unwrap().expect(200);
            }
        }
    }
}

#[test]
fn code_that_asks_where_it_cannot_wait_is_told_so() {
    let service = Service::start();
    let code = "table.sort({ 1, 2 }, function(a, b) kong.request.get_raw_body() return a < b end)";
    let node = node(&service, &[], &json!({ "access": [code] }));
    let mut client = begin(node.proxy(), "/", &[CHUNKED]);
    client.receive(false).unwrap().expect(500);
    eventually("the log says why", || node.log().contains("attempt to yield across C-call boundary"));
    // What has come with the head is there at once.
    let mut client = Connection::open(node.proxy()).unwrap();
    client.send("POST", "/", &[], b"here").unwrap();
    let mut upstream = service.accept();
    assert_eq!(upstream.request().unwrap().body, b"here");
    upstream.answer("").unwrap();
    client.receive(false).unwrap().expect(200);
}

#[test]
fn limits_are_those_of_content_that_is_read_before() {
    let service = Service::start();
    let code = "local body, err = kong.request.get_raw_body() \
        if kong.request.get_path() == '/exit' then kong.response.exit(418, err or body) end \
        kong.log.err('was told: ', err or #body)";
    let settings = [("nginx_http_client_max_body_size", "2k"), ("nginx_http_client_body_buffer_size", "1k")];
    for phase in ["rewrite", "access"] {
        let node = node(&service, &settings, &json!({ phase: [code] }));
        let mut client = begin(node.proxy(), "/large", &[("Content-Length", "2049")]);
        client.receive(false).unwrap().expect(413);
        let mut client = begin(node.proxy(), "/large", &[CHUNKED]);
        client.send_raw(format!("801\r\n{}\r\n0\r\n\r\n", "x".repeat(2049)).as_bytes()).unwrap();
        client.receive(false).unwrap().expect(413);
        let mut client = begin(node.proxy(), "/bad", &[CHUNKED]);
        client.send_raw(b"no number\r\n").unwrap();
        client.receive(false).unwrap().expect(400);
        let mut client = begin(node.proxy(), "/slow", &[("Content-Length", "9")]);
        client.receive(false).unwrap().expect(408);
        let log = node.log();
        assert!(!log.contains("was told"), "code goes on without content: {log}");
        // What does not fit in memory is not shown, and goes on.
        let mut client = begin(node.proxy(), "/exit", &[CHUNKED]);
        let content = format!("5dc\r\n{}\r\n0\r\n\r\n", "x".repeat(1500));
        client.send_raw(content.as_bytes()).unwrap();
        let told = client.receive(false).unwrap().expect(418).text();
        assert!(told.contains("did not fit into client body buffer"), "{told}");
        let mut client = begin(node.proxy(), "/", &[CHUNKED]);
        client.send_raw(content.as_bytes()).unwrap();
        let mut upstream = service.accept();
        assert_eq!(upstream.request().unwrap().body, "x".repeat(1500).as_bytes());
        upstream.answer("").unwrap();
        client.receive(false).unwrap().expect(200);
    }
}

#[test]
fn clients_are_told_to_go_on_when_code_asks() {
    let service = Service::start();
    let code = "if kong.request.get_path() == '/exit' then return kong.response.exit(403, 'not you') end \
        kong.service.request.set_header('X-Content', kong.request.get_raw_body())";
    let node = node(&service, &[], &json!({ "access": [code] }));
    let lines = [("Content-Length", "4"), ("Expect", "100-continue")];
    let mut client = begin(node.proxy(), "/exit", &lines);
    assert_eq!(client.receive(false).unwrap().expect(403).text(), "not you");
    let mut client = begin(node.proxy(), "/", &lines);
    client.receive_head().unwrap().expect(100);
    client.send_raw(b"late").unwrap();
    let mut upstream = service.accept();
    let asked = upstream.request().unwrap();
    assert_eq!(asked.header("X-Content"), Some("late"));
    upstream.answer("").unwrap();
    client.receive(false).unwrap().expect(200);
}

#[test]
fn content_that_code_replaces_unread_is_not_sent() {
    let service = Service::start();
    let code = "kong.service.request.set_raw_body('other') \
        kong.service.request.set_header('X-Content', kong.request.get_raw_body())";
    let node = node(&service, &[], &json!({ "rewrite": [code], "access": ["kong.request.get_raw_body()"] }));
    let mut client = begin(node.proxy(), "/", &[CHUNKED]);
    let mut upstream = service.accept();
    let asked = upstream.request().unwrap();
    assert_eq!(asked.header("X-Content"), Some("other"));
    assert_eq!(asked.body, b"other");
    upstream.answer("").unwrap();
    client.receive(false).unwrap().expect(200);
}

#[test]
fn a_client_that_vanishes_ends_the_wait() {
    let service = Service::start();
    let code = "kong.log.err('asks') kong.request.get_raw_body() kong.log.err('goes on')";
    let node = node(&service, &[], &json!({ "access": [code], "log": ["kong.log.err('ends ', ngx.status)"] }));
    let client = begin(node.proxy(), "/", &[CHUNKED]);
    eventually("code has asked", || node.log().contains("asks"));
    drop(client);
    eventually("the log phase has run", || node.log().contains("ends 499"));
    assert!(!node.log().contains("goes on"));
}
