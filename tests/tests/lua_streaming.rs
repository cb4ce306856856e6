//! Code in Lua that sends content while it goes on: streams of events.

use blackbox::http::{Connection, get, json};
use blackbox::{Node, eventually};
use serde_json::{Value, json};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// A node whose code waits at a gate that the test opens.
struct Gated {
    node: Node,
    gate: TcpListener,
}

/// A node with that code in the access phase of its only route; `{gate}` in it is the gate's port.
fn gated(code: &str, more: &Value) -> Gated {
    let gate = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = gate.local_addr().unwrap().port();
    let code = format!(
        "local gate = ngx.socket.tcp()
        gate:settimeout(60000)
        assert(gate:connect('127.0.0.1', {port}))
        {code}"
    );
    let node = Node::start(&[]);
    let admin = node.admin();
    json(admin, "POST", "/routes", &json!({ "paths": ["/"] })).expect(201);
    json(admin, "POST", "/plugins", &json!({ "name": "pre-function", "config": { "access": [code] } })).expect(201);
    if more.as_object().is_some_and(|more| !more.is_empty()) {
        json(admin, "POST", "/plugins", &json!({ "name": "post-function", "config": more })).expect(201);
    }
    Gated { node, gate }
}

impl Gated {
    /// Asks for the path, and waits for the code at the gate.
    fn ask(&self, line: &str) -> (TcpStream, TcpStream) {
        let mut client = client(self.node.proxy());
        client.write_all(format!("{line}\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        (client, self.gate.accept().unwrap().0)
    }
}

fn client(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

/// Reads until that text has come.
fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut all = Vec::new();
    let mut octet = [0];
    while !all.ends_with(end.as_bytes()) {
        match stream.read(&mut octet) {
            Ok(1) => all.push(octet[0]),
            other => panic!("{other:?} after {:?}", String::from_utf8_lossy(&all)),
        }
    }
    String::from_utf8(all).unwrap()
}

#[test]
fn what_is_flushed_goes_out_and_settles_the_head() {
    let code = "
        ngx.header['X-Before'] = '1'
        ngx.status = 202
        ngx.print('o')
        ngx.say('ne')
        assert(ngx.flush(true) == 1)
        ngx.header['X-After'] = '1'
        ngx.status = 400
        gate:receive()
        local ok, why = pcall(kong.response.set_header, 'X-After', '1')
        ngx.say(tostring(ngx.headers_sent), ' ', tostring(ok), ' ', why:match('headers.*'))
        return ngx.exit(500)";
    let filters = json!({
        "header_filter": ["ngx.header['X-Filtered'] = tostring(ngx.status)"],
        "body_filter": ["ngx.arg[1] = ngx.arg[1]:upper() .. (ngx.arg[2] and 'end' or '')"],
        "log": ["ngx.log(ngx.NOTICE, 'logged ', ngx.status, ' ', ngx.var.bytes_sent ~= '0')"],
    });
    let gated = gated(code, &filters);
    let (mut client, mut gate) = gated.ask("GET / HTTP/1.1");
    let head = read_until(&mut client, "\r\n\r\n").to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 202 "), "{head}");
    for line in ["x-before: 1", "x-filtered: 202", "transfer-encoding: chunked", "x-kong-request-id: ", "server: "] {
        assert!(head.contains(&format!("\r\n{line}")), "{line} in {head}");
    }
    assert!(!head.contains("x-after"), "{head}");
    assert_eq!(read_until(&mut client, "\r\nONE\n\r\n"), "4\r\nONE\n\r\n");
    gate.write_all(b"go\n").unwrap();
    let rest = read_until(&mut client, "\r\n0\r\n\r\n");
    assert!(rest.contains("TRUE FALSE HEADERS HAVE ALREADY BEEN SENT\nend"), "{rest}");
    // Another request follows on the same connection.
    client.write_all(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut gate = gated.gate.accept().unwrap().0;
    assert!(read_until(&mut client, "\r\n\r\n").starts_with("HTTP/1.1 202 "));
    gate.write_all(b"go\n").unwrap();
    eventually("both are logged", || gated.node.log().matches("logged 202 true").count() == 2);
    assert!(gated.node.log().contains("attempt to set ngx.status after sending out response headers"));
}

#[test]
fn clients_of_old_get_it_whole() {
    let code = "ngx.print('one') local flushed, why = ngx.flush(true) gate:receive() ngx.print(flushed or why)";
    let gated = gated(code, &json!({}));
    let (mut client, mut gate) = gated.ask("GET / HTTP/1.0");
    gate.write_all(b"go\n").unwrap();
    let mut all = String::new();
    client.read_to_string(&mut all).unwrap();
    assert!(all.to_ascii_lowercase().contains("content-length: 12\r\n"), "{all}");
    assert!(all.ends_with("\r\n\r\nonebuffering"), "{all}");
}

#[test]
fn code_that_fails_cuts_the_client_off() {
    for (end, said) in [("error('broken here')", "broken here"), ("ngx.exit(444)", "the code has given up")] {
        let gated = gated(&format!("ngx.say('one') ngx.flush(true) gate:receive() {end}"), &json!({}));
        let (mut client, mut gate) = gated.ask("GET / HTTP/1.1");
        read_until(&mut client, "one\n\r\n");
        gate.write_all(b"go\n").unwrap();
        let mut rest = Vec::new();
        match client.read_to_end(&mut rest) {
            Ok(_) => assert!(rest.is_empty(), "{rest:?}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
        gated.node.says(said);
    }
}

#[test]
fn the_end_is_told_before_code_is_through() {
    let code = "
        ngx.send_headers()
        ngx.print('all of it')
        ngx.eof()
        gate:receive()
        kong.log.notice('after the end: ', select(2, ngx.print('more')))";
    let gated = gated(code, &json!({}));
    let (mut client, mut gate) = gated.ask("GET / HTTP/1.1");
    read_until(&mut client, "\r\n\r\n");
    assert_eq!(read_until(&mut client, "0\r\n\r\n"), "9\r\nall of it\r\n0\r\n\r\n");
    // Who has got it all may go.
    client.shutdown(Shutdown::Both).unwrap();
    drop(client);
    gate.write_all(b"go\n").unwrap();
    gated.node.says("after the end: seen eof");
}

#[test]
fn code_ends_when_its_client_goes() {
    let code = "ngx.say('one') while true do ngx.flush(true) gate:receive() ngx.say('more') end";
    let gated = gated(code, &json!({ "log": ["ngx.log(ngx.NOTICE, 'logged')"] }));
    let (mut client, mut gate) = gated.ask("GET / HTTP/1.1");
    // It may have said all, and still read.
    client.shutdown(Shutdown::Write).unwrap();
    read_until(&mut client, "one\n\r\n");
    gate.write_all(b"go\n").unwrap();
    read_until(&mut client, "more\n\r\n");
    drop(client);
    // Its sockets end with it.
    eventually("the code ends", || gate.write_all(b"go\n").is_err());
    gated.node.says("logged");
}

#[test]
fn what_has_a_length_keeps_it() {
    let code = "ngx.header['Content-Length'] = 7 ngx.print('one') ngx.flush(true) gate:receive() ngx.print(' two!')";
    let gated = gated(code, &json!({}));
    let proxy = gated.node.proxy();
    let asking = std::thread::spawn(move || {
        let mut connection = Connection::open(proxy).unwrap();
        connection.send("GET", "/", &[], b"").unwrap();
        connection.receive(false).unwrap().expect(200).text()
    });
    gated.gate.accept().unwrap().0.write_all(b"go\n").unwrap();
    assert_eq!(asking.join().unwrap(), "one two");
    assert_eq!(get(gated.node.admin(), "/status").status, 200);
}
