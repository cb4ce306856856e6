//! Datagrams.

use crate::setup::{by_port, node, route};
use blackbox::http::form;
use blackbox::{PATIENCE, eventually};
use std::net::{SocketAddr, UdpSocket};

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn receive(socket: &UdpSocket) -> (String, SocketAddr) {
    let mut space = [0; 100];
    let (octets, from) = socket.recv_from(&mut space).unwrap();
    (String::from_utf8_lossy(&space[..octets]).into_owned(), from)
}

#[test]
fn datagrams_of_a_client_are_one_session() {
    let node = node(&[]);
    let service = socket();
    let to = node.stream(2);
    route(&node, &format!("udp://{}", service.local_addr().unwrap()), &by_port("udp", to));
    let clients = [socket(), socket()];
    let mut sources = Vec::new();
    for client in &clients {
        for text in ["one", "two"] {
            client.send_to(text.as_bytes(), to).unwrap();
            let (received, from) = receive(&service);
            assert_eq!(received, text);
            service.send_to(format!("re: {text}").as_bytes(), from).unwrap();
            assert_eq!(receive(client), (format!("re: {text}"), to));
            sources.push(from);
        }
    }
    assert_eq!(sources[0], sources[1]);
    assert_ne!(sources[0], sources[2]);
}

/// A client stays with its target for as long as that is there, and no longer.
#[test]
fn who_is_refused_goes_to_another_target() {
    let node = node(&[]);
    let (gone, service) = (socket(), socket());
    let to = node.stream(2);
    form(node.admin(), "POST", "/upstreams", "name=uu").expect(201);
    for target in [&gone, &service] {
        let target = format!("target={}", target.local_addr().unwrap());
        form(node.admin(), "POST", "/upstreams/uu/targets", &target).expect(201);
    }
    route(&node, "udp://uu:1", &by_port("udp", to));
    // One client that is with each of the two.
    gone.set_nonblocking(true).unwrap();
    let client = loop {
        let client = socket();
        client.send_to(b"first", to).unwrap();
        let mut at_gone = false;
        service.set_read_timeout(Some(PATIENCE / 200)).unwrap();
        eventually("a datagram arrives", || {
            at_gone = gone.recv(&mut [0; 9]).is_ok();
            at_gone || service.recv(&mut [0; 9]).is_ok()
        });
        if at_gone {
            break client;
        }
    };
    drop(gone);
    eventually("the other target has the client", || {
        client.send_to(b"next", to).unwrap();
        service.recv(&mut [0; 9]).is_ok()
    });
    node.says("recv() failed (111: Connection refused) while proxying and reading from upstream");
}
