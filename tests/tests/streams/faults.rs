//! Sides of a stream that are slow, silent or gone.

use crate::setup::{accept, by_port, connect, listen, node, rest, send, take};
use blackbox::http::{form, json};
use blackbox::tls::Pair;
use blackbox::{Node, PATIENCE, eventually};
use serde_json::json;
use std::net::{SocketAddr, UdpSocket};

/// A service there that may be silent for so many milliseconds, and the route of a port to it.
fn impatient(node: &Node, service: &str, protocol: &str, at: SocketAddr, milliseconds: u32) {
    let times = format!("read_timeout={milliseconds}&write_timeout={milliseconds}");
    form(node.admin(), "POST", "/services", &format!("name=s&url={protocol}://{service}&{times}")).expect(201);
    json(node.admin(), "POST", "/services/s/routes", &by_port(protocol, at)).expect(201);
}

#[test]
fn the_first_message_of_tls_may_come_in_pieces() {
    let node = node(&[]);
    let service = listen();
    let route = json!({ "protocols": ["tls_passthrough"], "snis": ["a.test"] });
    crate::setup::route(&node, &format!("tcp://{}", service.local_addr().unwrap()), &route);
    let mut client = connect(node.stream(1));
    client.set_nodelay(true).unwrap();
    let hello = first_message("a.test");
    for piece in hello.chunks(7) {
        std::io::Write::write_all(&mut client, piece).unwrap();
    }
    let mut got = vec![0; hello.len()];
    std::io::Read::read_exact(&mut accept(&service), &mut got).unwrap();
    assert_eq!(got, hello);
}

/// What a client of TLS sends first.
fn first_message(name: &str) -> Vec<u8> {
    let config = blackbox::tls::Client::new(&blackbox::tls::Offer::default()).config();
    let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = rustls::ClientConnection::new(config, name).unwrap();
    let mut message = Vec::new();
    connection.write_tls(&mut message).unwrap();
    message
}

#[test]
fn who_does_not_begin_tls_is_cut_off() {
    let node = node(&[("nginx_stream_preread_timeout", "300ms")]);
    json(node.admin(), "POST", "/certificates", &Pair::authority("a.test").record()).expect(201);
    assert_eq!(rest(&mut connect(node.stream(1))), "");
    let mut trickling = connect(node.stream(1));
    let half = &first_message("a.test")[..50];
    std::io::Write::write_all(&mut trickling, half).unwrap();
    assert_eq!(rest(&mut trickling), "");
}

#[test]
fn a_stream_on_which_nothing_moves_ends() {
    let node = node(&[]);
    let service = listen();
    impatient(&node, &service.local_addr().unwrap().to_string(), "tcp", node.stream(0), 1000);
    let mut client = connect(node.stream(0));
    let mut served = accept(&service);
    send(&mut client, "x");
    assert_eq!(take(&mut served, 1), "x");
    assert_eq!(rest(&mut client), "");
    assert_eq!(rest(&mut served), "");
}

#[test]
fn who_vanishes_is_noticed_on_the_other_side() {
    let node = node(&[]);
    let service = listen();
    impatient(&node, &service.local_addr().unwrap().to_string(), "tcp", node.stream(0), 60_000);
    let client = connect(node.stream(0));
    let mut served = accept(&service);
    drop(client);
    assert_eq!(rest(&mut served), "");
    let mut client = connect(node.stream(0));
    drop(accept(&service));
    assert_eq!(rest(&mut client), "");
}

#[test]
fn datagrams_reach_a_service_that_has_come_back() {
    let node = node(&[]);
    let socket = || UdpSocket::bind("127.0.0.1:0").unwrap();
    let gone = socket();
    let address = gone.local_addr().unwrap();
    drop(gone);
    impatient(&node, &address.to_string(), "udp", node.stream(2), 60_000);
    let client = socket();
    client.send_to(b"lost", node.stream(2)).unwrap();
    let service = UdpSocket::bind(address).unwrap();
    service.set_read_timeout(Some(PATIENCE / 100)).unwrap();
    eventually("a datagram", || {
        client.send_to(b"there", node.stream(2)).unwrap();
        let mut space = [0; 10];
        service.recv(&mut space).is_ok_and(|octets| &space[..octets] == b"there")
    });
}
