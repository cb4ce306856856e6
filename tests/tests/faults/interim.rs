//! Responses before the final one (RFC 9110, section 15.2). nginx 1.22 knows none but 100.

use crate::setup::{SOON, STREAMED, USUAL, as_nginx, everywhere, without_nginx};
use blackbox::Usage;

#[test]
fn early_hints_come_early() {
    for configuration in [USUAL, STREAMED] {
        without_nginx(&configuration, |case| {
            let mut client = case.send("GET", "/hints", &[]);
            let (mut service, _) = case.service().asked();
            service
                .send_raw(
                    b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: x-own\r\nX-Own: secret\r\n\
                      Keep-Alive: timeout=5\r\n\r\n",
                )
                .unwrap();
            client.waits(SOON).unwrap();
            // The final answer comes when the client has the hints, and not before.
            let hints = client.receive_head().unwrap();
            assert_eq!(hints.status, 103);
            assert_eq!(hints.header("Link"), Some("</a.css>; rel=preload"));
            for name in ["X-Own", "Keep-Alive", "Connection"] {
                assert_eq!(hints.header(name), None, "{name} is for one hop");
            }
            service.answer("final").unwrap();
            assert_eq!(client.receive(false).unwrap().expect(200).text(), "final");
        });
    }
}

#[test]
fn not_to_http_1_0() {
    without_nginx(&USUAL, |case| {
        let mut client = case.connect();
        client.send_raw(b"GET /old HTTP/1.0\r\nHost: a\r\n\r\n").unwrap();
        let (mut service, _) = case.service().asked();
        service.send_raw(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n").unwrap();
        service.answer("final").unwrap();
        assert_eq!(client.receive_head().unwrap().status, 200);
    });
}

#[test]
fn thousands_take_no_memory() {
    const COUNT: usize = 10_000;
    for configuration in [USUAL, STREAMED] {
        without_nginx(&configuration, |case| {
            let hint = format!("HTTP/1.1 103 Early Hints\r\nLink: <{}>; rel=preload\r\n\r\n", "x".repeat(4000));
            let mut client = case.send("GET", "/many", &[]);
            let (mut service, _) = case.service().asked();
            let before = Usage::of(case.node().pid()).memory;
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    // It may be told that this is too much.
                    for _ in 0..COUNT / 100 {
                        if service.send_raw(hint.repeat(100).as_bytes()).is_err() {
                            return;
                        }
                    }
                    let _ = service.answer("final");
                });
                // The client does not read until all that can move has moved.
                let mut most = 0;
                let mut same = 0;
                while same < 20 {
                    let now = Usage::of(case.node().pid()).memory;
                    same = if now > most { 0 } else { same + 1 };
                    most = most.max(now);
                    std::thread::park_timeout(std::time::Duration::from_millis(50));
                }
                let grown = most.saturating_sub(before);
                assert!(grown < 16 * 1024, "{grown} KiB are held for a client that does not read");
                let answer = client.receive(false).unwrap();
                assert!(matches!(answer.status, 200 | 502), "{}", answer.status);
            });
        });
    }
}

#[test]
fn a_client_is_told_to_go_on() {
    for configuration in [USUAL, STREAMED] {
        everywhere(&configuration, |case| {
            let mut client = case.send("POST", "/expect", &[("Expect", "100-continue"), ("Content-Length", "5")]);
            client.waits(SOON).unwrap();
            assert_eq!(client.receive_head().unwrap().status, 100);
            client.send_raw(b"hello").unwrap();
            let (mut service, request) = case.service().asked();
            assert_eq!(request.body, b"hello");
            service.answer("got it").unwrap();
            // Once is enough.
            assert_eq!(client.receive_head().unwrap().status, 200);
            assert_eq!(client.take(6).unwrap(), b"got it");
        });
    }
}

/// A service that says so unasked is not quoted.
#[test]
fn a_service_that_says_go_on() {
    without_nginx(&USUAL, |case| {
        let mut client = case.send("POST", "/unasked", &[("Content-Length", "5")]);
        client.send_raw(b"hello").unwrap();
        let (mut service, _) = case.service().asked();
        service.send_raw(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        client.waits(SOON).unwrap();
        assert_eq!(client.receive(false).unwrap().expect(200).text(), "ok");
    });
}

#[test]
fn refused_before_it_goes_on() {
    const SETTINGS: &[(&str, &str)] = &[("nginx_http_client_max_body_size", "1m")];
    let configuration = crate::setup::Configuration { settings: SETTINGS, ..USUAL };
    as_nginx(&configuration, |case| {
        let mut client = case.send("POST", "/large", &[("Expect", "100-continue"), ("Content-Length", "2000000")]);
        client.waits(SOON).unwrap();
        // What is refused is not asked for first.
        assert_eq!(client.receive_head().unwrap().status, 413);
    });
}
