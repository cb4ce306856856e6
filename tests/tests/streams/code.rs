//! Plugins in Lua on streams, and what lines and code know of these.

use crate::setup::{accept, by_port, connect, listen, node, rest, route, send, take};
use blackbox::eventually;
use blackbox::http::json;
use serde_json::json;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/runtimes/src/lua/plugins/fixtures/?.lua;;");

/// Whether a text is seconds as nginx writes them.
fn is_seconds(text: &str) -> bool {
    let is_number = |part: &str, digits: usize| part.len() >= digits && part.bytes().all(|b| b.is_ascii_digit());
    text.split_once('.').is_some_and(|(whole, part)| is_number(whole, 1) && is_number(part, 3) && part.len() == 3)
}

#[test]
fn code_reads_from_the_client_and_writes_to_it() {
    let node = node(&[("plugins", "bundled, reader"), ("lua_package_path", PATH), ("log_level", "notice")]);
    let service = listen();
    let address = service.local_addr().unwrap();
    route(&node, &format!("tcp://{address}"), &by_port("tcp", node.stream(0)));
    json(node.admin(), "POST", "/plugins", &json!({ "name": "reader", "protocols": ["tcp"] })).expect(201);
    let mut client = connect(node.stream(0));
    send(&mut client, "HELO there\r\nre");
    let told = "HELO HELO there\nnil timeout\n";
    assert_eq!(take(&mut client, told.len()), told);
    send(&mut client, "st");
    let mut served = accept(&service);
    // What was received is not for the service, what was peeked at is.
    assert_eq!(take(&mut served, 4), "rest");
    send(&mut served, "seventh");
    drop(served);
    assert_eq!(rest(&mut client), "seventh");
    let mut line = None;
    eventually("the variables", || {
        let log = node.log();
        line = log.lines().find_map(|line| Some(line.split_once("variables: ")?.1.to_owned()));
        line.is_some()
    });
    let line = line.unwrap();
    let line = line.split(", client: ").next().unwrap();
    let of = |name: &str| {
        let value = line.split(' ').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name));
        value.unwrap_or_else(|| panic!("{name} in {line}")).1
    };
    assert_eq!(of("protocol"), "TCP");
    assert_eq!(of("status"), "200");
    assert_eq!(of("upstream_addr"), address.to_string());
    assert_eq!(of("upstream_bytes_sent"), "4");
    assert_eq!(of("upstream_bytes_received"), "7");
    assert_eq!(of("bytes_received"), "4");
    assert_eq!(of("bytes_sent"), "7");
    for time in ["session_time", "upstream_session_time", "upstream_connect_time", "upstream_first_byte_time"] {
        assert!(is_seconds(of(time)), "{time} in {line}");
    }
}

#[test]
fn a_client_that_leaves_while_code_reads_ends_the_stream() {
    let node = node(&[("plugins", "bundled, reader"), ("lua_package_path", PATH)]);
    let service = listen();
    route(&node, &format!("tcp://{}", service.local_addr().unwrap()), &by_port("tcp", node.stream(0)));
    json(node.admin(), "POST", "/plugins", &json!({ "name": "reader", "protocols": ["tcp"] })).expect(201);
    let mut client = connect(node.stream(0));
    send(&mut client, "HEL");
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(rest(&mut client), "");
    eventually("the log says why", || node.log().contains("closed"));
}

#[test]
fn a_client_that_code_refuses_is_let_go() {
    let node = node(&[("plugins", "bundled, refuser"), ("lua_package_path", PATH)]);
    let service = listen();
    route(&node, &format!("tcp://{}", service.local_addr().unwrap()), &by_port("tcp", node.stream(0)));
    json(node.admin(), "POST", "/plugins", &json!({ "name": "refuser", "protocols": ["tcp"] })).expect(201);
    for how in ["exit", "ngx", "error"] {
        let mut client = connect(node.stream(0));
        send(&mut client, &format!("{how}\n"));
        assert_eq!(rest(&mut client), "no\n", "{how}");
    }
}

#[test]
fn lines_have_a_format_of_their_own() {
    let format = "own '$remote_addr $protocol $status $bytes_sent $bytes_received $session_time $upstream_addr \
                  $upstream_bytes_sent $upstream_bytes_received $upstream_connect_time $upstream_first_byte_time \
                  $upstream_session_time'";
    let node = node(&[("nginx_stream_log_format", format), ("proxy_stream_access_log", "logs/streams.log own")]);
    let service = listen();
    let address = service.local_addr().unwrap();
    route(&node, &format!("tcp://{address}"), &by_port("tcp", node.stream(0)));
    let mut client = connect(node.stream(0));
    let mut served = accept(&service);
    send(&mut client, "four");
    take(&mut served, 4);
    send(&mut served, "seventh");
    drop(served);
    rest(&mut client);
    let log = node.prefix().join("logs/streams.log");
    eventually("a line", || std::fs::read_to_string(&log).is_ok_and(|text| text.ends_with('\n')));
    let text = std::fs::read_to_string(&log).unwrap();
    let words: Vec<&str> = text.trim_end().split(' ').collect();
    let address = address.to_string();
    assert_eq!(words[..5], ["127.0.0.1", "TCP", "200", "7", "4"]);
    assert_eq!(words[6..9], [&*address, "4", "7"]);
    assert!(words[5..6].iter().chain(&words[9..]).all(|time| is_seconds(time)), "{text}");
    assert_eq!(words.len(), 12);
}
