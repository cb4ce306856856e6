//! Answers that come before their requests have ended, connections that have had their requests, and how far ahead of
//! what is used content may be sent.

use crate::client::{Connection, Over, play};
use crate::limits::answering;
use crate::raw::{
    DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, Raw, SETTINGS, WINDOW_UPDATE, block, frame,
};
use blackbox::http::{form, json};
use blackbox::{Backend, Node, PATIENCE, Service, eventually};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// `SETTINGS_INITIAL_WINDOW_SIZE`.
const INITIAL_WINDOW: u16 = 4;
/// What a window is before anybody has said anything.
const USUAL_WINDOW: usize = 65_535;
/// The largest frame.
const LARGEST: usize = 16_384;

fn head(method: &str, path: &str, stream: u32, flags: u8) -> Vec<u8> {
    let lines = [(":method", method), (":scheme", "http"), (":authority", "a.test"), (":path", path)];
    frame(HEADERS, END_HEADERS | flags, stream, &block(&lines))
}

fn is_well(node: &Node) {
    play(async { assert_eq!(Connection::open(node, Over::Plain).await.get("/").await.head.status(), 200) });
}

/// As nginx: a client that goes on sending gets its answer whole before its stream is ended, which is no error.
#[test]
fn an_answer_is_whole_before_the_stream_of_an_upload_is_ended() {
    let backend = Backend::start("a");
    let node = answering(&backend, &[]);
    form(node.admin(), "POST", "/routes", "name=no&paths[]=/no").expect(201);
    let config = json!({ "name": "request-termination", "config": { "status_code": 403, "body": "not here" } });
    json(node.admin(), "POST", "/routes/no/plugins", &config).expect(201);
    let mut raw = Raw::open(&node);
    raw.0.write_all(&head("POST", "/no", 1, 0)).unwrap();
    for _ in 0..6 {
        raw.0.write_all(&frame(DATA, 0, 1, &[b'x'; 10_000])).unwrap();
    }
    let (mut content, mut ended) = (Vec::new(), false);
    let reset = loop {
        let frame = raw.next().unwrap();
        match frame.kind {
            DATA if frame.stream == 1 => {
                content.extend_from_slice(&frame.payload);
                ended = frame.ends();
            }
            RST_STREAM if frame.stream == 1 => break frame,
            _ => {}
        }
    };
    assert!(ended, "the stream is reset before the answer has ended");
    assert_eq!(content, b"not here");
    assert_eq!(reset.number(), 0, "NO_ERROR");
    // What was on its way crosses it, and harms nobody; the connection goes on.
    raw.0.write_all(&frame(DATA, 0, 1, &[b'x'; 1000])).unwrap();
    raw.0.write_all(&head("GET", "/", 3, END_STREAM)).unwrap();
    while !matches!(raw.next().unwrap(), frame if frame.kind == DATA && frame.stream == 3 && frame.ends()) {}
}

/// A request that is taken back before anybody has looked at it was one, and is logged as what it is. No service hears
/// of it.
#[test]
fn what_is_reset_at_once_is_logged() {
    let backend = Backend::start("a");
    let node = answering(&backend, &[("nginx_worker_processes", "1")]);
    let mut raw = Raw::open(&node);
    let cancel = frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
    let frames = [head("GET", "/gone", 1, END_STREAM), cancel, head("GET", "/there", 3, END_STREAM)];
    raw.0.write_all(&frames.concat()).unwrap();
    while !matches!(raw.next().unwrap(), frame if frame.kind == DATA && frame.stream == 3 && frame.ends()) {}
    let log = || std::fs::read_to_string(node.prefix().join("logs/access.log")).unwrap_or_default();
    eventually("both are logged", || log().contains("\"GET /there HTTP/2.0\" 200"));
    eventually("both are logged", || log().contains("\"GET /gone HTTP/2.0\" 499 0"));
    assert_eq!(backend.requests(), 1);
}

/// A client that does not keep to the limit is told to go, and has the answers that it waits for.
#[test]
fn streams_without_end_do_not_end_those_under_way() {
    let service = Service::start();
    let node = crate::node(
        &service,
        &[("proxy_listen", "127.0.0.1:0 http2"), ("nginx_http_http2_max_concurrent_streams", "1")],
    );
    let mut raw = Raw::open(&node);
    raw.0.write_all(&head("GET", "/first", 1, END_STREAM)).unwrap();
    let (mut asked, _) = service.asked();
    let more: Vec<u8> = (1..=150).flat_map(|n| head("GET", "/more", 2 * n + 1, END_STREAM)).collect();
    raw.0.write_all(&more).unwrap();
    let mut refused = 0;
    let goaway = loop {
        let frame = raw.next().unwrap();
        match frame.kind {
            RST_STREAM => refused += 1,
            GOAWAY => break frame,
            _ => {}
        }
    };
    assert_eq!(refused, 101);
    assert_eq!(goaway.payload[4..8], [0, 0, 0, 11], "ENHANCE_YOUR_CALM");
    asked.answer("done").unwrap();
    let mut content = Vec::new();
    loop {
        let frame = raw.next().unwrap();
        assert!(frame.kind != RST_STREAM, "{frame:?}");
        if frame.kind == DATA && frame.stream == 1 {
            content.extend_from_slice(&frame.payload);
            if frame.ends() {
                break;
            }
        }
    }
    assert_eq!(content, b"done");
    // Nothing is under way any more.
    assert_eq!(raw.0.read(&mut [0]).unwrap(), 0);
}

/// A client that ends its upload in time has its stream ended by nobody.
#[test]
fn an_upload_that_ends_after_its_answer_ends_well() {
    let backend = Backend::start("a");
    let node = answering(&backend, &[]);
    form(node.admin(), "POST", "/routes", "name=no&paths[]=/no").expect(201);
    json(node.admin(), "POST", "/routes/no/plugins", &json!({ "name": "request-termination" })).expect(201);
    play(async {
        let connection = Connection::open(&node, Over::Tls).await;
        let (response, mut upload) = connection.send(crate::request("POST", "/no"), false).await;
        upload.send_data(vec![b'x'; 1000].into(), false).unwrap();
        assert_eq!(response.await.unwrap().status(), 503);
        // It may have been ended meanwhile.
        let _ = upload.send_data(vec![b'x'; 1000].into(), true);
        assert_eq!(connection.get("/").await.head.status(), 200);
    });
}

/// nginx closes by lingering for this (trac 1250): what crosses is read, so that it is not answered by a reset of the
/// connection, with which a client would lose what it has not read.
#[test]
fn a_connection_that_has_had_its_requests_is_closed_gently() {
    let backend = Backend::start("a");
    let settings = [
        ("nginx_http_keepalive_requests", "3"),
        ("nginx_http_lingering_timeout", "60s"),
        ("nginx_http_lingering_time", "60s"),
    ];
    let node = answering(&backend, &settings);
    let mut raw = Raw::open(&node);
    for stream in [1, 3, 5] {
        raw.0.write_all(&head("GET", "/", stream, END_STREAM)).unwrap();
    }
    // The node says first that the connection will end, and last which requests were its last.
    let (mut whole, mut last) = (0, u32::MAX);
    while last > 5 || whole < 3 {
        let frame = raw.next().unwrap();
        match frame.kind {
            DATA if frame.ends() => whole += 1,
            GOAWAY => last = frame.number(),
            PING if frame.flags == 0 => raw.0.write_all(&crate::raw::frame(PING, 1, 0, &frame.payload)).unwrap(),
            _ => {}
        }
    }
    assert_eq!(last, 5);
    for stream in [7, 9, 11] {
        raw.0.write_all(&head("GET", "/", stream, END_STREAM)).unwrap();
        raw.0.write_all(&frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])).unwrap();
    }
    let mut rest = Vec::new();
    raw.0.read_to_end(&mut rest).expect("the end of the connection, and no reset of it");
    raw.0.write_all(&head("GET", "/", 13, END_STREAM)).expect("it is still read");
    is_well(&node);
}

/// What a client far away can send in one round trip decides how fast it can upload.
#[test]
fn windows_grow_while_content_flows() {
    let backend = Backend::start("a");
    let node = answering(&backend, &[("nginx_http_client_max_body_size", "0")]);
    let mut raw = Raw::open(&node);
    raw.0.write_all(&head("POST", "/", 1, 0)).unwrap();
    // What may still be sent on the stream, and on the connection.
    let (mut stream, mut connection, mut initial) = (USUAL_WINDOW, USUAL_WINDOW, USUAL_WINDOW);
    let (mut sent, mut widest) = (0, 0);
    while widest < 1 << 20 {
        let piece = stream.min(connection).min(LARGEST);
        assert!(sent < 64 << 20, "the window stays at {widest} octets after {sent}");
        if piece > 0 {
            raw.0.write_all(&frame(DATA, 0, 1, &vec![b'x'; piece])).unwrap();
            (stream, connection, sent) = (stream - piece, connection - piece, sent + piece);
            continue;
        }
        let frame = raw.next().unwrap();
        match (frame.kind, frame.stream) {
            (WINDOW_UPDATE, 0) => connection += frame.number() as usize,
            (WINDOW_UPDATE, 1) => stream += frame.number() as usize,
            (SETTINGS, _) if frame.flags == 0 => {
                if let Some(size) = frame.setting(INITIAL_WINDOW) {
                    stream = stream + size as usize - initial;
                    initial = size as usize;
                }
                raw.0.write_all(&crate::raw::frame(SETTINGS, 1, 0, b"")).unwrap();
            }
            (RST_STREAM | GOAWAY, _) => panic!("{frame:?} after {sent} octets"),
            _ => {}
        }
        widest = widest.max(stream.min(connection));
    }
}

/// The same of services, which send their answers so far ahead.
#[test]
fn services_may_send_much_ahead() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let node = Node::start(&[("proxy_listen", "127.0.0.1:0 http2, 127.0.0.1:0 http2 ssl")]);
    let url = format!("name=s&retries=0&url=grpc://{}", listener.local_addr().unwrap());
    form(node.admin(), "POST", "/services", &url).expect(201);
    let route = json!({ "protocols": ["grpc", "grpcs"], "paths": ["/"] });
    json(node.admin(), "POST", "/services/s/routes", &route).expect(201);
    let mut raw = Raw::open(&node);
    let lines = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "a.test"),
        (":path", "/t.T/Call"),
        ("content-type", "application/grpc"),
    ];
    raw.0.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&lines))).unwrap();
    let mut service = Raw(accepted(&listener));
    service.0.read_exact(&mut [0; 24]).unwrap();
    let (mut stream, mut connection) = (USUAL_WINDOW, USUAL_WINDOW);
    loop {
        let frame = service.next().unwrap();
        match frame.kind {
            SETTINGS => stream = frame.setting(INITIAL_WINDOW).map_or(stream, |size| size as usize),
            WINDOW_UPDATE if frame.stream == 0 => connection += frame.number() as usize,
            HEADERS => break,
            _ => {}
        }
        if frame.kind == SETTINGS {
            service.0.write_all(&crate::raw::frame(SETTINGS, 0, 0, b"")).unwrap();
        }
    }
    assert!(stream >= 512 << 10, "{stream} octets of a stream");
    assert!(connection >= 8 << 20, "{connection} octets of a connection");
}

fn accepted(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}
