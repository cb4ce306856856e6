//! The engine against clients and services that follow the protocol, stretch it, or break it.

mod filters;
mod stage;

use proxy::settings::Limits;
use serde_json::json;
use stage::{COMPUTES, Stage, Wire, service, service_record};
use std::sync::mpsc;
use std::time::Duration;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Answers every request without content.
fn simple(_: usize, wire: &mut Wire) {
    for _ in 0..100 {
        wire.head();
        wire.write(OK);
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\n\r\n")
}

#[test]
fn pipelined_requests_are_answered_in_order_on_one_connection() {
    let (address, _requests) = service(|_, wire| {
        for n in 0..3 {
            let head = wire.head();
            assert!(head.starts_with(&format!("GET /{n} HTTP/1.1\r\n")), "{head}");
            wire.write(&format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{n}"));
        }
    });
    let stage = Stage::new(address, json!({}), json!({}));
    let all = stage.send(&format!("GET /0 HTTP/1.1\r\nHost: h\r\n\r\nGET /1 HTTP/1.1\r\nHost: h\r\n\r\n{}", get("/2")));
    let bodies: Vec<_> = all.split("\r\n\r\n").skip(1).map(|b| &b[..1]).collect();
    assert_eq!(bodies, ["0", "1", "2"]);
    assert_eq!(all.matches("HTTP/1.1 200 OK").count(), 3);
}

#[test]
fn a_chunked_request_streams_with_its_trailers() {
    let (address, seen) = service(|_, wire| {
        let head = wire.head().to_lowercase();
        let body = wire.until("0\r\nx-t: 1\r\n\r\n");
        wire.write(OK);
        (head, body)
    });
    let stage = Stage::new(address, json!({}), json!({}));
    let chunk = format!("{:x}\r\n{}\r\n", 60_000, "y".repeat(60_000));
    let answer = stage.send(&format!(
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: \
        chunked\r\n\r\n{chunk}{chunk}0\r\nx-t: 1\r\n\r\n"
    ));
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let (head, body) = seen.recv().unwrap();
    assert!(head.contains("transfer-encoding: chunked\r\n") && !head.contains("content-length"), "{head}");
    assert_eq!(body.matches('y').count(), 120_000);
}

#[test]
fn framing_named_by_connection_is_kept() {
    let (address, seen) = service(|_, wire| {
        let head = wire.head();
        let body = wire.take(5);
        wire.write(OK);
        (head, body)
    });
    let stage = Stage::new(address, json!({}), json!({}));
    stage.send(
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close, Content-Length, Host, X-Drop\r\nX-Drop: \
        1\r\nContent-Length: 5\r\n\r\nGET /",
    );
    let (head, body) = seen.recv().unwrap();
    assert!(head.contains("Content-Length: 5\r\n") && !head.contains("X-Drop"), "{head}");
    assert_eq!(body, "GET /");
}

#[test]
fn responses_of_every_framing_arrive_whole() {
    let (address, _seen) = service(|n, wire| {
        wire.head();
        match n {
            0 => wire.write(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: \
                x-t\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nx-t: 1\r\n\r\n",
            ),
            1 => wire.write("HTTP/1.1 200 OK\r\n\r\nabcde"),
            2 => wire.write("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nabcde"),
            _ => wire.write(
                "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: \
                5\r\n\r\nabcde",
            ),
        }
    });
    let stage = Stage::new(address, json!({}), json!({}));
    // The second and third connection to the service cannot be used again, the first is closed by the service.
    assert!(stage.send(&get("/")).ends_with("abcde\r\n0\r\nx-t: 1\r\n\r\n") || stage.send(&get("/")).contains("abcde"));
    for _ in 0..2 {
        let answer = stage.send(&get("/"));
        assert!(answer.contains("abcde"), "{answer}");
    }
    let hints = stage.send(&get("/"));
    assert!(
        hints.starts_with("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\n")
            && hints.ends_with("abcde"),
        "{hints}"
    );
}

#[test]
fn a_stale_kept_connection_is_replaced_for_get_and_avoided_for_post() {
    let (address, closed) = service(|_, wire| {
        let head = wire.head();
        if head.starts_with("POST") {
            wire.take(1);
        }
        wire.write(OK);
    });
    let stage = Stage::new(address, json!({"retries": 0}), json!({}));
    let mut client = stage.connect();
    for round in 0..20 {
        let request = if round % 2 == 0 {
            "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
        } else {
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx"
        };
        client.write(request);
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 200 OK"), "round {round}: {head}");
        client.take(2);
        closed.recv().unwrap();
    }
}

#[test]
fn a_response_that_ends_early_is_not_passed_off_as_whole() {
    let (address, _seen) = service(|_, wire| {
        wire.head();
        wire.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    });
    let stage = Stage::new(address, json!({}), json!({}));
    let mut client = stage.connect();
    client.write("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let head = client.head();
    assert!(head.contains("Content-Length: 10\r\n"), "{head}");
    assert_eq!(client.rest(), "abc");
}

#[test]
fn a_post_is_sent_once_and_a_get_again() {
    let (address, seen) = service(|_, wire| {
        wire.head();
    });
    let stage = Stage::new(address, json!({"retries": 2}), json!({}));
    assert!(
        stage
            .send("POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx")
            .starts_with("HTTP/1.1 502 ")
    );
    seen.recv().unwrap();
    assert!(stage.send(&get("/")).starts_with("HTTP/1.1 502 "));
    assert_eq!((0..3).map(|_| seen.recv().unwrap()).count(), 3);
    assert!(seen.recv_timeout(Duration::from_millis(50)).is_err());
}

#[test]
fn what_a_service_sends_unasked_does_not_answer_the_next_request() {
    let (address, _seen) = service(|_, wire| {
        wire.head();
        wire.write(&format!("{OK}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"));
    });
    let stage = Stage::new(address, json!({}), json!({}));
    let mut client = stage.connect();
    for _ in 0..3 {
        client.write("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        client.head();
        assert_eq!(client.take(2), "ok");
    }
}

#[test]
fn a_client_that_closes_its_side_is_gone_unless_that_is_to_be_ignored() {
    for ignored in [true, false] {
        let (closed, sees) = mpsc::channel();
        let (address, _seen) = service(move |_, wire| {
            if ignored {
                wire.head();
                wire.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            } else {
                // It never answers: only the gateway can end this, perhaps before it has asked.
                let _ = closed.send(wire.rest());
            }
        });
        let limits = Limits { proxy_ignore_client_abort: ignored, ..Limits::default() };
        let stage = Stage::with(limits, address, json!({}), json!({}));
        let mut client = stage.connect();
        client.write("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        client.close_sending();
        let answer = client.rest();
        if ignored {
            assert!(answer.ends_with("ok"));
        } else {
            assert_eq!(answer, "");
            assert!(sees.recv_timeout(Duration::from_secs(10)).is_ok(), "the service goes on for nobody");
        }
    }
}

#[test]
fn http_1_0_clients_get_what_they_understand() {
    let (address, _seen) = service(|_, wire| {
        wire.head();
        wire.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n");
    });
    let stage = Stage::new(address, json!({}), json!({}));
    let answer = stage.send("GET / HTTP/1.0\r\n\r\n");
    assert!(
        answer.ends_with("\r\n\r\nabcde") && answer.contains("Connection: close\r\n") && !answer.contains("chunked"),
        "{answer}"
    );
}

#[test]
fn garbage_is_refused_and_the_connection_closed() {
    let (address, _seen) = service(simple);
    let stage = Stage::new(address, json!({}), json!({}));
    for (bytes, status) in [
        ("GARBAGE\r\n\r\n", "400"),
        ("GET / HTTP/9.9\r\nHost: a\r\n\r\n", "505"),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: foo\r\n\r\n", "501"),
    ] {
        let answer = stage.send(bytes);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains("Connection: close\r\n"),
            "{bytes:?}: {answer}"
        );
    }
    assert_eq!(stage.send("GET /\r\n\r\n"), "");
    let bad_chunk = stage.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX0\r\n\r\n");
    assert!(bad_chunk.starts_with("HTTP/1.1 400 "), "{bad_chunk}");
    assert!(stage.send(&get("/")).ends_with("ok"));
}

#[test]
fn too_much_content_is_refused_however_it_is_framed() {
    let (address, _seen) = service(simple);
    let stage = Stage::with(Limits { client_max_body_size: 1000, ..Limits::default() }, address, json!({}), json!({}));
    let long = "y".repeat(2000);
    let by_length = stage.send(&format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n{long}"));
    let by_chunks = stage
        .send(&format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n{long}\r\n0\r\n\r\n"));
    assert!(by_length.starts_with("HTTP/1.1 413 "), "{by_length}");
    assert!(by_chunks.starts_with("HTTP/1.1 413 "), "{by_chunks}");
}

#[test]
fn expect_is_answered_before_the_content_is_asked_for() {
    let (address, seen) = service(|_, wire| {
        let head = wire.head();
        wire.take(5);
        wire.write(OK);
        head
    });
    let stage = Stage::new(address, json!({}), json!({}));
    let mut client = stage.connect();
    client.write("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.head(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.write("hello");
    assert!(client.head().starts_with("HTTP/1.1 200 OK"));
    assert!(!seen.recv().unwrap().contains("Expect"));
}

#[test]
fn websockets_are_relayed_both_ways() {
    let (address, _seen) = service(|_, wire| {
        assert!(wire.head().contains("Upgrade: websocket\r\n"));
        wire.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello");
        let text = wire.until("!");
        wire.write(&text.to_uppercase());
    });
    let stage = Stage::new(address, json!({}), json!({}));
    let mut client = stage.connect();
    client.write("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly");
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    assert_eq!(client.take(5), "hello");
    client.write(" words!");
    assert_eq!(client.rest(), "EARLY WORDS!");
}

#[test]
fn timeouts_count_pauses() {
    let (address, _seen) = service(|_, wire| {
        wire.head();
        wire.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
        for octet in ["a", "b", "c", "d"] {
            // The pause is what is tested: shorter than the timeout each, longer in sum.
            std::thread::sleep(Duration::from_millis(150));
            wire.write(octet);
        }
    });
    let stage = Stage::new(address, json!({"read_timeout": 400}), json!({}));
    assert!(stage.send(&get("/")).ends_with("abcd"));
    let (mute, _held) = service(|_, wire| wire.rest());
    let stage = Stage::new(mute, json!({"read_timeout": 100, "retries": 0}), json!({}));
    assert!(stage.send(&get("/")).starts_with("HTTP/1.1 504 "));
}

#[test]
fn what_plugins_take_is_the_gateways_time() {
    let (address, _requests) = service(simple);
    let stage = Stage::new(address, json!({}), json!({}));
    let busy = json!({
        "id": "00000000-0000-4000-8000-000000000003", "name": "busy", "enabled": true,
        "protocols": ["http", "https"], "config": {}
    });
    stage.put("plugins", busy);
    let answer = stage.send(&get("/"));
    let latency = |of: &str| -> u128 {
        let line = answer.lines().find_map(|line| line.strip_prefix(&format!("X-Kong-{of}-Latency: ")));
        line.unwrap_or_else(|| panic!("{answer}")).parse().unwrap()
    };
    assert!(latency("Proxy") >= COMPUTES.as_millis(), "{answer}");
    assert!(latency("Upstream") < latency("Proxy"), "{answer}");
}

#[test]
fn what_records_that_cannot_be_used_are_for_is_refused() {
    let (address, _seen) = service(simple);
    let stage = Stage::new(address, json!({}), json!({}));
    let id = |n: u8| format!("00000000-0000-4000-8000-0000000000{n:02}");
    let route = |n: u8, path: &str, of: u8, status: i32| {
        json!({"id": id(n), "protocols": ["http"], "paths": [path],
        "service": {"id": id(of)}, "https_redirect_status_code": status})
    };
    stage.put("routes", route(11, "/route", 1, -1));
    stage.put("services", json!({"id": id(3), "protocol": "http", "host": "127.0.0.1", "port": -1}));
    stage.put("routes", route(12, "/service", 3, 426));
    // It names what is also an address at which there is a service.
    stage.put("upstreams", json!({"id": id(4), "name": "127.0.0.1", "slots": -1}));
    stage.put("services", json!({"id": id(5), "protocol": "http", "host": "127.0.0.1", "port": address.port()}));
    stage.put("routes", route(13, "/upstream", 5, 426));
    for (path, status) in [("/route", 500), ("/service", 500), ("/upstream", 503)] {
        let answer = stage.send(&get(path));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
    }
    stage.put("upstreams", json!({"id": id(4), "name": "u", "slots": -1}));
    assert!(stage.send(&get("/upstream")).ends_with("ok"), "it has another name now");
}

#[test]
fn draining_finishes_what_is_under_way_and_closes_what_is_idle() {
    let (address, _seen) = service(|_, wire| {
        wire.head();
        wire.until("never");
    });
    let stage = Stage::new(address, json!({}), json!({}));
    let mut idle = stage.connect();
    idle.write("GET /x HTTP/1.1\r\nHost: h\r\n");
    let mut kept = stage.connect();
    let (other, _seen) = service(simple);
    stage.put("services", service_record(other));
    kept.write("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    kept.head();
    assert_eq!(kept.take(2), "ok");
    stage.plane.drain(Duration::from_millis(300));
    assert_eq!(kept.rest(), "");
    assert_eq!(idle.rest(), "");
}
