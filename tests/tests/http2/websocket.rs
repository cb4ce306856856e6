//! WebSocket on a stream of HTTP/2 (RFC 8441), to services of HTTP/1.1.

use crate::client::{Connection, Over, asked, play, request};
use crate::node;
use blackbox::http::form;
use blackbox::{PATIENCE, Service, eventually};
use bytes::Bytes;
use h2::ext::Protocol;
use http::Request;
use std::sync::Arc;

/// Asks for a tunnel.
fn tunnel(path: &str) -> Request<()> {
    let mut head = request("CONNECT", path);
    head.extensions_mut().insert(Protocol::from_static("websocket"));
    head.headers_mut().insert("sec-websocket-version", "13".parse().unwrap());
    head.headers_mut().insert("sec-websocket-protocol", "chat".parse().unwrap());
    head
}

const ACCEPTED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: chat\r\n\r\nhello";

#[test]
fn a_tunnel_goes_both_ways_until_the_service_ends_it() {
    for over in [Over::Plain, Over::Tls] {
        let service = Arc::new(Service::start());
        let node = node(&service, &[]);
        play(async {
            let connection = Connection::open(&node, over).await;
            let (response, mut up) = connection.send(tunnel("/chat"), false).await;
            let (mut service, seen) = asked(&service).await;
            assert_eq!(seen.method, "GET");
            assert_eq!(seen.target, "/chat");
            assert_eq!(seen.header("upgrade"), Some("websocket"));
            assert!(seen.header("connection").is_some_and(|value| value.contains("Upgrade")), "{seen:?}");
            assert_eq!(seen.header("sec-websocket-version"), Some("13"));
            assert_eq!(seen.header("sec-websocket-key").map(str::len), Some(24));
            let serving = tokio::task::spawn_blocking(move || {
                service.send_raw(ACCEPTED).unwrap();
                let taken = service.take(6).unwrap();
                service.send_raw(b" back").unwrap();
                (taken, service)
            });
            let response = response.await.unwrap();
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers().get("sec-websocket-protocol").unwrap(), "chat");
            assert!(response.headers().get("sec-websocket-accept").is_none());
            assert!(response.headers().get("upgrade").is_none());
            up.send_data(Bytes::from_static(b"octets"), false).unwrap();
            let (taken, service) = serving.await.unwrap();
            assert_eq!(taken, b"octets");
            drop(service);
            let (mut content, mut got) = (response.into_body(), Vec::new());
            while let Some(piece) = content.data().await {
                got.extend_from_slice(&piece.unwrap());
            }
            assert_eq!(got, b"hello back");
        });
        eventually("the end is logged", || {
            let log = std::fs::read_to_string(node.prefix().join("logs/access.log")).unwrap_or_default();
            log.contains("\"GET /chat HTTP/2.0\" 200 10")
        });
    }
}

#[test]
fn a_client_that_ends_its_tunnel_ends_the_services_connection() {
    let service = Arc::new(Service::start());
    let node = node(&service, &[]);
    play(async {
        let connection = Connection::open(&node, Over::Plain).await;
        let (response, mut up) = connection.send(tunnel("/chat"), false).await;
        let (mut service, _) = asked(&service).await;
        service.send_raw(ACCEPTED).unwrap();
        assert_eq!(response.await.unwrap().status(), 200);
        up.send_data(Bytes::from_static(b"bye"), true).unwrap();
        let rest = tokio::task::spawn_blocking(move || service.read_until_closed(PATIENCE));
        assert_eq!(rest.await.unwrap().as_deref(), Some(&b"bye"[..]));
    });
}

#[test]
fn no_other_success_opens_a_tunnel() {
    let service = Arc::new(Service::start());
    let node = node(&service, &[]);
    play(async {
        let connection = Connection::open(&node, Over::Plain).await;
        for (answer, status) in [("200 OK", 502), ("404 Not Found", 404)] {
            let (response, _up) = connection.send(tunnel("/no"), false).await;
            let (mut service, _) = asked(&service).await;
            service
                .send_raw(format!("HTTP/1.1 {answer}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").as_bytes())
                .unwrap();
            assert_eq!(response.await.unwrap().status(), status);
        }
        let mut other = tunnel("/");
        other.extensions_mut().insert(Protocol::from_static("connect-udp"));
        let (response, _up) = connection.send(other, false).await;
        assert_eq!(response.await.unwrap().status(), 400);
    });
}

#[test]
fn plugins_see_the_messages_of_a_tunnel() {
    let service = Arc::new(Service::start());
    let node = node(&service, &[("websocket_protocols", "on")]);
    form(node.admin(), "PATCH", "/routes/r", "protocols[]=ws").expect(200);
    let limit = "name=websocket-size-limit&config.client_max_payload=4";
    form(node.admin(), "POST", "/routes/r/plugins", limit).expect(201);
    play(async {
        let connection = Connection::open(&node, Over::Plain).await;
        let (response, mut up) = connection.send(tunnel("/chat"), false).await;
        let (mut service, _) = asked(&service).await;
        service.send_raw(ACCEPTED.strip_suffix(b"hello").unwrap()).unwrap();
        let mut content = response.await.unwrap().into_body();
        // A text of four octets, and the beginning of one of five.
        up.send_data(Bytes::from_static(b"\x81\x84\0\0\0\0four\x81\x85\0\0\0\0f"), false).unwrap();
        let seen = tokio::task::spawn_blocking(move || service.read_until_closed(PATIENCE)).await.unwrap().unwrap();
        assert_eq!(seen.len(), 10 + 8, "the first text and the end, both masked");
        let mut got = Vec::new();
        while let Some(piece) = content.data().await {
            got.extend_from_slice(&piece.unwrap());
        }
        assert_eq!(got, b"\x88\x13\x03\xf1Payload Too Large");
    });
}
