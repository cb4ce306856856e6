//! Clients of OpenResty over sockets, and small things that code asks of it.

use super::openresty::{outcome, saying};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

#[tokio::test]
async fn groups_of_one_name_and_keys_in_their_order() {
    let uri = "unsafe byte \"0x0a\" in uri \"/a\\x0Ab\"";
    let expected = json!({
        "keys": ["c", "a", "b"], "values": ["2"], "uri": uri, "one": "1", "colour": 2, "blue": 8, "left": 0,
    });
    assert_eq!(outcome("named").await, expected);
}

#[tokio::test]
async fn content_comes_in_pieces_as_large_as_asked_for() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n";
    let (port, serve) = saying(Box::leak(Box::new([head]))).await;
    let query = format!("pieces&port={port}");
    let answer = tokio::select! {
        answer = outcome(&query) => answer,
        () = serve => panic!("the server ends first"),
    };
    assert_eq!(answer, json!({ "pieces": ["hel", "lo", "!"] }));
}

#[tokio::test]
async fn websockets_are_spoken_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let query = format!("websocket&port={}", listener.local_addr().unwrap().port());
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut head, mut octet) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut octet).await.unwrap();
            head.push(octet[0]);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("GET /chat HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("\r\nSec-WebSocket-Version: 13\r\nOrigin: http://a\r\n"), "{head}");
        // The key and its answer are those of RFC 6455.
        let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        let answer = format!("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: {accept}\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
        let mut frame = [0; 11];
        stream.read_exact(&mut frame).await.unwrap();
        assert_eq!(frame[..2], [0x81, 0x85]);
        let text: Vec<u8> = (0..5).map(|at| frame[6 + at] ^ frame[2 + at % 4]).collect();
        stream.write_all(&[&[0x81, 5][..], &text].concat()).await.unwrap();
        stream.write_all(b"\x02\x01x\x88\x05\x03\xe8bye").await.unwrap();
        let mut close = [0; 11];
        stream.read_exact(&mut close).await.unwrap();
        assert_eq!(close[..2], [0x88, 0x85]);
        stream
    };
    let (answer, _stream) = tokio::join!(outcome(&query), serve);
    let expected = json!({
        "bad": "bad websocket uri", "text": "hello", "kind": "text", "part": "x", "again": "again", "bye": "bye",
        "close": "close", "code": 1000, "later": "already closed",
    });
    assert_eq!(answer, expected);
}

/// A packet of MySQL's protocol.
fn packet(number: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_le_bytes();
    [&length[..3], &[number], content].concat()
}

fn column(name: &str, kind: u8) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let names = [text("def"), text(""), text(""), text(""), text(name), text(name)].concat();
    [&names[..], &[12, 33, 0, 0, 0, 0, 0, kind, 0, 0, 0, 0, 0]].concat()
}

#[tokio::test]
async fn mysql_is_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let query = format!("mysql&port={}", listener.local_addr().unwrap().port());
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let greeting = b"\x0a5.7.1\0\x01\0\0\x0012345678\0\xff\xff\x21\x02\0\xff\xff\x15\0\0\0\0\0\0\0\0\0\0\
            123456789012\0mysql_native_password\0";
        stream.write_all(&packet(0, greeting)).await.unwrap();
        let mut space = [0; 1024];
        let read = stream.read(&mut space).await.unwrap();
        assert!(space[..read].ends_with(b"ann\0\0mysql_native_password\0"));
        stream.write_all(&packet(2, b"\0\0\0\x02\0\0\0")).await.unwrap();
        let read = stream.read(&mut space).await.unwrap();
        assert_eq!(space[4..read], *b"\x03SELECT n, name");
        let result = [
            packet(1, b"\x02"),
            packet(2, &column("n", 3)),
            packet(3, &column("name", 253)),
            packet(4, b"\xfe\0\0\x02\0"),
            packet(5, b"\x0212\x03ann"),
            packet(6, b"\x011\xfb"),
            packet(7, b"\xfe\0\0\x02\0"),
        ];
        stream.write_all(&result.concat()).await.unwrap();
        assert!(stream.read(&mut space).await.unwrap() > 0);
        stream.write_all(&packet(1, b"\xff\x28\x04#42000no such word")).await.unwrap();
        stream
    };
    let (answer, _stream) = tokio::join!(outcome(&query), serve);
    let expected = json!({
        "rows": [{ "n": 12, "name": "ann" }, { "n": 1, "name": null }], "null": true, "why": "no such word",
        "code": 1064, "state": "42000", "version": "5.7.1", "kept": 1,
    });
    assert_eq!(answer, expected);
}
