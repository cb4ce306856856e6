//! What a burst has needed goes back when it is over.

use blackbox::http::{Connection, form, request};
use blackbox::{Backend, Node, Usage, eventually};
use std::io::Write;
use std::net::SocketAddr;

/// How much more may be held after a burst than before, in KiB: what the next burst will use again.
const KEPT: usize = 8 * 1024;

/// A node that forwards everything, and has done so.
fn node(backend: &Backend) -> Node {
    let node = Node::start(&[("proxy_access_log", "off")]);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "paths=/").expect(201);
    short_connections(node.proxy(), 200);
    node
}

/// So many requests, each on a connection of its own, from four clients at a time.
fn short_connections(proxy: SocketAddr, count: usize) {
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..count / 4 {
                    request(proxy, "GET", "/", &[("Connection", "close")], b"").unwrap().expect(200);
                }
            });
        }
    });
}

/// Waits until hardly more memory is held than before.
fn goes_back(node: &Node, before: Usage) {
    eventually("memory goes back", || {
        let now = Usage::of(node.pid()).memory;
        now <= before.memory + KEPT
    });
}

#[test]
fn after_short_connections() {
    let backend = Backend::start("only");
    let node = node(&backend);
    let before = Usage::of(node.pid());
    short_connections(node.proxy(), 8000);
    goes_back(&node, before);
}

#[test]
fn after_half_bodies() {
    const CLIENTS: usize = 200;
    let backend = Backend::start("only");
    let node = node(&backend);
    let before = Usage::of(node.pid());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut connection = Connection::open(node.proxy()).unwrap();
            let head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 400000\r\n\r\n";
            connection.stream_mut().write_all(head.as_bytes()).unwrap();
            connection.stream_mut().write_all(&vec![b'x'; 200_000]).unwrap();
            connection
        })
        .collect();
    eventually("the halves have arrived", || {
        let growth = Usage::of(node.pid()).memory.saturating_sub(before.memory);
        growth >= CLIENTS * 16 || Usage::of(node.pid()).files >= before.files + 2 * CLIENTS
    });
    drop(clients);
    goes_back(&node, before);
}
