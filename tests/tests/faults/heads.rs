//! Heads that come slowly, or never to their end.

use crate::setup::{SOON, USUAL, as_nginx};
use std::time::{Duration, Instant};

/// Writes one octet now and then until the peer has closed; whether that happens soon.
fn trickle(client: &mut blackbox::http::Connection<blackbox::socket::Wire>) -> bool {
    let end = Instant::now() + SOON;
    while Instant::now() < end {
        if client.send_raw(b"a").is_err() || client.closes_within(Duration::from_millis(200)) {
            return true;
        }
    }
    false
}

#[test]
fn one_octet_at_a_time() {
    as_nginx(&USUAL, |case| {
        let mut client = case.connect();
        client.send_raw(b"GET /slow HTTP/1.1\r\nHost: a\r\nX-Long: ").unwrap();
        assert!(trickle(&mut client), "a head is read for longer than its timeout");
        assert!(case.service().accept_within(Duration::ZERO).is_none());
    });
}

#[test]
fn a_request_line_one_octet_at_a_time() {
    as_nginx(&USUAL, |case| {
        let mut client = case.connect();
        client.send_raw(b"GET /").unwrap();
        assert!(trickle(&mut client), "a request line is read for longer than the timeout of the head");
    });
}

#[test]
fn empty_lines_one_at_a_time() {
    as_nginx(&USUAL, |case| {
        let mut client = case.connect();
        let end = Instant::now() + SOON;
        let mut closed = false;
        while !closed && Instant::now() < end {
            closed = client.send_raw(b"\r\n").is_err() || client.closes_within(Duration::from_millis(200));
        }
        assert!(closed, "empty lines keep a connection");
    });
}

#[test]
fn half_a_head_and_silence() {
    as_nginx(&USUAL, |case| {
        let mut client = case.connect();
        client.send_raw(b"GET /half HTTP/1.1\r\nHost: a\r\n").unwrap();
        assert!(client.closes_within(SOON), "half a head keeps a connection");
        assert_eq!(case.logged("/half").status, 408);
    });
}

#[test]
fn nothing_at_all() {
    as_nginx(&USUAL, |case| {
        assert!(case.connect_bare().closes_within(SOON), "silence keeps a connection");
    });
}

#[test]
fn a_handshake_one_octet_at_a_time() {
    as_nginx(&USUAL, |case| {
        // The beginning of a ClientHello that is 512 octets long; for a plain port it is the beginning of nothing.
        let mut client = case.connect_bare();
        client.send_raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").unwrap();
        assert!(trickle(&mut client), "a handshake is read for longer than the timeout of a head");
    });
}

#[test]
fn the_second_head_has_the_same_time() {
    as_nginx(&USUAL, |case| {
        let mut client = case.send("GET", "/first", &[]);
        let (mut service, _) = case.service().asked();
        service.answer("one").unwrap();
        assert_eq!(client.receive(false).unwrap().expect(200).text(), "one");
        client.send_raw(b"GET /second HTTP/1.1\r\nX-Long: ").unwrap();
        assert!(trickle(&mut client), "the second head is read for longer than its timeout");
    });
}

#[test]
fn a_head_in_pieces_within_its_time_is_answered() {
    as_nginx(&USUAL, |case| {
        let mut client = case.connect();
        for octet in b"GET /pieces HTTP/1.1\r\nHost: a\r\n\r\n" {
            client.send_raw(&[*octet]).unwrap();
        }
        let (mut service, request) = case.service().asked();
        assert_eq!(request.target, "/pieces");
        service.answer("whole").unwrap();
        assert_eq!(client.receive(false).unwrap().expect(200).text(), "whole");
    });
}
