//! The cases that Autobahn's suite has for who reads: fragments, control frames between them, texts, closes, sizes.

use super::*;

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const LAST: u8 = 0x80;

/// A frame of a service.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        length @ 0..126 => out.push(u8::try_from(length).unwrap()),
        length => {
            out.push(126);
            out.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        }
    }
    [out, payload.to_vec()].concat()
}

/// What comes of frames in pieces of that size: each message as a line, and how it ended.
fn lines(frames: &[Vec<u8>], piece: usize, limit: usize) -> (Vec<String>, Option<u16>) {
    let mut messages = Messages::new(Side::Service, limit);
    let mut lines = Vec::new();
    for mut octets in frames.concat().chunks(piece) {
        loop {
            match messages.read(&mut octets) {
                Ok(Some(Received::Message(kind, payload))) => {
                    lines.push(format!("{kind:?} {}", String::from_utf8_lossy(payload)));
                }
                Ok(Some(Received::Close(status, reason))) => lines.push(format!("Close {status:?} {reason}")),
                Ok(None) => break,
                Err(violation) => return (lines, Some(violation.status)),
            }
        }
    }
    (lines, None)
}

/// The same for every size of pieces.
fn read(frames: &[Vec<u8>]) -> (Vec<String>, Option<u16>) {
    let whole = lines(frames, usize::MAX, 1000);
    for piece in [1, 2, 3, 7, 100] {
        assert_eq!(lines(frames, piece, 1000), whole, "in pieces of {piece}");
    }
    whole
}

fn violates(frames: &[Vec<u8>]) -> u16 {
    read(frames).1.expect("a violation")
}

#[test]
fn whole_messages() {
    let frames = [frame(LAST | TEXT, "h\u{e9}".as_bytes()), frame(LAST | BINARY, b""), frame(LAST | PING, b"p")];
    assert_eq!(read(&frames), (vec!["Text h\u{e9}".into(), "Binary ".into(), "Ping p".into()], None));
    let long = [frame(LAST | BINARY, &[b'x'; 500])];
    assert_eq!(read(&long).0, [format!("Binary {}", "x".repeat(500))]);
}

#[test]
fn fragments_with_control_frames_between_them() {
    let frames = [
        frame(TEXT, b"one "),
        frame(LAST | PING, b"?"),
        frame(0, b""),
        frame(0, b"two "),
        frame(LAST | PONG, b"!"),
        frame(LAST, b"three"),
        frame(LAST | TEXT, b"next"),
    ];
    assert_eq!(read(&frames).0, ["Ping ?", "Pong !", "Text one two three", "Text next"]);
}

#[test]
fn fragments_out_of_order() {
    assert_eq!(violates(&[frame(LAST, b"x")]), 1002);
    assert_eq!(violates(&[frame(0, b"x")]), 1002);
    assert_eq!(violates(&[frame(TEXT, b"x"), frame(LAST | TEXT, b"y")]), 1002);
    assert_eq!(violates(&[frame(TEXT, b"x"), frame(BINARY, b"y")]), 1002);
    assert_eq!(violates(&[frame(LAST | TEXT, b"x"), frame(LAST, b"y")]), 1002);
    assert_eq!(violates(&[frame(PING, b"x")]), 1002);
    assert_eq!(violates(&[frame(LAST | PING, &[0; 126])]), 1002);
}

#[test]
fn texts_are_utf_8_whatever_their_fragments_split() {
    let euro = "\u{20ac}".as_bytes();
    let split = [frame(TEXT, &euro[..1]), frame(0, &euro[1..2]), frame(LAST, &euro[2..])];
    assert_eq!(read(&split).0, ["Text \u{20ac}"]);
    // Overlong, a surrogate, beyond U+10FFFF, a lone continuation, cut off at the end.
    for wrong in [&b"\xc0\xaf"[..], b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"a\x80", b"\xe2\x82"] {
        assert_eq!(violates(&[frame(LAST | TEXT, wrong)]), 1007, "{wrong:?}");
        assert_eq!(read(&[frame(LAST | BINARY, wrong)]).1, None, "{wrong:?}");
    }
    // As soon as it is wrong, not at the end of the message.
    assert_eq!(violates(&[frame(TEXT, b"\xff")]), 1007);
    assert_eq!(violates(&[frame(TEXT, b"\xe2"), frame(0, b"x")]), 1007);
}

#[test]
fn closes() {
    let close = |status: u16, reason: &[u8]| frame(LAST | CLOSE, &[&status.to_be_bytes()[..], reason].concat());
    assert_eq!(read(&[frame(LAST | CLOSE, b"")]).0, ["Close None "]);
    assert_eq!(read(&[close(1000, b"bye")]).0, ["Close Some(1000) bye"]);
    assert_eq!(read(&[close(1000, b""), frame(LAST | TEXT, b"x"), vec![0xff]]).0, ["Close Some(1000) "]);
    for status in [1001, 1002, 1003, 1007, 1011, 3000, 3999, 4000, 4999] {
        assert_eq!(read(&[close(status, b"")]).1, None, "{status}");
    }
    for status in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        assert_eq!(violates(&[close(status, b"")]), 1002, "{status}");
    }
    assert_eq!(violates(&[frame(LAST | CLOSE, b"x")]), 1002);
    assert_eq!(violates(&[close(1000, b"\xff")]), 1007);
    assert_eq!(violates(&[close(1000, &[b'x'; 124])]), 1002);
}

#[test]
fn messages_have_a_limit() {
    let ends = |frames: &[Vec<u8>]| lines(frames, 1, 10).1;
    assert_eq!(ends(&[frame(LAST | TEXT, b"0123456789")]), None);
    assert_eq!(ends(&[frame(LAST | TEXT, b"0123456789a")]), Some(1009));
    assert_eq!(ends(&[frame(TEXT, b"012345"), frame(LAST, b"6789a")]), Some(1009));
    assert_eq!(ends(&[frame(LAST | TEXT, b"0123456789"), frame(LAST | TEXT, b"0123456789")]), None);
    // The header decides, before anything is held.
    let huge = vec![0x82, 127, 0x7f, 255, 255, 255, 255, 255, 255, 255];
    assert_eq!(ends(&[huge]), Some(1009));
}
