//! Whatever is thrown at its sockets, the node answers in order or closes, and goes on.

use blackbox::http::{Connection, form, get};
use blackbox::{Backend, Node};
use std::net::SocketAddr;

/// Requests that no server should take.
const REFUSED: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
    b"GET / HTTP/1.1\nHost: a\n\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\r\n\r\n\r\nnothing\r\n\r\n",
    b"GET http://[::1 HTTP/1.1\r\n\r\n",
];

/// Sends bytes and reads until the peer closes; what came begins like an error answer or is nothing.
fn refused(address: SocketAddr, bytes: &[u8]) {
    let mut connection = Connection::open(address).unwrap();
    // The peer may have closed before it has read everything.
    let _ = connection.send_raw(bytes);
    let _ = connection.finish();
    let answer = connection.rest().unwrap_or_default();
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 4") || answer.starts_with(b"HTTP/1.1 5"),
        "{bytes:?}: {}",
        String::from_utf8_lossy(&answer)
    );
}

#[test]
fn what_is_no_request_is_refused() {
    let backend = Backend::start("b");
    let node = Node::start(&[]);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "paths[]=/").expect(201);
    for bytes in REFUSED {
        refused(node.proxy(), bytes);
    }
    assert_eq!(backend.requests(), 0);
    let long = [b"GET /".as_slice(), &[b'a'; 1 << 20], b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
    let many = [b"GET / HTTP/1.1\r\n".as_slice(), &b"X: y\r\n".repeat(100_000)].concat();
    for bytes in [long, many] {
        refused(node.proxy(), &bytes);
        refused(node.admin(), &bytes);
    }
    get(node.proxy(), "/").expect(200);
}

#[test]
fn noise_is_survived() {
    let node = Node::start(&[]);
    // A small generator with a fixed seed: the same noise in every run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..200 {
        let mut bytes: Vec<u8> = (0..next() % 600).map(|_| (next() >> 24) as u8).collect();
        if round % 2 == 0 {
            bytes.splice(0..0, *b"POST /services HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n");
        }
        for address in [node.proxy(), node.admin(), node.status()] {
            let mut connection = Connection::open(address).unwrap();
            let _ = connection.send_raw(&bytes);
            let _ = connection.finish();
            let _ = connection.rest();
        }
    }
    get(node.admin(), "/services").expect(200);
    get(node.proxy(), "/").expect(404);
    get(node.status(), "/status").expect(200);
}

#[test]
fn bodies_that_are_no_json() {
    let node = Node::start(&[]);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for body in ["", "{", "null", "[]", "\"x\"", "{\"name\":", &deep, "{\"name\":\"\\ud800\"}", "{\"a\":1e999}"] {
        let headers = [("Content-Type", "application/json")];
        let answer = blackbox::http::request(node.admin(), "POST", "/services", &headers, body.as_bytes()).unwrap();
        assert_eq!(answer.status, 400, "{:.40}: {}", body, answer.text());
    }
    get(node.admin(), "/services").expect(200);
}
