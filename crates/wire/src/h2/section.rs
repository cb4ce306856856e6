//! Field lines as they are exchanged with clients: heads of every version, and back.

use super::outgoing::Outgoing;
use crate::h1::{self, HeadError};
use crate::hpack::{self, Decoder, Fault};
use crate::message::{Fields, Framing, RequestHead, ResponseHead, Version};
use crate::pseudo::{self, Reading};

/// Octets of all trailer lines.
const MAX_TRAILERS: usize = 8192;

/// Reads a request's head. `ends`: it has no content. Inside: whether it can be taken; the error: nothing that follows
/// on the connection can be read.
pub(super) fn request(
    decoder: &mut Decoder,
    octets: &[u8],
    ends: bool,
    limits: &h1::Limits,
    head: &mut RequestHead,
) -> Result<Result<(), HeadError>, Fault> {
    let mut reading = Reading::begin(head, Version::Http2, limits);
    decoder.decode(octets, |name, value| reading.line(name, value))?;
    Ok(reading.finish().and_then(|()| end(head, ends)))
}

/// What the end of the stream says of the content.
fn end(head: &mut RequestHead, ends: bool) -> Result<(), HeadError> {
    match head.framing {
        Framing::Length(length) if ends && length > 0 => {
            Err(HeadError::Malformed("the content that is announced is missing"))
        }
        Framing::Delimited if ends => {
            head.framing = Framing::Empty;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Octets of content that a head announces.
pub(super) fn length(head: &RequestHead) -> Option<u64> {
    if let Framing::Length(length) = head.framing { Some(length) } else { None }
}

/// Reads trailers.
pub(super) fn trailers(
    decoder: &mut Decoder,
    octets: &[u8],
    limits: &h1::Limits,
    fields: &mut Fields,
) -> Result<Result<(), HeadError>, Fault> {
    let (mut size, mut fault) = (0, None);
    decoder.decode(octets, |name, value| {
        size += name.len() + value.len();
        if size > MAX_TRAILERS || fields.len() > limits.fields {
            fault = Some(HeadError::TooLarge);
        }
        if fault.is_none() {
            fault = pseudo::take_trailer(fields, name, value).err();
        }
    })?;
    Ok(fault.map_or(Ok(()), Err))
}

/// Queues a response's head; the octets of its lines.
pub(super) fn push_response(out: &mut Outgoing, stream: u32, flags: u8, head: &ResponseHead) -> u64 {
    let mut octets = 0;
    out.push_section(stream, flags, |out| {
        hpack::push_status(out, head.status);
        octets = push_lines(out, &head.fields);
    });
    octets
}

/// Queues trailers.
pub(super) fn push_trailers(out: &mut Outgoing, stream: u32, flags: u8, trailers: &Fields) {
    out.push_section(stream, flags, |out| {
        push_lines(out, trailers);
    });
}

fn push_lines(out: &mut Vec<u8>, fields: &Fields) -> u64 {
    let mut octets = 0;
    pseudo::lines(fields, |name, value| {
        octets += (name.len() + value.len()) as u64;
        hpack::push_line(out, name, value);
    });
    octets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h2::frame::{HEADER, Header};
    use crate::net::BufferPool;

    const USUAL: [(&str, &str); 4] =
        [(":method", "POST"), (":scheme", "https"), (":authority", "a.test:8443"), (":path", "/p?q=1")];

    fn coded(lines: &[(&str, &str)]) -> Vec<u8> {
        let mut octets = Vec::new();
        lines.iter().for_each(|(name, value)| hpack::push_line(&mut octets, name.as_bytes(), value.as_bytes()));
        octets
    }

    fn read(lines: &[(&str, &str)], ends: bool) -> Result<RequestHead, HeadError> {
        let mut head = RequestHead::default();
        let limits = h1::Limits::default();
        request(&mut Decoder::default(), &coded(lines), ends, &limits, &mut head).unwrap().map(|()| head)
    }

    fn with(more: &[(&str, &str)], ends: bool) -> Result<RequestHead, HeadError> {
        read(&[&USUAL[..], more].concat(), ends)
    }

    fn text(fields: &Fields) -> String {
        fields.iter().map(|(name, value)| format!("{name}: {};", String::from_utf8_lossy(value))).collect()
    }

    #[test]
    fn requests() {
        let more = [("cookie", "a=1"), ("x-a", " 1\t"), ("cookie", "b=2"), ("host", "a.test:8443")];
        let head = with(&more, false).unwrap();
        assert_eq!(head.method.as_str(), "POST");
        assert_eq!(head.target, "/p?q=1");
        assert_eq!(text(&head.fields), "Host: a.test:8443;x-a: 1;Cookie: a=1; b=2;");
        assert_eq!(head.framing, Framing::Delimited);
        assert_eq!(head.version, Version::Http2);
    }

    #[test]
    fn paths_are_taken_as_in_earlier_versions() {
        let of = |path: &str| read(&[USUAL[0], USUAL[1], USUAL[2], (":path", path)], true).map(|head| head.target);
        assert_eq!(of(r#"/x<y>`z?q={"a":[1,"<>"]}"#).as_deref(), Ok(r#"/x<y>`z?q={"a":[1,"<>"]}"#));
        assert_eq!(of("/a#b").as_deref(), Ok("/a"));
        for path in ["", "x", "/a b", "/a\u{7f}", "/a\nb", "*"] {
            assert!(of(path).is_err(), "{path:?}");
        }
        let mut octets = coded(&USUAL[..3]);
        hpack::push_line(&mut octets, b":path", b"/\xe9");
        let mut head = RequestHead::default();
        let limits = h1::Limits::default();
        assert_eq!(request(&mut Decoder::default(), &octets, true, &limits, &mut head), Ok(Ok(())));
        assert_eq!(head.target, "/%E9");
    }

    #[test]
    fn content_is_announced_or_not() {
        let of = |length: Option<&str>, ends| {
            let more: Vec<_> = length.map(|length| ("content-length", length)).into_iter().collect();
            with(&more, ends).map(|head| head.framing)
        };
        assert_eq!(of(None, true), Ok(Framing::Empty));
        assert_eq!(of(None, false), Ok(Framing::Delimited));
        assert_eq!(of(Some("0"), true), Ok(Framing::Length(0)));
        assert_eq!(of(Some("5"), false), Ok(Framing::Length(5)));
        assert!(of(Some("5"), true).is_err());
        assert!(of(Some("+5"), false).is_err());
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for more in [("host", "b"), ("X-A", "1"), ("x a", "1"), ("connection", "close"), (":path", "/"), (":x", "1")] {
            assert!(with(&[more], true).is_err(), "{more:?}");
        }
        for missing in 0..4 {
            let lines: Vec<_> =
                USUAL.iter().enumerate().filter(|(n, _)| *n != missing).map(|(_, line)| *line).collect();
            assert!(read(&lines, true).is_err(), "{missing}");
        }
        assert!(read(&[("x-a", "1"), USUAL[0], USUAL[1], USUAL[2], USUAL[3]], true).is_err());
        let large = "x".repeat(8000);
        let lines: Vec<_> = (0..5).map(|_| ("x-a", large.as_str())).collect();
        assert_eq!(with(&lines, true).map(|_| ()), Err(HeadError::TooLarge));
    }

    #[test]
    fn tunnels() {
        let connect = |protocol| {
            let lines = [(":method", "CONNECT"), USUAL[1], USUAL[2], (":path", "/chat?q"), (":protocol", protocol)];
            read(&[&lines[..], &[("content-length", "5")]].concat(), false)
        };
        let head = connect("websocket").unwrap();
        assert_eq!(head.method.as_str(), "GET");
        assert_eq!(head.target, "/chat?q");
        assert_eq!(text(&head.fields), "Host: a.test:8443;Upgrade: websocket;");
        assert_eq!(head.framing, Framing::Empty);
        assert!(connect("other").is_err());
    }

    #[test]
    fn trailers_change_nothing_that_was_said() {
        let read = |lines: &[(&str, &str)]| {
            let mut fields = Fields::new();
            let limits = h1::Limits::default();
            trailers(&mut Decoder::default(), &coded(lines), &limits, &mut fields).unwrap().map(|()| text(&fields))
        };
        let lines = [("x-t", "1"), ("content-length", "9"), ("host", "evil"), ("authorization", "x")];
        assert_eq!(read(&lines).as_deref(), Ok("x-t: 1;"));
        assert!(read(&[(":path", "/")]).is_err());
        assert!(read(&[("X-T", "1")]).is_err());
        assert!(read(&[("x-t", &"x".repeat(9000))]).is_err());
    }

    #[test]
    fn responses_say_nothing_of_connections() {
        let lines = [("Connection", "keep-alive"), ("Transfer-Encoding", "chunked"), ("X-A", "1"), ("x-a", "2")];
        let head = ResponseHead { status: 418, fields: lines.into_iter().collect(), ..ResponseHead::default() };
        let mut out = Outgoing::new(&BufferPool::default());
        assert_eq!(push_response(&mut out, 1, 0, &head), 8);
        let octets = out.waiting();
        assert_eq!(Header::read(octets).map(|header| header.length), Some(octets.len() - HEADER));
        let mut found = String::new();
        let take = |name: &[u8], value: &[u8]| {
            found.push_str(&format!("{} {};", String::from_utf8_lossy(name), String::from_utf8_lossy(value)));
        };
        Decoder::default().decode(&octets[HEADER..], take).unwrap();
        assert_eq!(found, ":status 418;x-a 1;x-a 2;");
    }
}
