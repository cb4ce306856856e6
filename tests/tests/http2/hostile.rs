//! What could mean something else to a service of HTTP/1.1, and floods of frames: none of it passes, and nobody else on
//! the node pays for it.

use crate::client::{Connection, Over, play};
use crate::limits::answering;
use crate::raw::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, Raw, SETTINGS, WINDOW_UPDATE,
    block, frame,
};
use blackbox::{Backend, Node, PATIENCE, Usage};
use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

const USUAL: [(&str, &str); 4] = [(":method", "POST"), (":scheme", "http"), (":authority", "a.test"), (":path", "/x")];

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// A response.
    Answered,
    /// Its stream was reset.
    Reset,
    /// The connection has ended.
    Ended,
}

impl Raw {
    /// What becomes of the request that these frames are, on stream 1.
    fn play(mut self, frames: &[u8]) -> Fate {
        // The node may be done with it before it has taken everything.
        let _ = self.0.write_all(frames);
        loop {
            match self.next() {
                Ok(frame) if frame.kind == HEADERS && frame.stream == 1 => return Fate::Answered,
                Ok(frame) if frame.kind == RST_STREAM && frame.stream == 1 => return Fate::Reset,
                Ok(frame) if frame.kind == GOAWAY => return Fate::Ended,
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    panic!("nothing becomes of it")
                }
                Err(_) => return Fate::Ended,
            }
        }
    }

    /// Writes that again and again until the node takes no more of it, or has taken so many octets; whether the node
    /// has ended the connection.
    fn flood(&mut self, piece: &[u8], most: usize) -> bool {
        self.0.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
        let (end, mut sent) = (Instant::now() + PATIENCE, 0);
        while sent < most && Instant::now() < end {
            match self.0.write(piece) {
                Ok(n) => sent += n,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return false,
                Err(_) => return true,
            }
        }
        false
    }
}

fn request(lines: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(lines))
}

fn node(backend: &Backend) -> Node {
    answering(backend, &[("nginx_worker_processes", "1")])
}

/// The node serves others, and has not grown by more than so many MiB.
fn is_well(node: &Node, before: usize, most: usize) {
    play(async {
        let other = Connection::open(node, Over::Plain).await;
        assert_eq!(other.get("/").await.head.status(), 200);
    });
    let grown = Usage::of(node.pid()).memory.saturating_sub(before);
    assert!(grown < most << 10, "it has grown by {grown} KiB");
}

#[test]
fn heads_that_could_be_read_in_two_ways_are_refused() {
    let backend = Backend::start("a");
    let node = node(&backend);
    let repeated = |line| [&USUAL[..], &[line]].concat();
    let cases = [
        ("a second path", repeated((":path", "/admin"))),
        ("a second method", repeated((":method", "GET"))),
        ("a second authority", repeated((":authority", "b.test"))),
        ("a second scheme", repeated((":scheme", "https"))),
        ("a pseudo-header of responses", repeated((":status", "200"))),
        ("an unknown pseudo-header", repeated((":other", "1"))),
        ("an extension of a usual method", repeated((":protocol", "websocket"))),
        ("a pseudo-header behind a line", vec![("x-a", "1"), USUAL[0], USUAL[1], USUAL[2], USUAL[3]]),
        ("another host", repeated(("host", "b.test"))),
        ("a name in upper case", repeated(("X-A", "1"))),
        ("a name with a blank", repeated(("x a", "1"))),
        ("a name with a colon", repeated(("x:a", "1"))),
        ("a name with a line end", repeated(("x\r\nx-b", "1"))),
        ("no name", repeated(("", "1"))),
        ("a value with a line end", repeated(("x-a", "1\r\ntransfer-encoding: chunked"))),
        ("a value with a line feed", repeated(("x-a", "1\nx-b: 2"))),
        ("a value with NUL", repeated(("x-a", "1\0"))),
        ("a coding", repeated(("transfer-encoding", "chunked"))),
        ("a connection option", repeated(("connection", "x-a"))),
        ("an upgrade", repeated(("upgrade", "websocket"))),
        ("lengths", vec![USUAL[0], USUAL[1], USUAL[2], USUAL[3], ("content-length", "1"), ("content-length", "2")]),
        ("a length that is none", repeated(("content-length", "+1"))),
        ("a length without content", repeated(("content-length", "1"))),
        ("a path with a request in it", vec![USUAL[0], USUAL[1], USUAL[2], (":path", "/ HTTP/1.1\r\nhost: b")]),
        ("a path that is no path", vec![USUAL[0], USUAL[1], USUAL[2], (":path", "x")]),
        ("no path", vec![USUAL[0], USUAL[1], USUAL[2]]),
        ("an empty path", vec![USUAL[0], USUAL[1], USUAL[2], (":path", "")]),
        ("no method", vec![USUAL[1], USUAL[2], USUAL[3]]),
        ("a method with a request in it", vec![(":method", "GET / HTTP/1.1\r\nX:"), USUAL[1], USUAL[2], USUAL[3]]),
        ("a user in the authority", vec![USUAL[0], USUAL[1], (":authority", "a.test@b.test"), USUAL[3]]),
        ("no authority", vec![USUAL[0], USUAL[1], USUAL[3]]),
        ("a tunnel without a path", vec![(":method", "CONNECT"), (":protocol", "websocket"), USUAL[1], USUAL[2]]),
    ];
    for (what, lines) in cases {
        let fate = Raw::open(&node).play(&request(&lines));
        assert_eq!(backend.requests(), 0, "{what} has gone to the service: {fate:?}");
    }
    assert_eq!(Raw::open(&node).play(&request(&USUAL)), Fate::Answered);
    assert_eq!(backend.requests(), 1);
}

#[test]
fn content_is_as_long_as_it_says() {
    let backend = Backend::start("a");
    let node = node(&backend);
    let head = frame(HEADERS, END_HEADERS, 1, &block(&[&USUAL[..], &[("content-length", "3")]].concat()));
    for content in ["ab", "abcd"] {
        let frames = [head.clone(), frame(DATA, END_STREAM, 1, content.as_bytes())].concat();
        Raw::open(&node).play(&frames);
        assert_eq!(backend.requests(), 0, "{content}");
    }
    assert_eq!(Raw::open(&node).play(&[head, frame(DATA, END_STREAM, 1, b"abc")].concat()), Fate::Answered);
}

/// CVE-2024-27316 and its kin: a head that never ends.
#[test]
fn a_head_without_end_ends_the_connection() {
    let backend = Backend::start("a");
    let node = node(&backend);
    let before = Usage::of(node.pid()).memory;
    let mut raw = Raw::open(&node);
    raw.0.write_all(&frame(HEADERS, END_STREAM, 1, &block(&USUAL))).unwrap();
    let more = frame(CONTINUATION, 0, 1, &block(&[("x-a", &"a".repeat(8000))]));
    assert!(raw.flood(&more, 256 << 20), "the node goes on reading");
    is_well(&node, before, 32);
}

/// Frames that want an answer from a node whose client takes none.
#[test]
fn floods_of_frames_cost_no_memory() {
    let backend = Backend::start("a");
    let node = node(&backend);
    is_well(&node, 0, usize::MAX >> 10);
    let before = Usage::of(node.pid()).memory;
    let settings = frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]);
    for flood in
        [settings, frame(PING, 0, 0, b"12345678"), frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]), frame(99, 0, 0, b"?")]
    {
        let mut raw = Raw::open(&node);
        raw.flood(&flood.repeat(1000), 2 << 20);
        is_well(&node, before, 32);
    }
}

/// Frames that want no answer and serve no request, as nginx has it: there is an end to them.
#[test]
fn floods_of_frames_end_the_connection() {
    let backend = Backend::start("a");
    let node = node(&backend);
    is_well(&node, 0, usize::MAX >> 10);
    let before = Usage::of(node.pid()).memory;
    let update = frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]);
    for flood in [frame(DATA, 0, 1, b""), update, frame(99, 0, 0, b"?")] {
        let mut raw = Raw::open(&node);
        raw.0.write_all(&frame(HEADERS, END_HEADERS, 1, &block(&USUAL))).unwrap();
        assert!(raw.flood(&flood.repeat(1000), 64 << 20), "the node goes on reading: {:?}", &flood[..9]);
        is_well(&node, before, 32);
    }
}

/// A client that opens streams and takes nothing of what it asks for.
#[test]
fn closed_windows_hold_little() {
    let backend = Backend::start("a");
    let node = node(&backend);
    is_well(&node, 0, usize::MAX >> 10);
    let before = Usage::of(node.pid()).memory;
    let mut raw = Raw::open(&node);
    raw.0.write_all(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).unwrap();
    let get = [(":method", "GET"), USUAL[1], USUAL[2], USUAL[3]];
    let streams = (0..100).flat_map(|n| frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, &block(&get)));
    raw.0.write_all(&streams.collect::<Vec<_>>()).unwrap();
    blackbox::eventually("the service has answered", || backend.requests() == 101);
    is_well(&node, before, 32);
}
