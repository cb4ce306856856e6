//! HTTP/2 from clients, and to services: what an exchange of HTTP/1.1 does, many at once on one connection.

mod client;
mod endings;
mod hostile;
mod interfaces;
mod limits;
mod raw;
mod services;
mod together;
mod websocket;

use blackbox::http::form;
use blackbox::{Backend, Node, PATIENCE, Service, eventually};
use bytes::Bytes;
use client::{Connection, Over, Whole, asked, cut_short, play, request, whole};
use h2::Reason;
use http::{HeaderMap, HeaderValue};
use serde_json::json;
use std::sync::Arc;

/// A node in front of a service that the test plays itself.
pub fn node(service: &Service, settings: &[(&str, &str)]) -> Node {
    let settings = [&[("proxy_listen", "127.0.0.1:0, 127.0.0.1:0 http2 ssl")], settings].concat();
    let node = Node::start(&settings);
    form(node.admin(), "POST", "/services", &format!("name=s&retries=0&url=http://{}", service.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/&strip_path=false").expect(201);
    node
}

fn both(test: impl Fn(Over)) {
    test(Over::Plain);
    test(Over::Tls);
}

#[test]
fn requests_and_responses() {
    both(|over| {
        let service = Service::start();
        let node = node(&service, &[]);
        let answering = std::thread::spawn(move || {
            let (mut connection, first) = service.asked();
            connection
                .send_raw(b"HTTP/1.1 201 Created\r\nX-A: 1\r\nX-A: 2\r\nKeep-Alive: 5\r\nContent-Length: 2\r\n\r\nok")
                .unwrap();
            let second = connection.request().unwrap();
            connection.answer("").unwrap();
            [first, second]
        });
        let (got, empty) = play(async {
            let connection = Connection::open(&node, over).await;
            let (response, mut content) = connection.send(request("POST", "/p?q=1"), false).await;
            content.send_data(Bytes::from_static(b"some "), false).unwrap();
            content.send_data(Bytes::from_static(b"content"), true).unwrap();
            let got = whole(response.await.unwrap()).await;
            let mut head = request("HEAD", "/h");
            head.headers_mut().append("cookie", HeaderValue::from_static("a=1"));
            head.headers_mut().append("cookie", HeaderValue::from_static("b=2"));
            let (response, _) = connection.send(head, true).await;
            (got, whole(response.await.unwrap()).await)
        });
        assert_eq!(got.head.status(), 201);
        assert_eq!(got.content, b"ok");
        assert_eq!(got.head.headers().get_all("x-a").iter().count(), 2);
        assert_eq!(got.header("content-length"), Some("2"));
        assert!(got.header("keep-alive").is_none());
        assert!(got.header("connection").is_none());
        assert!(got.header("via").is_some());
        assert_eq!(empty.head.status(), 200);
        assert_eq!(empty.content, b"");
        let [first, second] = answering.join().unwrap();
        assert_eq!(first.method, "POST");
        assert_eq!(first.target, "/p?q=1");
        assert_eq!(first.body, b"some content");
        assert_eq!(first.header("content-length"), Some("12"), "as nginx, content is read before a service is asked");
        assert_eq!(first.header("x-forwarded-host"), Some("a.test"));
        assert!(first.header("via").is_some_and(|via| via.starts_with("2 ")), "{first:?}");
        assert_eq!(second.header("cookie"), Some("a=1; b=2"));
        let proto = if matches!(over, Over::Tls) { "https" } else { "http" };
        assert_eq!(second.header("x-forwarded-proto"), Some(proto));
    });
}

#[test]
fn many_at_once_take_turns() {
    both(|over| {
        let backends = [Backend::start("a"), Backend::start("b")];
        let node = Node::start(&[("proxy_listen", "127.0.0.1:0, 127.0.0.1:0 http2 ssl")]);
        form(node.admin(), "POST", "/upstreams", "name=u").expect(201);
        for backend in &backends {
            form(node.admin(), "POST", "/upstreams/u/targets", &format!("target={}", backend.address)).expect(201);
        }
        form(node.admin(), "POST", "/services", "name=s&host=u").expect(201);
        form(node.admin(), "POST", "/services/s/routes", "paths[]=/").expect(201);
        play(async {
            let connection = Connection::open(&node, over).await;
            let mut responses = Vec::new();
            for _ in 0..100 {
                responses.push(connection.send(request("GET", "/"), true).await.0);
            }
            for response in responses {
                assert_eq!(whole(response.await.unwrap()).await.head.status(), 200);
            }
        });
        assert_eq!(backends[0].requests(), 50);
        assert_eq!(backends[1].requests(), 50);
    });
}

#[test]
fn trailers_and_interim_responses_go_through() {
    both(|over| {
        let service = Service::start();
        let node = node(&service, &[]);
        let answering = std::thread::spawn(move || {
            let (mut connection, request) = service.asked();
            connection
                .send_raw(
                    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\
                      \r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n",
                )
                .unwrap();
            request
        });
        let got: Whole = play(async {
            let connection = Connection::open(&node, over).await;
            let mut post = request("POST", "/t");
            post.headers_mut().append("te", HeaderValue::from_static("trailers"));
            let (mut response, mut content) = connection.send(post, false).await;
            content.send_data(Bytes::from_static(b"x"), false).unwrap();
            content.send_trailers(HeaderMap::from_iter([("x-t".parse().unwrap(), "1".parse().unwrap())])).unwrap();
            let hints = std::future::poll_fn(|cx| response.poll_informational(cx)).await.unwrap().unwrap();
            assert_eq!(hints.status(), 103);
            whole(response.await.unwrap()).await
        });
        assert_eq!(got.content, b"ok");
        assert_eq!(got.trailers.unwrap().get("x-sum").unwrap(), "7");
        let seen = answering.join().unwrap();
        assert_eq!(seen.trailers, [("x-t".to_owned(), "1".to_owned())]);
    });
}

#[test]
fn a_stream_that_is_reset_frees_its_service() {
    both(|over| {
        let service = Arc::new(Service::start());
        let node = node(&service, &[]);
        play(async {
            let connection = Connection::open(&node, over).await;
            let (response, mut stream) = connection.send(request("GET", "/r"), true).await;
            let (mut given_up, _) = asked(&service).await;
            stream.send_reset(Reason::CANCEL);
            let closed = tokio::task::spawn_blocking(move || given_up.closes_within(PATIENCE));
            assert!(closed.await.unwrap(), "the service goes on working for nobody");
            drop(response);
            // Others on the connection are not touched by it.
            let (response, _) = connection.send(request("GET", "/next"), true).await;
            let (mut next, _) = asked(&service).await;
            next.answer("next").unwrap();
            assert_eq!(whole(response.await.unwrap()).await.content, b"next");
        });
    });
}

#[test]
fn an_answer_may_come_before_the_content() {
    both(|over| {
        let service = Service::start();
        let node = node(&service, &[]);
        form(node.admin(), "POST", "/routes/r/plugins", "name=key-auth").expect(201);
        play(async {
            let connection = Connection::open(&node, over).await;
            let (response, mut content) = connection.send(request("POST", "/up"), false).await;
            content.send_data(Bytes::from(vec![b'x'; 100_000]), false).unwrap();
            assert_eq!(whole(response.await.unwrap()).await.head.status(), 401);
            let reason = std::future::poll_fn(|cx| content.poll_reset(cx)).await.unwrap();
            assert_eq!(reason, Reason::NO_ERROR, "nothing more is wanted");
            assert_eq!(connection.get("/next").await.head.status(), 401);
        });
    });
}

#[test]
fn large_content_both_ways() {
    both(|over| {
        let service = Service::start();
        let node = node(&service, &[]);
        let large: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        let echo = std::thread::spawn(move || {
            let (mut connection, request) = service.asked();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len());
            connection.send_raw(&[head.as_bytes(), &request.body].concat()).unwrap();
        });
        let got = play(async {
            let connection = Connection::open(&node, over).await;
            let (response, mut content) = connection.send(request("PUT", "/large"), false).await;
            let mut rest = Bytes::from(large.clone());
            while !rest.is_empty() {
                content.reserve_capacity(rest.len());
                let room = std::future::poll_fn(|cx| content.poll_capacity(cx)).await.unwrap().unwrap();
                content.send_data(rest.split_to(room.min(rest.len())), rest.is_empty()).unwrap();
            }
            content.send_data(Bytes::new(), true).ok();
            whole(response.await.unwrap()).await
        });
        assert!(got.content == large, "{} octets", got.content.len());
        echo.join().unwrap();
    });
}

/// A filter that leaves less than the head announces: the stream is reset, for the client must not take it for whole.
#[test]
fn responses_that_a_plugin_shortens_are_not_taken_for_whole() {
    both(|over| {
        let service = Service::start();
        let node = node(&service, &[]);
        let config = json!({ "body_filter": ["ngx.arg[1] = ngx.arg[1]:sub(1, 4)"] });
        let plugin = json!({ "name": "post-function", "config": config });
        blackbox::http::json(node.admin(), "POST", "/routes/r/plugins", &plugin).expect(201);
        let answering = std::thread::spawn(move || {
            let (mut connection, _) = service.asked();
            connection.send_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789").unwrap();
        });
        play(async {
            let connection = Connection::open(&node, over).await;
            let (response, _) = connection.send(request("GET", "/c"), true).await;
            let (content, reason) = cut_short(response.await.unwrap().into_body()).await.unwrap();
            assert_eq!(content, b"0123");
            assert_eq!(reason, Reason::INTERNAL_ERROR);
        });
        answering.join().unwrap();
    });
}

#[test]
fn responses_that_are_cut_short_are_not_taken_for_whole() {
    both(|over| {
        let service = Service::start();
        let node = node(&service, &[]);
        let half = vec![b'h'; 1_000_000];
        let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n".to_vec();
        answer.extend_from_slice(&half);
        let answering = std::thread::spawn(move || {
            let (mut connection, _) = service.asked();
            connection.send_raw(&answer).unwrap();
        });
        play(async {
            let connection = Connection::open(&node, over).await;
            let (response, _) = connection.send(request("GET", "/c"), true).await;
            let (content, reason) = cut_short(response.await.unwrap().into_body()).await.unwrap();
            assert!(content == half, "{} octets", content.len());
            assert_eq!(reason, Reason::INTERNAL_ERROR);
        });
        answering.join().unwrap();
    });
}

#[test]
fn http_1_goes_on_beside_it() {
    let service = Service::start();
    let node = node(&service, &[]);
    let answering = std::thread::spawn(move || service.asked().0.answer("one").unwrap());
    assert_eq!(blackbox::http::get(node.proxy(), "/1").expect(200).text(), "one");
    answering.join().unwrap();
    // What begins like the preface and is none.
    for begun in ["P", "PRI ", "PRI * HTTP/2.0\r\n\r\nSN"] {
        let mut connection = blackbox::http::Connection::open(node.proxy()).unwrap();
        connection.send_raw(begun.as_bytes()).unwrap();
        connection.finish().unwrap();
        let answer = String::from_utf8(connection.rest().unwrap()).unwrap();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 505") || answer.starts_with("HTTP/1.1 400"),
            "{answer}"
        );
    }
    let active = || blackbox::http::get(node.admin(), "/status").json()["server"]["connections_active"].clone();
    eventually("the connections are over", || active() == 0);
}
