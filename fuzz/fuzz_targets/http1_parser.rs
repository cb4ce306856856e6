//! HTTP/1.1: heads and chunked content are read the same however the octets arrive, and a head that is sent on means
//! what it meant.
//!
//! `cargo +nightly fuzz run http1_parser`

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::h1::{ChunkedDecoder, Decoded, HeadParser, Limits, parse_request, parse_response};
use wire::{Known, RequestHead, ResponseHead};

fuzz_target!(|data: &[u8]| {
    let Some((&step, data)) = data.split_first() else { return };
    let limits = Limits { line: 200, head: 1000, fields: 20 };
    request(data, step, &limits);
    response(data, step, &limits);
    assert_eq!(chunked(data, data.len().max(1)), chunked(data, 1 + step as usize % 7));
});

fn request(data: &[u8], step: u8, limits: &Limits) {
    let mut whole = RequestHead::default();
    let at_once = parse_request(data, &mut HeadParser::default(), &mut whole, limits);

    let (mut parser, mut head) = (HeadParser::default(), RequestHead::default());
    let mut end = 0;
    let in_pieces = loop {
        end = (end + 1 + step as usize % 7).min(data.len());
        let parsed = parse_request(&data[..end], &mut parser, &mut head, limits);
        if parsed != Ok(None) || end == data.len() {
            break parsed;
        }
    };
    // Too much of something may be noticed sooner or later.
    if at_once.is_ok() || in_pieces.is_ok() {
        assert_eq!(at_once, in_pieces);
    }
    let Ok(Some(length)) = at_once else { return };
    assert!(length <= data.len() && (head.target.starts_with('/') || head.target == "*"));
    assert_eq!(whole.target, head.target);
    assert_eq!(whole.framing, head.framing);

    let (method, version) = (whole.method.as_str(), whole.version.number());
    let mut text = format!("{method} {} HTTP/{version}\r\n", whole.target).into_bytes();
    whole.fields.write_to(&mut text);
    text.extend_from_slice(b"\r\n");
    let mut again = RequestHead::default();
    let roomy = Limits { line: 4096, head: 8192, fields: 40 };
    assert_eq!(parse_request(&text, &mut HeadParser::default(), &mut again, &roomy), Ok(Some(text.len())));
    assert_eq!(again.framing, whole.framing);
    assert_eq!(again.fields.known(Known::Host), whole.fields.known(Known::Host));
    assert!(again.fields.iter().eq(whole.fields.iter()));
}

fn response(data: &[u8], step: u8, limits: &Limits) {
    let mut head = ResponseHead::default();
    let no_content = step > 127;
    let parsed = parse_response(data, &mut HeadParser::default(), &mut head, limits, no_content);
    let Ok(Some(length)) = parsed else { return };
    assert!(length <= data.len() && (100..1000).contains(&head.status));
    let mut text = format!("HTTP/{} {} ", head.version.number(), head.status).into_bytes();
    text.extend_from_slice(&head.reason);
    text.extend_from_slice(b"\r\n");
    head.fields.write_to(&mut text);
    text.extend_from_slice(b"\r\n");
    let mut again = ResponseHead::default();
    let roomy = Limits { line: 4096, head: 8192, fields: 40 };
    assert_eq!(parse_response(&text, &mut HeadParser::default(), &mut again, &roomy, no_content), Ok(Some(text.len())));
    assert_eq!(again.status, head.status);
    assert_eq!(again.framing, head.framing);
    assert!(again.fields.iter().eq(head.fields.iter()));
}

/// The content and the length of its framing, read in pieces of `step` octets; `None` when it is broken or not whole.
fn chunked(data: &[u8], step: usize) -> Option<(Vec<u8>, usize)> {
    let (mut decoder, mut content) = (ChunkedDecoder::default(), Vec::new());
    let (mut from, mut to) = (0, step.min(data.len()));
    loop {
        match decoder.decode(&data[from..to]).ok()? {
            Decoded::Data { skip, length } => {
                from += skip;
                content.extend_from_slice(&data[from..from + length]);
                from += length;
                decoder.consumed(length);
            }
            Decoded::Incomplete { skip } => {
                from += skip;
                if to == data.len() {
                    return None;
                }
                to = (to + step).min(data.len());
            }
            Decoded::End { skip } => return Some((content, from + skip)),
        }
    }
}
