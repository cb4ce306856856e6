//! Final answers that come before the request has been read: whoever writes all before it reads gets them too.

use crate::setup::{Configuration, SOON, Setup, USUAL, as_nginx, everywhere, without_nginx};
use blackbox::http::{Connection, Response};
use blackbox::socket::Wire;

/// More than sockets hold.
const UPLOAD: usize = 20 << 20;

/// Writes all of its request, and only then reads.
fn writes_first(case: &Setup, target: &str, chunked: bool) -> Response {
    let mut client = case.connect();
    upload(&mut client, target, chunked);
    client.waits(SOON).unwrap();
    let answer = client.receive(false).unwrap_or_else(|error| panic!("the answer is lost: {error}"));
    // A connection that is said to be kept takes another request.
    if answer.header("Connection") != Some("close") {
        client.send_raw(format!("GET {target} HTTP/1.1\r\nHost: front.test\r\n\r\n").as_bytes()).unwrap();
        client.receive(false).unwrap_or_else(|error| panic!("it said keep-alive and closed: {error}"));
    }
    answer
}

fn upload(client: &mut Connection<Wire>, target: &str, chunked: bool) {
    let framing = if chunked { "Transfer-Encoding: chunked".to_owned() } else { format!("Content-Length: {UPLOAD}") };
    client.send_raw(format!("POST {target} HTTP/1.1\r\nHost: front.test\r\n{framing}\r\n\r\n").as_bytes()).unwrap();
    let piece = vec![b'x'; 64 * 1024];
    let mut written = Ok(());
    for _ in 0..UPLOAD / piece.len() {
        let chunk = if chunked { [b"10000\r\n", &piece[..], b"\r\n"].concat() } else { piece.clone() };
        written = written.and_then(|()| client.send_raw(&chunk));
    }
    if chunked {
        written = written.and_then(|()| client.send_raw(b"0\r\n\r\n"));
    }
    written.unwrap_or_else(|error| panic!("the upload is cut: {error}"));
}

#[test]
fn not_authenticated() {
    const PLUGINS: &[&str] = &["name=key-auth"];
    without_nginx(&Configuration { plugins: PLUGINS, ..USUAL }, |case| {
        for chunked in [false, true] {
            assert_eq!(writes_first(case, "/401", chunked).status, 401);
        }
        assert!(case.service().accept_within(std::time::Duration::ZERO).is_none());
    });
}

#[test]
fn no_route() {
    without_nginx(&USUAL, |case| {
        blackbox::http::request(case.node().admin(), "DELETE", "/routes/r", &[], b"").unwrap().expect(204);
        for chunked in [false, true] {
            assert_eq!(writes_first(case, "/404", chunked).status, 404);
        }
    });
}

#[test]
fn too_large() {
    const SETTINGS: &[(&str, &str)] = &[("nginx_http_client_max_body_size", "1m")];
    as_nginx(&Configuration { settings: SETTINGS, ..USUAL }, |case| {
        assert_eq!(writes_first(case, "/413", false).status, 413);
    });
}

#[test]
fn too_large_in_chunks() {
    const SETTINGS: &[(&str, &str)] = &[("nginx_http_client_max_body_size", "1m")];
    as_nginx(&Configuration { settings: SETTINGS, ..USUAL }, |case| {
        assert_eq!(writes_first(case, "/413", true).status, 413);
    });
}

#[test]
fn too_many() {
    const PLUGINS: &[&str] = &["name=rate-limiting&config.hour=1&config.policy=local"];
    without_nginx(&Configuration { plugins: PLUGINS, ..USUAL }, |case| {
        let mut first = case.send("GET", "/first", &[]);
        let (mut service, _) = case.service().asked();
        service.answer("").unwrap();
        first.receive(false).unwrap().expect(200);
        for chunked in [false, true] {
            assert_eq!(writes_first(case, "/429", chunked).status, 429);
        }
    });
}

/// Only where content is not held back can a service answer before it has come.
#[test]
fn by_the_service() {
    everywhere(&Configuration { request_buffering: false, ..USUAL }, |case| {
        for chunked in [false, true] {
            std::thread::scope(|scope| {
                let answer = scope.spawn(|| {
                    let mut client = case.connect();
                    upload(&mut client, "/own", chunked);
                    client.waits(SOON).unwrap();
                    client.receive(false).unwrap_or_else(|error| panic!("the answer is lost: {error}"))
                });
                let mut service = case.service().accept();
                service.request_head().unwrap();
                service
                    .send_raw(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
                    .unwrap();
                // It goes on to read, as a well-behaved one does, until the gateway has had enough.
                service.closes_within(SOON);
                let answer = answer.join().expect("the client gets the service's answer");
                assert_eq!(answer.expect(401).text(), "no");
            });
        }
    });
}

/// A refusal of a small request leaves the connection for the one behind.
#[test]
fn with_a_request_behind() {
    const PLUGINS: &[&str] = &["name=key-auth"];
    without_nginx(&Configuration { plugins: PLUGINS, ..USUAL }, |case| {
        let mut client = case.connect();
        let first = [&b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 30000\r\n\r\n"[..], &[b'x'; 30000]].concat();
        client.send_raw(&[&first[..], b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n"].concat()).unwrap();
        client.receive(false).unwrap().expect(401);
        client.receive(false).unwrap().expect(401);
        assert_eq!(case.logged("/2").status, 401);
    });
}

#[test]
fn by_the_admin_api() {
    let node = blackbox::Node::start(&[]);
    for (method, path, status) in [("PUT", "/", 405), ("DELETE", "/status", 405), ("POST", "/no-such", 404)] {
        let mut client = Connection::plain(node.admin()).unwrap();
        client
            .send_raw(
                format!(
                    "{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
                     Content-Length: {UPLOAD}\r\n\r\n"
                )
                .as_bytes(),
            )
            .unwrap();
        let (sent, open) = client.flood(UPLOAD, SOON);
        assert!(open && sent == UPLOAD, "{method} {path}: the upload is cut after {sent} octets");
        client.waits(SOON).unwrap();
        let answer = client.receive(false).unwrap_or_else(|error| panic!("{method} {path}: lost: {error}"));
        // What is too large for the Admin API may be said first.
        assert!(answer.status == status || answer.status == 413, "{method} {path}: {}", answer.status);
        if answer.header("Connection") != Some("close") {
            client.send("GET", "/", &[], b"").unwrap();
            client.receive(false).unwrap_or_else(|e| panic!("{method} {path}: said keep-alive: {e}")).expect(200);
        }
    }
}
