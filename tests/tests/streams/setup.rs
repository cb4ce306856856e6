//! A node with streams.

use blackbox::http::{form, json};
use blackbox::{Node, PATIENCE};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// A node that listens for plain streams, for TLS and for datagrams, in this order.
pub fn node(settings: &[(&str, &str)]) -> Node {
    let usual = [("stream_listen", "127.0.0.1:0, 127.0.0.1:0 ssl, 127.0.0.1:0 udp")];
    Node::start(&[&usual, settings].concat())
}

/// A service there and a route to it.
pub fn route(node: &Node, service: &str, route: &Value) {
    let name = service.replace([':', '/'], "-");
    form(node.admin(), "POST", "/services", &format!("name={name}&url={service}")).expect(201);
    json(node.admin(), "POST", &format!("/services/{name}/routes"), route).expect(201);
}

/// The route of all connections to that port.
pub fn by_port(protocol: &str, address: SocketAddr) -> Value {
    json!({ "protocols": [protocol], "destinations": [{ "port": address.port() }] })
}

/// A listener for what comes from the node.
pub fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

pub fn accept(listener: &TcpListener) -> TcpStream {
    patient(listener.accept().unwrap().0)
}

pub fn connect(address: SocketAddr) -> TcpStream {
    patient(TcpStream::connect(address).unwrap())
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// So many octets.
pub fn take(stream: &mut impl Read, octets: usize) -> String {
    let mut text = vec![0; octets];
    stream.read_exact(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// What comes until the end.
pub fn rest(stream: &mut impl Read) -> String {
    let mut text = Vec::new();
    // A connection may be reset instead.
    let _ = stream.read_to_end(&mut text);
    String::from_utf8(text).unwrap()
}

pub fn send(stream: &mut impl Write, text: &str) {
    stream.write_all(text.as_bytes()).unwrap();
    stream.flush().unwrap();
}
