//! HTTP/2 to the Admin API, the Status API and the manager, whose listeners have the flag.

use crate::client::{Connection, play};
use blackbox::{Node, PATIENCE, eventually};
use std::io::{Read, Write};
use std::net::TcpStream;

#[test]
fn every_interface_speaks_it_by_its_flag() {
    let node = Node::start(&[
        ("admin_listen", "127.0.0.1:0, 127.0.0.1:0 http2 ssl"),
        ("status_listen", "127.0.0.1:0 http2"),
        ("admin_gui_listen", "127.0.0.1:0 http2"),
        ("admin_access_log", "logs/admin.log"),
    ]);
    play(async {
        for (connection, path) in [
            (Connection::plain(node.admin()).await, "/services"),
            (Connection::secure(node.admin_tls()).await, "/services"),
            (Connection::plain(node.status()).await, "/status"),
            (Connection::plain(node.manager()).await, "/"),
        ] {
            let answer = connection.get(path).await;
            assert_eq!(answer.head.status(), 200, "{path}");
            assert!(!answer.content.is_empty(), "{path}");
        }
    });
    let log = node.prefix().join("logs/admin.log");
    let noted = || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("\"GET /services HTTP/2.0\" 200"));
    eventually("its version is in the access log", noted);
}

#[test]
fn without_the_flag_it_is_refused() {
    let node = Node::start(&[("status_listen", "127.0.0.1:0")]);
    let mut stream = TcpStream::connect(node.status()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 505 "), "{}", String::from_utf8_lossy(&answer));
}
