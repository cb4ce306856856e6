//! nginx's variables that follow from an exchange as it is kept for plugins, and Kong's own: for formats of logs, lines
//! with variables, and code of plugins. What nginx has from a connection itself is elsewhere (`proxy::access_log`).

mod service;
mod tls;

use crate::Exchange;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use model::entities::Protocol;
use service::ServiceVariable;
use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;
use tls::TlsVariable;
use wire::{Fields, Known, Version};

/// What a variable stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// About the client's connection and its certificate.
    Tls(TlsVariable),
    /// About the service and how it was asked.
    Service(ServiceVariable),
    BinaryRemoteAddress,
    ConnectionTime,
    DateGmt,
    DateLocal,
    GzipRatio,
    Http2,
    Http3,
    NginxVersion,
    ProxyAddForwardedFor,
    RequestBody,
    RequestCompletion,
    /// A trailer of the response.
    SentTrailer(String),
}

/// The version of nginx in the release of Kong whose place this takes.
const NGINX_VERSION: &str = "1.27.1";
/// The usual `timefmt` of server-side includes, by which nginx writes dates; the zone follows.
const DATE: &str = "%A, %d-%b-%Y %H:%M:%S";

impl Variable {
    /// By its name without the `$`, in lower case; `None` for one that is not among these.
    pub fn parse(name: &str) -> Option<Variable> {
        Some(match name {
            "binary_remote_addr" => Variable::BinaryRemoteAddress,
            "connection_time" => Variable::ConnectionTime,
            "date_gmt" => Variable::DateGmt,
            "date_local" => Variable::DateLocal,
            "gzip_ratio" => Variable::GzipRatio,
            "http2" => Variable::Http2,
            "http3" => Variable::Http3,
            "nginx_version" => Variable::NginxVersion,
            "proxy_add_x_forwarded_for" => Variable::ProxyAddForwardedFor,
            "request_body" => Variable::RequestBody,
            "request_completion" => Variable::RequestCompletion,
            _ => {
                if let Some(trailer) = name.strip_prefix("sent_trailer_").filter(|trailer| !trailer.is_empty()) {
                    return Some(Variable::SentTrailer(trailer.replace('_', "-")));
                }
                return TlsVariable::parse(name)
                    .map(Variable::Tls)
                    .or_else(|| ServiceVariable::parse(name).map(Variable::Service));
            }
        })
    }

    /// Its value, where it has one; `lines` are those of the request as the client sent them.
    pub fn value<'a>(&self, exchange: &'a Exchange, lines: &Fields) -> Option<Cow<'a, [u8]>> {
        let client = &exchange.client;
        let version = exchange.request.version;
        match self {
            Variable::Tls(variable) => variable.value(client),
            Variable::Service(variable) => variable.value(exchange),
            Variable::BinaryRemoteAddress => Some(match client.ip.to_canonical() {
                IpAddr::V4(ip) => ip.octets().to_vec().into(),
                IpAddr::V6(ip) => ip.octets().to_vec().into(),
            }),
            Variable::ConnectionTime => text(seconds(client.connected.elapsed())),
            Variable::DateGmt => text(date(TimeZone::UTC, "GMT")),
            Variable::DateLocal => text(date(TimeZone::system(), "%Z")),
            Variable::GzipRatio => {
                let (before, after) = exchange.compressed.filter(|(_, after)| *after > 0)?;
                let hundredths = before.saturating_mul(100) / after;
                text(format!("{}.{:02}", hundredths / 100, hundredths % 100))
            }
            Variable::Http2 => match version {
                Version::Http2 if client.tls.is_some() => Some(b"h2".into()),
                Version::Http2 => Some(b"h2c".into()),
                _ => None,
            },
            Variable::Http3 => (version == Version::Http3).then(|| b"h3".into()),
            Variable::NginxVersion => Some(NGINX_VERSION.as_bytes().into()),
            Variable::ProxyAddForwardedFor => {
                let mut values: Vec<&[u8]> = lines.known_all(Known::XForwardedFor).collect();
                let own = client.ip.to_string();
                values.push(own.as_bytes());
                Some(values.join(&b", "[..]).into())
            }
            Variable::RequestBody => {
                let content = exchange.kept_content.as_ref().or_else(|| exchange.body.bytes())?;
                Some(Cow::Borrowed(content))
            }
            Variable::RequestCompletion => exchange.complete.then(|| b"OK".into()),
            Variable::SentTrailer(name) => {
                // Nobody else is sent any, but for calls of gRPC.
                let asked = exchange.request.fields.has(Known::Te);
                let sent = asked || matches!(exchange.upstream.protocol, Protocol::Grpc | Protocol::Grpcs);
                exchange.trailers.as_ref().filter(|_| sent)?.get(name).map(Cow::Borrowed)
            }
        }
    }
}

fn text<'a>(text: String) -> Option<Cow<'a, [u8]>> {
    Some(text.into_bytes().into())
}

fn date(zone: TimeZone, name: &str) -> String {
    Timestamp::now().to_zoned_datetime(zone).strftime(&format!("{DATE} {name}")).to_string()
}

/// `1.234`, as nginx writes times.
fn seconds(time: Duration) -> String {
    format!("{}.{:03}", time.as_secs(), time.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bytes, testing};

    fn value(name: &str, exchange: &Exchange) -> Option<String> {
        let value = Variable::parse(name).expect(name).value(exchange, &exchange.request.fields);
        value.map(|value| String::from_utf8(value.into_owned()).unwrap())
    }

    #[test]
    fn requests_and_responses() {
        let lines = [("X-Forwarded-For", "192.0.2.1"), ("TE", "trailers")];
        let mut exchange = testing::exchange("GET", "/", &lines);
        assert_eq!(value("proxy_add_x_forwarded_for", &exchange).as_deref(), Some("192.0.2.1, 127.0.0.1"));
        assert_eq!(value("binary_remote_addr", &exchange).as_deref(), Some("\u{7f}\0\0\u{1}"));
        assert_eq!(value("request_completion", &exchange), None);
        assert_eq!(value("gzip_ratio", &exchange), None);
        assert_eq!(value("request_body", &exchange), None);
        assert_eq!(value("http2", &exchange), None);
        exchange.complete = true;
        exchange.compressed = Some((1000, 300));
        exchange.kept_content = Some(Bytes::from_static(b"a=1"));
        exchange.trailers = Some(Box::new([("X-Sum", "1")].into_iter().collect()));
        exchange.request.version = Version::Http2;
        assert_eq!(value("request_completion", &exchange).as_deref(), Some("OK"));
        assert_eq!(value("gzip_ratio", &exchange).as_deref(), Some("3.33"));
        assert_eq!(value("request_body", &exchange).as_deref(), Some("a=1"));
        assert_eq!(value("sent_trailer_x_sum", &exchange).as_deref(), Some("1"));
        assert_eq!(value("http2", &exchange).as_deref(), Some("h2c"));
        assert_eq!(value("nginx_version", &exchange).as_deref(), Some("1.27.1"));
        assert!(value("date_gmt", &exchange).unwrap().ends_with(" GMT"));
    }

    #[test]
    fn other_names_are_not_known() {
        for name in ["", "status", "sent_trailer_", "ssl_", "upstream_cookie_", "upstream_trailer_"] {
            assert_eq!(Variable::parse(name), None, "{name}");
        }
    }
}
