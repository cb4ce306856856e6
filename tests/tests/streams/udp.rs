//! Datagrams.

use crate::setup::{by_port, node, route};
use blackbox::PATIENCE;
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
