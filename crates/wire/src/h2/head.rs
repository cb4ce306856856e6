//! Heads as they are exchanged with services: those of every version as the `h2` crate has them, and back.

use crate::h1::{self, OutgoingRequest};
use crate::message::{Fields, Framing, Known, ResponseHead, Version};
use crate::pseudo;
use h2::ext::Protocol;
use http::header::{HeaderMap, HeaderName, HeaderValue};

/// A request's head as it is sent; `None` when it cannot be.
pub(super) fn outgoing(request: &OutgoingRequest<'_>, tls: bool) -> Option<http::Request<()>> {
    let authority = std::str::from_utf8(request.fields.known(Known::Host)?).ok()?;
    let path = if request.path.is_empty() { "/" } else { request.path };
    let target = escaped(request.query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}")));
    let scheme = if tls { "https" } else { "http" };
    let mut head = http::Request::new(());
    *head.method_mut() = http::Method::from_bytes(request.method).ok()?;
    *head.version_mut() = http::Version::HTTP_2;
    *head.uri_mut() =
        http::Uri::builder().scheme(scheme).authority(authority).path_and_query(target.as_str()).build().ok()?;
    lines(request.fields, head.headers_mut());
    head.headers_mut().remove(http::header::HOST);
    if request.websocket {
        // RFC 8441, sections 4 and 5.
        *head.method_mut() = http::Method::CONNECT;
        head.extensions_mut().insert(Protocol::from_static("websocket"));
        head.headers_mut().remove(http::header::SEC_WEBSOCKET_KEY);
        return Some(head);
    }
    // gRPC wants it said, and we take them whatever the client does.
    head.headers_mut().insert(http::header::TE, HeaderValue::from_static("trailers"));
    Some(head)
}

/// A target whose octets can all be said: the crate does not take some that clients send as they are, JSON in a query
/// above all.
fn escaped(target: String) -> String {
    let is_foreign = |c: char| matches!(c, '"' | '<' | '>' | '`');
    if !target.contains(is_foreign) {
        return target;
    }
    let mut text = String::with_capacity(target.len() + 16);
    for c in target.chars() {
        match c {
            c if is_foreign(c) => text.push_str(&format!("%{:02X}", u32::from(c))),
            c => text.push(c),
        }
    }
    text
}

/// Puts a response's head, so far without content, into `head`; the octets of its lines.
pub(super) fn read_response(status: http::StatusCode, map: &HeaderMap, head: &mut ResponseHead) -> u64 {
    head.status = status.as_u16();
    head.reason.clear();
    head.version = Version::Http2;
    head.framing = Framing::Empty;
    head.fields.clear();
    let mut octets = 0;
    for (name, value) in map {
        octets += (name.as_str().len() + value.len()) as u64;
        head.fields.append(name.as_str(), value.as_bytes());
    }
    octets
}

/// Trailers as they are sent.
pub(super) fn trailers(fields: &Fields) -> HeaderMap {
    let mut map = HeaderMap::new();
    lines(fields, &mut map);
    map
}

/// Trailers as they came, but those that may not come late.
pub(super) fn fields(map: &HeaderMap) -> Fields {
    let lines = map.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    lines.filter(|(name, _)| h1::may_trail(name.as_bytes())).collect()
}

/// Adds lines but those that concern a connection of HTTP/1.1 (section 8.2.2).
fn lines(fields: &Fields, map: &mut HeaderMap) {
    pseudo::lines(fields, |name, value| {
        // What is no field line has been refused where it was read or configured.
        if let (Ok(name), Ok(line)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            map.append(name, line);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(fields: &Fields) -> String {
        fields.iter().map(|(name, value)| format!("{name}: {};", String::from_utf8_lossy(value))).collect()
    }

    #[test]
    fn requests_to_services() {
        let fields: Fields =
            [("Host", "a.test:1"), ("X-A", "1"), ("Te", "trailers"), ("Connection", "x")].into_iter().collect();
        let request = |method: &'static [u8], path: &'static str, query: Option<&'static str>| {
            let framing = Framing::Delimited;
            outgoing(&OutgoingRequest { method, path, query, fields: &fields, framing, websocket: false }, true)
        };
        let head = request(b"POST", "/s.S/M", Some("q=1")).unwrap();
        assert_eq!(head.uri().to_string(), "https://a.test:1/s.S/M?q=1");
        assert_eq!(text(&super::fields(head.headers())), "x-a: 1;");
        assert_eq!(request(b"GET", "", None).unwrap().uri().path(), "/");
        let target = request(b"GET", "/<`>é", Some(r#"q={"a":[1,"|^"]}"#)).unwrap().uri().to_string();
        assert_eq!(target, "https://a.test:1/%3C%60%3Eé?q={%22a%22:[1,%22|^%22]}");
        assert!(request(b"GET", "/ ", None).is_none());
    }

    #[test]
    fn tunnels() {
        let lines = [("Host", "a.test"), ("Upgrade", "websocket"), ("Connection", "Upgrade"), ("X-A", "1")];
        let fields: Fields = [&lines[..], &[("Sec-WebSocket-Key", "x")]].concat().into_iter().collect();
        let (method, path, framing) = (&b"GET"[..], "/chat", Framing::Empty);
        let request = OutgoingRequest { method, path, query: None, fields: &fields, framing, websocket: true };
        let head = outgoing(&request, false).unwrap();
        assert_eq!(head.method(), http::Method::CONNECT);
        assert_eq!(head.uri().to_string(), "http://a.test/chat");
        assert_eq!(head.extensions().get::<Protocol>().map(Protocol::as_str), Some("websocket"));
        assert_eq!(text(&super::fields(head.headers())), "x-a: 1;");
    }
}
