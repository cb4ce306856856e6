//! Heads of HTTP/2 as those of every version, and back.

use crate::h1::{HeadError, OutgoingRequest, check_host, content_length, is_method};
use crate::message::{Fields, Framing, Known, Method, RequestHead, ResponseHead, Version};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;

/// Reads a request's head. `ends`: it has no content. A request for a tunnel of WebSocket (RFC 8441) becomes the one
/// that asks for it in HTTP/1.1.
pub(super) fn request(parts: &Parts, ends: bool, head: &mut RequestHead) -> Result<(), HeadError> {
    let tunnel = parts.method == http::Method::CONNECT
        && parts.extensions.get::<h2::ext::Protocol>().is_some_and(|protocol| protocol.as_str() == "websocket");
    head.method = Method::new(if tunnel { b"GET" } else { parts.method.as_str().as_bytes() });
    head.version = Version::Http2;
    head.target.clear();
    head.target.push_str(parts.uri.path_and_query().map_or("*", http::uri::PathAndQuery::as_str));
    head.framing = Framing::Empty;
    head.fields.clear();
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    if let Some(authority) = authority {
        head.fields.append_known(Known::Host, authority.as_bytes());
    }
    let mut cookies = Vec::new();
    for (name, value) in &parts.headers {
        match name.as_str() {
            // RFC 9113, section 8.3.1: they must not differ.
            "host" if authority.is_some_and(|authority| authority.as_bytes() == value.as_bytes()) => {}
            // Section 8.2.3: crumbs are one line elsewhere.
            "cookie" if cookies.is_empty() => cookies.extend_from_slice(value.as_bytes()),
            "cookie" => {
                cookies.extend_from_slice(b"; ");
                cookies.extend_from_slice(value.as_bytes());
            }
            name => head.fields.append(name, value.as_bytes()),
        }
    }
    if !cookies.is_empty() {
        head.fields.append_known(Known::Cookie, &cookies);
    }
    if !is_method(head.method.as_bytes()) {
        return Err(HeadError::Malformed("no valid method"));
    }
    check_host(head)?;
    if tunnel {
        head.fields.remove_known(Known::ContentLength);
        head.fields.append_known(Known::Upgrade, b"websocket");
        return Ok(());
    }
    head.framing = match content_length(&head.fields)? {
        Some(0) => Framing::Length(0),
        _ if ends => Framing::Empty,
        Some(length) => Framing::Length(length),
        None => Framing::Delimited,
    };
    Ok(())
}

/// A response's head as it is sent, and the octets of its lines.
pub(super) fn response(head: &ResponseHead) -> (http::Response<()>, u64) {
    let mut response = http::Response::new(());
    *response.status_mut() = http::StatusCode::from_u16(head.status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    let octets = lines(&head.fields, response.headers_mut());
    (response, octets)
}

/// A request's head as it is sent; `None` when it cannot be.
pub(super) fn outgoing(request: &OutgoingRequest<'_>, tls: bool) -> Option<http::Request<()>> {
    let authority = std::str::from_utf8(request.fields.known(Known::Host)?).ok()?;
    let path = if request.path.is_empty() { "/" } else { request.path };
    let target = request.query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let scheme = if tls { "https" } else { "http" };
    let mut head = http::Request::new(());
    *head.method_mut() = http::Method::from_bytes(request.method).ok()?;
    *head.version_mut() = http::Version::HTTP_2;
    *head.uri_mut() =
        http::Uri::builder().scheme(scheme).authority(authority).path_and_query(target.as_str()).build().ok()?;
    lines(request.fields, head.headers_mut());
    head.headers_mut().remove(http::header::HOST);
    // gRPC wants it said, and we take them whatever the client does.
    head.headers_mut().insert(http::header::TE, HeaderValue::from_static("trailers"));
    Some(head)
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

/// Trailers as they came.
pub(super) fn fields(map: &HeaderMap) -> Fields {
    map.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
}

/// Adds lines but those that concern a connection of HTTP/1.1 (section 8.2.2); their octets.
fn lines(fields: &Fields, map: &mut HeaderMap) -> u64 {
    let mut octets = 0;
    for (known, name, value) in fields.iter_known() {
        if matches!(
            known,
            Known::Connection
                | Known::KeepAlive
                | Known::ProxyConnection
                | Known::TransferEncoding
                | Known::Upgrade
                | Known::Te
        ) {
            continue;
        }
        // What is no field line has been refused where it was read or configured.
        if let (Ok(name), Ok(line)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
            octets += (name.as_str().len() + value.len()) as u64;
            map.append(name, line);
        }
    }
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(request: http::request::Builder, ends: bool) -> Result<RequestHead, HeadError> {
        let mut head = RequestHead::default();
        let (parts, ()) = request.body(()).unwrap().into_parts();
        super::request(&parts, ends, &mut head).map(|()| head)
    }

    fn text(fields: &Fields) -> String {
        fields.iter().map(|(name, value)| format!("{name}: {};", String::from_utf8_lossy(value))).collect()
    }

    #[test]
    fn requests() {
        let request = http::Request::post("https://a.test:8443/p?q=1")
            .header("cookie", "a=1")
            .header("x-a", "1")
            .header("cookie", "b=2")
            .header("host", "a.test:8443");
        let head = read(request, false).unwrap();
        assert_eq!(head.method.as_str(), "POST");
        assert_eq!(head.target, "/p?q=1");
        assert_eq!(text(&head.fields), "Host: a.test:8443;x-a: 1;Cookie: a=1; b=2;");
        assert_eq!(head.framing, Framing::Delimited);
        assert_eq!(head.version, Version::Http2);
    }

    #[test]
    fn content_is_announced_or_not() {
        let of = |length: Option<&str>, ends| {
            let mut request = http::Request::get("http://a/");
            if let Some(length) = length {
                request = request.header("content-length", length);
            }
            read(request, ends).map(|head| head.framing)
        };
        assert_eq!(of(None, true), Ok(Framing::Empty));
        assert_eq!(of(None, false), Ok(Framing::Delimited));
        assert_eq!(of(Some("0"), true), Ok(Framing::Length(0)));
        assert_eq!(of(Some("5"), false), Ok(Framing::Length(5)));
        assert!(of(Some("+5"), false).is_err());
    }

    #[test]
    fn hosts_that_differ_or_are_none_are_refused() {
        assert!(read(http::Request::get("http://a/").header("host", "b"), true).is_err());
        assert!(read(http::Request::get("/"), true).is_err());
        assert!(read(http::Request::get("http://u@a/"), true).is_err());
        assert!(read(http::Request::builder().method("get").uri("http://a/"), true).is_err());
        assert_eq!(text(&read(http::Request::get("/").header("host", "b"), true).unwrap().fields), "host: b;");
    }

    #[test]
    fn tunnels() {
        let protocol = |name| h2::ext::Protocol::from_static(name);
        let connect = || http::Request::connect("http://a/chat?q").header("content-length", "5");
        let head = read(connect().extension(protocol("websocket")), false).unwrap();
        assert_eq!(head.method.as_str(), "GET");
        assert_eq!(head.target, "/chat?q");
        assert_eq!(text(&head.fields), "Host: a;Upgrade: websocket;");
        assert_eq!(head.framing, Framing::Empty);
        assert_eq!(read(connect().extension(protocol("other")), false).unwrap().method.as_str(), "CONNECT");
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
        assert_eq!(text(&super::fields(head.headers())), "x-a: 1;te: trailers;");
        assert_eq!(request(b"GET", "", None).unwrap().uri().path(), "/");
        assert!(request(b"GET", "/ ", None).is_none());
    }

    #[test]
    fn responses_say_nothing_of_connections() {
        let lines = [("Connection", "keep-alive"), ("Transfer-Encoding", "chunked"), ("X-A", "1"), ("x-a", "2")];
        let head = ResponseHead { status: 418, fields: lines.into_iter().collect(), ..ResponseHead::default() };
        let (response, octets) = super::response(&head);
        assert_eq!(response.status(), 418);
        assert_eq!(text(&fields(response.headers())), "x-a: 1;x-a: 2;");
        assert_eq!(octets, 8);
    }
}
