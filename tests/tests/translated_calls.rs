//! Clients that do not speak gRPC and services that do: grpc-web and grpc-gateway.

use blackbox::http::{Response, form, json, request};
use blackbox::{Backend, Node};
use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};

const PROTO: &str = r#"
syntax = "proto3";
package t;
import "google/api/annotations.proto";
service T {
  rpc Echo (M) returns (M) { option (google.api.http) = { post: "/v1/echo/{text}" body: "*" }; }
  rpc NotFound (M) returns (M) { option (google.api.http) = { get: "/v1/none" }; }
}
message M { string text = 1; int64 n = 2; }
"#;

/// A service of gRPC that sends every message back, and knows nothing of `NotFound`.
fn service() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket));
            }
        });
    });
    address
}

async fn serve(socket: TcpStream) {
    let Ok(mut connection) = h2::server::handshake(socket).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(answer(request, respond));
    }
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let (head, mut content) = request.into_parts();
    let response = http::Response::builder().header("content-type", "application/grpc");
    if head.uri.path() == "/t.T/NotFound" {
        let response = response.header("grpc-status", "5").header("grpc-message", "none").body(()).unwrap();
        respond.send_response(response, true).unwrap();
        return;
    }
    let mut message = Vec::new();
    while let Some(Ok(piece)) = content.data().await {
        content.flow_control().release_capacity(piece.len()).unwrap();
        message.extend_from_slice(&piece);
    }
    let mut stream = respond.send_response(response.body(()).unwrap(), false).unwrap();
    stream.send_data(message.into(), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    stream.send_trailers(trailers).unwrap();
}

/// A node in front of that service, with a plugin that may name the schema.
fn node(service: SocketAddr, plugin: &str, config: impl Fn(&str) -> Value) -> Node {
    let node = Node::start(&[]);
    let proto = node.prefix().join("t.proto");
    std::fs::write(&proto, PROTO).unwrap();
    form(node.admin(), "POST", "/services", &format!("name=s&retries=0&url=grpc://{service}")).expect(201);
    let route = json!({ "name": "r", "protocols": ["http"], "paths": ["/"], "strip_path": false });
    json(node.admin(), "POST", "/services/s/routes", &route).expect(201);
    let plugin = json!({ "name": plugin, "config": config(proto.to_str().unwrap()) });
    json(node.admin(), "POST", "/routes/r/plugins", &plugin).expect(201);
    node
}

fn call(node: &Node, method: &str, path: &str, content_type: &str, body: &[u8]) -> Response {
    request(node.proxy(), method, path, &[("Content-Type", content_type)], body).unwrap()
}

fn frame(kind: u8, message: &[u8]) -> Vec<u8> {
    [&[kind], &u32::try_from(message.len()).unwrap().to_be_bytes()[..], message].concat()
}

#[test]
fn browsers_call_services() {
    let node = node(service(), "grpc-web", |proto| json!({ "proto": proto }));
    let kind = "application/grpc-web+proto";
    let message = frame(0, b"\x0a\x01a");
    let answer = call(&node, "POST", "/t.T/Echo", kind, &message).expect(200);
    assert_eq!(answer.header("Content-Type"), Some(kind));
    assert_eq!(answer.body, [message, frame(0x80, b"grpc-status:0\r\ngrpc-message:\r\n")].concat());
    let text = call(&node, "POST", "/t.T/Echo", "application/json", br#"{"text":"a","n":7}"#).expect(200);
    assert_eq!(text.json(), json!({ "text": "a", "n": 7 }));
    let preflight = call(&node, "OPTIONS", "/t.T/Echo", kind, b"").expect(200);
    assert_eq!(preflight.header("Access-Control-Allow-Methods"), Some("POST"));
}

#[test]
fn browsers_are_told_of_failures() {
    let node = node(service(), "grpc-web", |_| json!({}));
    let kind = "application/grpc-web+proto";
    let failed = call(&node, "POST", "/t.T/NotFound", kind, &frame(0, b"")).expect(200);
    assert_eq!(failed.body, frame(0x80, b"grpc-status:5\r\ngrpc-message:none\r\n"));
    call(&node, "POST", "/t.T/Echo", "application/json", b"{}").expect(400);
    call(&node, "POST", "/t.T/Echo", "application/grpc-web-text", b"!").expect(400);
    let mut backend = Backend::start("gone");
    backend.kill();
    let service = json!({ "port": backend.address.port() });
    json(node.admin(), "PATCH", "/services/s", &service).expect(200);
    call(&node, "POST", "/t.T/Echo", kind, &frame(0, b"")).expect(502);
}

#[test]
fn clients_of_rest_call_services() {
    let node = node(service(), "grpc-gateway", |proto| json!({ "proto": proto }));
    let answer = call(&node, "POST", "/v1/echo/word", "application/json", br#"{"n":7}"#).expect(200);
    assert_eq!(answer.header("Content-Type"), Some("application/json"));
    assert_eq!(answer.json(), json!({ "text": "word", "n": 7 }));
}

#[test]
fn clients_of_rest_are_told_of_failures() {
    let node = node(service(), "grpc-gateway", |proto| json!({ "proto": proto }));
    call(&node, "GET", "/v1/none", "application/json", b"").expect(404);
    let unknown = call(&node, "GET", "/v2", "application/json", b"").expect(400);
    assert!(unknown.text().contains("Unknown path"), "{}", unknown.text());
    call(&node, "POST", "/v1/echo/word", "application/json", b"{").expect(400);
    let mut backend = Backend::start("gone");
    backend.kill();
    let service = json!({ "port": backend.address.port() });
    json(node.admin(), "PATCH", "/services/s", &service).expect(200);
    call(&node, "POST", "/v1/echo/word", "application/json", b"{}").expect(502);
}
