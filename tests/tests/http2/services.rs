//! Services that speak HTTP/2: gRPC, and what goes to them so because they say it.

use crate::client::{Connection, Over, play, whole};
use crate::raw::{END_HEADERS, END_STREAM, HEADERS, Raw, block, frame};
use blackbox::http::{form, get, json};
use blackbox::{Node, Scripted, Service, eventually};
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue, Request, Response};
use serde_json::json;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::{TcpListener, TcpStream};

/// A service that does what the method of a request says.
pub struct Grpc {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    /// Requests that it has reset.
    reset: Arc<AtomicUsize>,
    /// Those whose answer nobody wanted to the end.
    given_up: Arc<AtomicUsize>,
}

impl Grpc {
    pub fn start() -> Grpc {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let (address, connections) = (listener.local_addr().unwrap(), Arc::<AtomicUsize>::default());
        let count = Arc::clone(&connections);
        let reset = Arc::<AtomicUsize>::default();
        let given_up = Arc::<AtomicUsize>::default();
        let (resets, unwanted) = (Arc::clone(&reset), Arc::clone(&given_up));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                while let Ok((socket, _)) = listener.accept().await {
                    count.fetch_add(1, Ordering::SeqCst);
                    tokio::spawn(serve(socket, Arc::clone(&resets), Arc::clone(&unwanted)));
                }
            });
        });
        Grpc { address, connections, reset, given_up }
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn serve(socket: TcpStream, resets: Arc<AtomicUsize>, given_up: Arc<AtomicUsize>) {
    let Ok(mut connection) = h2::server::handshake(socket).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        if request.uri().path() == "/t.T/Last" {
            connection.graceful_shutdown();
        }
        if request.uri().path() == "/t.T/Reset" {
            resets.fetch_add(1, Ordering::SeqCst);
        }
        tokio::spawn(answer(request, respond, Arc::clone(&given_up)));
    }
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, given_up: Arc<AtomicUsize>) {
    let (head, mut content) = request.into_parts();
    let mut response = Response::builder().header("content-type", "application/grpc");
    response = response.header("x-te", head.headers.get("te").cloned().unwrap_or(HeaderValue::from_static("")));
    match head.uri.path() {
        "/t.T/Reset" => respond.send_reset(Reason::INTERNAL_ERROR),
        "/t.T/Tiny" => {
            let mut stream = respond.send_response(response.body(()).unwrap(), false).unwrap();
            // The window of a stream, in small pieces.
            stream.reserve_capacity(1 << 20);
            let mut left = 0;
            loop {
                if left < 10 {
                    match std::future::poll_fn(|cx| stream.poll_capacity(cx)).await {
                        Some(Ok(_)) => left = stream.capacity(),
                        _ => break,
                    }
                    continue;
                }
                if stream.send_data(Bytes::from_static(b"ten octets"), false).is_err() {
                    break;
                }
                left -= 10;
            }
            given_up.fetch_add(1, Ordering::SeqCst);
        }
        "/t.T/NotFound" => {
            let response = response.header("grpc-status", "5").header("grpc-message", "none").body(()).unwrap();
            respond.send_response(response, true).unwrap();
        }
        _ => {
            let mut stream = respond.send_response(response.body(()).unwrap(), false).unwrap();
            while let Some(Ok(piece)) = content.data().await {
                content.flow_control().release_capacity(piece.len()).unwrap();
                stream.reserve_capacity(piece.len());
                stream.send_data(piece, false).unwrap();
            }
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            if let Ok(Some(sent)) = content.trailers().await {
                trailers.insert("x-sent", sent["x-last"].clone());
            }
            stream.send_trailers(trailers).unwrap();
        }
    }
}

fn node(service: &Grpc) -> Node {
    let node =
        Node::start(&[("proxy_listen", "127.0.0.1:0 http2, 127.0.0.1:0 http2 ssl"), ("nginx_worker_processes", "1")]);
    let address = service.address;
    form(node.admin(), "POST", "/services", &format!("name=s&retries=1&url=grpc://{address}")).expect(201);
    let route = json!({ "protocols": ["grpc", "grpcs"], "paths": ["/t.T/"] });
    json(node.admin(), "POST", "/services/s/routes", &route).expect(201);
    node
}

pub fn call(method: &str) -> Request<()> {
    let request = Request::post(format!("http://a.test/t.T/{method}")).header("content-type", "application/grpc");
    request.header("te", "trailers").body(()).unwrap()
}

/// Pieces without content are nothing, however many come on a connection.
#[test]
fn pieces_without_content_end_no_connection() {
    let service = Grpc::start();
    let node = node(&service);
    play(async {
        let connection = Connection::open(&node, Over::Plain).await;
        for _ in 0..150 {
            let (response, mut sending) = connection.send(call("Echo"), false).await;
            sending.send_data(Bytes::from_static(b"hi"), false).unwrap();
            // The service sends it back.
            sending.send_data(Bytes::new(), true).unwrap();
            let got = whole(response.await.unwrap()).await;
            assert_eq!(got.content, b"hi");
            assert_eq!(got.trailers.unwrap()["grpc-status"], "0");
        }
    });
    assert_eq!(service.connections(), 1);
}

/// A client that does not read many small pieces is no other one's trouble.
#[test]
fn small_pieces_that_nobody_reads_end_no_connection() {
    let service = Grpc::start();
    let node = node(&service);
    let _unread = leave_unread(&node, 2);
    echo(&node);
    assert_eq!(service.connections(), 1);
    assert_eq!(service.given_up.load(Ordering::SeqCst), 0);
}

/// Where there are too many of them, calls of those who do not read end, and the connection goes on.
#[test]
fn far_too_many_small_pieces_end_the_calls_that_they_are_of() {
    let service = Grpc::start();
    let node = node(&service);
    let _unread = leave_unread(&node, 12);
    eventually("calls are ended", || service.given_up.load(Ordering::SeqCst) > 0);
    echo(&node);
    assert_eq!(service.connections(), 1);
}

/// A client that begins so many calls, answered by small pieces without end, and reads nothing.
fn leave_unread(node: &Node, calls: u32) -> Raw {
    // The connection that all share.
    play(async {
        whole(Connection::open(node, Over::Plain).await.send(call("NotFound"), true).await.0.await.unwrap()).await
    });
    let mut unread = Raw::open(node);
    let head = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "a.test"),
        (":path", "/t.T/Tiny"),
        ("content-type", "application/grpc"),
    ];
    for call in 0..calls {
        unread.0.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, 2 * call + 1, &block(&head))).unwrap();
    }
    unread
}

/// Many calls of another client.
fn echo(node: &Node) {
    play(async {
        let other = Connection::open(node, Over::Plain).await;
        for _ in 0..300 {
            let (response, mut sending) = other.send(call("Echo"), false).await;
            sending.send_data(Bytes::from_static(b"hi"), true).unwrap();
            assert_eq!(whole(response.await.unwrap()).await.trailers.unwrap()["grpc-status"], "0");
        }
    });
}

#[test]
fn messages_go_both_ways_before_either_side_has_ended() {
    let (service, over) = (Grpc::start(), Over::Plain);
    let node = node(&service);
    play(async {
        let connection = Connection::open(&node, over).await;
        let (response, mut sending) = connection.send(call("Echo"), false).await;
        let mut response = response.await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["x-te"], "trailers");
        assert!(response.headers()["via"].as_bytes().starts_with(b"2 bascule/"), "{:?}", response.headers());
        for message in ["one", "two"] {
            sending.send_data(Bytes::from(message), false).unwrap();
            let echoed = response.body_mut().data().await.unwrap().unwrap();
            response.body_mut().flow_control().release_capacity(echoed.len()).unwrap();
            assert_eq!(echoed, message);
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-last", HeaderValue::from_static("1"));
        sending.send_trailers(trailers).unwrap();
        let ended = whole(response).await.trailers.unwrap();
        assert_eq!(ended["grpc-status"], "0");
        assert_eq!(ended["x-sent"], "1");
    });
}

#[test]
fn exchanges_share_a_connection_until_the_service_ends_it() {
    let service = Grpc::start();
    let node = node(&service);
    play(async {
        let connection = Connection::open(&node, Over::Tls).await;
        let mut open = Vec::new();
        for _ in 0..10 {
            let (response, sending) = connection.send(call("Echo"), false).await;
            open.push((response.await.unwrap(), sending));
        }
        assert_eq!(service.connections(), 1);
        for (response, mut sending) in open {
            sending.send_data(Bytes::from_static(b"x"), true).unwrap();
            assert_eq!(whole(response).await.content, b"x");
        }
        for round in 1..4 {
            let (response, mut sending) = connection.send(call("Last"), false).await;
            sending.send_data(Bytes::from_static(b"x"), true).unwrap();
            assert_eq!(whole(response.await.unwrap()).await.content, b"x", "{round}");
        }
    });
    assert!(service.connections() >= 3, "{}", service.connections());
}

#[test]
fn much_content_is_held_back_where_nobody_reads() {
    let service = Grpc::start();
    let node = node(&service);
    play(async {
        let connection = Connection::open(&node, Over::Plain).await;
        let (response, mut sending) = connection.send(call("Echo"), false).await;
        let piece = Bytes::from(vec![b'x'; 16 << 10]);
        let writing = tokio::spawn(async move {
            for _ in 0..256 {
                sending.reserve_capacity(piece.len());
                let mut left = piece.clone();
                while !left.is_empty() {
                    let room = std::future::poll_fn(|cx| sending.poll_capacity(cx)).await.unwrap().unwrap();
                    sending.send_data(left.split_to(room.min(left.len())), false).unwrap();
                }
            }
            sending.send_data(Bytes::new(), true).unwrap();
        });
        let got = whole(response.await.unwrap()).await;
        writing.await.unwrap();
        assert_eq!(got.content.len(), 4 << 20);
        assert_eq!(got.trailers.unwrap()["grpc-status"], "0");
    });
}

#[test]
fn failures_are_told_in_the_words_of_grpc() {
    let service = Grpc::start();
    let node = node(&service);
    let gone = Service::start().address;
    form(node.admin(), "POST", "/services", &format!("name=gone&retries=0&url=grpc://{gone}")).expect(201);
    let of = |method: &str| {
        play(async {
            let connection = Connection::open(&node, Over::Plain).await;
            let (response, _) = connection.send(call(method), true).await;
            whole(response.await.unwrap()).await
        })
    };
    let ends_with_head = play(async {
        let connection = Connection::open(&node, Over::Plain).await;
        let (response, _) = connection.send(call("NotFound"), true).await;
        response.await.unwrap().body().is_end_stream()
    });
    assert!(ends_with_head);
    let missing = of("NotFound");
    assert_eq!(missing.header("grpc-status"), Some("5"));
    assert_eq!(missing.header("grpc-message"), Some("none"));
    let reset = of("Reset");
    assert_eq!(reset.header("content-type"), Some("application/grpc"));
    assert_eq!(reset.header("grpc-status"), Some("13"));
    // A request that is none of gRPC.
    assert_eq!(get(node.proxy(), "/t.T/Echo").status, 415);
    let config = json!({ "status_code": 403, "message": "no" });
    let forbid = json!({ "name": "request-termination", "protocols": ["grpc"], "config": config });
    json(node.admin(), "POST", "/plugins", &forbid).expect(201);
    let forbidden = of("Echo");
    assert_eq!(forbidden.header("grpc-status"), Some("7"));
    assert_eq!(forbidden.header("grpc-message"), Some("no"));
}

#[test]
fn a_connection_on_which_nothing_is_heard_gets_no_other_exchange() {
    let service = Grpc::start();
    let node = node(&service);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("grpc://{}", silent.local_addr().unwrap());
    let times = "retries=0&read_timeout=300&write_timeout=300";
    form(node.admin(), "PATCH", "/services/s", &format!("url={url}&{times}")).expect(200);
    let mut connections = Vec::new();
    for _ in 0..2 {
        let late = play(async {
            let connection = Connection::open(&node, Over::Plain).await;
            let (response, _) = connection.send(call("Echo"), true).await;
            whole(response.await.unwrap()).await
        });
        assert_eq!(late.header("grpc-status"), Some("4"));
        connections.push(silent.accept().unwrap());
    }
}

#[test]
fn requests_go_by_http2_where_their_service_says_so() {
    let service = Grpc::start();
    let node = Node::start(&[("nginx_worker_processes", "1")]);
    let record = json!({ "name": "s", "retries": 0, "url": format!("http://{}", service.address), "http2": true });
    assert_eq!(json(node.admin(), "POST", "/services", &record).expect(201).json()["http2"], true);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/").expect(201);
    for content in ["one", "two"] {
        let echoed = blackbox::http::request(node.proxy(), "POST", "/echo", &[], content.as_bytes()).unwrap();
        assert_eq!(echoed.expect(200).text(), content);
    }
    assert_eq!(service.connections(), 1, "exchanges share it");
    form(node.admin(), "PATCH", "/services/s", "http2=false").expect(200);
    // In HTTP/1.1 it understands nothing.
    blackbox::http::get(node.proxy(), "/echo").expect(502);
    let streams = json!({ "name": "t", "protocol": "tcp", "host": "h", "http2": true });
    json(node.admin(), "POST", "/services", &streams).expect(400);
}

#[test]
fn streams_that_a_service_resets_are_tried_as_often_as_it_says() {
    let service = Grpc::start();
    let node = Node::start(&[("nginx_worker_processes", "1")]);
    let record = json!({ "name": "s", "retries": 2, "url": format!("http://{}", service.address), "http2": true });
    json(node.admin(), "POST", "/services", &record).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/&strip_path=false").expect(201);
    blackbox::http::get(node.proxy(), "/warm").expect(200);
    for (method, tries) in [("GET", 3), ("POST", 1)] {
        service.reset.store(0, Ordering::SeqCst);
        blackbox::http::request(node.proxy(), method, "/t.T/Reset", &[], b"").unwrap().expect(502);
        assert_eq!(service.reset.load(Ordering::SeqCst), tries, "{method}");
    }
    assert_eq!(service.connections(), 1, "a stream that was reset says nothing against its connection");
    let line = "upstream rejected request with error 2 while reading response header from upstream, client: ";
    eventually("the log says why", || node.log().contains(line));
}

#[test]
fn services_of_http_1_are_told_by_their_first_answer() {
    let service = Scripted::start("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let node = Node::start(&[("nginx_worker_processes", "1")]);
    let record = json!({ "name": "s", "url": format!("http://{}", service.address), "http2": true });
    json(node.admin(), "POST", "/services", &record).expect(201);
    form(node.admin(), "POST", "/services/s/routes", "name=r&paths[]=/").expect(201);
    blackbox::http::get(node.proxy(), "/").expect(502);
    let line = "upstream sent invalid HTTP/2 (an answer of HTTP/1.1) while reading response header from upstream";
    eventually("the log says why", || node.log().contains(line));
}

#[test]
fn code_that_may_read_content_and_does_not_holds_no_call_up() {
    let service = Grpc::start();
    let node = node(&service);
    let code = "if kong.request.get_header('x-ask') then kong.request.get_raw_body() end";
    let config = json!({ "rewrite": [code], "access": [code] });
    json(node.admin(), "POST", "/plugins", &json!({ "name": "pre-function", "config": config })).expect(201);
    play(async {
        let connection = Connection::open(&node, Over::Plain).await;
        let (response, mut sending) = connection.send(call("Echo"), false).await;
        sending.send_data(Bytes::from_static(b"one"), false).unwrap();
        let mut response = response.await.unwrap();
        assert_eq!(response.body_mut().data().await.unwrap().unwrap(), "one");
        sending.send_data(Bytes::from_static(b"two"), true).unwrap();
        assert_eq!(whole(response).await.content, b"two");
        // Code that asks gets the whole before the service does.
        let mut asking = call("Echo");
        asking.headers_mut().insert("x-ask", HeaderValue::from_static("1"));
        let (response, mut sending) = connection.send(asking, false).await;
        for (piece, last) in [("one", false), ("two", true)] {
            sending.send_data(Bytes::from(piece), last).unwrap();
        }
        assert_eq!(whole(response.await.unwrap()).await.content, b"onetwo");
    });
}
