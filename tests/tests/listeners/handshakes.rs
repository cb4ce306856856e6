//! What begins a connection on a port for TLS.

use blackbox::http::{Connection, get};
use blackbox::tls::{Client, Offer};
use blackbox::{Node, PATIENCE, Usage, eventually};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

fn with_tls() -> Node {
    Node::start(&[("admin_listen", "127.0.0.1:0, 127.0.0.1:0 ssl"), ("nginx_worker_processes", "1")])
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// The first message of a handshake of TLS 1.2, with this server name if there is one.
fn client_hello(name: Option<&[u8]>) -> Vec<u8> {
    let part = |content: &[u8]| [&u16::try_from(content.len()).unwrap().to_be_bytes()[..], content].concat();
    let extension = |kind: u16, content: &[u8]| [&kind.to_be_bytes()[..], &part(content)].concat();
    let server_name = name.map(|name| extension(0, &part(&[&[0][..], &part(name)].concat())));
    let extensions = [
        server_name.unwrap_or_default(),
        extension(10, &part(&[0, 0x1d, 0, 0x17])),
        extension(11, &[1, 0]),
        extension(13, &part(&[4, 3, 8, 4, 4, 1])),
    ];
    let body = [&[3, 3][..], &[7; 32], &[0], &part(&[0xc0, 0x2b, 0xc0, 0x2f]), &[1, 0], &part(&extensions.concat())];
    let body = body.concat();
    let message = [&[1][..], &u32::try_from(body.len()).unwrap().to_be_bytes()[1..], &body].concat();
    [&[22, 3, 1][..], &part(&message)].concat()
}

/// The kind of record that is answered: 22 is a handshake, 21 an alert.
fn answered(address: SocketAddr, hello: &[u8]) -> u8 {
    let mut stream = connect(address);
    stream.write_all(hello).unwrap();
    let mut kind = [0];
    stream.read_exact(&mut kind).unwrap();
    kind[0]
}

#[test]
fn names_that_nobody_has_get_the_default_certificate() {
    let node = with_tls();
    for name in [
        None,
        Some(&b"unknown.test"[..]),
        Some(b"a_b.test"),
        Some(b"final.dot."),
        Some(b"127.0.0.1"),
        Some(b"::1"),
        Some(b"x"),
    ] {
        for address in [node.proxy_tls(), node.admin_tls()] {
            assert_eq!(answered(address, &client_hello(name)), 22, "{name:?}");
        }
    }
    // The library answers what is neither a host name nor an address with an alert; docs/from-kong.md says so.
    for name in [&b"a b.test"[..], b"a:443", b"*.test", b"\xff.test"] {
        assert_eq!(answered(node.proxy_tls(), &client_hello(Some(name))), 21, "{name:?}");
    }
}

#[test]
fn plain_http_on_a_port_for_tls_is_told_so() {
    let node = with_tls();
    let upload = vec![b'x'; 4 << 20];
    for address in [node.proxy_tls(), node.admin_tls()] {
        for method in ["GET", "get", "POST"] {
            let body = if method == "POST" { &upload[..] } else { b"" };
            let mut connection = Connection::open(address).unwrap();
            connection.send(method, "/", &[], body).unwrap();
            let response = connection.receive(false).unwrap().expect(400);
            assert_eq!(response.text(), "The plain HTTP request was sent to HTTPS port\n");
            assert_eq!(response.header("Connection"), Some("close"));
        }
    }
}

#[test]
fn clients_that_vanish_or_stall_in_the_handshake_hold_nothing() {
    let node = with_tls();
    let hello = client_hello(Some(b"a.test"));
    get(node.proxy(), "/").expect(404);
    // The connection of that request may be among them, and what the node had open for a moment.
    let before = Usage::of(node.pid()).files;
    for address in [node.proxy_tls(), node.admin_tls()] {
        let mut clients = Vec::new();
        for length in [0, 1, 5, 50, hello.len()].repeat(10) {
            let mut stream = connect(address);
            stream.write_all(&hello[..length]).unwrap();
            clients.push(stream);
        }
        eventually("they are accepted", || Usage::of(node.pid()).files >= before + 45);
        drop(clients);
        eventually("they are gone", || Usage::of(node.pid()).files <= before);
    }
    let seen = Client::new(&Offer::default()).get(node.proxy_tls(), Some("a.test"), "/").unwrap();
    seen.response.expect(404);
}
