//! Several requests on a connection, what is asked of it, and how much of it all.

use super::{CHUNKED_HELLO, HELLO, Table};

/// Adds them to the table.
pub fn add(t: &mut Table) {
    connections(t);
    sequences(t);
    expectations(t);
    limits(t);
    own_answers(t);
}

fn connections(t: &mut Table) {
    for value in [
        "close",
        "Close",
        "keep-alive",
        "close, keep-alive",
        "keep-alive, close",
        "close,close",
        " ,close",
        "closed",
        "x",
        "",
        "x, close",
        "\"close\"",
        "close;x",
        "Upgrade",
        "X-Hop",
        "Host",
        "Connection",
    ] {
        t.get(format!("connection {value:?}"), &format!("Connection: {value}\r\nX-Hop: 1\r\n"));
        t.raw(
            format!("connection {value:?} in HTTP/1.0"),
            format!("GET / HTTP/1.0\r\nHost: a.test\r\nConnection: {value}\r\nX-Hop: 1\r\n\r\n"),
        );
    }
    t.get("connection twice, close first", "Connection: close\r\nConnection: keep-alive\r\n");
    t.get("connection twice, close last", "Connection: keep-alive\r\nConnection: close\r\n");
    t.raw("no connection in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a.test\r\n\r\n");
    t.get("Proxy-Connection: close", "Proxy-Connection: close\r\n");
    t.get("Keep-Alive", "Keep-Alive: timeout=5, max=1\r\n");
    t.post("connection names Content-Length", "Connection: Content-Length\r\nContent-Length: 5\r\n", HELLO);
    t.post(
        "connection names Transfer-Encoding",
        "Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n",
        CHUNKED_HELLO,
    );
    t.post("connection names both and Host", "Connection: Host, content-length, TE\r\nContent-Length: 5\r\n", HELLO);
    t.get(
        "upgrade to h2c",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
    );
    t.get("upgrade to an unknown protocol", "Connection: Upgrade\r\nUpgrade: foo/2\r\n");
    t.get(
        "upgrade to WebSocket, not taken",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: \
            dGhlIHNhbXBsZSBub25jZQ==\r\n",
    );
    t.post("upgrade with content", "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n", HELLO);
}

fn sequences(t: &mut Table) {
    const A: &str = "GET /1 HTTP/1.1\r\nHost: a.test\r\n\r\n";
    const B: &str = "POST /2 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello";
    const C: &str = "POST /3 HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    t.raw("sequence: two", A.repeat(2));
    t.raw("sequence: fifty", A.repeat(50));
    t.raw("sequence: all kinds", [B, A, C, B, C, A].concat());
    t.raw("sequence: HEAD first", format!("HEAD /1 HTTP/1.1\r\nHost: a.test\r\n\r\n{A}"));
    for (name, between) in [
        ("an empty line", "\r\n"),
        ("two empty lines", "\r\n\r\n"),
        ("three empty lines", "\r\n\r\n\r\n"),
        ("LF", "\n"),
        ("garbage", "garbage"),
        ("a space", " "),
        ("unannounced content", "a=b&c=d\r\n"),
    ] {
        t.raw(format!("sequence: {name} between"), [B, between, A].concat());
    }
    t.raw(
        "sequence: the first asks to close",
        format!("GET /1 HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n{A}"),
    );
    t.raw("sequence: HTTP/1.0 in between", format!("{A}GET /2 HTTP/1.0\r\nHost: a.test\r\n\r\n{A}"));
    t.raw("sequence: a bad one in between", format!("{A}GET /2 HTTP/1.1\r\n\r\n{A}"));
    t.post("sequence: a request as content", &format!("Content-Length: {}\r\n", A.len()), A);
    t.raw("sequence: an ordinary GET that is followed by the content of another", format!("{A}hello"));
}

fn expectations(t: &mut Table) {
    for value in ["100-continue", "100-Continue", "200-ok", "", "100-continue, x"] {
        t.post(format!("expect {value:?}"), &format!("Expect: {value}\r\nContent-Length: 5\r\n"), HELLO);
    }
    t.post("expect with chunks", "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", CHUNKED_HELLO);
    t.post("expect twice", "Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 5\r\n", HELLO);
    t.get("expect without content", "Expect: 100-continue\r\n");
    t.raw(
        "expect in HTTP/1.0",
        "POST / HTTP/1.0\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
    );
}

fn limits(t: &mut Table) {
    for length in [8000, 8190, 8191, 9000, 40_000] {
        // The whole request line has that length, without its end.
        t.raw(
            format!("request line of {length}"),
            format!("GET /{} HTTP/1.1\r\nHost: a.test\r\n\r\n", "x".repeat(length - 14)),
        );
    }
    for length in [8000, 8189, 8190, 8191, 9000, 40_000] {
        t.get(format!("field line of {length}"), &format!("X: {}\r\n", "x".repeat(length - 3)));
    }
    t.get("field name of 300", &format!("{}: y\r\n", "x".repeat(300)));
    for count in [90, 200, 900, 1100] {
        t.get(format!("{count} fields"), &"X: y\r\n".repeat(count));
    }
    for count in [3, 4, 5, 8] {
        t.get(format!("{count} fields of 7000"), &format!("X: {}\r\n", "x".repeat(6997)).repeat(count));
    }
    t.raw("an endless request line", [&b"GET /"[..], &[b'x'; 200_000]].concat());
    t.raw("an endless field", [&b"GET / HTTP/1.1\r\nHost: a.test\r\nX: "[..], &[b'x'; 200_000]].concat());
    t.post("content of 200 KB", "Content-Length: 200000\r\n", &"x".repeat(200_000));
    t.chunked("a chunk of 200 KB", &format!("30d40\r\n{}\r\n0\r\n\r\n", "x".repeat(200_000)));
}

/// Requests that the gateway answers by itself, without asking for their content.
fn own_answers(t: &mut Table) {
    const INSIDE: &str = "GET /inside HTTP/1.1\r\nHost: inside.test\r\n\r\n";
    let large = "x".repeat(200_000);
    for (name, method, lines, content) in [
        ("GET", "GET", "", ""),
        ("HEAD", "HEAD", "", ""),
        ("POST without content", "POST", "", ""),
        ("POST", "POST", "Content-Length: 5\r\n", HELLO),
        ("GET with content", "GET", "Content-Length: 5\r\n", HELLO),
        ("a request as content", "POST", &format!("Content-Length: {}\r\n", INSIDE.len()), INSIDE),
        ("chunks", "POST", "Transfer-Encoding: chunked\r\n", CHUNKED_HELLO),
        (
            "a request in a chunk",
            "POST",
            "Transfer-Encoding: chunked\r\n",
            &format!("{:x}\r\n{INSIDE}\r\n0\r\n\r\n", INSIDE.len()),
        ),
        ("a bad chunk size", "POST", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\nx\r\n\r\n"),
        ("chunks longer than their size", "POST", "Transfer-Encoding: chunked\r\n", "4\r\nhello\r\n0\r\n\r\n"),
        ("no last chunk", "POST", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n"),
        ("length beyond the end", "POST", "Content-Length: 5000\r\n", HELLO),
        ("large content", "POST", "Content-Length: 200000\r\n", &large),
        ("a large chunk", "POST", "Transfer-Encoding: chunked\r\n", &format!("30d40\r\n{large}\r\n0\r\n\r\n")),
        ("close", "POST", "Connection: close\r\nContent-Length: 5\r\n", HELLO),
        ("expect", "POST", "Expect: 100-continue\r\nContent-Length: 5\r\n", HELLO),
        (
            "expect with a request as content",
            "POST",
            &format!("Expect: 100-continue\r\nContent-Length: {}\r\n", INSIDE.len()),
            INSIDE,
        ),
        ("upgrade", "GET", "Connection: Upgrade\r\nUpgrade: websocket\r\n", ""),
    ] {
        t.raw(format!("own answer: {name}"), format!("{method} /own HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n{content}"));
    }
    t.raw(
        "own answer: HTTP/1.0",
        "POST /own HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
    );
    t.raw("own answer: several", "POST /own HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello".repeat(5));
}
