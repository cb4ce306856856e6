//! Clients that do not read what they have asked for.

use crate::setup::{Configuration, SOON, STREAMED, Setup, USUAL, as_nginx, everywhere};
use blackbox::http::Connection;
use blackbox::socket::Wire;
use std::time::Duration;

/// More than the sockets of all parties hold.
const LENGTH: usize = 40 << 20;

fn asked(case: &Setup, target: &str) -> (Connection<Wire>, Connection<Wire>) {
    let client = case.send("GET", target, &[]);
    let (mut service, _) = case.service().asked();
    service.send_raw(format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n").as_bytes()).unwrap();
    (client, service)
}

#[test]
fn a_streamed_response_is_cut() {
    everywhere(&STREAMED, |case| {
        let (_client, mut service) = asked(case, "/unread");
        let (sent, open) = service.flood(LENGTH, SOON);
        assert!(!open, "the service's connection is held by a client that does not read, after {sent} octets");
        case.logged("/unread");
    });
}

#[test]
fn a_buffered_response_is_cut() {
    as_nginx(&USUAL, |case| {
        let (mut client, mut service) = asked(case, "/unread");
        let (sent, open) = service.flood(LENGTH, SOON);
        assert_eq!(sent, LENGTH, "a slow client holds the service");
        assert!(open);
        // What is logged is over.
        case.logged("/unread");
        let got = client.read_until_closed(SOON).expect("a client that does not read is kept");
        assert!(got.len() < LENGTH, "all of it had been sent");
    });
}

/// The response of one exchange waits in memory and file, and the service is free for another.
#[test]
fn a_buffered_response_frees_the_service() {
    // With one worker, so that there is one pool.
    const ONE: &[(&str, &str)] = &[("nginx_worker_processes", "1")];
    everywhere(&Configuration { settings: ONE, ..USUAL }, |case| {
        let (_client, mut service) = asked(case, "/unread");
        let (sent, open) = service.flood(LENGTH, SOON);
        assert_eq!(sent, LENGTH, "a slow client holds the service");
        assert!(open);
        service.waits(Duration::from_millis(300)).unwrap();
        blackbox::eventually("the service's connection is used again", || {
            let mut client = case.send("GET", "/other", &[]);
            // What is in the sockets still has to be read before that.
            let reused = service.request().is_ok_and(|request| request.target == "/other");
            if reused {
                service.answer("other").unwrap();
            } else {
                let mut another = case.service().accept();
                another.request().unwrap();
                another.send_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nother").unwrap();
            }
            assert_eq!(client.receive(false).unwrap().expect(200).text(), "other");
            reused
        });
    });
}

#[test]
fn a_slow_and_steady_reader_is_not_cut() {
    const READ: usize = 128 * 1024;
    for configuration in [STREAMED, USUAL] {
        as_nginx(&configuration, |case| {
            let (mut client, mut service) = asked(case, "/steady");
            std::thread::scope(|scope| {
                let sent = scope.spawn(move || service.flood(LENGTH, SOON));
                assert_eq!(client.receive_head().unwrap().status, 200);
                for piece in 0..LENGTH / READ {
                    client.take(READ).unwrap_or_else(|error| panic!("after {piece} pieces: {error}"));
                    // Slower than it could; in all several times the timeout.
                    std::thread::park_timeout(Duration::from_millis(15));
                }
                let (sent, open) = sent.join().unwrap();
                assert_eq!(sent, LENGTH);
                assert!(open);
            });
        });
    }
}
