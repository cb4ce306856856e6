//! Connections that become another protocol's.

use crate::setup::{Configuration, SOON, USUAL, everywhere, without_nginx};
use std::time::Duration;

const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
const ASKED: [(&str, &str); 2] = [("Connection", "upgrade"), ("Upgrade", "websocket")];

#[test]
fn plugins_add_their_lines() {
    const PLUGINS: &[&str] = &[
        "name=response-transformer&config.add.headers=x-added:yes",
        "name=correlation-id&config.header_name=x-correlation&config.echo_downstream=true",
        "name=cors&config.origins=http://a.test&config.credentials=true",
        "name=rate-limiting&config.hour=1000&config.policy=local",
    ];
    without_nginx(&Configuration { plugins: PLUGINS, ..USUAL }, |case| {
        let mut client = case.send("GET", "/up", &[ASKED[0], ASKED[1], ("Origin", "http://a.test")]);
        let (mut service, _) = case.service().asked();
        service.send_raw(SWITCH).unwrap();
        client.waits(SOON).unwrap();
        let head = client.receive_head().unwrap();
        assert_eq!(head.status, 101);
        assert_eq!(head.header("Upgrade"), Some("websocket"));
        assert_eq!(head.header("X-Added"), Some("yes"));
        assert!(head.header("X-Correlation").is_some(), "{head:?}");
        assert_eq!(head.header("Access-Control-Allow-Origin"), Some("http://a.test"));
        assert_eq!(head.header("X-RateLimit-Limit-Hour"), Some("1000"));
        assert!(head.header("X-Kong-Upstream-Latency").is_some(), "{head:?}");
    });
}

#[test]
fn the_line_of_the_log_comes_after_the_relay() {
    everywhere(&USUAL, |case| {
        let mut client = case.send("GET", "/log", &ASKED);
        let (mut service, _) = case.service().asked();
        service.send_raw(SWITCH).unwrap();
        assert_eq!(client.receive_head().unwrap().status, 101);
        client.send_raw(b"ping").unwrap();
        assert_eq!(service.take(4).unwrap(), b"ping");
        service.send_raw(&[b'p'; 1000]).unwrap();
        client.take(1000).unwrap();
        assert_eq!(case.logged_within("/log", Duration::from_millis(300)), None, "it is not over");
        drop(client);
        let logged = case.logged("/log");
        assert_eq!(logged.status, 101);
        assert_eq!(logged.content, 1000, "the octets of the relay");
    });
}

/// Neither end of it is held back, whatever the route buffers.
#[test]
fn nothing_is_held_back() {
    for configuration in [USUAL, crate::setup::STREAMED] {
        everywhere(&configuration, |case| {
            let mut client = case.send("GET", "/both", &ASKED);
            // A client may speak before it is answered.
            client.send_raw(b"early").unwrap();
            let (mut service, _) = case.service().asked();
            service.send_raw(&[SWITCH, b"hello"].concat()).unwrap();
            client.waits(SOON).unwrap();
            service.waits(SOON).unwrap();
            assert_eq!(client.receive_head().unwrap().status, 101);
            assert_eq!(client.take(5).unwrap(), b"hello");
            assert_eq!(service.take(5).unwrap(), b"early");
            for _ in 0..3 {
                client.send_raw(b"a").unwrap();
                assert_eq!(service.take(1).unwrap(), b"a");
                service.send_raw(b"b").unwrap();
                assert_eq!(client.take(1).unwrap(), b"b");
            }
        });
    }
}

/// A service that does not want to is answered for as any other.
#[test]
fn a_service_that_refuses() {
    everywhere(&USUAL, |case| {
        let mut client = case.send("GET", "/no", &ASKED);
        let (mut service, _) = case.service().asked();
        service.send_raw(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").unwrap();
        client.waits(SOON).unwrap();
        assert_eq!(client.receive(false).unwrap().expect(403).text(), "no");
    });
}

/// Nobody has asked for it.
#[test]
fn a_service_that_switches_unasked() {
    without_nginx(&USUAL, |case| {
        let mut client = case.send("POST", "/unasked", &[("Content-Length", "0")]);
        let (mut service, _) = case.service().asked();
        service.send_raw(SWITCH).unwrap();
        client.waits(SOON).unwrap();
        client.receive(false).unwrap().expect(502);
        assert!(service.closes_within(SOON));
    });
}
