//! Calls of browsers, and what they get.

use super::*;
use sdk::testing;
use serde_json::json;

const PROTO: &str = r#"
syntax = "proto3";
package t;
service T { rpc Echo (M) returns (M); }
message M { string text = 1; int64 n = 2; }
"#;

fn with_schema(directory: &tempfile::TempDir) -> Box<dyn Plugin> {
    let file = directory.path().join("t.proto");
    std::fs::write(&file, PROTO).unwrap();
    testing::configure(&GrpcWeb, json!({ "proto": file.to_str().unwrap() }), &Env::default())
}

fn call(plugin: &dyn Plugin, content_type: &str, path: &str, body: &[u8]) -> Result<Exchange, Box<Answer>> {
    let mut exchange = testing::exchange("POST", path, &[("Content-Type", content_type)]);
    exchange.body = Bytes::copy_from_slice(body).into();
    match testing::access(plugin, &mut exchange) {
        None => Ok(exchange),
        Some(answer) => Err(Box::new(answer)),
    }
}

fn answered(plugin: &dyn Plugin, exchange: &mut Exchange, message: &[u8]) -> Vec<u8> {
    exchange.trailers = Some(Box::new([("grpc-status", "5"), ("grpc-message", "none")].into_iter().collect()));
    let framed = frame(0, message);
    testing::respond_octets(
        plugin,
        exchange,
        200,
        &[("Content-Type", "application/grpc")],
        &[&framed[..2], &framed[2..]],
    )
}

#[test]
fn messages_pass_and_trailers_follow_them() {
    let plugin = testing::configure(&GrpcWeb, json!({}), &Env::default());
    let mut exchange = call(&*plugin, "application/grpc-web+proto", "/t.T/Echo", &frame(0, b"m")).ok().unwrap();
    assert_eq!(exchange.request.fields.get("content-type"), Some(&b"application/grpc"[..]));
    assert_eq!(exchange.body.bytes().unwrap()[..], frame(0, b"m"));
    let got = answered(&*plugin, &mut exchange, b"m");
    let trailers = frame(TRAILERS, b"grpc-status:5\r\ngrpc-message:none\r\n");
    assert_eq!(got, [frame(0, b"m"), trailers].concat());
    assert_eq!(exchange.response.fields.get("content-type"), Some(&b"application/grpc-web+proto"[..]));
}

#[test]
fn details_of_errors_are_among_the_trailers() {
    let plugin = testing::configure(&GrpcWeb, json!({}), &Env::default());
    let mut exchange = call(&*plugin, "application/grpc-web+proto", "/t.T/Echo", &frame(0, b"m")).ok().unwrap();
    let trailers = [("grpc-status", "5"), ("grpc-message", "none"), ("Grpc-Status-Details-Bin", "AAE"), ("x-t", "2")];
    exchange.trailers = Some(Box::new(trailers.into_iter().collect()));
    let got = testing::respond_octets(&*plugin, &mut exchange, 200, &[("Content-Type", "application/grpc")], &[]);
    let content = b"grpc-status:5\r\ngrpc-message:none\r\ngrpc-status-details-bin:AAE\r\nx-t:2\r\n";
    assert_eq!(got, frame(TRAILERS, content));
}

#[test]
fn errors_are_no_success() {
    let plugin = testing::configure(&GrpcWeb, json!({}), &Env::default());
    let mut exchange = call(&*plugin, "application/grpc-web+proto", "/t.T/Echo", &frame(0, b"m")).ok().unwrap();
    let got = testing::respond_octets(&*plugin, &mut exchange, 503, &[], &[]);
    assert_eq!(got, frame(TRAILERS, b"grpc-status:14\r\ngrpc-message:Unavailable\r\n"));
}

#[test]
fn messages_can_be_json() {
    let directory = tempfile::tempdir().unwrap();
    let plugin = with_schema(&directory);
    let mut exchange = call(&*plugin, "application/json", "/t.T/Echo", br#"{"text": "a", "n": 7}"#).ok().unwrap();
    let message = [b"\x0a\x01a".as_slice(), b"\x10\x07"].concat();
    assert_eq!(exchange.body.bytes().unwrap()[..], frame(0, &message));
    assert_eq!(answered(&*plugin, &mut exchange, &message), br#"{"text":"a","n":7}"#);
}

#[test]
fn what_cannot_be_translated_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (plain, schema) = (testing::configure(&GrpcWeb, json!({}), &Env::default()), with_schema(&directory));
    let refusal = |plugin: &dyn Plugin, content_type, path, body| {
        let answer = call(plugin, content_type, path, body).err().unwrap();
        assert_eq!(answer.status, 400);
        String::from_utf8(answer.body.to_vec()).unwrap()
    };
    let no_schema = "transcoding requests require a .proto file defining the service";
    assert_eq!(refusal(&*plain, "text/html", "/t.T/Echo", b"x"), no_schema);
    assert_eq!(refusal(&*plain, "application/json", "/t.T/Echo", b"{}"), no_schema);
    assert_eq!(refusal(&*schema, "application/json", "/t.T/X", b"{}"), "Unknown path \"/t.T/X\"");
    assert_eq!(refusal(&*plain, "application/grpc-web-text", "/t.T/Echo", b"!"), "the content is not base64");
}
