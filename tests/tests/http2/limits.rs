//! What a client may do on a connection of HTTP/2, and for how long.

use crate::client::{Connection, Over, asked, cut_short, play, request, whole};
use crate::node;
use blackbox::{Backend, Node, PATIENCE, Service, http::form};
use h2::Reason;
use http::{HeaderName, HeaderValue};
use rustix::process::Signal;
use std::sync::Arc;

/// A node in front of a service that answers everything at once.
pub fn answering(backend: &Backend, settings: &[(&str, &str)]) -> Node {
    let settings = [&[("proxy_listen", "127.0.0.1:0 http2, 127.0.0.1:0 ssl")], settings].concat();
    let node = Node::start(&settings);
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "paths[]=/").expect(201);
    node
}

#[test]
fn an_idle_connection_is_closed_in_time() {
    let backend = Backend::start("a");
    let node = answering(&backend, &[("nginx_http_keepalive_timeout", "1s")]);
    play(async {
        let connection = Connection::open(&node, Over::Plain).await;
        assert_eq!(connection.get("/").await.head.status(), 200);
        connection.over.await.unwrap().unwrap();
    });
}

#[test]
fn a_connection_carries_so_many_requests() {
    let backend = Backend::start("a");
    let node = answering(&backend, &[("nginx_http_keepalive_requests", "3")]);
    play(async {
        let connection = Connection::open(&node, Over::Tls).await;
        for _ in 0..3 {
            assert_eq!(connection.get("/").await.head.status(), 200);
        }
        // However it ends.
        let _ = connection.over.await.unwrap();
    });
}

#[test]
fn a_node_that_quits_finishes_what_it_has_begun() {
    let service = Arc::new(Service::start());
    let mut node = node(&service, &[]);
    play(async {
        let connection = Connection::open(&node, Over::Plain).await;
        let (response, _) = connection.send(request("GET", "/q"), true).await;
        let (mut asked, _) = asked(&service).await;
        node.signal(Signal::QUIT);
        asked.answer("done").unwrap();
        assert_eq!(whole(response.await.unwrap()).await.content, b"done");
        connection.over.await.unwrap().unwrap();
    });
    assert!(node.ends_within(PATIENCE));
}

#[test]
fn streams_beyond_the_limit_wait() {
    let service = Arc::new(Service::start());
    let node = node(&service, &[("nginx_http_http2_max_concurrent_streams", "2")]);
    play(async {
        let connection = Connection::open(&node, Over::Plain).await;
        let first = connection.send(request("GET", "/1"), true).await;
        let (mut one, _) = asked(&service).await;
        let second = connection.send(request("GET", "/2"), true).await;
        let (mut two, _) = asked(&service).await;
        let third = connection.send(request("GET", "/3"), true);
        one.answer("1").unwrap();
        assert_eq!(whole(first.0.await.unwrap()).await.content, b"1");
        let third = third.await;
        let answering = tokio::task::spawn_blocking(move || {
            one.request().unwrap();
            one.answer("3").unwrap();
        });
        assert_eq!(whole(third.0.await.unwrap()).await.content, b"3");
        answering.await.unwrap();
        two.answer("2").unwrap();
        assert_eq!(whole(second.0.await.unwrap()).await.content, b"2");
    });
}

#[test]
fn heads_are_bounded() {
    let backend = Backend::start("a");
    let node = answering(&backend, &[]);
    play(async {
        let connection = Connection::open(&node, Over::Plain).await;
        let mut large = request("GET", "/");
        for n in 0..10 {
            large.headers_mut().append("x-large", HeaderValue::from_bytes(&[b'a' + n; 5000]).unwrap());
        }
        let (response, _) = connection.send(large, true).await;
        assert_eq!(response.await.unwrap().status(), 400);
        // Lines count for their octets only, as over HTTP/1.1.
        let mut many = request("GET", "/");
        for n in 0..300 {
            many.headers_mut().append(HeaderName::try_from(format!("x-{n}")).unwrap(), "a".repeat(90).parse().unwrap());
        }
        let (response, _) = connection.send(many, true).await;
        assert_eq!(response.await.unwrap().status(), 200);
        assert_eq!(connection.get("/").await.head.status(), 200);
    });
    assert_eq!(backend.requests(), 2);
}

/// CVE-2023-44487: streams that are opened and reset cost the client its connection, and nobody else anything.
#[test]
fn rapid_resets_end_the_connection() {
    let service = Arc::new(Service::start());
    let node = node(&service, &[]);
    play(async {
        let connection = Connection::open(&node, Over::Plain).await;
        let mut error = None;
        for n in 0..20_000 {
            let mut requests = match connection.requests.clone().ready().await {
                Ok(requests) => requests,
                Err(ended) => {
                    error = Some(ended);
                    break;
                }
            };
            let Ok((_, mut stream)) = requests.send_request(request("GET", &format!("/{n}")), true) else { break };
            stream.send_reset(Reason::CANCEL);
            tokio::task::yield_now().await;
        }
        assert!(error.is_none_or(|error| error.is_go_away() || error.is_io()), "it ends in another way");
        let other = Connection::open(&node, Over::Plain).await;
        let (response, _) = other.send(request("GET", "/other"), true).await;
        let answering = Arc::clone(&service);
        tokio::task::spawn_blocking(move || {
            loop {
                // Those of the resets are given up by the gateway.
                let mut connection = answering.accept();
                if connection.request().is_ok_and(|request| request.target == "/other") {
                    return connection.answer("ok").unwrap();
                }
            }
        });
        assert_eq!(whole(response.await.unwrap()).await.content, b"ok");
    });
}

#[test]
fn what_is_no_request_is_refused() {
    let backend = Backend::start("a");
    let node = answering(&backend, &[]);
    play(async {
        let connection = Connection::open(&node, Over::Plain).await;
        let mut other_host = request("GET", "/");
        other_host.headers_mut().append("host", HeaderValue::from_static("b.test"));
        let mut lower_case = request("GET", "/");
        *lower_case.method_mut() = "get".parse().unwrap();
        for refused in [other_host, lower_case] {
            let (response, _) = connection.send(refused, true).await;
            assert_eq!(whole(response.await.unwrap()).await.head.status(), 400);
        }
    });
    assert_eq!(backend.requests(), 0);
}

/// A client that takes nothing holds no more than its windows allow, and not for ever.
#[test]
fn a_client_that_never_reads_is_cut_off() {
    let service = Arc::new(Service::start());
    let node = node(&service, &[("nginx_http_send_timeout", "1s")]);
    play(async {
        let connection = Connection::open(&node, Over::Plain).await;
        let (response, _) = connection.send(request("GET", "/big"), true).await;
        let (mut asked, _) = asked(&service).await;
        let flooded = tokio::task::spawn_blocking(move || {
            asked.send_raw(b"HTTP/1.1 200 OK\r\nX-Accel-Buffering: no\r\nContent-Length: 100000000\r\n\r\n").unwrap();
            asked.flood(100_000_000, PATIENCE)
        });
        let content = response.await.unwrap().into_body();
        let (octets, open) = flooded.await.unwrap();
        assert!(!open, "the service is held for a client that reads nothing");
        assert!(octets < 20_000_000, "{octets} octets were taken from it");
        assert!(cut_short(content).await.is_some(), "the stream ends as if it were whole");
    });
}
