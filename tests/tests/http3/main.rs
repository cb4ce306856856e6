//! HTTP/3 from clients: what an exchange of HTTP/1.1 does, over QUIC.

mod client;
mod hostile;
mod limits;

use blackbox::http::form;
use blackbox::tls::{Offer, Pair};
use blackbox::{Backend, Node, PATIENCE, Service, eventually};
use bytes::Bytes;
use client::{Connection, asked, connect, offer, play, request, whole};
use http::{HeaderMap, HeaderValue};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::sync::Arc;

/// Where a node listens.
const LISTEN: (&str, &str) = ("proxy_listen", "127.0.0.1:0 ssl http2, 127.0.0.1:0 quic");

/// A node in front of a service that the test plays itself.
pub fn node(service: &Service, settings: &[(&str, &str)]) -> Node {
    let node = Node::start(&[&[LISTEN], settings].concat());
    form(node.admin(), "POST", "/services", &format!("name=s&retries=0&url=http://{}", service.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/&strip_path=false").expect(201);
    node
}

/// A node in front of a service that answers everything at once.
pub fn answering(backend: &Backend, settings: &[(&str, &str)]) -> Node {
    let node = Node::start(&[&[LISTEN], settings].concat());
    form(node.admin(), "POST", "/services", &format!("name=s&url=http://{}", backend.address)).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/").expect(201);
    node
}

#[test]
fn requests_and_responses() {
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
        let connection = Connection::open(&node).await;
        let mut stream = connection.send(request("POST", "/p?q=1")).await;
        stream.send_data(Bytes::from_static(b"some ")).await.unwrap();
        stream.send_data(Bytes::from_static(b"content")).await.unwrap();
        stream.finish().await.unwrap();
        let got = whole(&mut stream).await;
        let mut head = request("HEAD", "/h");
        head.headers_mut().append("cookie", HeaderValue::from_static("a=1"));
        head.headers_mut().append("cookie", HeaderValue::from_static("b=2"));
        let mut stream = connection.send(head).await;
        stream.finish().await.unwrap();
        (got, whole(&mut stream).await)
    });
    assert_eq!(got.head.status(), 201);
    assert_eq!(got.content, b"ok");
    assert_eq!(got.head.headers().get_all("x-a").iter().count(), 2);
    assert_eq!(got.header("content-length"), Some("2"));
    assert!(got.header("keep-alive").is_none());
    assert!(got.header("alt-svc").is_none(), "the client is there already");
    assert!(got.header("via").is_some());
    assert_eq!(empty.head.status(), 200);
    assert_eq!(empty.content, b"");
    let [first, second] = answering.join().unwrap();
    assert_eq!(first.method, "POST");
    assert_eq!(first.target, "/p?q=1");
    assert_eq!(first.body, b"some content");
    assert_eq!(first.header("content-length"), Some("12"), "as nginx, content is read before a service is asked");
    assert_eq!(first.header("x-forwarded-host"), Some("a.test"));
    assert_eq!(first.header("x-forwarded-proto"), Some("https"));
    assert_eq!(first.header("x-forwarded-port"), Some(&*node.quic().port().to_string()));
    assert!(first.header("via").is_some_and(|via| via.starts_with("3 ")), "{first:?}");
    assert_eq!(second.method, "HEAD");
    assert_eq!(second.header("cookie"), Some("a=1; b=2"));
    assert!(second.header("transfer-encoding").is_none(), "{second:?}");
    eventually("the access log has the protocol", || {
        let log = std::fs::read_to_string(node.prefix().join("logs/access.log")).unwrap_or_default();
        log.contains("\"POST /p?q=1 HTTP/3.0\" 201 2")
    });
}

#[test]
fn clients_of_tls_are_told_of_it() {
    let backend = Backend::start("a");
    let node = answering(&backend, &[]);
    let secure = blackbox::tls::Client::new(&Offer::default());
    let told = secure.get(node.proxy_tls(), Some("a.test"), "/").unwrap().response;
    let expected = format!("h3=\":{}\"; ma=86400", node.quic().port());
    assert_eq!(told.header("alt-svc"), Some(&*expected));
}

#[test]
fn many_at_once_on_several_workers() {
    let backends = [Backend::start("a"), Backend::start("b")];
    let node = Node::start(&[LISTEN, ("nginx_worker_processes", "3")]);
    form(node.admin(), "POST", "/upstreams", "name=u").expect(201);
    for backend in &backends {
        form(node.admin(), "POST", "/upstreams/u/targets", &format!("target={}", backend.address)).expect(201);
    }
    form(node.admin(), "POST", "/services", "name=s&host=u").expect(201);
    form(node.admin(), "POST", "/services/s/routes", "paths[]=/").expect(201);
    play(async {
        let mut connections = Vec::new();
        for _ in 0..5 {
            connections.push(Connection::open(&node).await);
        }
        let mut streams = Vec::new();
        for n in 0..200 {
            let mut stream = connections[n % connections.len()].send(request("GET", "/")).await;
            stream.finish().await.unwrap();
            streams.push(stream);
        }
        for mut stream in streams {
            assert_eq!(whole(&mut stream).await.head.status(), 200);
        }
    });
    assert_eq!(backends[0].requests(), 100);
    assert_eq!(backends[1].requests(), 100);
}

#[test]
fn trailers_and_interim_responses_go_through() {
    let service = Service::start();
    let node = node(&service, &[]);
    let answering = std::thread::spawn(move || {
        let (mut connection, request) = service.asked();
        connection
            .send_raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n")
            .unwrap();
        request
    });
    let got = play(async {
        let connection = Connection::open(&node).await;
        let mut post = request("POST", "/t");
        post.headers_mut().append("te", HeaderValue::from_static("trailers"));
        let mut stream = connection.send(post).await;
        stream.send_data(Bytes::from_static(b"x")).await.unwrap();
        let trailers = HeaderMap::from_iter([("x-t".parse().unwrap(), "1".parse().unwrap())]);
        stream.send_trailers(trailers).await.unwrap();
        stream.finish().await.unwrap();
        whole(&mut stream).await
    });
    assert_eq!(got.content, b"ok");
    assert_eq!(got.trailers.unwrap().get("x-sum").unwrap(), "7");
    let seen = answering.join().unwrap();
    assert_eq!(seen.trailers, [("x-t".to_owned(), "1".to_owned())]);
}

#[test]
fn a_stream_that_is_reset_frees_its_service() {
    let service = Arc::new(Service::start());
    let node = node(&service, &[]);
    play(async {
        let connection = Connection::open(&node).await;
        let mut stream = connection.send(request("GET", "/r")).await;
        stream.finish().await.unwrap();
        let (mut given_up, _) = asked(&service).await;
        stream.stop_sending(h3::error::Code::H3_REQUEST_CANCELLED);
        let closed = tokio::task::spawn_blocking(move || given_up.closes_within(PATIENCE));
        assert!(closed.await.unwrap(), "the service goes on working for nobody");
        // Others on the connection are not touched by it.
        let mut next_stream = connection.send(request("GET", "/next")).await;
        next_stream.finish().await.unwrap();
        let (mut next, _) = asked(&service).await;
        next.answer("next").unwrap();
        assert_eq!(whole(&mut next_stream).await.content, b"next");
    });
}

#[test]
fn an_answer_may_come_before_the_content() {
    let service = Service::start();
    let node = node(&service, &[]);
    form(node.admin(), "POST", "/routes/r/plugins", "name=key-auth").expect(201);
    play(async {
        let connection = Connection::open(&node).await;
        let mut stream = connection.send(request("POST", "/up")).await;
        stream.send_data(Bytes::from(vec![b'x'; 10_000])).await.unwrap();
        assert_eq!(whole(&mut stream).await.head.status(), 401);
        assert_eq!(connection.get("/next").await.head.status(), 401);
    });
}

#[test]
fn large_content_both_ways() {
    let service = Service::start();
    let node = node(&service, &[]);
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let echo = std::thread::spawn(move || {
        let (mut connection, request) = service.asked();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len());
        connection.send_raw(&[head.as_bytes(), &request.body].concat()).unwrap();
    });
    let got = play(async {
        let connection = Connection::open(&node).await;
        let mut stream = connection.send(request("PUT", "/large")).await;
        for piece in large.chunks(100_000) {
            stream.send_data(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        stream.finish().await.unwrap();
        whole(&mut stream).await
    });
    assert!(got.content == large, "{} octets", got.content.len());
    echo.join().unwrap();
}

#[test]
fn a_client_may_change_its_address() {
    let service = Arc::new(Service::start());
    let node = node(&service, &[("nginx_worker_processes", "3")]);
    play(async {
        let connection = Connection::open(&node).await;
        let mut stream = connection.send(request("GET", "/1")).await;
        stream.finish().await.unwrap();
        let (mut service, _) = asked(&service).await;
        connection.endpoint.rebind(std::net::UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
        service.answer("one").unwrap();
        assert_eq!(whole(&mut stream).await.content, b"one");
        let again = tokio::task::spawn_blocking(move || {
            service.request().unwrap();
            service.answer("two").unwrap();
        });
        assert_eq!(connection.get("/2").await.content, b"two");
        again.await.unwrap();
    });
}

#[test]
fn certificates_are_changed_without_dropping() {
    let backend = Backend::start("a");
    let node = answering(&backend, &[]);
    let shown = |connection: &quinn::Connection| {
        let chain = connection.peer_identity().unwrap();
        chain.downcast::<Vec<CertificateDer<'static>>>().unwrap().remove(0)
    };
    let der = |pair: &Pair| CertificateDer::from_pem_slice(pair.chain.as_bytes()).unwrap();
    let authority = Pair::authority("ca");
    let [first, second] = [authority.issue(&["a.test"]), authority.issue(&["a.test"])];
    let mut record = first.record();
    record["snis"] = serde_json::json!(["a.test"]);
    let made = blackbox::http::json(node.admin(), "POST", "/certificates", &record).expect(201);
    play(async {
        let before = Connection::open(&node).await;
        assert_eq!(shown(&before.quic), der(&first));
        let path = format!("/certificates/{}", made.json()["id"].as_str().unwrap());
        blackbox::http::json(node.admin(), "PATCH", &path, &second.record()).expect(200);
        let after = Connection::open(&node).await;
        assert_eq!(shown(&after.quic), der(&second));
        assert_eq!(before.get("/").await.head.status(), 200);
        assert_eq!(after.get("/").await.head.status(), 200);
    });
}

#[test]
fn clients_prove_themselves_as_over_tls() {
    let authority = Pair::authority("ca");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, &authority.chain).unwrap();
    let backend = Backend::start("a");
    let settings =
        [("nginx_proxy_ssl_verify_client", "on"), ("nginx_proxy_ssl_client_certificate", file.to_str().unwrap())];
    let node = answering(&backend, &settings);
    let [known, stranger] = [authority.issue(&["me"]), Pair::authority("other").issue(&["me"])];
    play(async {
        for (certificate, status) in [(None, 400), (Some(&stranger), 400), (Some(&known), 200)] {
            let connection = Connection::open_with(&node, &Offer { certificate, ..offer() }).await;
            assert_eq!(connection.get("/").await.head.status(), status);
        }
    });
    assert_eq!(backend.requests(), 1);
}

#[test]
fn quic_needs_what_it_stands_on() {
    let mut node = Node::start(&[]);
    let mut refused = |listen: &str, more: &[(&str, &str)], why: &str| {
        node.kill();
        node.set("proxy_listen", listen);
        more.iter().for_each(|(name, value)| node.set(name, value));
        let said = node.refusal();
        assert!(said.contains(why), "{said}");
    };
    refused("127.0.0.1:0 quic ssl", &[], "\"ssl\" is incompatible with \"quic\"");
    refused("127.0.0.1:0 quic http2", &[], "\"http2\" is incompatible with \"quic\"");
    let old = [("ssl_cipher_suite", "custom"), ("nginx_http_ssl_protocols", "TLSv1.2")];
    refused("127.0.0.1:0 quic", &old, "TLS 1.3");
    // And other protocols are not spoken over it.
    let backend = Backend::start("a");
    let node = answering(&backend, &[]);
    play(async {
        let other = Offer { alpn: &["h2"], ..offer() };
        let refused = tokio::spawn(async move { connect(node.quic(), &other).await }).await;
        assert!(refused.is_err(), "a client that does not speak HTTP/3 is refused");
    });
}

/// RFC 9220.
#[test]
fn a_stream_may_be_a_tunnel_of_websocket() {
    let service = Arc::new(Service::start());
    let node = node(&service, &[]);
    play(async {
        let connection = Connection::open(&node).await;
        let head = client::headers(&[
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "https"),
            (":authority", "a.test"),
            (":path", "/chat"),
            ("sec-websocket-version", "13"),
        ]);
        let (mut send, mut receive) = connection.quic.open_bi().await.unwrap();
        send.write_all(&[head, client::frame(0, b"octets")].concat()).await.unwrap();
        let (mut service, seen) = asked(&service).await;
        assert_eq!(seen.header("upgrade"), Some("websocket"));
        let serving = tokio::task::spawn_blocking(move || {
            let head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello";
            service.send_raw(head).unwrap();
            service.take(6).unwrap()
        });
        assert_eq!(serving.await.unwrap(), b"octets");
        let answer = receive.read_to_end(10_000).await.unwrap();
        assert_eq!(client::status(&answer), 200);
        assert!(answer.ends_with(b"hello"), "{answer:?}");
    });
}
