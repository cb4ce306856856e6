//! What could mean something else to a service of HTTP/1.1, and what breaks the protocol: none of it passes, and nobody
//! else on the node pays for it.

use crate::answering;
use crate::client::{Connection, Fate, frame, headers, play, play_within};
use blackbox::{Backend, PATIENCE};

const DATA: u8 = 0;
const USUAL: [(&str, &str); 4] = [(":method", "POST"), (":scheme", "https"), (":authority", "a.test"), (":path", "/x")];

/// The usual head with other lines behind.
fn with(more: &[(&str, &str)]) -> Vec<u8> {
    headers(&[&USUAL[..], more].concat())
}

#[test]
fn heads_that_could_be_read_in_two_ways_are_refused() {
    let backend = Backend::start("a");
    let node = answering(&backend, &[]);
    let large = "a".repeat(7000);
    let repeated = |line| [&USUAL[..], &[line]].concat();
    let cases = [
        ("a second path", repeated((":path", "/admin"))),
        ("a second method", repeated((":method", "GET"))),
        ("a second authority", repeated((":authority", "b.test"))),
        ("a second scheme", repeated((":scheme", "http"))),
        ("a pseudo-header of responses", repeated((":status", "200"))),
        ("an extension that was not offered", repeated((":protocol", "connect-udp"))),
        ("a pseudo-header behind a line", vec![("x-a", "1"), USUAL[0], USUAL[1], USUAL[2], USUAL[3]]),
        ("another host", repeated(("host", "b.test"))),
        ("a name in upper case", repeated(("X-A", "1"))),
        ("a name with a blank", repeated(("x a", "1"))),
        ("a name with a colon", repeated(("x:a", "1"))),
        ("a name with a line end", repeated(("x\r\nx-b", "1"))),
        ("a value with a line end", repeated(("x-a", "1\r\ntransfer-encoding: chunked"))),
        ("a value with a line feed", repeated(("x-a", "1\nx-b: 2"))),
        ("a value with NUL", repeated(("x-a", "1\0"))),
        ("a coding", repeated(("transfer-encoding", "chunked"))),
        ("a connection option", repeated(("connection", "x-a"))),
        ("an upgrade", repeated(("upgrade", "h2c"))),
        ("lengths", vec![USUAL[0], USUAL[1], USUAL[2], USUAL[3], ("content-length", "1"), ("content-length", "2")]),
        ("a length that is none", repeated(("content-length", "+1"))),
        ("a path with a request in it", vec![USUAL[0], USUAL[1], USUAL[2], (":path", "/ HTTP/1.1\r\nhost: b")]),
        ("a path that is a URL", vec![USUAL[0], USUAL[1], USUAL[2], (":path", "https://b.test/")]),
        ("a method with a request in it", vec![(":method", "GET / HTTP/1.1\r\nX:"), USUAL[1], USUAL[2], USUAL[3]]),
        ("a user in the authority", vec![USUAL[0], USUAL[1], (":authority", "a.test@b.test"), USUAL[3]]),
        ("no authority", vec![USUAL[0], USUAL[1], USUAL[3]]),
        (
            "too much",
            vec![
                USUAL[0],
                USUAL[1],
                USUAL[2],
                USUAL[3],
                ("x", &large),
                ("x", &large),
                ("x", &large),
                ("x", &large),
                ("x", &large),
            ],
        ),
    ];
    play(async {
        let connection = Connection::open(&node).await;
        for (what, lines) in cases {
            assert_eq!(connection.play(&headers(&lines), true).await, Fate::Answered(400), "{what}");
        }
        assert_eq!(connection.get("/").await.head.status(), 200);
    });
    assert_eq!(backend.requests(), 1);
}

#[test]
fn content_is_as_long_as_it_says() {
    let backend = Backend::start("a");
    let node = answering(&backend, &[]);
    play(async {
        let connection = Connection::open(&node).await;
        for (length, content) in [("5", "abc"), ("2", "abc"), ("0", "abc")] {
            let frames = [with(&[("content-length", length)]), frame(DATA, content.as_bytes())].concat();
            assert_eq!(connection.play(&frames, true).await, Fate::Answered(400), "{length}");
        }
        let frames = [with(&[("content-length", "3")]), frame(DATA, b"a"), frame(DATA, b"bc")].concat();
        assert_eq!(connection.play(&frames, true).await, Fate::Answered(200));
    });
    assert_eq!(backend.requests(), 1);
}

#[test]
fn a_head_is_bounded_before_it_has_come() {
    let backend = Backend::start("a");
    let node = answering(&backend, &[]);
    play(async {
        let connection = Connection::open(&node).await;
        // A gigabyte is announced.
        let begun = [&[1, 0xc0, 0, 0, 0, 0x40, 0, 0, 0][..], &[0; 1000]].concat();
        assert_eq!(connection.play(&begun, false).await, Fate::Answered(400));
        // The same as a frame that means nothing: it is dropped as it comes.
        let ignored = [frame(0x21, &[0; 500_000]), with(&[])].concat();
        assert_eq!(connection.play(&ignored, true).await, Fate::Answered(200));
        assert_eq!(connection.get("/").await.head.status(), 200);
    });
}

#[test]
fn what_breaks_the_protocol_ends_the_connection() {
    let backend = Backend::start("a");
    let node = answering(&backend, &[]);
    let unexpected = Fate::Closed(0x105);
    let cases = [
        ("content first", frame(DATA, b"x"), &unexpected),
        ("settings", [with(&[]), frame(4, b"")].concat(), &unexpected),
        ("a promise", [with(&[]), frame(5, b"")].concat(), &unexpected),
        ("a frame of HTTP/2", [with(&[]), frame(6, b"")].concat(), &unexpected),
        ("content behind trailers", [with(&[]), headers(&[("x", "1")]), frame(DATA, b"x")].concat(), &unexpected),
        ("a frame cut short", with(&[])[..20].to_vec(), &Fate::Closed(0x106)),
        ("a dynamic table", frame(1, &[2, 0, 0x80]), &Fate::Closed(0x200)),
        ("no lines at all", frame(1, &[]), &Fate::Closed(0x200)),
    ];
    play(async {
        for (what, frames, fate) in cases {
            let connection = Connection::open(&node).await;
            assert_eq!(connection.play(&frames, true).await, *fate, "{what}");
        }
        let connection = Connection::open(&node).await;
        assert_eq!(connection.play(&[], true).await, Fate::Reset(0x10d), "a stream without a request");
        assert_eq!(connection.get("/").await.head.status(), 200);
    });
}

#[test]
fn streams_beside_requests_keep_to_the_protocol() {
    let backend = Backend::start("a");
    let node = answering(&backend, &[]);
    let cases: [(&str, &[u8], u64); 14] = [
        ("no settings", &[0, 7, 1, 0], 0x10a),
        ("settings twice", &[0, 4, 0, 4, 0], 0x105),
        ("a setting of HTTP/2", &[0, 4, 2, 2, 0], 0x109),
        ("too many settings", &[0, 4, 0x60, 0], 0x107),
        ("a promise of a client", &[1], 0x103),
        ("an entry of a table that is not there", &[2, 0xc0, 0, 0, 0, 0, 0, 0, 0], 0x201),
        ("no frame of a control stream", &[0, 4, 0, 0, 1, b'x'], 0x105),
        ("an end that moves on", &[0, 4, 0, 7, 1, 0, 7, 1, 4], 0x108),
        ("an end without a number", &[0, 4, 0, 7, 0], 0x106),
        ("an end with more than a number", &[0, 4, 0, 7, 2, 0, 0], 0x106),
        ("fewer promises than before", &[0, 4, 0, 0xd, 1, 5, 0xd, 1, 3], 0x108),
        ("an entry that was never made", &[3, 0x01], 0x202),
        ("lines that did not need a table", &[3, 0x80], 0x202),
        ("the same behind streams that it does not read", &[3, 0x40, 0x7f, 0x80, 0x01, 0x80], 0x202),
    ];
    play(async {
        for (what, octets, code) in cases {
            let (_endpoint, quic) = crate::connect(node.quic(), &crate::offer()).await;
            let mut stream = quic.open_uni().await.unwrap();
            stream.write_all(octets).await.unwrap();
            match quic.closed().await {
                quinn::ConnectionError::ApplicationClosed(close) => {
                    assert_eq!(close.error_code.into_inner(), code, "{what}");
                }
                other => panic!("{what}: {other}"),
            }
        }
        // The end of the control stream ends the connection, too; streams of unknown kinds do not.
        let (_endpoint, quic) = crate::connect(node.quic(), &crate::offer()).await;
        let mut unknown = quic.open_uni().await.unwrap();
        unknown.write_all(&[0x21, 1, 2, 3]).await.unwrap();
        assert_eq!(unknown.stopped().await.unwrap().map(quinn::VarInt::into_inner), Some(0x103));
        let mut control = quic.open_uni().await.unwrap();
        control.write_all(&[0, 4, 0]).await.unwrap();
        control.finish().unwrap();
        assert!(matches!(quic.closed().await, quinn::ConnectionError::ApplicationClosed(close)
            if close.error_code.into_inner() == 0x104));
    });
}

/// What serves no request, on any stream, as nginx has it: there is an end to it.
#[test]
fn floods_end_the_connection() {
    let backend = Backend::start("a");
    let node = answering(&backend, &[]);
    let cases: [(&str, bool, &[u8], &[u8]); 5] = [
        ("frames without content", true, &with(&[]), &frame(DATA, b"")),
        ("frames that mean nothing", true, &with(&[]), &frame(0x21, b"")),
        ("the same beside requests", false, &[0, 4, 0], &frame(0x21, b"")),
        ("promises that it need not hear of", false, &[0, 4, 0], &frame(0xd, &[0])),
        ("capacities of a table that is not there", false, &[2], &[0x20]),
    ];
    // As many octets take their time in a program that is not optimised.
    play_within(PATIENCE * 5, async {
        for (what, of_request, first, again) in cases {
            let (_endpoint, quic) = crate::connect(node.quic(), &crate::offer()).await;
            let (mut stream, _receive) = if of_request {
                let (send, receive) = quic.open_bi().await.unwrap();
                (send, Some(receive))
            } else {
                (quic.open_uni().await.unwrap(), None)
            };
            stream.write_all(first).await.unwrap();
            let flood = again.repeat(10_000);
            for _ in 0..(16 << 20) / flood.len() {
                if stream.write_all(&flood).await.is_err() {
                    break;
                }
            }
            let quinn::ConnectionError::ApplicationClosed(close) = quic.closed().await else { panic!("{what}") };
            assert_eq!(close.error_code.into_inner(), 0x107, "{what}");
        }
        let (_endpoint, quic) = crate::connect(node.quic(), &crate::offer()).await;
        for _ in 0..10_000 {
            let Ok(mut stream) = quic.open_uni().await else { break };
            if stream.write_all(&[0x21]).await.is_err() && quic.close_reason().is_some() {
                break;
            }
        }
        let quinn::ConnectionError::ApplicationClosed(close) = quic.closed().await else {
            panic!("streams for nothing")
        };
        assert_eq!(close.error_code.into_inner(), 0x107, "streams for nothing");
        let other = Connection::open(&node).await;
        assert_eq!(other.get("/other").await.head.status(), 200);
    });
}
