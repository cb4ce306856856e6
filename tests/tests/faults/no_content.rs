//! Responses that have no content, whatever is done to them: nothing follows their heads, and nobody waits for it.

use crate::setup::{Configuration, SOON, STREAMED, Setup, USUAL, everywhere, without_nginx};
use blackbox::http::Response;

/// A service's answer, to a request with that method, on a connection that must be good for another exchange.
fn exchange(case: &Setup, method: &str, answer: &str) -> Response {
    let mut client = case.send(method, "/none", &[]);
    let (mut service, _) = case.service().asked();
    service.send_raw(answer.as_bytes()).unwrap();
    client.waits(SOON).unwrap();
    let head = client.receive_head().unwrap_or_else(|error| panic!("{method}, {answer:?}: {error}"));
    let length = head.header("Content-Length").map(str::to_owned);
    if method != "HEAD" && head.header("Transfer-Encoding").is_some() {
        assert!(!matches!(head.status, 204 | 304), "{method}, {answer:?}: content is announced: {head:?}");
        assert_eq!(client.take(5).unwrap(), b"0\r\n\r\n", "{method}, {answer:?}");
    } else if method != "HEAD" && head.status != 304 {
        assert!(length.as_deref().is_none_or(|l| l == "0"), "{method}, {answer:?}: {head:?}");
        assert!(length.is_some() || head.status == 204, "{method}, {answer:?}: no end is told: {head:?}");
    }
    // Whatever else had come would stand in front of this.
    client.send_raw(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut service = match service.request() {
        Ok(_) => service,
        Err(_) => case.service().asked().0,
    };
    service.answer("next").unwrap();
    let next = client.receive(false).unwrap_or_else(|error| panic!("{method}, {answer:?}: then {error}"));
    assert_eq!(next.expect(200).text(), "next", "{method}, {answer:?}");
    head
}

fn all(case: &Setup) {
    for answer in [
        "HTTP/1.1 204 No Content\r\nContent-Type: application/json\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Type: application/json\r\nETag: \"a\"\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Type: application/json\r\nContent-Length: 1234\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        exchange(case, "GET", answer);
        exchange(case, "POST", answer);
    }
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1234\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n",
    ] {
        exchange(case, "HEAD", answer);
    }
}

#[test]
fn as_the_service_says() {
    everywhere(&USUAL, all);
    everywhere(&STREAMED, all);
}

/// nginx passes the length on, which clients of HTTP/2 take for an error.
#[test]
fn with_a_length_where_there_is_no_content() {
    for configuration in [USUAL, STREAMED] {
        without_nginx(&configuration, |case| {
            exchange(case, "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n");
        });
    }
}

/// What changes the length of content takes `Content-Length` away, and must not make content where there is none.
#[test]
fn with_a_plugin_that_changes_content() {
    const PLUGINS: &[&str] = &["name=response-transformer&config.add.json=a:b&config.add.headers=x-added:yes"];
    for configuration in [Configuration { plugins: PLUGINS, ..USUAL }, Configuration { plugins: PLUGINS, ..STREAMED }] {
        without_nginx(&configuration, all);
        without_nginx(&configuration, |case| {
            let answer = "HTTP/1.1 204 No Content\r\nContent-Type: application/json\r\n\r\n";
            assert_eq!(exchange(case, "GET", answer).header("X-Added"), Some("yes"));
        });
    }
}

#[test]
fn own_answers() {
    const PLUGINS: &[&str] = &["name=request-termination&config.status_code=204"];
    without_nginx(&Configuration { plugins: PLUGINS, ..USUAL }, |case| {
        let mut client = case.connect();
        client.waits(SOON).unwrap();
        for method in ["GET", "HEAD", "POST"] {
            client.send(method, "/own", &[], b"").unwrap();
            assert_eq!(client.receive_head().unwrap().status, 204, "{method}");
        }
    });
}

#[test]
fn own_answers_to_head() {
    const PLUGINS: &[&str] =
        &["name=request-termination&config.status_code=403&config.body=forbidden&config.content_type=text/plain"];
    without_nginx(&Configuration { plugins: PLUGINS, ..USUAL }, |case| {
        let mut client = case.connect();
        client.waits(SOON).unwrap();
        for _ in 0..2 {
            client.send("HEAD", "/own", &[], b"").unwrap();
            let head = client.receive_head().unwrap();
            assert_eq!(head.status, 403);
            assert_eq!(head.header("Content-Length"), Some("9"));
        }
    });
}

/// A plugin that answers with an interim status, or one that is none, has not answered: whoever waits would wait for
/// ever, and take the next answer for this one.
#[test]
fn own_answers_that_are_none() {
    for plugin in [
        "name=request-termination&config.status_code=100&config.message=wait",
        "name=request-termination&config.status_code=101",
        "name=request-termination&config.status_code=199&config.body=wait",
        "name=ip-restriction&config.deny=0.0.0.0/0&config.status=103",
        "name=rate-limiting&config.hour=1&config.policy=local&config.error_code=60",
        "name=rate-limiting&config.hour=1&config.policy=local&config.error_code=100",
        "name=rate-limiting&config.hour=1&config.policy=local&config.error_code=65536",
    ] {
        let node = blackbox::Node::start(&[]);
        let post = |path: &str, body: &str| blackbox::http::form(node.admin(), "POST", path, body);
        post("/routes", "name=r&paths[]=/").expect(201);
        // It may be refused when it is written.
        if post("/plugins", plugin).status != 201 {
            continue;
        }
        for method in ["GET", "HEAD", "GET"] {
            let mut client = blackbox::http::Connection::plain(node.proxy()).unwrap();
            client.waits(SOON).unwrap();
            client.send(method, "/own", &[], b"").unwrap();
            let ended = match client.receive(method == "HEAD") {
                Ok(answer) => (200..600).contains(&answer.status),
                Err(error) => error.kind() == std::io::ErrorKind::UnexpectedEof,
            };
            assert!(ended, "{method}, {plugin}: no answer");
        }
    }
}
