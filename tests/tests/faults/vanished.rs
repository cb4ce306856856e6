//! Clients that go away before they have their answer.

use crate::setup::{Configuration, SHORT, SOON, STREAMED, Setup, USUAL, everywhere};
use blackbox::http::Connection;
use blackbox::socket::Wire;
use std::time::Duration;

/// How a client goes away.
const WAYS: [fn(Connection<Wire>); 2] = [drop, Connection::reset];

fn waiting(case: &Setup, target: &str) -> (Connection<Wire>, Connection<Wire>) {
    let client = case.send("GET", target, &[]);
    let (service, _) = case.service().asked();
    (client, service)
}

#[test]
fn while_the_service_thinks() {
    for configuration in [USUAL, STREAMED] {
        everywhere(&configuration, |case| {
            for (target, leave) in ["/fin", "/rst"].into_iter().zip(WAYS) {
                let (client, mut service) = waiting(case, target);
                leave(client);
                assert!(service.closes_within(SOON), "the service goes on working for nobody, {target}");
                assert_eq!(case.logged(target).status, 499, "{target}");
            }
        });
    }
}

/// After the whole of an upload has been sent.
#[test]
fn while_the_service_thinks_about_content() {
    everywhere(&USUAL, |case| {
        for (target, leave) in ["/fin", "/rst"].into_iter().zip(WAYS) {
            let mut client = case.send("POST", target, &[("Content-Length", "100000")]);
            client.send_raw(&[b'x'; 100_000]).unwrap();
            let (mut service, _) = case.service().asked();
            leave(client);
            assert!(service.closes_within(SOON), "the service goes on working for nobody, {target}");
            assert_eq!(case.logged(target).status, 499, "{target}");
        }
    });
}

/// A client that says only that it sends nothing more is as good as gone, as for nginx.
#[test]
fn half_closed_while_the_service_thinks() {
    everywhere(&USUAL, |case| {
        let (mut client, mut service) = waiting(case, "/half");
        client.finish().unwrap();
        assert!(service.closes_within(SOON));
        assert_eq!(case.logged("/half").status, 499);
    });
}

/// The head has been sent, so that its status is what is logged.
#[test]
fn on_an_idle_event_stream() {
    for configuration in [USUAL, STREAMED] {
        everywhere(&configuration, |case| {
            for (target, leave) in ["/fin", "/rst"].into_iter().zip(WAYS) {
                let (mut client, mut service) = waiting(case, target);
                service
                    .send_raw(
                        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Accel-Buffering: no\r\n\
                          Transfer-Encoding: chunked\r\n\r\n6\r\ndata:1\r\n",
                    )
                    .unwrap();
                assert_eq!(client.receive_head().unwrap().status, 200);
                assert_eq!(client.take(11).unwrap(), b"6\r\ndata:1\r\n");
                leave(client);
                assert!(service.closes_within(SOON), "an event stream goes on for nobody, {target}");
                assert_eq!(case.logged(target).status, 200, "{target}");
            }
        });
    }
}

#[test]
fn while_it_uploads() {
    everywhere(&STREAMED, |case| {
        for (target, leave) in ["/fin", "/rst"].into_iter().zip(WAYS) {
            let mut client = case.send("POST", target, &[("Content-Length", "1000000")]);
            client.send_raw(&[b'x'; 1000]).unwrap();
            let mut service = case.service().accept();
            service.request_head().unwrap();
            leave(client);
            assert!(service.closes_within(SOON), "the service waits for content of nobody, {target}");
            // nginx calls what has not come to its end a bad request.
            assert!(matches!(case.logged(target).status, 400 | 499), "{target}");
        }
    });
}

/// Before the service is asked, nothing is ever asked of it.
#[test]
fn while_its_upload_is_held() {
    everywhere(&USUAL, |case| {
        for (target, leave) in ["/fin", "/rst"].into_iter().zip(WAYS) {
            let mut client = case.send("POST", target, &[("Content-Length", "1000000"), ("Expect", "100-continue")]);
            // RST overtakes what has not been read: the head has, when this comes.
            assert_eq!(client.receive_head().unwrap().status, 100);
            client.send_raw(&[b'x'; 1000]).unwrap();
            leave(client);
            assert!(matches!(case.logged(target).status, 400 | 499), "{target}");
            assert!(case.service().accept_within(Duration::ZERO).is_none(), "a service was asked, {target}");
        }
    });
}

#[test]
fn while_a_response_streams() {
    everywhere(&STREAMED, |case| {
        for (target, leave) in ["/fin", "/rst"].into_iter().zip(WAYS) {
            let (mut client, mut service) = waiting(case, target);
            service.send_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\nbeginning").unwrap();
            client.receive_head().unwrap();
            leave(client);
            let (sent, open) = service.flood(100_000_000, SOON);
            assert!(!open, "the service sends {sent} octets to nobody, {target}");
            case.logged(target);
        }
    });
}

const AWAITED: Configuration = Configuration {
    settings: &[("nginx_http_proxy_ignore_client_abort", "on"), SHORT[0], SHORT[1], SHORT[2]],
    ..USUAL
};

#[test]
fn its_answer_is_awaited_when_aborts_are_ignored() {
    everywhere(&AWAITED, |case| {
        for (target, leave) in ["/fin", "/rst"].into_iter().zip(WAYS) {
            let (client, mut service) = waiting(case, target);
            leave(client);
            assert!(!service.closes_within(Duration::from_secs(1)), "the answer is not awaited, {target}");
            service.waits(SOON).unwrap();
            service.answer("too late").unwrap();
            assert_eq!(case.logged(target).status, 200, "{target}");
        }
    });
}

#[test]
fn a_half_closed_client_gets_its_answers_when_aborts_are_ignored() {
    everywhere(&AWAITED, |case| {
        let mut client = case.connect();
        client.send_raw(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        client.finish().unwrap();
        let (mut service, first) = case.service().asked();
        assert_eq!(first.target, "/1");
        service.answer("one").unwrap();
        assert_eq!(client.receive(false).unwrap().expect(200).text(), "one");
        let second = service.request().unwrap();
        assert_eq!(second.target, "/2");
        service.answer("two").unwrap();
        assert_eq!(client.receive(false).unwrap().expect(200).text(), "two");
        assert!(client.closes_within(SOON));
    });
}

/// Requests in front of which others still run are no sign that their client is there.
#[test]
fn with_a_pipelined_request_behind() {
    everywhere(&USUAL, |case| {
        let mut client = case.connect();
        client.send_raw(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let (mut service, _) = case.service().asked();
        client.reset();
        assert!(service.closes_within(SOON), "the service goes on working for nobody");
        assert_eq!(case.logged("/1").status, 499);
        assert!(case.service().accept_within(Duration::ZERO).is_none());
    });
}

#[test]
fn an_upgraded_connection_ends_with_either_side() {
    everywhere(&USUAL, |case| {
        for (target, leave) in ["/fin", "/rst"].into_iter().zip(WAYS) {
            let mut client = case.send("GET", target, &[("Connection", "upgrade"), ("Upgrade", "websocket")]);
            let (mut service, _) = case.service().asked();
            service
                .send_raw(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello")
                .unwrap();
            assert_eq!(client.receive_head().unwrap().status, 101);
            assert_eq!(client.take(5).unwrap(), b"hello");
            leave(client);
            assert!(service.closes_within(SOON), "an upgraded connection outlives its client, {target}");
            assert_eq!(case.logged(target).status, 101);
        }
        // The other way round.
        let mut client = case.send("GET", "/service", &[("Connection", "upgrade"), ("Upgrade", "websocket")]);
        let (mut service, _) = case.service().asked();
        service
            .send_raw(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
            .unwrap();
        assert_eq!(client.receive_head().unwrap().status, 101);
        drop(service);
        assert!(client.closes_within(SOON), "an upgraded connection outlives its service");
        assert_eq!(case.logged("/service").status, 101);
    });
}
