//! Plugins that make content another length than the head announces: clients neither wait for what does not come nor
//! get more than was announced.

use blackbox::http::{Connection, form, json};
use blackbox::{Node, Service};
use serde_json::json;

/// A node whose services' responses a function edits, in these phases.
fn node(service: &Service, functions: &[(&str, &str)]) -> Node {
    let node = Node::start(&[]);
    form(node.admin(), "POST", "/services", &format!("name=s&retries=0&url=http://{}", service.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/").expect(201);
    let mut config = json!({});
    for (phase, code) in functions {
        config[*phase] = json!([code]);
    }
    json(node.admin(), "POST", "/routes/r/plugins", &json!({ "name": "post-function", "config": config })).expect(201);
    node
}

/// Answers a request with that text.
fn answer(service: Service, text: &'static str) -> std::thread::JoinHandle<Service> {
    std::thread::spawn(move || {
        let (mut connection, _) = service.asked();
        connection.send_raw(text.as_bytes()).unwrap();
        service
    })
}

const TEN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789";

#[test]
fn a_response_that_a_filter_shortens_ends_with_its_connection() {
    let service = Service::start();
    let node = node(&service, &[("body_filter", "ngx.arg[1] = ngx.arg[1]:sub(1, 4)")]);
    let answering = answer(service, TEN);
    let mut client = Connection::open(node.proxy()).unwrap();
    client.send("GET", "/", &[], b"").unwrap();
    let head = client.receive_head().unwrap();
    assert_eq!(head.header("content-length"), Some("10"));
    assert_eq!(client.rest().unwrap(), b"0123");
    answering.join().unwrap();
}

#[test]
fn a_response_that_a_filter_lengthens_is_as_long_as_announced() {
    let service = Service::start();
    let node = node(&service, &[("body_filter", "ngx.arg[1] = ngx.arg[1] .. 'HTTP/1.1 200 OK'")]);
    let answering = answer(service, TEN);
    let mut client = Connection::open(node.proxy()).unwrap();
    client.send("GET", "/", &[], b"").unwrap();
    assert_eq!(client.receive(false).unwrap().body, b"0123456789");
    // The next response on the connection is itself.
    let answering = answer(answering.join().unwrap(), "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    client.send("GET", "/", &[], b"").unwrap();
    let next = client.receive(false).unwrap().expect(201);
    assert_eq!(next.body, b"", "where nothing was announced, nothing is added");
    let answering = answer(answering.join().unwrap(), TEN);
    client.send("HEAD", "/", &[], b"").unwrap();
    assert_eq!(client.receive(true).unwrap().expect(200).header("content-length"), Some("10"));
    answering.join().unwrap();
}

#[test]
fn a_response_whose_length_is_taken_away_may_have_any() {
    let service = Service::start();
    let functions = [
        ("header_filter", "ngx.header['Content-Length'] = nil"),
        ("body_filter", "if ngx.arg[2] then ngx.arg[1] = 'and more' end"),
    ];
    let node = node(&service, &functions);
    let answering = answer(service, TEN);
    let mut client = Connection::open(node.proxy()).unwrap();
    client.send("GET", "/", &[], b"").unwrap();
    let whole = client.receive(false).unwrap();
    assert_eq!(whole.header("transfer-encoding"), Some("chunked"));
    assert!(whole.text().ends_with("and more"), "{}", whole.text());
    answering.join().unwrap();
}

#[test]
fn a_length_that_a_plugin_sets_counts() {
    for (length, whole) in [("4", &b"0123"[..]), ("10", b"0123456789"), ("12", b"0123456789")] {
        let service = Service::start();
        let code = format!("kong.response.set_header('Content-Length', '{length}')");
        let node = node(&service, &[("header_filter", &code)]);
        let answering = answer(service, TEN);
        let mut client = Connection::open(node.proxy()).unwrap();
        client.send("GET", "/", &[("Connection", "close")], b"").unwrap();
        let head = client.receive_head().unwrap();
        assert_eq!(head.header("content-length"), Some(length));
        assert_eq!(client.rest().unwrap(), whole, "{length}");
        answering.join().unwrap();
    }
}

#[test]
fn a_response_that_a_filter_refuses_waits_for_nothing_of_the_service() {
    let service = Service::start();
    let node = node(&service, &[("header_filter", "kong.response.exit(403, { message = 'no' })")]);
    let answering = std::thread::spawn(move || {
        let (mut connection, _) = service.asked();
        connection.send_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234").unwrap();
        // The rest never comes: the connection is given up.
        connection.rest().unwrap();
    });
    let mut client = Connection::open(node.proxy()).unwrap();
    client.send("GET", "/", &[], b"").unwrap();
    let refused = client.receive(false).unwrap().expect(403);
    assert_eq!(refused.json()["message"], "no");
    answering.join().unwrap();
}

#[test]
fn a_connection_is_not_upgraded_when_a_filter_refuses() {
    let service = Service::start();
    let node = node(&service, &[("header_filter", "ngx.exit(403)")]);
    let answering = std::thread::spawn(move || {
        let (mut connection, _) = service.asked();
        let accepted = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nsecret";
        connection.send_raw(accepted).unwrap();
        connection.rest().unwrap()
    });
    let mut client = Connection::open(node.proxy()).unwrap();
    client.send("GET", "/", &[("Connection", "Upgrade"), ("Upgrade", "websocket")], b"").unwrap();
    assert_eq!(client.rest().unwrap(), b"");
    assert_eq!(answering.join().unwrap(), b"", "nothing of the client reaches the service");
}

#[test]
fn a_length_that_is_none_goes_out_with_no_response() {
    for code in ["'abc'", "'-1'", "{ '5', '6' }"] {
        let service = Service::start();
        let node = node(&service, &[("header_filter", &format!("ngx.header['Content-Length'] = {code}"))]);
        let mut client = Connection::open(node.proxy()).unwrap();
        let answering = answer(service, TEN);
        client.send("HEAD", "/", &[], b"").unwrap();
        assert_eq!(client.receive(true).unwrap().expect(200).header("content-length"), None, "{code}");
        let answering = answer(answering.join().unwrap(), "HTTP/1.1 304 Not Modified\r\n\r\n");
        client.send("GET", "/", &[], b"").unwrap();
        assert_eq!(client.receive(false).unwrap().expect(304).header("content-length"), None, "{code}");
        answering.join().unwrap();
    }
}
