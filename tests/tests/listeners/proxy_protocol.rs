//! Connections that a load balancer passes on.

use blackbox::http::{Connection, form, get};
use blackbox::tls::{Client, Offer};
use blackbox::{Backend, Node, PATIENCE, eventually};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

const LINE: &[u8] = b"PROXY TCP4 192.0.2.9 198.51.100.1 5678 443\r\n";
const LINE6: &[u8] = b"PROXY TCP6 2001:db8::9 2001:db8::1 5678 443\r\n";
const UNKNOWN: &[u8] = b"PROXY UNKNOWN\r\n";

fn binary(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, family], &length, payload].concat()
}

/// Addresses as in [`LINE`], and more.
fn v4(more: &[u8]) -> Vec<u8> {
    [&[192, 0, 2, 9, 198, 51, 100, 1, 0x16, 0x2e, 1, 187], more].concat()
}

fn balanced(backend: &Backend, settings: &[(&str, &str)]) -> Node {
    let usual = [
        ("proxy_listen", "127.0.0.1:0 proxy_protocol, 127.0.0.1:0 ssl proxy_protocol"),
        ("real_ip_header", "proxy_protocol"),
    ];
    let node = Node::start(&[&usual, settings].concat());
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "paths[]=/").expect(201);
    node
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// The value of a line that the service has got behind this header, over a plain connection and over TLS.
fn forwarded(node: &Node, header: &[u8], name: &str) -> String {
    let find = |body: serde_json::Value| {
        let lines = body["head"].as_array().unwrap().iter().filter_map(|line| line.as_str());
        let found = lines.filter_map(|line| line.split_once(": ")).find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map_or(String::new(), |(_, value)| value.to_owned())
    };
    let mut stream = connect(node.proxy());
    stream.write_all(header).unwrap();
    let mut plain = Connection::over(stream, "a.test");
    plain.send("GET", "/", &[], b"").unwrap();
    let plain = find(plain.receive(false).unwrap().expect(200).json());
    let mut stream = connect(node.proxy_tls());
    stream.write_all(header).unwrap();
    let mut secure = Client::new(&Offer::default()).secure(stream, Some("a.test")).unwrap();
    secure.send("GET", "/", &[], b"").unwrap();
    let secure = find(secure.receive(false).unwrap().expect(200).json());
    assert_eq!(plain, secure, "{name} over TLS");
    plain
}

#[test]
fn a_trusted_balancer_says_who_the_client_is() {
    let backend = Backend::start("b");
    let node = balanced(&backend, &[("trusted_ips", "127.0.0.0/8")]);
    for (header, ip) in [
        (LINE.to_vec(), "192.0.2.9"),
        (LINE6.to_vec(), "2001:db8::9"),
        (binary(0x21, 0x11, &v4(&[])), "192.0.2.9"),
        (binary(0x21, 0x11, &v4(&[4, 3, 232].iter().copied().chain([7; 1000]).collect::<Vec<_>>())), "192.0.2.9"),
        (UNKNOWN.to_vec(), "127.0.0.1"),
        (binary(0x20, 0, &[]), "127.0.0.1"),
        (binary(0x21, 0x31, &[0; 216]), "127.0.0.1"),
    ] {
        assert_eq!(forwarded(&node, &header, "X-Real-IP"), ip, "{header:?}");
        assert_eq!(forwarded(&node, &header, "X-Forwarded-For"), ip, "{header:?}");
    }
}

#[test]
fn others_are_not_believed() {
    let backend = Backend::start("b");
    let node = balanced(&backend, &[("trusted_ips", "10.0.0.0/8")]);
    assert_eq!(forwarded(&node, LINE, "X-Real-IP"), "127.0.0.1");
    let elsewhere = balanced(&backend, &[("trusted_ips", "127.0.0.1"), ("real_ip_header", "X-Real-IP")]);
    assert_eq!(forwarded(&elsewhere, LINE, "X-Real-IP"), "127.0.0.1");
}

#[test]
fn whoever_sends_no_header_is_refused() {
    let backend = Backend::start("b");
    let node = balanced(&backend, &[("trusted_ips", "127.0.0.0/8")]);
    for begin in [
        &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        b"\x16\x03\x01\x00\x05",
        b"PROXY TCP4 192.0.2.9 nonsense 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        &binary(0x31, 0x11, &v4(&[])),
        &binary(0x21, 0x11, &[0; 5000]),
    ] {
        for address in [node.proxy(), node.proxy_tls()] {
            let mut stream = connect(address);
            // It may be refused before all of it is written.
            let _ = stream.write_all(begin);
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            assert_eq!(answer, b"", "{begin:?}");
        }
    }
    eventually("the log says why", || node.log().contains("broken header of the PROXY protocol"));
    assert_eq!(backend.requests(), 0);
}

#[test]
fn a_header_may_come_in_pieces() {
    let backend = Backend::start("b");
    let node = balanced(&backend, &[("trusted_ips", "127.0.0.0/8")]);
    for header in [LINE.to_vec(), binary(0x21, 0x11, &v4(&[]))] {
        let mut stream = connect(node.proxy());
        let all = [&header[..], b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
        for octet in all.chunks(1) {
            stream.write_all(octet).unwrap();
        }
        let response = Connection::over(stream, "a.test").receive(false).unwrap().expect(200);
        assert!(response.text().contains("192.0.2.9"), "{}", response.text());
    }
}

#[test]
fn logs_tell_both_ends() {
    let backend = Backend::start("b");
    let format = "ends '$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr \
                  $proxy_protocol_server_port $remote_addr $remote_port $realip_remote_addr'";
    let settings = [
        ("trusted_ips", "127.0.0.0/8"),
        ("nginx_http_log_format", format),
        ("proxy_access_log", "logs/access.log ends"),
        ("admin_access_log", "logs/admin.log ends"),
        ("admin_listen", "127.0.0.1:0, 127.0.0.1:0 proxy_protocol"),
    ];
    let node = balanced(&backend, &settings);
    forwarded(&node, LINE, "Host");
    let mut stream = connect(node.admin_tls());
    stream.write_all(LINE).unwrap();
    let mut admin = Connection::over(stream, "a.test");
    admin.send("GET", "/status", &[], b"").unwrap();
    admin.receive(false).unwrap().expect(200);
    let read = |name: &str| std::fs::read_to_string(node.prefix().join("logs").join(name)).unwrap_or_default();
    let both = "192.0.2.9 5678 198.51.100.1 443 ";
    eventually("a line", || read("access.log").contains(&format!("{both}192.0.2.9 5678 127.0.0.1\n")));
    eventually("a line of the Admin API", || read("admin.log").contains(&format!("{both}127.0.0.1 ")));
    assert_eq!(
        get(node.admin(), "/").expect(200).json()["configuration"]["admin_listeners"][1]["proxy_protocol"],
        true
    );
}
