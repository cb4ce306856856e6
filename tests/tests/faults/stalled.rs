//! Services that stop in the middle.

use crate::setup::{Configuration, Over, SOON, STREAMED, USUAL, everywhere, without_nginx};
use std::time::{Duration, Instant};

const SECOND: Configuration = Configuration { timeout: Duration::from_secs(1), ..USUAL };
const SECOND_STREAMED: Configuration = Configuration { timeout: Duration::from_secs(1), ..STREAMED };
const COUNTED: Configuration = Configuration { unhealthy: Some("timeouts=1"), ..SECOND };
const COUNTED_STREAMED: Configuration = Configuration { unhealthy: Some("timeouts=1"), ..SECOND_STREAMED };
/// More than sockets hold.
const UPLOAD: usize = 40 << 20;

#[test]
fn never_answers() {
    everywhere(&SECOND, |case| {
        let mut client = case.send("POST", "/never", &[("Content-Length", "0")]);
        let (mut service, _) = case.service().asked();
        client.waits(SOON).unwrap();
        client.receive(false).unwrap().expect(504);
        assert!(service.closes_within(SOON), "the connection is kept though its answer may still come");
        assert_eq!(case.logged("/never").status, 504);
    });
}

#[test]
fn stops_within_its_head() {
    everywhere(&SECOND, |case| {
        let mut client = case.send("POST", "/head", &[("Content-Length", "0")]);
        let (mut service, _) = case.service().asked();
        service.send_raw(b"HTTP/1.1 200 OK\r\nX-A: b\r\nX-").unwrap();
        client.waits(SOON).unwrap();
        client.receive(false).unwrap().expect(504);
        assert!(service.closes_within(SOON));
    });
}

/// A head has the time as a whole: the next line does not begin it anew.
#[test]
fn sends_its_head_in_drops() {
    everywhere(&SECOND, |case| {
        let mut client = case.send("POST", "/drops", &[("Content-Length", "0")]);
        let (mut service, _) = case.service().asked();
        service.send_raw(b"HTTP/1.1 200 OK\r\n").unwrap();
        let end = Instant::now() + SOON;
        let mut closed = false;
        while !closed && Instant::now() < end {
            closed = service.send_raw(b"X-A: b\r\n").is_err() || service.closes_within(Duration::from_millis(200));
        }
        assert!(closed, "a head is waited for without end");
        client.receive(false).unwrap().expect(504);
        assert_eq!(case.logged("/drops").status, 504);
    });
}

/// A service that says now and then that it is at work has the time for each of its heads.
#[test]
fn is_at_work() {
    without_nginx(&SECOND, |case| {
        let mut client = case.send("POST", "/work", &[("Content-Length", "0")]);
        let (mut service, _) = case.service().asked();
        let end = Instant::now() + 3 * SECOND.timeout / 2;
        while Instant::now() < end {
            service.send_raw(b"HTTP/1.1 102 Processing\r\n\r\n").unwrap();
            assert!(!service.closes_within(Duration::from_millis(300)), "a service at work is given up");
        }
        service.answer("done").unwrap();
        while client.receive_head().unwrap().status != 200 {}
        assert_eq!(client.take(4).unwrap(), b"done");
    });
}

#[test]
fn stops_within_its_content() {
    for configuration in [SECOND, SECOND_STREAMED] {
        everywhere(&configuration, |case| {
            let mut client = case.send("GET", "/content", &[]);
            let (mut service, _) = case.service().asked();
            service.send_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf ").unwrap();
            let got = client.read_until_closed(SOON).expect("a client waits for content that never comes");
            // nginx keeps the half to itself where it buffers.
            assert!(got.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&got));
            assert!(service.closes_within(SOON));
            case.logged("/content");
        });
    }
}

#[test]
fn stops_within_a_chunk() {
    everywhere(&SECOND, |case| {
        let mut client = case.send("GET", "/chunk", &[]);
        let (mut service, _) = case.service().asked();
        service.send_raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n5\r\nha").unwrap();
        let got = client.read_until_closed(SOON).expect("a client waits for content that never comes");
        assert!(!got.ends_with(b"0\r\n\r\n"), "what was cut short looks whole: {}", String::from_utf8_lossy(&got));
        assert!(service.closes_within(SOON));
    });
}

#[test]
fn closes_within_its_head() {
    everywhere(&USUAL, |case| {
        let mut client = case.send("POST", "/head", &[("Content-Length", "0")]);
        let (mut service, _) = case.service().asked();
        service.send_raw(b"HTTP/1.1 200 OK\r\nX-").unwrap();
        service.finish().unwrap();
        client.waits(SOON).unwrap();
        client.receive(false).unwrap().expect(502);
        assert_eq!(case.logged("/head").status, 502);
    });
}

/// The client has done nothing wrong: it is told 504, and the target is to blame.
#[test]
fn stops_reading_an_upload() {
    for configuration in [COUNTED, COUNTED_STREAMED] {
        everywhere(&configuration, |case| {
            let mut client = case.send("POST", "/upload", &[("Content-Length", &UPLOAD.to_string())]);
            let (_service, sent) = std::thread::scope(|scope| {
                let sent = scope.spawn(|| client.flood(UPLOAD, SOON));
                let mut service = case.service().accept();
                service.request_head().unwrap();
                // It is there, and reads no more.
                (service, sent.join().unwrap().0)
            });
            client.waits(SOON).unwrap();
            let answer = client.receive(false).unwrap_or_else(|error| panic!("after {sent} octets: {error}"));
            assert_eq!(answer.status, 504, "after {sent} octets: {}", answer.text());
            assert_eq!(case.logged("/upload").status, 504);
            if case.over != Over::Nginx {
                blackbox::eventually("the target is unhealthy", || case.health(0) == "UNHEALTHY");
            }
        });
    }
}

#[test]
fn an_answer_that_does_not_come_is_counted() {
    without_nginx(&COUNTED, |case| {
        let mut client = case.send("POST", "/counted", &[("Content-Length", "0")]);
        let (_service, _) = case.service().asked();
        client.waits(SOON).unwrap();
        client.receive(false).unwrap().expect(504);
        blackbox::eventually("the target is unhealthy", || case.health(0) == "UNHEALTHY");
    });
}

/// A client that is slow to send is not the service's fault.
#[test]
fn a_slow_client_is_not_counted_against_the_service() {
    const FAST: &[(&str, &str)] = &[("nginx_http_client_body_timeout", "2s")];
    let configuration = Configuration { settings: FAST, unhealthy: Some("timeouts=1"), ..SECOND_STREAMED };
    without_nginx(&configuration, |case| {
        let mut client = case.send("POST", "/slow", &[("Content-Length", "10")]);
        client.send_raw(b"a").unwrap();
        let mut service = case.service().accept();
        service.request_head().unwrap();
        assert!(client.closes_within(SOON));
        assert_eq!(case.logged("/slow").status, 408);
        assert_eq!(case.health(0), "HEALTHY");
    });
}

/// What a service has failed to take is sent to another one, whole: nothing of it was lost.
#[test]
fn a_buffered_upload_is_repeated() {
    const LENGTH: usize = 3 << 20;
    let configuration = Configuration { services: 2, timeout: Duration::from_secs(5), ..USUAL };
    everywhere(&configuration, |case| {
        let mut client = case.send("PUT", "/again", &[("Content-Length", &LENGTH.to_string())]);
        let body: Vec<u8> = (0..LENGTH).map(|n| b'a' + (n % 23) as u8).collect();
        let both = [&case.services[0], &case.services[1]];
        std::thread::scope(|scope| {
            scope.spawn(|| client.send_raw(&body));
            let end = std::time::Instant::now() + SOON;
            let mut met = 0;
            while met < 2 && std::time::Instant::now() < end {
                let Some(mut service) = both.iter().find_map(|s| s.accept_within(Duration::from_millis(20))) else {
                    continue;
                };
                met += 1;
                if met == 1 {
                    service.request_head().unwrap();
                    service.take(1000).unwrap();
                    service.reset();
                } else {
                    let request = service.request().unwrap();
                    assert!(request.body == body, "{} octets arrive", request.body.len());
                    service.answer("got it").unwrap();
                }
            }
            assert_eq!(met, 2, "the other target is not asked");
        });
        assert_eq!(client.receive(false).unwrap().expect(200).text(), "got it");
    });
}
