//! Directives about responses: lines, charset, compression.

use super::node_before;
use blackbox::http::{Response, get, request};
use blackbox::{Node, Scripted};
use flate2::read::GzDecoder;
use std::io::Read;

#[test]
fn lines_are_added() {
    let service = Scripted::answering("text/plain", b"ok");
    let node = node_before(
        &service,
        &[
            ("nginx_http_add_header", "X-Outer 1"),
            ("nginx_proxy_add_header", "foo-header bar-value; add_header X-All \"$request_method $arg_a\" always"),
        ],
    );
    let good = get(node.proxy(), "/?a=b").expect(200);
    assert_eq!(good.header("foo-header"), Some("bar-value"));
    assert_eq!(good.header("X-All"), Some("GET b"));
    assert_eq!(good.header("X-Outer"), None);
    let bad = request(node.proxy(), "GET", "/", &[("Host", "a b")], b"").unwrap().expect(400);
    assert_eq!(bad.header("foo-header"), None);
    for address in [node.admin(), node.status()] {
        assert_eq!(get(address, "/status").header("X-Outer"), Some("1"), "{address}");
        assert_eq!(get(address, "/no-such-path").expect(404).header("X-Outer"), None, "{address}");
    }
}

#[test]
fn lines_of_the_apis() {
    let lines = "X-Status $status always; add_header X-Who \"$remote_addr $server_name\"";
    let node = Node::start(&[("nginx_admin_add_header", lines), ("admin_access_log", "off")]);
    let found = get(node.admin(), "/").expect(200);
    assert_eq!(found.header("X-Status"), Some("200"));
    assert_eq!(found.header("X-Who"), Some("127.0.0.1 kong_admin"));
    assert_eq!(get(node.admin(), "/none").expect(404).header("X-Status"), Some("404"));
    assert_eq!(get(node.status(), "/status").header("X-Status"), None);
}

#[test]
fn text_has_a_charset() {
    let kind = |sent: &str, settings: &[(&str, &str)]| {
        let service = Scripted::answering(sent, b"ok");
        let node = node_before(&service, settings);
        get(node.proxy(), "/").expect(200).header("Content-Type").unwrap().to_owned()
    };
    assert_eq!(kind("text/html", &[]), "text/html; charset=UTF-8");
    assert_eq!(kind("text/plain; charset=latin1", &[]), "text/plain; charset=latin1");
    assert_eq!(kind("application/json", &[]), "application/json");
    assert_eq!(kind("text/html", &[("nginx_http_charset", "off")]), "text/html");
    assert_eq!(kind("text/html", &[("nginx_proxy_charset", "koi8-r")]), "text/html; charset=koi8-r");
}

fn decoded(response: &Response) -> Vec<u8> {
    let mut content = Vec::new();
    GzDecoder::new(&response.body[..]).read_to_end(&mut content).unwrap();
    content
}

#[test]
fn responses_are_compressed() {
    let content = b"all the same ".repeat(10_000);
    let length = format!("Content-Length: {}\r\n", content.len());
    for framing in [length.as_str(), "Connection: close\r\n"] {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/css\r\nETag: \"a\"\r\n{framing}\r\n");
        let chunked = framing.starts_with("Connection");
        let body = if chunked { chunks(&content) } else { content.clone() };
        let head = if chunked { head.replace("Connection: close", "Transfer-Encoding: chunked") } else { head };
        let service = Scripted::start([head.as_bytes(), &body].concat());
        let settings =
            [("nginx_http_gzip", "on"), ("nginx_http_gzip_types", "text/css"), ("nginx_http_gzip_vary", "on")];
        let node = node_before(&service, &settings);
        let ask = |line| request(node.proxy(), "GET", "/", &[("Accept-Encoding", line)], b"").unwrap().expect(200);
        let packed = ask("deflate, gzip");
        assert_eq!(packed.header("Content-Encoding"), Some("gzip"));
        assert_eq!(packed.header("ETag"), Some("W/\"a\""));
        assert_eq!(packed.header("Vary"), Some("Accept-Encoding"));
        assert_eq!(packed.header("Content-Length"), None);
        assert!(packed.body.len() < content.len() / 20);
        assert!(decoded(&packed) == content);
        let plain = ask("gzip;q=0");
        assert_eq!(plain.header("Content-Encoding"), None);
        assert_eq!(plain.header("Vary"), Some("Accept-Encoding"));
        assert!(plain.body == content);
        // As nginx: the answer to HEAD has the same lines.
        let head = request(node.proxy(), "HEAD", "/", &[("Accept-Encoding", "gzip")], b"").unwrap().expect(200);
        assert_eq!(head.header("Content-Encoding"), Some("gzip"));
        assert_eq!(head.header("Content-Length"), None);
    }
}

fn chunks(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in content.chunks(1000) {
        out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

#[test]
fn own_answers_are_compressed_too() {
    let settings = [("nginx_http_gzip", "on"), ("nginx_http_gzip_types", "application/json")];
    let node = Node::start(&settings);
    let answer = request(node.proxy(), "GET", "/", &[("Accept-Encoding", "gzip")], b"").unwrap().expect(404);
    assert_eq!(answer.header("Content-Encoding"), Some("gzip"));
    assert_eq!(answer.header("Content-Length").unwrap(), answer.body.len().to_string());
    assert!(String::from_utf8(decoded(&answer)).unwrap().contains("no Route matched"));
}

#[test]
fn clients_get_the_first_coding_that_is_on_and_that_they_take() {
    let settings = [
        ("nginx_http_gzip", "on"),
        ("nginx_http_brotli", "on"),
        ("nginx_http_zstd", "on"),
        ("nginx_http_gzip_types", "application/json"),
        ("nginx_http_brotli_types", "application/json"),
        ("nginx_http_zstd_types", "application/json"),
    ];
    let node = Node::start(&settings);
    let coding = |accept: &str| {
        let answer = request(node.proxy(), "GET", "/", &[("Accept-Encoding", accept)], b"").unwrap().expect(404);
        answer.header("Content-Encoding").unwrap_or("identity").to_owned()
    };
    assert_eq!(coding("gzip, deflate, br, zstd"), "br");
    assert_eq!(coding("gzip, zstd"), "zstd");
    assert_eq!(coding("gzip"), "gzip");
    assert_eq!(coding("br;q=0"), "identity");
}

#[test]
fn what_a_service_must_not_tell() {
    let service = Scripted::start("HTTP/1.1 200 OK\r\nX-Powered-By: x\r\nX-Kept: y\r\nContent-Length: 0\r\n\r\n");
    let node = node_before(&service, &[("nginx_http_proxy_hide_header", "x-powered-by")]);
    let answer = get(node.proxy(), "/").expect(200);
    assert_eq!(answer.header("X-Powered-By"), None);
    assert_eq!(answer.header("X-Kept"), Some("y"));
}
