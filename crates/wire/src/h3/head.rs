//! Heads of HTTP/3 as those of every version, and back.

use super::frame;
use super::qpack::{self, Fault};
use crate::h1::{self, HeadError};
use crate::message::{Fields, RequestHead, ResponseHead, Version};
use crate::pseudo::{self, Reading};

/// Reads the section of a request's head; whether it has content is not known yet. A request for a tunnel of WebSocket
/// (RFC 9220) becomes the one that asks for it in HTTP/1.1.
pub(super) fn request(section: &[u8], limits: &h1::Limits, head: &mut RequestHead) -> Result<(), Unreadable> {
    let mut reading = Reading::begin(head, Version::Http3, limits);
    qpack::decode(section, limits.head, |name, value| reading.line(name, value))?;
    reading.finish().map_err(Unreadable::Refused)
}

/// Reads the section of trailers.
pub(super) fn trailers(section: &[u8], limits: &h1::Limits) -> Result<Fields, Unreadable> {
    let mut fields = Fields::new();
    let mut fault = None;
    qpack::decode(section, limits.head, |name, value| {
        if fault.is_none() {
            fault = match fields.len() < limits.fields {
                true => pseudo::take_trailer(&mut fields, name, value).err(),
                false => Some(HeadError::TooLarge),
            };
        }
    })?;
    fault.map_or(Ok(fields), |error| Err(Unreadable::Refused(error)))
}

/// Why a section is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    Refused(HeadError),
    /// Nothing that follows on the connection can be trusted.
    Undecodable,
}

impl From<Fault> for Unreadable {
    fn from(fault: Fault) -> Unreadable {
        match fault {
            Fault::Malformed => Unreadable::Undecodable,
            Fault::TooLarge => Unreadable::Refused(HeadError::TooLarge),
        }
    }
}

/// Appends the frame with a response's head; the octets of its lines.
pub(super) fn push_response(out: &mut Vec<u8>, head: &ResponseHead) -> u64 {
    let mut section = Vec::with_capacity(256);
    qpack::begin(&mut section);
    qpack::push_status(&mut section, head.status);
    let octets = push_lines(&mut section, &head.fields);
    push_section(out, &section);
    octets
}

/// Appends the frame with trailers.
pub(super) fn push_trailers(out: &mut Vec<u8>, trailers: &Fields) {
    let mut section = Vec::new();
    qpack::begin(&mut section);
    push_lines(&mut section, trailers);
    push_section(out, &section);
}

fn push_section(out: &mut Vec<u8>, section: &[u8]) {
    frame::push_header(out, frame::HEADERS, section.len());
    out.extend_from_slice(section);
}

/// Appends lines; their octets.
fn push_lines(out: &mut Vec<u8>, fields: &Fields) -> u64 {
    let mut octets = 0;
    pseudo::lines(fields, |name, value| {
        octets += (name.len() + value.len()) as u64;
        qpack::push_line(out, name, value);
    });
    octets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Framing;

    const USUAL: [(&str, &str); 4] =
        [(":method", "GET"), (":scheme", "https"), (":authority", "a.test"), (":path", "/p?q")];

    fn read(lines: &[(&str, &str)]) -> Result<RequestHead, Unreadable> {
        let mut section = Vec::new();
        qpack::begin(&mut section);
        lines.iter().for_each(|(name, value)| qpack::push_line(&mut section, name.as_bytes(), value.as_bytes()));
        let mut head = RequestHead::default();
        request(&section, &h1::Limits::default(), &mut head).map(|()| head)
    }

    fn with(more: &[(&str, &str)]) -> Result<RequestHead, Unreadable> {
        read(&[&USUAL[..], more].concat())
    }

    fn text(fields: &Fields) -> String {
        fields.iter().map(|(name, value)| format!("{name}: {};", String::from_utf8_lossy(value))).collect()
    }

    #[test]
    fn requests() {
        let head = with(&[("cookie", "a=1"), ("x-a", "1"), ("cookie", "b=2"), ("host", "a.test")]).unwrap();
        assert_eq!(head.method.as_str(), "GET");
        assert_eq!(head.target, "/p?q");
        assert_eq!(head.version, Version::Http3);
        assert_eq!(head.framing, Framing::Delimited);
        assert_eq!(text(&head.fields), "Host: a.test;x-a: 1;Cookie: a=1; b=2;");
        assert_eq!(with(&[("content-length", "7")]).unwrap().framing, Framing::Length(7));
        assert_eq!(with(&[("te", "trailers")]).unwrap().fields.len(), 2);
        let without = [USUAL[0], USUAL[1], USUAL[3], ("host", "b.test")];
        assert_eq!(text(&read(&without).unwrap().fields), "host: b.test;");
        assert_eq!(read(&[(":method", "CONNECT"), (":authority", "a.test:1")]).unwrap().target, "*");
    }

    #[test]
    fn tunnels() {
        let lines = |protocol| {
            let mut lines = USUAL.to_vec();
            lines[0].1 = "CONNECT";
            lines.insert(1, (":protocol", protocol));
            read(&lines)
        };
        let head = lines("websocket").unwrap();
        assert_eq!(head.method.as_str(), "GET");
        assert_eq!(head.target, "/p?q");
        assert_eq!(head.framing, Framing::Empty);
        assert_eq!(text(&head.fields), "Host: a.test;Upgrade: websocket;");
        assert!(lines("connect-udp").is_err());
    }

    #[test]
    fn what_could_mean_something_else_further_on_is_refused() {
        for more in [
            (":path", "/other"),
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "b.test"),
            (":status", "200"),
            (":protocol", "websocket"),
            (":unknown", "1"),
            ("host", "b.test"),
            ("X-Upper", "1"),
            ("x y", "1"),
            ("x:y", "1"),
            ("", "1"),
            ("x-a", "1\r\nx-b: 2"),
            ("x-a", "1\n"),
            ("x-a", "1\0"),
            ("connection", "x-a"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("keep-alive", "1"),
            ("proxy-connection", "close"),
            ("te", "gzip"),
            ("content-length", "1x"),
            ("content-length", "+1"),
        ] {
            assert!(matches!(with(&[more]), Err(Unreadable::Refused(HeadError::Malformed(_)))), "{more:?}");
        }
        assert!(with(&[("content-length", "1"), ("content-length", "1")]).is_err());
        assert!(with(&[("host", "a.test"), ("host", "a.test")]).is_err());
        assert!(read(&[("x-a", "1"), USUAL[0], USUAL[1], USUAL[2], USUAL[3]]).is_err(), "a line before");
        for (missing, (name, _)) in USUAL.iter().enumerate() {
            let mut lines = USUAL.to_vec();
            lines.remove(missing);
            assert!(read(&lines).is_err(), "without {name}");
        }
        for (at, value) in [
            (0, "get"),
            (0, "GET / HTTP/1.1\r\nX:"),
            (1, "ftp"),
            (2, "u@a.test"),
            (2, "a.test/x"),
            (2, ""),
            (3, ""),
            (3, "p"),
            (3, "*"),
            (3, "/a b"),
            (3, "/a\r\nx: y"),
            (3, "https://b.test/"),
        ] {
            let mut lines = USUAL.to_vec();
            lines[at].1 = value;
            assert!(read(&lines).is_err(), "{} {value:?}", USUAL[at].0);
        }
    }

    #[test]
    fn heads_are_limited() {
        let long = "a".repeat(8190);
        assert_eq!(with(&[("x-a", &long)]).err(), Some(Unreadable::Refused(HeadError::TooLarge)));
        let target = format!("/{long}");
        let lines = [USUAL[0], USUAL[1], USUAL[2], (":path", &*target)];
        assert_eq!(read(&lines).err(), Some(Unreadable::Refused(HeadError::TargetTooLong)));
        let line = "a".repeat(90);
        let small: Vec<(&str, &str)> = (0..300).map(|_| ("x-a", &*line)).collect();
        assert!(with(&small).is_ok());
        let many: Vec<(&str, &str)> = (0..1100).map(|_| ("a", "")).collect();
        assert_eq!(with(&many).err(), Some(Unreadable::Refused(HeadError::TooLarge)));
    }

    #[test]
    fn trailers_have_no_pseudo_headers() {
        let read = |name: &str, value: &str| {
            let mut section = Vec::new();
            qpack::begin(&mut section);
            qpack::push_line(&mut section, name.as_bytes(), value.as_bytes());
            trailers(&section, &h1::Limits::default()).map(|fields| text(&fields))
        };
        assert_eq!(read("x-t", "1").as_deref(), Ok("x-t: 1;"));
        assert!(read(":path", "/").is_err());
        assert!(read("X-T", "1").is_err());
        assert_eq!(trailers(&[1, 0], &h1::Limits::default()).err(), Some(Unreadable::Undecodable));
    }

    #[test]
    fn responses_say_nothing_of_connections() {
        let lines = [("Connection", "keep-alive"), ("Transfer-Encoding", "chunked"), ("X-A", "1"), ("x-a", "2")];
        let head = ResponseHead { status: 418, fields: lines.into_iter().collect(), ..ResponseHead::default() };
        let mut out = Vec::new();
        assert_eq!(push_response(&mut out, &head), 8);
        let (kind, n) = frame::integer(&out).unwrap();
        let (length, m) = frame::integer(&out[n..]).unwrap();
        assert_eq!(kind, frame::HEADERS);
        assert_eq!(length as usize, out.len() - n - m);
        let mut text = String::new();
        qpack::decode(&out[n + m..], 1000, |name, value| {
            text.push_str(&format!("{} {};", String::from_utf8_lossy(name), String::from_utf8_lossy(value)));
        })
        .unwrap();
        assert_eq!(text, ":status 418;x-a 1;x-a 2;");
    }
}
