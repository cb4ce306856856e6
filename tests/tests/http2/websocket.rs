//! WebSocket on a stream of HTTP/2 (RFC 8441): from clients, and to services that take it.

use crate::client::{Connection, Over, asked, play, request};
use crate::node;
use crate::services::Grpc;
use blackbox::http::{Connection as Http1, form, get, json};
use blackbox::{Node, PATIENCE, Service, eventually};
use bytes::Bytes;
use h2::ext::Protocol;
use http::{Method, Request, Response};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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

/// A service of HTTP/2 that sends back what comes through its tunnels, and how many connections it has had. Other
/// requests are answered at once.
fn tunnels() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let (address, connections) = (listener.local_addr().unwrap(), Arc::<AtomicUsize>::default());
    let count = Arc::clone(&connections);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((socket, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let mut builder = h2::server::Builder::new();
                    let mut connection = builder.enable_connect_protocol().handshake::<_, Bytes>(socket).await.unwrap();
                    while let Some(Ok((request, mut respond))) = connection.accept().await {
                        let protocol =
                            request.extensions().get::<Protocol>().map(|protocol| protocol.as_str().to_owned());
                        let head = Response::builder().header("sec-websocket-protocol", "chat");
                        if request.method() != Method::CONNECT {
                            respond.send_response(head.body(()).unwrap(), true).unwrap();
                            continue;
                        }
                        assert_eq!(protocol.as_deref(), Some("websocket"));
                        assert_eq!(request.headers()["sec-websocket-version"], "13");
                        assert!(!request.headers().contains_key("sec-websocket-key"));
                        if request.uri().path() == "/no" {
                            respond.send_response(Response::builder().status(403).body(()).unwrap(), true).unwrap();
                            continue;
                        }
                        let mut down = respond.send_response(head.body(()).unwrap(), false).unwrap();
                        tokio::spawn(async move {
                            let mut up = request.into_body();
                            while let Some(Ok(piece)) = up.data().await {
                                up.flow_control().release_capacity(piece.len()).unwrap();
                                down.send_data(piece, false).unwrap();
                            }
                            down.send_data(Bytes::from_static(b"bye"), true).unwrap();
                        });
                    }
                });
            }
        });
    });
    (address, connections)
}

/// A node before a service that says of itself that it speaks HTTP/2.
fn before(service: SocketAddr) -> Node {
    let node = Node::start(&[("proxy_listen", "127.0.0.1:0 http2"), ("nginx_worker_processes", "1")]);
    let record = json!({ "name": "s", "retries": 0, "url": format!("http://{service}"), "http2": true });
    json(node.admin(), "POST", "/services", &record).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/&strip_path=false").expect(201);
    node
}

const HANDSHAKE: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

#[test]
fn services_that_take_tunnels_get_them() {
    let (service, connections) = tunnels();
    let node = before(service);
    get(node.proxy(), "/usual").expect(200);
    let mut client = Http1::open(node.proxy()).unwrap();
    client.send("GET", "/chat", &HANDSHAKE, b"").unwrap();
    let head = client.receive_head().unwrap().expect(101);
    assert_eq!(head.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(head.header("sec-websocket-protocol"), Some("chat"));
    assert_eq!(head.header("upgrade"), Some("websocket"));
    for text in ["one", "another"] {
        client.send_raw(text.as_bytes()).unwrap();
        assert_eq!(client.take(text.len()).unwrap(), text.as_bytes());
    }
    drop(client);
    play(async {
        let connection = Connection::open(&node, Over::Plain).await;
        let (response, mut up) = connection.send(tunnel("/chat"), false).await;
        let response = response.await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(response.headers().get("sec-websocket-accept").is_none());
        up.send_data(Bytes::from_static(b"octets "), true).unwrap();
        let (mut content, mut got) = (response.into_body(), Vec::new());
        while let Some(piece) = content.data().await {
            got.extend_from_slice(&piece.unwrap());
        }
        assert_eq!(got, b"octets bye");
        let (response, _up) = connection.send(tunnel("/no"), false).await;
        assert_eq!(response.await.unwrap().status(), 403);
    });
    get(node.proxy(), "/usual").expect(200);
    assert_eq!(connections.load(Ordering::SeqCst), 1, "all share it");
    eventually("the end is logged", || {
        let log = std::fs::read_to_string(node.prefix().join("logs/access.log")).unwrap_or_default();
        log.contains("\"GET /chat HTTP/1.1\" 101 ") && log.contains("\"GET /chat HTTP/2.0\" 200 10")
    });
}

#[test]
fn services_that_take_none_are_asked_in_http_1() {
    let service = Grpc::start();
    let node = before(service.address);
    get(node.proxy(), "/usual").expect(200);
    for asked in 1..3 {
        let mut client = Http1::open(node.proxy()).unwrap();
        client.send("GET", "/chat", &HANDSHAKE, b"").unwrap();
        // It does not understand that.
        client.receive(false).unwrap().expect(502);
        get(node.proxy(), "/usual").expect(200);
        assert_eq!(service.connections(), 1 + asked, "requests of HTTP/2 go on sharing one");
    }
}
