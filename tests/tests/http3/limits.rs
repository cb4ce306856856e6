//! What a client may do on a connection of HTTP/3, and for how long.

use crate::client::{Connection, asked, connect, frame, headers, offer, play, play_within, request, status, whole};
use crate::{answering, node};
use blackbox::{Backend, PATIENCE, Service, eventually};
use bytes::Bytes;
use h3::error::Code;
use rustix::process::Signal;
use std::sync::Arc;

#[test]
fn an_idle_connection_is_closed_in_time() {
    let backend = Backend::start("a");
    let node = answering(&backend, &[("nginx_http_keepalive_timeout", "1s")]);
    play(async {
        let connection = Connection::open(&node).await;
        assert_eq!(connection.get("/").await.head.status(), 200);
        let ended = connection.over.await.unwrap();
        assert!(ended.is_h3_no_error(), "{ended}");
    });
}

#[test]
fn a_connection_carries_so_many_requests() {
    let backend = Backend::start("a");
    let node = answering(&backend, &[("nginx_http_keepalive_requests", "3")]);
    play(async {
        let connection = Connection::open(&node).await;
        for _ in 0..3 {
            assert_eq!(connection.get("/").await.head.status(), 200);
        }
        // However it ends.
        let _ = connection.over.await.unwrap();
    });
}

/// As RFC 9114 has it (section 5.2): what a client has sent before it heard of the end is served.
#[test]
fn the_end_is_told_before_requests_are_refused() {
    let backend = Backend::start("a");
    let node = answering(&backend, &[("nginx_http_keepalive_requests", "1")]);
    play(async {
        let (_endpoint, quic) = connect(node.quic(), &offer()).await;
        let head = headers(&[(":method", "GET"), (":scheme", "https"), (":authority", "a.test"), (":path", "/")]);
        let mut answers = Vec::new();
        for _ in 0..3 {
            let (mut send, receive) = quic.open_bi().await.unwrap();
            send.write_all(&head).await.unwrap();
            send.finish().unwrap();
            answers.push(receive);
        }
        for mut answer in answers {
            assert_eq!(status(&answer.read_to_end(1 << 20).await.unwrap()), 200);
        }
        let mut control = quic.accept_uni().await.unwrap();
        let mut said = Vec::new();
        while let Ok(Some(chunk)) = control.read_chunk(usize::MAX, true).await {
            said.extend_from_slice(&chunk.bytes);
        }
        // First no number is too large, then it is that of the fourth request.
        let told = [&[7, 8][..], &[0xff; 7], &[0xfc], &[7, 1, 12]].concat();
        assert!(said.ends_with(&told), "{said:x?}");
    });
}

#[test]
fn a_node_that_quits_finishes_what_it_has_begun() {
    let service = Arc::new(Service::start());
    let mut node = node(&service, &[("nginx_worker_processes", "2")]);
    play(async {
        let idle = Connection::open(&node).await;
        let connection = Connection::open(&node).await;
        let mut stream = connection.send(request("GET", "/q")).await;
        stream.finish().await.unwrap();
        let (mut asked, _) = asked(&service).await;
        node.signal(Signal::QUIT);
        let _ = idle.over.await.unwrap();
        asked.answer("done").unwrap();
        assert_eq!(whole(&mut stream).await.content, b"done");
        let _ = connection.over.await.unwrap();
    });
    assert!(node.ends_within(PATIENCE));
}

/// Unlike one of TCP, a connection of QUIC does not end with the process: its client would wait for long.
#[test]
fn clients_are_told_when_they_are_cut_off() {
    for (settings, signals) in [
        (&[("nginx_main_worker_shutdown_timeout", "300ms")][..], &[Signal::QUIT][..]),
        (&[], &[Signal::QUIT, Signal::TERM]),
    ] {
        let service = Arc::new(Service::start());
        let mut node = node(&service, &[settings, &[("nginx_worker_processes", "2")]].concat());
        play(async {
            let mut waiting = Vec::new();
            for _ in 0..4 {
                let connection = Connection::open(&node).await;
                let mut stream = connection.send(request("GET", "/")).await;
                stream.finish().await.unwrap();
                waiting.push((connection, stream, asked(&service).await));
            }
            for signal in signals {
                node.signal(*signal);
                eventually("it begins to end", || node.log().contains("stopping, requests under way"));
            }
            for (connection, ..) in &waiting {
                let error = connection.quic.closed().await;
                let quinn::ConnectionError::ApplicationClosed(close) = &error else { panic!("{error}") };
                assert_eq!(close.error_code.into_inner(), 0x100);
            }
        });
        assert!(node.ends_within(PATIENCE));
    }
}

#[test]
fn streams_beyond_the_limit_wait() {
    let service = Arc::new(Service::start());
    let node = node(&service, &[("nginx_http_http3_max_concurrent_streams", "1")]);
    play(async {
        let connection = Connection::open(&node).await;
        let mut first = connection.send(request("GET", "/1")).await;
        first.finish().await.unwrap();
        let (mut one, _) = asked(&service).await;
        let second = async {
            let mut second = connection.send(request("GET", "/2")).await;
            second.finish().await.unwrap();
            whole(&mut second).await.content
        };
        let mut second = std::pin::pin!(second);
        let waits = std::future::poll_fn(|cx| std::task::Poll::Ready(second.as_mut().poll(cx).is_pending())).await;
        assert!(waits, "it has to wait for its place");
        one.answer("1").unwrap();
        assert_eq!(whole(&mut first).await.content, b"1");
        let answering = tokio::task::spawn_blocking(move || {
            assert_eq!(one.request().unwrap().target, "/2");
            one.answer("2").unwrap();
        });
        assert_eq!(second.await, b"2");
        answering.await.unwrap();
    });
}

/// As CVE-2023-44487: requests that are sent and given up cost the client its connection, and nobody else anything.
#[test]
fn rapid_resets_end_the_connection() {
    let backend = Backend::start("a");
    let node = answering(&backend, &[]);
    play(async {
        let connection = Connection::open(&node).await;
        let head = headers(&[(":method", "GET"), (":scheme", "https"), (":authority", "a.test"), (":path", "/")]);
        for _ in 0..20_000 {
            let Ok((mut send, mut receive)) = connection.quic.open_bi().await else { break };
            if send.write_all(&head).await.is_err() {
                break;
            }
            let _ = send.reset(Code::H3_REQUEST_CANCELLED.value().try_into().unwrap());
            let _ = receive.stop(Code::H3_REQUEST_CANCELLED.value().try_into().unwrap());
        }
        let quinn::ConnectionError::ApplicationClosed(close) = connection.quic.closed().await else {
            panic!("it ends in another way")
        };
        assert_eq!(close.error_code.into_inner(), Code::H3_EXCESSIVE_LOAD.value());
        let other = Connection::open(&node).await;
        assert_eq!(other.get("/other").await.head.status(), 200);
    });
}

/// Streams for which nothing, or not all of a head, is sent are ended in time.
#[test]
fn slow_writers_are_given_up() {
    let backend = Backend::start("a");
    let node =
        answering(&backend, &[("nginx_http_client_header_timeout", "1s"), ("nginx_http_client_body_timeout", "1s")]);
    play(async {
        let connection = Connection::open(&node).await;
        let (mut send, mut receive) = connection.quic.open_bi().await.unwrap();
        send.write_all(&[1, 100, 0, 0]).await.unwrap();
        let ended = receive.read_to_end(1000).await;
        assert!(matches!(ended, Err(quinn::ReadToEndError::Read(quinn::ReadError::Reset(_)))), "{ended:?}");
        let post = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", "a.test"),
            (":path", "/"),
            ("content-length", "9"),
        ];
        let begun = [headers(&post), frame(0, b"abc")].concat();
        let (mut send, mut receive) = connection.quic.open_bi().await.unwrap();
        send.write_all(&begun).await.unwrap();
        let answer = receive.read_to_end(10_000).await.unwrap();
        assert!(String::from_utf8_lossy(&answer).contains("408"), "{answer:?}");
        assert_eq!(connection.get("/").await.head.status(), 200);
    });
    assert_eq!(backend.requests(), 1);
}

/// A client that takes nothing of a large response holds a bounded part of it, and is given up in time.
#[test]
fn slow_readers_are_given_up() {
    let service = Arc::new(Service::start());
    let node = node(&service, &[("nginx_http_send_timeout", "1s"), ("nginx_http_proxy_max_temp_file_size", "0")]);
    play(async {
        let connection = Connection::open(&node).await;
        let mut stream = connection.send(request("GET", "/large")).await;
        stream.finish().await.unwrap();
        let (mut asked, _) = asked(&service).await;
        let sending = tokio::task::spawn_blocking(move || {
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
            let mut sent = asked.send_raw(head);
            let mut pieces = 0_u64;
            while sent.is_ok() && pieces < 2000 {
                sent = asked.send_raw(&[b'x'; 500_000]);
                pieces += 1;
            }
            pieces
        });
        assert!(sending.await.unwrap() < 200, "it takes a hundred megabytes that nobody reads");
    });
    eventually("it is noted", || {
        std::fs::read_to_string(node.prefix().join("logs/access.log")).unwrap_or_default().contains("/large")
    });
}

/// A client that is there no more is noticed, and its exchange ends.
#[test]
fn vanished_clients_are_noticed() {
    let service = Arc::new(Service::start());
    let node = node(&service, &[("nginx_http_keepalive_timeout", "1s"), ("nginx_http_client_header_timeout", "1s")]);
    let (client, mut given_up) = play(async {
        let connection = Connection::open(&node).await;
        let mut stream = connection.send(request("GET", "/v")).await;
        stream.finish().await.unwrap();
        let (given_up, _) = asked(&service).await;
        ((connection, stream), given_up)
    });
    // What the client runs on is gone, and nobody says goodbye.
    assert!(given_up.closes_within(PATIENCE), "the service goes on working for nobody");
    drop(client);
}

/// With `quic_retry`, a handshake begins only once the client has shown that it receives what is sent to it.
#[test]
fn addresses_are_validated_where_that_is_wanted() {
    let backend = Backend::start("a");
    let node = answering(&backend, &[("nginx_http_quic_retry", "on")]);
    play(async {
        let connection = Connection::open(&node).await;
        assert_eq!(connection.get("/").await.head.status(), 200);
    });
}

/// Both processes have the socket; what a client sends goes to the one that has its connection.
#[test]
fn a_successor_takes_new_connections_while_old_ones_finish() {
    let service = Arc::new(Service::start());
    let node = node(&service, &[]);
    let process = || std::fs::read_to_string(node.prefix().join("pids/nginx.pid")).unwrap_or_default();
    play_within(4 * PATIENCE, async {
        let old = Connection::open(&node).await;
        let mut stream = old.send(request("GET", "/old")).await;
        stream.finish().await.unwrap();
        let (mut begun, _) = asked(&service).await;
        let former = process();
        node.signal(Signal::USR2);
        eventually("a successor serves", || !["", &former].contains(&&*process()));
        // Until then a new connection may come to either, and what comes first after the word of the end is refused.
        eventually("the former process leaves", || node.log().contains("stopping, requests under way"));
        let new = Connection::open(&node).await;
        let mut another = new.send(request("GET", "/new")).await;
        another.finish().await.unwrap();
        let (mut later, seen) = asked(&service).await;
        assert_eq!(seen.target, "/new");
        later.answer("new").unwrap();
        assert_eq!(whole(&mut another).await.content, b"new");
        begun.send_raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nold").unwrap();
        assert_eq!(whole(&mut stream).await.content, b"old");
        // Another one, of many datagrams.
        let mut last = old.send(request("POST", "/last")).await;
        let content = Bytes::from(vec![b'x'; 100_000]);
        last.send_data(content.clone()).await.unwrap();
        last.finish().await.unwrap();
        let (mut again, seen) = asked(&service).await;
        assert_eq!(seen.target, "/last");
        assert_eq!(seen.body, content);
        again.answer("last").unwrap();
        assert_eq!(whole(&mut last).await.content, b"last");
    });
}
