//! What the error log says of requests and streams that failed, in nginx's words and order, so that what reads nginx's
//! logs reads these.

use model::entities::Protocol;
use sdk::{Exchange, Known};
use std::borrow::Cow;
use std::fmt;
use std::io;
use std::net::SocketAddr;

/// The end of a line about a request: whose it is, and where it was sent. Without its query, in which there may be
/// secrets.
pub struct OfRequest<'a> {
    pub exchange: &'a Exchange,
    /// The client's `Host`, where the lines of the request are those for a service by now.
    pub host: Option<&'a [u8]>,
    pub upstream: Option<SocketAddr>,
}

/// The end of a line about a stream.
pub struct OfStream<'a> {
    pub exchange: &'a Exchange,
    pub upstream: Option<SocketAddr>,
}

/// Why a call failed: `connect() failed (111: Connection refused) while connecting to upstream`.
pub fn failed(call: &str, error: &io::Error, doing: &str) -> Cow<'static, str> {
    let text = error.to_string();
    let why = match error.raw_os_error() {
        Some(code) => format!("{code}: {}", text.trim_end_matches(&format!(" (os error {code})"))),
        None => text,
    };
    format!("{call} failed ({why}) while {doing} upstream").into()
}

/// The same, of what took too long.
pub fn timed_out(doing: &str) -> Cow<'static, str> {
    format!("upstream timed out (110: Connection timed out) while {doing} upstream").into()
}

impl fmt::Display for OfRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Exchange { request, client, upstream, .. } = self.exchange;
        let (method, path, version) = (request.method.as_str(), request.path(), request.version.in_full());
        write!(f, ", client: {}, server: kong, request: \"{method} {path} HTTP/{version}\"", client.ip)?;
        if let Some(address) = self.upstream {
            let scheme = match upstream.protocol {
                Protocol::Https | Protocol::Wss => "https",
                Protocol::Grpc => "grpc",
                Protocol::Grpcs => "grpcs",
                _ => "http",
            };
            write!(f, ", upstream: \"{scheme}://{address}{}\"", upstream.path)?;
        }
        if let Some(host) = self.host.or_else(|| request.fields.known(Known::Host)) {
            write!(f, ", host: \"{}\"", String::from_utf8_lossy(host))?;
        }
        Ok(())
    }
}

impl fmt::Display for OfStream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Exchange { stream, client, traffic, .. } = self.exchange;
        let kind = if stream.is_some_and(|session| session.protocol == Protocol::Udp) { "udp " } else { "" };
        let server = SocketAddr::new(client.local_ip, client.local_port);
        write!(f, ", {kind}client: {}, server: {server}", client.ip)?;
        if let Some(upstream) = self.upstream {
            write!(f, ", upstream: \"{upstream}\"")?;
        }
        let to_service = stream.map_or((0, 0), |session| (session.from_service, session.to_service));
        let (received, sent) = (traffic.received, traffic.sent);
        write!(f, ", bytes from/to client:{received}/{sent}, bytes from/to upstream:{}/{}", to_service.0, to_service.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::{StreamSession, testing};

    #[test]
    fn a_request_is_told_as_nginx_tells_it() {
        let mut exchange = testing::exchange("GET", "/a?key=secret", &[("Host", "service.test")]);
        exchange.client.ip = "192.0.2.1".parse().unwrap();
        exchange.upstream.path = "/base/a".to_owned();
        let told = OfRequest { exchange: &exchange, host: None, upstream: None }.to_string();
        let request = ", client: 192.0.2.1, server: kong, request: \"GET /a HTTP/1.1\"";
        assert_eq!(told, format!("{request}, host: \"service.test\""));
        let upstream = Some("127.0.0.1:80".parse().unwrap());
        let told = OfRequest { exchange: &exchange, host: Some(b"client.test"), upstream }.to_string();
        assert_eq!(told, format!("{request}, upstream: \"http://127.0.0.1:80/base/a\", host: \"client.test\""));
    }

    #[test]
    fn a_stream_is_told_as_nginx_tells_it() {
        let mut exchange = testing::exchange("GET", "/", &[]);
        exchange.client.ip = "192.0.2.1".parse().unwrap();
        (exchange.client.local_ip, exchange.client.local_port) = ("192.0.2.9".parse().unwrap(), 5000);
        exchange.stream = Some(StreamSession { protocol: Protocol::Udp, from_service: 3, to_service: 4 });
        let upstream = Some("[::1]:80".parse().unwrap());
        let told = OfStream { exchange: &exchange, upstream }.to_string();
        let expected = ", udp client: 192.0.2.1, server: 192.0.2.9:5000, upstream: \"[::1]:80\", bytes from/to \
                        client:0/0, bytes from/to upstream:3/4";
        assert_eq!(told, expected);
    }

    #[test]
    fn failures_have_numbers_where_the_system_gives_them() {
        let refused = failed("connect()", &io::Error::from_raw_os_error(111), "connecting to");
        assert_eq!(refused, "connect() failed (111: Connection refused) while connecting to upstream");
        let other = failed("recv()", &io::Error::other("no TLS"), "reading response header from");
        assert_eq!(other, "recv() failed (no TLS) while reading response header from upstream");
    }
}
