//! The node's messages: nobody waits for them, and no client fills them.

use blackbox::http::{Connection, get, json, request};
use blackbox::{Node, eventually};
use rustix::process::Signal;
use serde_json::json;
use std::fs::OpenOptions;
use std::io::{ErrorKind, PipeReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

const MALFORMED: &[u8] = b"GET / HTTP/1.1\r\nHost : a\r\n\r\n";

/// A node whose messages go into a pipe that is full, and that pipe.
fn node_with_full_pipe() -> (Node, PipeReader) {
    let (reader, writer) = std::io::pipe().unwrap();
    let settings = [("proxy_error_log", "/dev/stderr"), ("admin_error_log", "/dev/stderr")];
    let node = Node::start_with_stderr(&settings, writer);
    // By a description of its own, for the node's is to block.
    let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let mut filler = OpenOptions::new().write(true).custom_flags(nonblock).open(path).unwrap();
    loop {
        match filler.write(b"x") {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    (node, reader)
}

fn refuse(node: &Node, count: usize) {
    for _ in 0..count {
        let mut connection = Connection::open(node.proxy()).unwrap();
        connection.send_raw(MALFORMED).unwrap();
        assert!(connection.rest().unwrap().starts_with(b"HTTP/1.1 400"));
    }
}

#[test]
fn nobody_waits_for_a_log_that_nobody_reads() {
    let (mut node, mut reader) = node_with_full_pipe();
    refuse(&node, 400);
    get(node.proxy(), "/").expect(404);
    get(node.admin(), "/").expect(200);
    let mut text = String::new();
    eventually("it is told how many messages were left out", || {
        let mut part = [0; 4096];
        let length = reader.read(&mut part).unwrap();
        text.push_str(&String::from_utf8_lossy(&part[..length]));
        text.contains("more messages were left out, the first of them: client sent invalid header")
    });
    let lines = text.lines().filter(|line| line.contains("#0: client sent invalid header")).count();
    assert!((1..=200).contains(&lines), "{lines} lines");
    drop(reader);
    assert!(node.end(Signal::TERM));
}

#[test]
fn a_log_that_nobody_reads_does_not_keep_a_node_from_ending() {
    let (mut node, _reader) = node_with_full_pipe();
    refuse(&node, 10);
    assert!(node.end(Signal::TERM));
}

#[test]
fn the_last_lines_are_written() {
    let mut node = Node::start(&[]);
    refuse(&node, 150);
    assert!(node.end(Signal::TERM));
    let log = node.log();
    assert!(log.contains("50 more messages were left out"), "{log}");
    assert!(log.contains("#0: stopped"), "{log}");
}

#[test]
fn messages_go_to_a_syslog_server() {
    let server = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(blackbox::PATIENCE)).unwrap();
    let log = format!("syslog:server={},tag=gate", server.local_addr().unwrap());
    let node = Node::start(&[("proxy_error_log", &log), ("log_level", "info")]);
    let mut said = String::new();
    while !said.contains("started") {
        let mut message = [0; 4000];
        let length = server.recv(&mut message).unwrap();
        said = String::from_utf8_lossy(&message[..length]).into_owned();
        assert!(said.starts_with("<190>") && said.contains(" gate: "), "{said}");
    }
    drop(node);
    let wrong = Node::try_start(&[("proxy_error_log".to_owned(), "syslog:server=".to_owned())]);
    assert!(wrong.err().is_some_and(|why| why.contains("proxy_error_log: ")));
}

#[test]
fn all_that_code_says_is_written() {
    let node = Node::start(&[]);
    let code = "for i = 1, 250 do kong.log.warn('audited ', i) end kong.response.exit(200)";
    let plugin = json!({ "name": "pre-function", "config": { "access": [code] } });
    json(node.admin(), "POST", "/routes", &json!({ "paths": ["/"] })).expect(201);
    json(node.admin(), "POST", "/plugins", &plugin).expect(201);
    get(node.proxy(), "/").expect(200);
    eventually("all lines are there", || node.log().contains("audited 250"));
    assert_eq!(node.log().matches("audited ").count(), 250);
}

#[test]
fn interfaces_have_logs_of_their_own() {
    let settings = [
        ("admin_gui_listen", "127.0.0.1:0 ssl"),
        ("status_listen", "127.0.0.1:0 ssl"),
        ("admin_gui_error_log", "logs/gui.log"),
        ("status_error_log", "logs/status.log"),
        ("log_level", "info"),
    ];
    let node = Node::start(&settings);
    const TOLD: &str = "plain HTTP on a port for TLS";
    let log = |name: &str| std::fs::read_to_string(node.prefix().join("logs").join(name)).unwrap_or_default();
    for (address, file) in [(node.manager(), "gui.log"), (node.status(), "status.log")] {
        let mut connection = Connection::open(address).unwrap();
        connection.send_raw(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        drop(connection);
        eventually("its log tells of it", || log(file).matches(TOLD).count() == 1);
    }
    assert!(!node.log().contains(TOLD));
}

/// As Kong: after the timeout of the last change, or by one without time, the level of the settings holds again.
#[test]
fn the_level_of_the_settings_follows_changes() {
    let node = Node::start(&[("log_level", "warn")]);
    let level = || get(node.admin(), "/debug/node/log-level").json()["message"].as_str().unwrap_or_default().to_owned();
    let change = |to: &str| request(node.admin(), "PUT", &format!("/debug/node/log-level/{to}"), &[], b"").unwrap();
    assert_eq!(change("debug").expect(200).json()["message"], "log level changed");
    assert_eq!(level(), "log level: debug");
    change("info?timeout=1").expect(200);
    eventually("the level of the settings, not the one before the change", || level() == "log level: warn");
    change("error").expect(200);
    change("notice?timeout=0").expect(200);
    assert_eq!(level(), "log level: warn");
}
