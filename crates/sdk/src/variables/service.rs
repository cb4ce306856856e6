//! `$upstream_*`, `$proxy_*` and Kong's own: the service, what it is sent, and what has come of it.

use super::seconds;
use crate::{Exchange, Try};
use model::entities::Protocol;
use std::borrow::Cow;
use wire::Known;

/// What a variable says of the service of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceVariable {
    BytesReceived,
    BytesSent,
    /// No cache of nginx is in use.
    CacheStatus,
    ConnectTime,
    /// A cookie that the service sets.
    Cookie(String),
    HeaderTime,
    Host,
    /// A line of the request as the service gets it.
    Line(Known),
    ProxyHost,
    ProxyMode,
    ProxyPort,
    ResponseLength,
    Scheme,
    /// A trailer of its response.
    Trailer(String),
    Uri,
}

impl ServiceVariable {
    pub(super) fn parse(name: &str) -> Option<ServiceVariable> {
        Some(match name {
            "kong_proxy_mode" => ServiceVariable::ProxyMode,
            "proxy_host" => ServiceVariable::ProxyHost,
            "proxy_port" => ServiceVariable::ProxyPort,
            "upstream_bytes_received" => ServiceVariable::BytesReceived,
            "upstream_bytes_sent" => ServiceVariable::BytesSent,
            "upstream_cache_status" => ServiceVariable::CacheStatus,
            "upstream_connect_time" => ServiceVariable::ConnectTime,
            "upstream_header_time" => ServiceVariable::HeaderTime,
            "upstream_host" => ServiceVariable::Host,
            "upstream_response_length" => ServiceVariable::ResponseLength,
            "upstream_scheme" => ServiceVariable::Scheme,
            "upstream_te" => ServiceVariable::Line(Known::Te),
            "upstream_upgrade" => ServiceVariable::Line(Known::Upgrade),
            "upstream_uri" => ServiceVariable::Uri,
            "upstream_via" => ServiceVariable::Line(Known::Via),
            "upstream_x_forwarded_for" => ServiceVariable::Line(Known::XForwardedFor),
            "upstream_x_forwarded_host" => ServiceVariable::Line(Known::XForwardedHost),
            "upstream_x_forwarded_path" => ServiceVariable::Line(Known::XForwardedPath),
            "upstream_x_forwarded_port" => ServiceVariable::Line(Known::XForwardedPort),
            "upstream_x_forwarded_prefix" => ServiceVariable::Line(Known::XForwardedPrefix),
            "upstream_x_forwarded_proto" => ServiceVariable::Line(Known::XForwardedProto),
            _ => {
                let after = |prefix: &str| name.strip_prefix(prefix).filter(|rest| !rest.is_empty());
                match (after("upstream_cookie_"), after("upstream_trailer_")) {
                    (Some(cookie), _) => ServiceVariable::Cookie(cookie.to_owned()),
                    (_, trailer) => ServiceVariable::Trailer(trailer?.replace('_', "-")),
                }
            }
        })
    }

    pub(super) fn value<'a>(&self, exchange: &'a Exchange) -> Option<Cow<'a, [u8]>> {
        exchange.service.as_ref()?;
        let upstream = &exchange.upstream;
        match self {
            ServiceVariable::BytesReceived => each_try(exchange, |attempt| Some(attempt.received.to_string())),
            ServiceVariable::BytesSent => each_try(exchange, |attempt| Some(attempt.sent.to_string())),
            ServiceVariable::CacheStatus => None,
            ServiceVariable::ConnectTime => each_try(exchange, |attempt| attempt.connected.map(seconds)),
            ServiceVariable::Cookie(name) => cookie(exchange, name).map(Cow::Borrowed),
            ServiceVariable::HeaderTime => {
                each_try(exchange, |attempt| attempt.answered.then(|| seconds(attempt.waited)))
            }
            ServiceVariable::Host => host(exchange),
            ServiceVariable::Line(known) => exchange.request.fields.known(*known).map(Cow::Borrowed),
            // The name that stands for all services in Kong's `proxy_pass`.
            ServiceVariable::ProxyHost => Some(b"kong_upstream".into()),
            ServiceVariable::ProxyMode => Some(mode(exchange).as_bytes().into()),
            ServiceVariable::ProxyPort => Some(if is_secure(upstream.protocol) { b"443" } else { &b"80"[..] }.into()),
            ServiceVariable::ResponseLength => each_try(exchange, |attempt| Some(attempt.content.to_string())),
            ServiceVariable::Scheme => Some(scheme(upstream.protocol).as_bytes().into()),
            ServiceVariable::Trailer(name) => exchange.trailers.as_ref()?.get(name).map(Cow::Borrowed),
            ServiceVariable::Uri => Some(match &upstream.query {
                Some(query) => format!("{}?{query}", upstream.path).into_bytes().into(),
                None => upstream.path.as_bytes().into(),
            }),
        }
    }
}

/// What there is to say of each try, as nginx lists it.
fn each_try<'a>(exchange: &Exchange, say: impl Fn(&Try) -> Option<String>) -> Option<Cow<'a, [u8]>> {
    if exchange.tries.is_empty() {
        return None;
    }
    let texts: Vec<String> =
        exchange.tries.iter().map(|attempt| say(attempt).unwrap_or_else(|| "-".to_owned())).collect();
    Some(texts.join(", ").into_bytes().into())
}

/// The `Host` that the service gets; before a target is known, what it will be unless that depends on the target.
fn host(exchange: &Exchange) -> Option<Cow<'_, [u8]>> {
    let (upstream, line) = (&exchange.upstream, exchange.request.fields.known(Known::Host));
    let keeps = exchange.route.as_deref().is_some_and(|route| route.preserve_host);
    if exchange.timing.proxy.is_some() || (keeps && upstream.host_header.is_none()) {
        return line.map(Cow::Borrowed);
    }
    if let Some(host) = &upstream.host_header {
        return Some(host.into());
    }
    let host = upstream.host.as_deref().or(exchange.service.as_deref().map(|service| &*service.host))?;
    Some(match (upstream.port, is_secure(upstream.protocol)) {
        (80, false) | (443, true) => host.as_bytes().to_vec().into(),
        (port, _) => format!("{host}:{port}").into_bytes().into(),
    })
}

fn cookie<'a>(exchange: &'a Exchange, name: &str) -> Option<&'a [u8]> {
    exchange.response.fields.get_all("Set-Cookie").find_map(|line| {
        let pair = line.split(|octet| *octet == b';').next()?.trim_ascii();
        let at = pair.iter().position(|octet| *octet == b'=')?;
        pair[..at].eq_ignore_ascii_case(name.as_bytes()).then(|| &pair[at + 1..])
    })
}

/// Kong's location that serves the request.
fn mode(exchange: &Exchange) -> &'static str {
    let streams = exchange.route.as_deref().is_some_and(|route| !route.request_buffering || !route.response_buffering);
    match exchange.upstream.protocol {
        Protocol::Grpc | Protocol::Grpcs => "grpc",
        _ if streams => "unbuffered",
        _ => "http",
    }
}

fn scheme(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Ws => "http",
        Protocol::Wss => "https",
        other => other.as_str(),
    }
}

fn is_secure(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Https | Protocol::Grpcs | Protocol::Wss | Protocol::Tls)
}

#[cfg(test)]
mod tests {
    use super::super::Variable;
    use super::*;
    use crate::testing;
    use serde_json::json;
    use std::time::{Duration, Instant};

    fn value(name: &str, exchange: &Exchange) -> Option<String> {
        let value = Variable::parse(name).expect(name).value(exchange, &exchange.request.fields);
        value.map(|value| String::from_utf8(value.into_owned()).unwrap())
    }

    #[test]
    fn where_a_request_goes() {
        let mut exchange = testing::exchange("GET", "/a?b=1", &[("X-Forwarded-For", "192.0.2.1")]);
        assert_eq!(value("upstream_uri", &exchange), None);
        exchange.service = Some(testing::service(json!({ "protocol": "https", "host": "s.test", "port": 8443 })));
        exchange.route = Some(testing::route(json!({ "response_buffering": false })));
        (exchange.upstream.protocol, exchange.upstream.port) = (Protocol::Https, 8443);
        for (name, expected) in [
            ("upstream_uri", "/a?b=1"),
            ("upstream_host", "s.test:8443"),
            ("upstream_scheme", "https"),
            ("upstream_x_forwarded_for", "192.0.2.1"),
            ("kong_proxy_mode", "unbuffered"),
            ("proxy_host", "kong_upstream"),
            ("proxy_port", "443"),
        ] {
            assert_eq!(value(name, &exchange).as_deref(), Some(expected), "{name}");
        }
        assert_eq!(value("upstream_connect_time", &exchange), None);
        exchange.upstream.host_header = Some(b"other.test".to_vec());
        assert_eq!(value("upstream_host", &exchange).as_deref(), Some("other.test"));
    }

    #[test]
    fn tries_and_their_responses() {
        let mut exchange = testing::exchange("GET", "/", &[]);
        exchange.service = Some(testing::service(json!({})));
        let mut attempt = Try::new(([127, 0, 0, 1], 1).into(), Instant::now());
        (attempt.status, attempt.waited) = (502, Duration::from_millis(5));
        exchange.tries.push(attempt.clone());
        (attempt.status, attempt.connected, attempt.answered) = (200, Some(Duration::from_millis(2)), true);
        (attempt.sent, attempt.received, attempt.content) = (10, 300, 100);
        exchange.tries.push(attempt);
        exchange.response.fields.append("Set-Cookie", b"a=1; Path=/");
        exchange.response.fields.append("Set-Cookie", b"B=2");
        exchange.trailers = Some(Box::new([("Grpc-Status", "0")].into_iter().collect()));
        for (name, expected) in [
            ("upstream_connect_time", "-, 0.002"),
            ("upstream_header_time", "-, 0.005"),
            ("upstream_bytes_sent", "0, 10"),
            ("upstream_bytes_received", "0, 300"),
            ("upstream_response_length", "0, 100"),
            ("upstream_cookie_b", "2"),
            ("upstream_trailer_grpc_status", "0"),
        ] {
            assert_eq!(value(name, &exchange).as_deref(), Some(expected), "{name}");
        }
        assert_eq!(value("upstream_cookie_c", &exchange), None);
        assert_eq!(value("upstream_cache_status", &exchange), None);
    }
}
