//! What a line can tell of a request.

use super::escape::Escape;
use super::variable::Variable;
use crate::tls::Offered;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use sdk::{Exchange, Try};
use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Duration;
use wire::proxy_protocol::Proxied;
use wire::{Fields, Known, Version, field_value};

/// One request, when everything about it is known.
pub struct Record<'a> {
    /// The client: the peer, or whom a trusted proxy names.
    pub client: &'a str,
    /// 0: it is not known.
    pub client_port: u16,
    /// The other end of the connection.
    pub peer: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    /// What the PROXY protocol said of the connection.
    pub proxied: Option<&'a Proxied>,
    pub tls: bool,
    /// It is a stream of datagrams.
    pub datagrams: bool,
    /// The server name that the client asked for in TLS.
    pub sni: Option<&'a str>,
    /// What it offered there, where that was kept.
    pub offered: Option<&'a Offered>,
    /// Octets per second of a response (`limit_rate`); 0: any number.
    pub limit_rate: u64,
    /// What nginx would call the server: `kong`, `kong_admin` or `kong_status`.
    pub server: &'static str,
    /// The number of the connection, and that of the request on it.
    pub connection: u64,
    pub connection_requests: u64,
    pub method: &'a str,
    /// Empty when the request line could not be understood.
    pub target: &'a str,
    pub version: Version,
    pub request: &'a Fields,
    /// Lines as they were before the request was made one for the service ([`super::Format::keep`]).
    pub kept: Option<&'a Fields>,
    pub response: &'a Fields,
    pub status: u16,
    /// Octets of the whole response, where that is known, and of its content.
    pub sent: Option<u64>,
    pub content_sent: u64,
    /// Octets of the request, where they are known.
    pub received: Option<u64>,
    pub id: Option<&'a str>,
    pub elapsed: Duration,
    pub tries: &'a [Try],
    /// How long ago the last try began.
    pub since_last_try: Duration,
    pub now: &'a Stamp,
    /// For what few formats ask; that of nobody, where the gateway's own interfaces answer.
    pub exchange: &'a Exchange,
}

/// A moment as lines name it; made anew every second.
#[derive(Clone, Debug, Default)]
pub struct Stamp {
    unix_ms: u64,
    local: String,
    iso: String,
}

impl Stamp {
    /// Brings it to a moment, in milliseconds since 1970.
    pub fn set(&mut self, unix_ms: u64) {
        let same = self.unix_ms / 1000 == unix_ms / 1000 && !self.local.is_empty();
        self.unix_ms = unix_ms;
        if same {
            return;
        }
        let seconds = i64::try_from(unix_ms / 1000).unwrap_or_default();
        let zoned = Timestamp::from_second(seconds).unwrap_or_default().to_zoned_datetime(TimeZone::system());
        self.local = zoned.strftime("%d/%b/%Y:%H:%M:%S %z").to_string();
        self.iso = zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
    }
}

impl Record<'_> {
    /// Writes the value of a variable.
    pub(super) fn write(&self, variable: &Variable, escape: Escape, out: &mut Vec<u8>) {
        match variable {
            Variable::BodyBytesSent => number(self.content_sent, out),
            Variable::BytesSent => optional(self.sent, escape, out),
            Variable::Connection => number(self.connection, out),
            Variable::ConnectionRequests => number(self.connection_requests, out),
            Variable::LimitRate => number(self.limit_rate, out),
            Variable::LocalAddress => out.extend_from_slice(self.local.ip().to_canonical().to_string().as_bytes()),
            Variable::LocalPort => number(u64::from(self.local.port()), out),
            Variable::Milliseconds => seconds(Duration::from_millis(self.now.unix_ms), out),
            Variable::PeerAddress => out.extend_from_slice(self.peer.ip().to_canonical().to_string().as_bytes()),
            Variable::PeerPort => number(u64::from(self.peer.port()), out),
            Variable::Pid => number(u64::from(std::process::id()), out),
            Variable::Pipelined => out.push(b'.'),
            Variable::Protocol => out.extend_from_slice(self.protocol().as_bytes()),
            Variable::RemoteAddress => out.extend_from_slice(self.client.as_bytes()),
            Variable::RemotePort => {
                optional((self.client_port > 0).then_some(u64::from(self.client_port)), escape, out);
            }
            Variable::RequestLength => optional(self.received, escape, out),
            Variable::RequestTime => seconds(self.elapsed, out),
            Variable::Scheme => out.extend_from_slice(if self.tls { b"https" } else { b"http" }),
            Variable::ServerName => out.extend_from_slice(self.server.as_bytes()),
            Variable::Status => number(u64::from(self.status), out),
            Variable::TimeIso8601 => out.extend_from_slice(self.now.iso.as_bytes()),
            Variable::TimeLocal => out.extend_from_slice(self.now.local.as_bytes()),
            Variable::TransportProtocol => out.extend_from_slice(if self.datagrams { b"UDP" } else { b"TCP" }),
            Variable::Request if !self.target.is_empty() => self.write_request_line(escape, out),
            _ => match self.text(variable) {
                Some(text) => escape.write(&text, out),
                None => escape.write_missing(out),
            },
        }
    }

    /// Values that come from outside, or may be missing.
    fn text<'v>(&'v self, variable: &'v Variable) -> Option<Cow<'v, [u8]>> {
        match variable {
            Variable::Args => self.query().map(|query| query.as_bytes().into()),
            Variable::Arg(name) => {
                let mut pairs = self.query()?.split('&').filter_map(|pair| pair.split_once('='));
                pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_bytes().into())
            }
            Variable::Cookie(name) => field_value::cookie(self.request, name).map(Cow::Borrowed),
            Variable::Host => {
                let host = self.kept.unwrap_or(self.request).known(Known::Host).unwrap_or(self.server.as_bytes());
                let port =
                    host.iter().rposition(|&b| b == b':').filter(|at| host[at + 1..].iter().all(u8::is_ascii_digit));
                Some(host[..port.unwrap_or(host.len())].to_ascii_lowercase().into())
            }
            Variable::Https => Some(if self.tls { &b"on"[..] } else { b"" }.into()),
            Variable::IsArgs => Some(if self.query().is_some() { &b"?"[..] } else { b"" }.into()),
            Variable::OfExchange(variable) => variable.value(self.exchange, self.kept.unwrap_or(self.request)),
            Variable::OfferedCiphers => self.offered.map(|offered| offered.ciphers.as_bytes().into()),
            Variable::OfferedCurves => self
                .offered
                .map(|offered| offered.curves.as_bytes().into())
                .filter(|curves: &Cow<'_, [u8]>| !curves.is_empty()),
            Variable::ProxyProtocolAddition(addition) => self.proxied?.additions.get(*addition).map(Cow::Owned),
            Variable::ProxyProtocolAddress => self.proxied.map(|p| address(p.source)),
            Variable::ProxyProtocolPort => self.proxied.map(|p| port(p.source)),
            Variable::ProxyProtocolServerAddress => self.proxied.map(|p| address(p.destination)),
            Variable::ProxyProtocolServerPort => self.proxied.map(|p| port(p.destination)),
            Variable::RemoteUser => remote_user(self.request.known(Known::Authorization)?).map(Cow::Owned),
            Variable::RequestField(name) => {
                joined(self.kept.filter(|_| variable.rewritten().is_some()).unwrap_or(self.request), name)
            }
            Variable::RequestId => self.id.map(|id| id.as_bytes().into()),
            Variable::RequestMethod => (!self.target.is_empty()).then(|| self.method.as_bytes().into()),
            Variable::RequestUri => (!self.target.is_empty()).then(|| self.target.as_bytes().into()),
            Variable::ResponseField(name) => joined(self.response, name),
            Variable::ServerNameAsked => self.sni.map(|name| name.as_bytes().into()),
            Variable::UpstreamAddress => self.each_try(|_, attempt| attempt.address.to_string()),
            Variable::UpstreamResponseTime => {
                self.each_try(|last, attempt| seconds_text(if last { self.since_last_try } else { attempt.waited }))
            }
            Variable::UpstreamStatus => self.each_try(|_, attempt| attempt.status_text().into_owned()),
            Variable::Uri => {
                let path = self.target.split_once('?').map_or(self.target, |(path, _)| path);
                (!path.is_empty()).then(|| sdk::path::uri(path))
            }
            _ => None,
        }
    }

    fn write_request_line(&self, escape: Escape, out: &mut Vec<u8>) {
        escape.write(self.method.as_bytes(), out);
        out.push(b' ');
        escape.write(self.target.as_bytes(), out);
        out.push(b' ');
        out.extend_from_slice(self.protocol().as_bytes());
    }

    fn protocol(&self) -> &'static str {
        match self.version {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::Http2 => "HTTP/2.0",
            Version::Http3 => "HTTP/3.0",
        }
    }

    fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query).filter(|query| !query.is_empty())
    }

    /// What there is to say of each try, as nginx lists it; the first argument says which is the last.
    fn each_try(&self, say: impl Fn(bool, &Try) -> String) -> Option<Cow<'_, [u8]>> {
        let last = self.tries.len().checked_sub(1)?;
        let texts: Vec<String> =
            self.tries.iter().enumerate().map(|(index, attempt)| say(index == last, attempt)).collect();
        Some(texts.join(", ").into_bytes().into())
    }
}

fn address(of: SocketAddr) -> Cow<'static, [u8]> {
    of.ip().to_string().into_bytes().into()
}

fn port(of: SocketAddr) -> Cow<'static, [u8]> {
    of.port().to_string().into_bytes().into()
}

/// All lines of that name; nginx reads a dash and an underscore as the same.
fn joined<'a>(fields: &'a Fields, name: &'a str) -> Option<Cow<'a, [u8]>> {
    let mut values = fields.get_all(name);
    let Some(first) = values.next() else {
        return if name.contains('-') { fields.get(&name.replace('-', "_")).map(Cow::Borrowed) } else { None };
    };
    match values.next() {
        None => Some(first.into()),
        Some(_) => Some(fields.get_all(name).collect::<Vec<_>>().join(&b", "[..]).into()),
    }
}

/// The user of `Authorization: Basic`.
fn remote_user(authorization: &[u8]) -> Option<Vec<u8>> {
    let (scheme, rest) = authorization.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let mut pair = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, rest.trim_ascii()).ok()?;
    let end = pair.iter().position(|&b| b == b':')?;
    pair.truncate(end);
    (!pair.is_empty()).then_some(pair)
}

fn number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn optional(value: Option<u64>, escape: Escape, out: &mut Vec<u8>) {
    match value {
        Some(value) => number(value, out),
        None => escape.write_missing(out),
    }
}

/// `1.234`.
fn seconds(time: Duration, out: &mut Vec<u8>) {
    number(time.as_secs(), out);
    let millis = time.subsec_millis();
    out.extend([b'.', digit(millis / 100), digit(millis / 10), digit(millis)]);
}

fn digit(number: u32) -> u8 {
    b'0' + (number % 10) as u8
}

fn seconds_text(time: Duration) -> String {
    format!("{}.{:03}", time.as_secs(), time.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::*;
    use std::time::Instant;
    use wire::proxy_protocol::Additions;

    fn line(format: &str) -> String {
        let format = Format::known(format).unwrap_or_else(|| {
            let (escape, text) = match format.split_once(' ') {
                Some((escape, text)) if escape.starts_with("escape=") => (escape, text),
                _ => ("escape=default", format),
            };
            Format::define(&["x", escape, text].map(str::to_owned)).unwrap().1
        });
        let fields = |lines: &[(&str, &str)]| lines.iter().copied().collect::<Fields>();
        let sent = [
            ("Host", "Front.test:8000"),
            ("User-Agent", "a \"b\""),
            ("Authorization", "Basic YWRhOng="),
            ("Cookie", "a=1; b=2"),
            ("X-A", "1"),
            ("x_b", "2"),
        ];
        let request = fields(&sent);
        let kept = format.keep(&request);
        let mut request = request;
        request.set("Host", b"service");
        request.append("X-A", b"3");
        request.append("X-Forwarded-For", b"192.0.2.1");
        let mut now = Stamp::default();
        now.set(1_795_440_846_123);
        let attempt = |port, status| Try {
            status,
            waited: Duration::from_millis(5),
            ..Try::new(SocketAddr::from(([10, 0, 0, 1], port)), Instant::now())
        };
        let entry = Record {
            client: "192.0.2.1",
            client_port: 1234,
            peer: "[::ffff:198.51.100.1]:99".parse().unwrap(),
            local: "127.0.0.1:8000".parse().unwrap(),
            proxied: Some(&Proxied {
                source: "192.0.2.9:1".parse().unwrap(),
                destination: "[2001:db8::1]:443".parse().unwrap(),
                additions: Additions::default(),
            }),
            tls: false,
            datagrams: false,
            sni: None,
            offered: Some(&Offered { ciphers: "AES128-SHA:0x0a0a".into(), curves: "X25519".into() }),
            limit_rate: 8000,
            server: "kong",
            connection: 7,
            connection_requests: 2,
            method: "GET",
            target: "/a%20b?k=v&x",
            version: Version::Http11,
            request: &request,
            kept: kept.as_ref(),
            response: &fields(&[("Content-Type", "text/plain")]),
            status: 200,
            sent: Some(150),
            content_sent: 50,
            received: Some(80),
            id: Some("0123"),
            elapsed: Duration::from_millis(1042),
            tries: &[attempt(1, 502), attempt(2, 200)],
            since_last_try: Duration::from_millis(7),
            now: &now,
            exchange: &Exchange::empty(),
        };
        let mut out = Vec::new();
        format.write(&entry, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_usual_line() {
        let line = line("kong_log_format");
        let (before, after) = line.split_once('[').unwrap();
        let (time, after) = after.split_once(']').unwrap();
        assert_eq!(before, "192.0.2.1 - ada ");
        assert_eq!(after, " \"GET /a%20b?k=v&x HTTP/1.1\" 200 50 \"-\" \"a \\x22b\\x22\" kong_request_id: \"0123\"\n");
        assert!(
            time.ends_with(
                &jiff::Timestamp::from_second(1_795_440_846)
                    .unwrap()
                    .to_zoned_datetime(TimeZone::system())
                    .strftime("%z")
                    .to_string()
            ),
            "{time}"
        );
        assert_eq!(&time[2..8], "/Nov/2");
        assert_eq!(&time[14..20], ":34:06");
    }

    #[test]
    fn variables() {
        assert_eq!(
            line("$host|$http_host|$http_x_a|$http_x_b|$http_x_forwarded_for"),
            "front.test|Front.test:8000|1, 3|2|-\n"
        );
        assert_eq!(
            line("$uri$is_args$args|$arg_k|$arg_x|$cookie_b|$sent_http_content_type"),
            "/a b?k=v&x|v|-|2|text/plain\n"
        );
        assert_eq!(
            line("$upstream_addr $upstream_status $upstream_response_time"),
            "10.0.0.1:1, 10.0.0.1:2 502, 200 0.005, 0.007\n"
        );
        assert_eq!(
            line("$request_time $msec $bytes_sent $realip_remote_addr"),
            "1.042 1795440846.123 150 198.51.100.1\n"
        );
        assert_eq!(line("escape=json {$http_referer}{$http_user_agent}"), "{}{a \\\"b\\\"}\n");
        assert_eq!(line("$nonsense $ssl_server_name $tcpinfo_rtt"), "- - -\n");
        assert_eq!(line("$ssl_ciphers $ssl_curves $limit_rate"), "AES128-SHA:0x0a0a X25519 8000\n");
        assert_eq!(line("$proxy_protocol_tlv_authority"), "-\n");
        assert_eq!(
            line("$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr $proxy_protocol_server_port"),
            "192.0.2.9 1 2001:db8::1 443\n"
        );
    }
}
