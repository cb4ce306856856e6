//! Requests whose content comes slowly, or never to its end.

use crate::setup::{Configuration, SOON, STREAMED, USUAL, as_nginx, everywhere};
use std::time::Duration;

/// Longer than the time between two reads may be, in steps that are shorter.
const STEPS: usize = 8;
const STEP: Duration = Duration::from_millis(500);

#[test]
fn silence_within_content() {
    for configuration in [USUAL, STREAMED] {
        as_nginx(&configuration, |case| {
            let mut client = case.send("POST", "/silent", &[("Content-Length", "10")]);
            client.send_raw(b"a").unwrap();
            let answer = client.read_until_closed(SOON).expect("silence within content keeps a connection");
            // nginx says nothing, we may say why.
            assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&answer));
            assert_eq!(case.logged("/silent").status, 408);
        });
    }
}

#[test]
fn silence_within_a_chunk_ends_the_services_connection() {
    everywhere(&STREAMED, |case| {
        let mut client = case.send("POST", "/chunk", &[("Transfer-Encoding", "chunked")]);
        client.send_raw(b"5\r\nab").unwrap();
        let mut service = case.service().accept();
        service.request_head().unwrap();
        assert!(service.closes_within(SOON), "a service waits for content that nobody sends");
        assert_eq!(case.logged("/chunk").status, 408);
    });
}

#[test]
fn slow_and_steady_arrives() {
    for configuration in [USUAL, STREAMED] {
        as_nginx(&configuration, steady);
    }
}

fn steady(case: &crate::setup::Setup) {
    let mut client = case.send("POST", "/steady", &[("Content-Length", &STEPS.to_string())]);
    for _ in 0..STEPS {
        client.send_raw(b"a").unwrap();
        // The pause is what is tested.
        assert!(!client.closes_within(STEP), "a steady client is cut");
    }
    let (mut service, request) = case.service().asked();
    assert_eq!(request.body, [b'a'; STEPS]);
    service.answer("got it").unwrap();
    client.waits(SOON).unwrap();
    assert_eq!(client.receive(false).unwrap().expect(200).text(), "got it");
}

/// lighttpd answers 411 to content without length, and a service that gets neither length nor chunks takes what follows
/// for another request.
#[test]
fn empty_chunked_content_has_framing() {
    for configuration in [USUAL, STREAMED] {
        as_nginx(&configuration, |case| {
            let mut client = case.send("POST", "/empty", &[("Transfer-Encoding", "chunked")]);
            client.send_raw(b"0\r\n\r\n").unwrap();
            let (mut service, request) = case.service().asked();
            let framed =
                request.header("Content-Length") == Some("0") || request.header("Transfer-Encoding") == Some("chunked");
            assert!(framed, "{request:?}");
            assert!(request.body.is_empty());
            service.answer("").unwrap();
            client.receive(false).unwrap().expect(200);
        });
    }
}

#[test]
fn larger_than_memory_arrives_unchanged_through_a_plugin() {
    const PLUGINS: &[&str] = &["name=request-transformer&config.add.body=added:yes"];
    let configuration = Configuration { plugins: PLUGINS, ..USUAL };
    crate::setup::without_nginx(&configuration, |case| {
        const LENGTH: usize = 3 << 20;
        let body: Vec<u8> = (0..LENGTH).map(|n| b'a' + (n % 23) as u8).collect();
        for content_type in ["application/x-www-form-urlencoded", "application/json", "application/octet-stream"] {
            let length = LENGTH.to_string();
            let headers = [("Content-Type", content_type), ("Content-Length", &length)];
            std::thread::scope(|scope| {
                let answer = scope.spawn(|| {
                    let mut client = case.send("POST", "/large", &headers);
                    client.send_raw(&body).unwrap();
                    client.receive(false).unwrap()
                });
                let (mut service, request) = case.service().asked();
                service.answer("got it").unwrap();
                service.finish().unwrap();
                answer.join().unwrap().expect(200);
                let kept = request.body == body;
                // A form that can be edited has one pair more.
                let added = content_type.ends_with("urlencoded")
                    && request.body.starts_with(&body[..1000])
                    && request.body.len() > LENGTH;
                assert!(kept || added, "{content_type}: {} octets arrive", request.body.len());
            });
        }
    });
}

#[test]
fn more_content_than_a_plugin_allows_is_refused_as_it_comes() {
    const PLUGINS: &[&str] = &["name=request-size-limiting&config.size_unit=bytes&config.allowed_payload_size=100000"];
    for configuration in [USUAL, STREAMED] {
        let configuration = Configuration { plugins: PLUGINS, ..configuration };
        crate::setup::without_nginx(&configuration, |case| {
            let piece = [b"c350\r\n".to_vec(), vec![b'a'; 50_000], b"\r\n".to_vec()].concat();
            let mut client = case.send("POST", "/much", &[("Transfer-Encoding", "chunked")]);
            for _ in 0..2 {
                client.send_raw(&piece).unwrap();
            }
            client.send_raw(b"1\r\na\r\n").unwrap();
            let answer = client.receive(false).unwrap().expect(413);
            assert_eq!(answer.json()["message"], "Request size limit exceeded");
        });
    }
}
