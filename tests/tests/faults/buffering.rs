//! `request_buffering` and `response_buffering`, as nginx means them.

use crate::setup::{Configuration, SOON, STREAMED, Setup, USUAL, everywhere, without_nginx};
use std::time::Duration;

/// One worker: what one connection is served after another has been read.
const ONE: &[(&str, &str)] = &[("nginx_worker_processes", "1")];
const HELD: Configuration = Configuration { settings: ONE, ..USUAL };
const LARGE: usize = 5 << 20;

/// Until everything that was sent before has been looked at; whether no service was asked for anything else meanwhile.
fn nobody_else_is_asked(case: &Setup) -> bool {
    let mut client = case.send("GET", "/barrier", &[]);
    let (mut service, request) = case.service().asked();
    service.send_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
    client.receive(false).is_ok()
        && request.target == "/barrier"
        && case.service().accept_within(Duration::ZERO).is_none()
}

fn held(case: &Setup, length: usize, chunked: bool) {
    let body: Vec<u8> = (0..length).map(|n| b'a' + (n % 23) as u8).collect();
    let (last, first) = body.split_last().unwrap();
    let mut client = if chunked {
        case.send("POST", "/held", &[("Transfer-Encoding", "chunked")])
    } else {
        case.send("POST", "/held", &[("Content-Length", &length.to_string())])
    };
    if chunked {
        client.send_raw(&[format!("{:x}\r\n", first.len()).as_bytes(), first, b"\r\n1\r\n"].concat()).unwrap();
    } else {
        client.send_raw(first).unwrap();
    }
    assert!(nobody_else_is_asked(case), "a service is asked before {length} octets have come (chunked: {chunked})");
    client.send_raw(&[*last]).unwrap();
    if chunked {
        client.send_raw(b"\r\n0\r\n\r\n").unwrap();
    }
    let (mut service, request) = case.service().asked();
    assert_eq!(request.target, "/held");
    assert!(request.body == body, "{} of {length} octets arrive", request.body.len());
    assert_eq!(request.header("Content-Length"), Some(length.to_string().as_str()), "chunked: {chunked}");
    assert_eq!(request.header("Transfer-Encoding"), None);
    service.answer("got it").unwrap();
    client.receive(false).unwrap().expect(200);
}

#[test]
fn a_service_is_asked_when_the_request_is_whole() {
    everywhere(&HELD, |case| {
        held(case, 10, false);
        held(case, 100_000, false);
        held(case, LARGE, false);
    });
}

#[test]
fn chunks_get_a_length() {
    everywhere(&HELD, |case| {
        held(case, 10, true);
        held(case, 100_000, true);
        held(case, LARGE, true);
    });
}

#[test]
fn a_small_memory_and_a_file() {
    const SMALL: &[(&str, &str)] = &[("nginx_worker_processes", "1"), ("nginx_http_client_body_buffer_size", "1k")];
    everywhere(&Configuration { settings: SMALL, ..USUAL }, |case| held(case, 300_000, false));
}

#[test]
fn an_upload_streams() {
    everywhere(&Configuration { settings: ONE, ..STREAMED }, |case| {
        for chunked in [false, true] {
            let framing = if chunked { ("Transfer-Encoding", "chunked") } else { ("Content-Length", "10") };
            let mut client = case.send("POST", "/stream", &[framing]);
            client.send_raw(if chunked { b"5\r\nfirst\r\n" } else { b"first" }).unwrap();
            let mut service = case.service().accept();
            service.waits(SOON).unwrap();
            let head = service.request_head().unwrap();
            let part = if head.header("Transfer-Encoding").is_some() { "5\r\nfirst\r\n" } else { "first" };
            assert_eq!(service.take(part.len()).unwrap(), part.as_bytes(), "chunked: {chunked}");
            client.send_raw(if chunked { b"5\r\nother\r\n0\r\n\r\n" } else { b"other" }).unwrap();
            let part = if head.header("Transfer-Encoding").is_some() { "5\r\nother\r\n0\r\n\r\n" } else { "other" };
            assert_eq!(service.take(part.len()).unwrap(), part.as_bytes(), "chunked: {chunked}");
            service.send_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").unwrap();
            client.waits(SOON).unwrap();
            assert_eq!(client.receive(false).unwrap().expect(200).text(), "ok");
        }
    });
}

#[test]
fn a_response_streams() {
    everywhere(&STREAMED, |case| {
        let mut client = case.send("GET", "/stream", &[]);
        let (mut service, _) = case.service().asked();
        service.send_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst").unwrap();
        client.waits(SOON).unwrap();
        client.receive_head().unwrap();
        assert_eq!(client.take(5).unwrap(), b"first");
        service.send_raw(b"other").unwrap();
        assert_eq!(client.take(5).unwrap(), b"other");
    });
}

fn event(case: &Setup, lines: &str) {
    let mut client = case.send("GET", "/events", &[]);
    let (mut service, _) = case.service().asked();
    service.send_raw(format!("HTTP/1.1 200 OK\r\n{lines}Transfer-Encoding: chunked\r\n\r\n").as_bytes()).unwrap();
    client.waits(SOON).unwrap();
    assert_eq!(client.receive_head().unwrap().status, 200);
    for _ in 0..3 {
        // The next one comes when the client has the one before.
        service.send_raw(b"7\r\ndata: 1\r\n").unwrap();
        assert_eq!(client.take(12).unwrap(), b"7\r\ndata: 1\r\n", "{lines}");
    }
}

#[test]
fn what_forbids_it_is_not_held_back() {
    everywhere(&USUAL, |case| event(case, "X-Accel-Buffering: no\r\n"));
}

/// nginx has to be told.
#[test]
fn event_streams_are_not_held_back() {
    without_nginx(&USUAL, |case| event(case, "Content-Type: text/event-stream\r\n"));
    without_nginx(&USUAL, |case| event(case, "Content-Type: text/event-stream; charset=utf-8\r\n"));
}

/// A client that reads late gets all of what its service has been rid of long ago.
#[test]
fn a_late_reader_gets_all() {
    const LENGTH: usize = 20 << 20;
    // With nginx's own minute to be late.
    everywhere(&Configuration { settings: ONE, ..USUAL }, |case| {
        for framing in [format!("Content-Length: {LENGTH}"), "Connection: close".to_owned()] {
            let mut client = case.send("GET", "/late", &[]);
            let (mut service, _) = case.service().asked();
            service.send_raw(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n").as_bytes()).unwrap();
            let (sent, open) = service.flood(LENGTH, SOON);
            assert_eq!(sent, LENGTH, "{framing}: a slow client holds the service");
            assert!(open, "{framing}");
            drop(service);
            let answer = client.receive(false).unwrap();
            assert_eq!(answer.body.len(), LENGTH, "{framing}");
            assert!(answer.body.iter().all(|&b| b == b'x'));
        }
    });
}

/// With a limit on what may wait in a file, the service waits for the client.
#[test]
fn a_file_of_limited_size() {
    const LIMITED: &[(&str, &str)] = &[("nginx_http_proxy_max_temp_file_size", "1m")];
    everywhere(&Configuration { settings: LIMITED, ..USUAL }, |case| {
        const LENGTH: usize = 60 << 20;
        let mut client = case.send("GET", "/limited", &[]);
        let (mut service, _) = case.service().asked();
        service.send_raw(format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n").as_bytes()).unwrap();
        let (sent, open) = service.flood(LENGTH, Duration::from_secs(1));
        assert!(open && sent < LENGTH, "all {sent} octets are taken for a client that does not read");
        std::thread::scope(|scope| {
            scope.spawn(|| service.flood(LENGTH - sent, SOON));
            assert_eq!(client.receive(false).unwrap().body.len(), LENGTH);
        });
    });
}
