//! The Admin API and the Status API under pressure.

use blackbox::http::{Connection, form, get, request};
use blackbox::{Node, PATIENCE, eventually};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// A connection that has sent this and waits.
fn waiting(address: SocketAddr, begin: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(begin).unwrap();
    stream
}

/// Whether it was closed; it must not have been answered.
fn is_closed(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    match stream.read(&mut [0]) {
        Ok(0) => true,
        Ok(_) => panic!("an answer"),
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}

#[test]
fn slow_and_idle_clients_keep_nobody_out() {
    // So few descriptors that 64 connections to the Admin API are the most.
    let node = Node::with_files(1024, &[("nginx_worker_processes", "1")]);
    for begin in [
        &b""[..],
        b"GET / HT",
        b"POST /services HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nContent-Type: application/json\r\n\r\n{",
    ] {
        for address in [node.admin(), node.status()] {
            let mut clients: Vec<TcpStream> = Vec::new();
            for number in 0..150 {
                clients.push(waiting(address, begin));
                if number % 10 == 0 {
                    get(node.admin(), "/status").expect(200);
                    get(node.status(), "/status").expect(200);
                }
            }
            let most = if address == node.admin() { 64 } else { 32 };
            eventually("so many as there are places stay", || {
                clients.iter().filter(|client| !is_closed(client)).count() <= most
            });
            assert!(!is_closed(&clients[149]), "the newest one stays");
            assert!(is_closed(&clients[0]), "the oldest one makes room");
        }
    }
}

#[test]
fn an_answer_before_the_content_arrives() {
    let node = Node::start(&[("nginx_admin_client_max_body_size", "1m")]);
    let json = ("Content-Type", "application/json");
    let large = vec![b' '; 20 << 20];
    for (method, path, headers, body, status) in [
        ("POST", "/status", &[json][..], &large, 405),
        ("POST", "/services", &[("Content-Type", "text/plain")], &large, 415),
        ("POST", "/services", &[], &large, 415),
        ("POST", "/services", &[json], &large, 413),
    ] {
        // A client that writes everything before it reads.
        let response = request(node.admin(), method, path, headers, body).unwrap().expect(status);
        assert_eq!(response.header("Connection"), Some("close"), "{method} {path}");
    }
}

#[test]
fn what_an_answer_says_of_the_connection_is_true() {
    let node = Node::start(&[]);
    let json = ("Content-Type", "application/json");
    for (method, path, headers, body, status) in [
        ("POST", "/status", &[json][..], &b"{\"a\":1}"[..], 405),
        ("DELETE", "/status", &[], b"", 405),
        ("POST", "/services", &[("Content-Type", "text/plain")], b"x", 415),
        ("PUT", "/nowhere", &[json], b"{}", 404),
        ("POST", "/services", &[json], b"{", 400),
        ("GET", "/services", &[], b"content of a GET", 200),
    ] {
        let mut connection = Connection::open(node.admin()).unwrap();
        // The second one shows that nothing of the first one's content is left.
        for _ in 0..2 {
            connection.send(method, path, headers, body).unwrap();
            let response = connection.receive(false).unwrap().expect(status);
            assert_eq!(response.header("Connection"), Some("keep-alive"), "{method} {path}");
        }
        connection.send("GET", "/status", &[("Connection", "close")], b"").unwrap();
        assert_eq!(connection.receive(false).unwrap().expect(200).header("Connection"), Some("close"));
        assert_eq!(connection.rest().unwrap(), b"");
    }
    // Content that is announced and does not come: the answer does not wait for it, and the connection ends.
    let mut connection = Connection::open(node.admin()).unwrap();
    connection
        .send_raw(b"POST /status HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n")
        .unwrap();
    let response = connection.receive(false).unwrap().expect(405);
    assert_eq!(response.header("Connection"), Some("close"));
    // A client that waits to be told to go on is answered in place of that.
    let mut connection = Connection::open(node.admin()).unwrap();
    let head = b"POST /status HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 5\r\nExpect: \
        100-continue\r\n\r\n";
    connection.send_raw(head).unwrap();
    let response = connection.receive_head().unwrap().expect(405);
    assert_eq!(response.header("Connection"), Some("close"));
    let form = form(node.admin(), "POST", "/services", "name=s&url=http://a.test").expect(201);
    assert_eq!(form.header("Connection"), Some("keep-alive"));
}

#[test]
fn a_head_that_is_no_http_is_answered_before_the_end() {
    let node = Node::start(&[]);
    let mut stream = waiting(node.admin(), b"NONSENSE\r\n\r\n");
    // More comes after it, so that closing at once would reset the connection.
    let _ = stream.write_all(&vec![b'x'; 1 << 20]);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
}
