//! Heads that are refused, half sent, or no heads at all, with every variable in the log: the node lives, and each of
//! them is answered, counted and noted.

use blackbox::http::{form, get};
use blackbox::socket::Wire;
use blackbox::tls::{Client, Offer};
use blackbox::{Node, PATIENCE, Service, eventually, http::Connection};

/// Every variable that a format may name, and one that is none.
const VARIABLES: &[&str] = &[
    "args",
    "query_string",
    "body_bytes_sent",
    "bytes_sent",
    "connection",
    "connection_requests",
    "content_length",
    "content_type",
    "host",
    "hostname",
    "https",
    "is_args",
    "kong_request_id",
    "request_id",
    "msec",
    "pid",
    "pipe",
    "protocol",
    "realip_remote_addr",
    "realip_remote_port",
    "remote_addr",
    "remote_port",
    "remote_user",
    "request",
    "request_length",
    "bytes_received",
    "request_method",
    "request_time",
    "session_time",
    "request_uri",
    "scheme",
    "server_addr",
    "server_name",
    "server_port",
    "server_protocol",
    "ssl_server_name",
    "status",
    "time_iso8601",
    "time_local",
    "upstream_addr",
    "upstream_header_time",
    "upstream_response_time",
    "upstream_status",
    "uri",
    "document_uri",
    "no_such_variable",
    "arg_a",
    "arg_b",
    "cookie_a",
    "cookie_b",
    "cookie_c",
    "http_accept",
    "http_authorization",
    "http_connection",
    "http_content_encoding",
    "http_content_length",
    "http_content_type",
    "http_cookie",
    "http_date",
    "http_expect",
    "http_host",
    "http_keep_alive",
    "http_proxy",
    "http_proxy_connection",
    "http_referer",
    "http_te",
    "http_trailer",
    "http_transfer_encoding",
    "http_upgrade",
    "http_user_agent",
    "http_via",
    "http_x_forwarded_for",
    "http_x_forwarded_host",
    "http_x_forwarded_path",
    "http_x_forwarded_port",
    "http_x_forwarded_prefix",
    "http_x_forwarded_proto",
    "http_x_kong_request_id",
    "http_x_real_ip",
    "http_x_other",
    "http_bad",
    "sent_http_content_type",
    "sent_http_connection",
    "sent_http_server",
    "sent_http_x_other",
    "upstream_http_server",
    "upstream_http_x_other",
];

/// A head in which there is something for each of them.
const FULL: &str = "POST /path%20?a=1&b=%41 HTTP/1.1\r\nHost: Front.test:8000\r\nX-Forwarded-For: 192.0.2.1\r\n\
                    X-Forwarded-Proto: https\r\nX-Forwarded-Host: x\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Path: /\r\n\
                    X-Forwarded-Prefix: /\r\nX-Real-IP: 192.0.2.2\r\nCookie: a=1; b=2\r\nCookie: c=3\r\nX_Other: 1\r\n\
                    Authorization: Basic YWRhOng=\r\nUser-Agent: \"x\"\r\nReferer: \\x\r\nAccept: */*\r\nVia: 1.1 a\r\n\
                    Connection: close, te\r\nKeep-Alive: 5\r\nTE: trailers\r\nTrailer: x\r\nExpect: 100-continue\r\n\
                    Upgrade: websocket\r\nProxy: x\r\nProxy-Connection: x\r\nX-Kong-Request-Id: 1\r\n\
                    Content-Type: text/plain\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n";

/// What is no head, as whole octets.
fn refused() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    let mut add = |octets: &[u8]| all.push(octets.to_vec());
    for line in [
        "Bad : 1",
        ": 1",
        "Bad",
        "Bad\0: 1",
        "B\u{e9}d: 1",
        " folded",
        "\tfolded",
        "X: a\0b",
        "X: a\rb",
        "Host: second",
        "Content-Length: 1",
        "Content-Length: x",
        "Content-Length: -1",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: gzip",
    ] {
        // In front of everything, in the middle of it, and behind.
        let (start, rest) = FULL.split_once("\r\n").unwrap();
        let (middle, end) = rest.split_once("Cookie: c=3\r\n").unwrap();
        add(format!("{start}\r\n{line}\r\n{rest}\r\n").as_bytes());
        add(format!("{start}\r\n{middle}{line}\r\n{end}\r\n").as_bytes());
        add(format!("{FULL}{line}\r\n\r\n").as_bytes());
    }
    add(format!("{FULL}Cookie: d={}\r\n\r\n", "x".repeat(9 * 1024)).as_bytes());
    add(format!("{FULL}Cookie: d={}\r\n\r\n", "x".repeat(40 * 1024)).as_bytes());
    add(format!("{FULL}{}\r\n", "X-Other: y\r\n".repeat(20_000)).as_bytes());
    add(FULL.replace("/path", &"/path".repeat(3000)).as_bytes());
    add(FULL.replace("\r\n", "\n").as_bytes());
    for start in ["GET / HTTP/3.7", "GET", "GET  / HTTP/1.1", "get / HTTP/1.1", "G\0T / HTTP/1.1", "/ GET HTTP/1.1"] {
        add(format!("{start}\r\n{}\r\n", FULL.split_once("\r\n").unwrap().1).as_bytes());
    }
    for start in
        ["GET /%zz", "GET /%00", "GET /../..", "GET /\u{7f}", "GET http://[::1", "GET *", "CONNECT a:1", "TRACE /"]
    {
        add(format!("{start} HTTP/1.1\r\n{}\r\n", FULL.split_once("\r\n").unwrap().1).as_bytes());
    }
    add(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n");
    add(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    all
}

struct Door {
    name: &'static str,
    open: fn(&Node) -> Connection<Wire>,
}

const DOORS: [Door; 2] = [
    Door { name: "plain", open: |node| Connection::plain(node.proxy()).unwrap() },
    Door { name: "tls", open: |node| Client::new(&Offer::default()).connect(node.proxy_tls()).unwrap() },
];

fn node(escape: &str, service: &Service) -> Node {
    let format: String = VARIABLES.iter().map(|name| format!("{name}=${name}|")).collect();
    let format = format!("all{escape} '{format}'");
    let node = Node::start(&[
        ("nginx_http_log_format", &format),
        ("proxy_access_log", "logs/all.log all"),
        ("admin_access_log", "off"),
    ]);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", service.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "paths[]=/").expect(201);
    node
}

fn requests(node: &Node) -> u64 {
    get(node.status(), "/status").json()["server"]["total_requests"].as_u64().unwrap_or_default()
}

fn lines(node: &Node) -> usize {
    std::fs::read_to_string(node.prefix().join("logs/all.log")).unwrap_or_default().lines().count()
}

/// Sends the octets and nothing more, and reads to the end; what was answered.
fn throw(node: &Node, door: &Door, octets: &[u8]) -> Vec<u8> {
    let mut client = (door.open)(node);
    // It may be closed before it has been read whole.
    let _ = client.send_raw(octets);
    let _ = client.finish();
    client.read_until_closed(PATIENCE).unwrap_or_else(|| panic!("{}: kept open: {octets:.200?}", door.name))
}

#[test]
fn each_is_answered_counted_and_noted() {
    for escape in ["", " escape=json", " escape=none"] {
        let service = Service::start();
        let mut node = node(escape, &service);
        for door in &DOORS {
            for octets in refused() {
                let text = String::from_utf8_lossy(&octets[..octets.len().min(300)]).into_owned();
                let (counted, noted) = (requests(&node), lines(&node));
                let answer = throw(&node, door, &octets);
                assert!(node.is_alive(), "{}: the node is gone after {text:?}", door.name);
                assert!(
                    answer.starts_with(b"HTTP/1.1 4")
                        || answer.starts_with(b"HTTP/1.1 5")
                        || answer.starts_with(b"HTTP/1.1 3"),
                    "{}: {text:?} is answered {:?}",
                    door.name,
                    String::from_utf8_lossy(&answer)
                );
                eventually(&format!("{}: a line for {text:?}", door.name), || lines(&node) > noted);
                assert!(requests(&node) > counted, "{}: {text:?} is not counted", door.name);
            }
        }
        assert!(service.accept_within(std::time::Duration::ZERO).is_none(), "something reaches the service");
    }
}

/// Cut at every octet.
#[test]
fn half_a_head_and_gone() {
    let service = Service::start();
    let mut node = node("", &service);
    for door in &DOORS {
        let mut thrown = 0;
        for cut in (1..FULL.len()).step_by(if door.name == "plain" { 1 } else { 7 }) {
            let noted = lines(&node);
            let answer = throw(&node, door, &FULL.as_bytes()[..cut]);
            assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&answer));
            assert!(node.is_alive(), "{}: the node is gone after {:?}", door.name, &FULL[..cut]);
            thrown += 1;
            // Now and then, so that it does not take long.
            if thrown % 50 == 0 {
                eventually(&format!("{}: a line for {:?}", door.name, &FULL[..cut]), || lines(&node) > noted);
            }
        }
        eventually("a line for each", || lines(&node) >= thrown);
    }
}

#[test]
fn noise() {
    let service = Service::start();
    let mut node = node("", &service);
    // A small generator with a fixed seed: the same noise in every run.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..300 {
        let mut octets = FULL.as_bytes().to_vec();
        octets.extend_from_slice(b"\r\n");
        for _ in 0..=next() % 4 {
            let at = next() as usize % octets.len();
            match next() % 4 {
                0 => octets[at] = next() as u8,
                1 => octets.truncate(at.max(1)),
                2 => octets.insert(at, next() as u8),
                _ => {
                    octets.remove(at);
                }
            }
        }
        let door = &DOORS[round % 2];
        let mut client = (door.open)(&node);
        let _ = client.send_raw(&octets);
        let _ = client.finish();
        // What still is a request reaches the service, which has nothing to say.
        while let Some(mut peer) = service.accept_within(std::time::Duration::ZERO) {
            let _ = peer.answer("");
        }
        drop(client);
        assert!(node.is_alive(), "the node is gone after {:?}", String::from_utf8_lossy(&octets));
    }
    get(node.status(), "/status").expect(200);
}
