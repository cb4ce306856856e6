//! Requests that fit a route in all but the protocol.

use super::Flavor;
use model::entities::{Protocol, Protocols, Route};
use wire::{Fields, Known, Version};

/// Why a route cannot serve a request that it matched, and thus how to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// It takes https only: 426 with `Connection: Upgrade` and `Upgrade: TLS/1.2, HTTP/1.1`, or a redirect of that
    /// status to the same URL with https.
    NeedsHttps { status: u16 },
    /// A gRPC request, not over HTTP/2: 426 with `Connection: Upgrade` and `Upgrade: HTTP/2`.
    NeedsHttp2,
    /// A route for gRPC, and something else as a request: 415.
    NotGrpc,
    /// A route for WebSocket, and a request that asks for none: 426 with `Connection: Upgrade` and
    /// `Upgrade: websocket`.
    NeedsWebSocket,
    /// A gRPC request without TLS for a route that takes grpcs only: 200 with `grpc-status: 1`.
    NeedsGrpcs,
}

impl Mismatch {
    /// What is wrong, if anything. `https` is whether the request counts as such.
    pub fn of(route: &Route, https: bool, version: Version, fields: &Fields) -> Option<Mismatch> {
        let takes = |protocol| route.protocols.contains(protocol);
        if needs_https(route) && !https {
            return Some(Mismatch::NeedsHttps { status: route.https_redirect_status_code });
        }
        if route.protocols.intersects(Protocols::WEBSOCKETS) {
            return (!asks_for_websocket(version, fields)).then_some(Mismatch::NeedsWebSocket);
        }
        if !takes(Protocol::Grpc) && !takes(Protocol::Grpcs) {
            return None;
        }
        let content_type = fields.known(Known::ContentType).unwrap_or_default();
        match content_type.starts_with(b"application/grpc") {
            false => Some(Mismatch::NotGrpc),
            true if version < Version::Http2 => Some(Mismatch::NeedsHttp2),
            true => (!takes(Protocol::Grpc) && !https).then_some(Mismatch::NeedsGrpcs),
        }
    }

    /// What the body of the answer says; Kong's words, where they are known.
    pub fn message(self) -> &'static str {
        match self {
            Mismatch::NeedsHttps { .. } => "Please use HTTPS protocol",
            Mismatch::NeedsHttp2 => "Please use HTTP2 protocol",
            Mismatch::NeedsWebSocket => "Please use WebSocket protocol",
            Mismatch::NotGrpc => "Non-gRPC request matched gRPC route",
            Mismatch::NeedsGrpcs => "gRPC request matched gRPCs route",
        }
    }
}

/// Whether a route takes https and no http, or wss and no ws.
pub fn needs_https(route: &Route) -> bool {
    let only = |secure, plain| route.protocols.contains(secure) && !route.protocols.contains(plain);
    only(Protocol::Https, Protocol::Http) || only(Protocol::Wss, Protocol::Ws)
}

/// Whether requests of a route must come over TLS, or without; `None`: either way. The flavour `expressions` matches
/// protocols as one more condition on what carries the request, but for routes of https only, whose other requests are
/// told so.
pub(super) fn tls_asked(flavor: Flavor, route: &Route) -> Option<bool> {
    let secure = Protocols::default().with(Protocol::Https).with(Protocol::Grpcs).with(Protocol::Wss);
    let plain = Protocols::default().with(Protocol::Http).with(Protocol::Grpc).with(Protocol::Ws);
    let (of_tls, without) = (route.protocols.intersects(secure), route.protocols.intersects(plain));
    let told = [Protocol::Https, Protocol::Wss].iter().any(|&only| route.protocols == Protocols::default().with(only));
    (flavor == Flavor::Expressions && of_tls != without && !told).then_some(of_tls)
}

fn asks_for_websocket(version: Version, fields: &Fields) -> bool {
    let upgrade = fields.known(Known::Upgrade);
    version >= Version::Http11 && upgrade.is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::tests::route;

    #[test]
    fn expressions_ask_for_what_carries_a_request() {
        let asked = |flavor, protocols: &[Protocol]| {
            let protocols = protocols.iter().fold(Protocols::default(), |set, &p| set.with(p));
            tls_asked(flavor, &Route { protocols, ..route(1) })
        };
        for (protocols, expected) in [
            (&[Protocol::Http] as &[_], Some(false)),
            (&[Protocol::Grpc], Some(false)),
            (&[Protocol::Http, Protocol::Grpc], Some(false)),
            (&[Protocol::Https], None),
            (&[Protocol::Wss], None),
            (&[Protocol::Grpcs], Some(true)),
            (&[Protocol::Https, Protocol::Grpcs], Some(true)),
            (&[Protocol::Http, Protocol::Https], None),
            (&[Protocol::Grpc, Protocol::Grpcs], None),
        ] {
            assert_eq!(asked(Flavor::Expressions, protocols), expected, "{protocols:?}");
            assert_eq!(asked(Flavor::TraditionalCompatible, protocols), None);
        }
    }

    #[test]
    fn names_what_is_missing() {
        let with = |protocols: &[Protocol]| Route {
            protocols: protocols.iter().fold(Protocols::default(), |set, &p| set.with(p)),
            ..route(1)
        };
        let (plain, grpc) = (Fields::new(), Fields::from_iter([("content-type", "application/grpc+proto")]));
        let of =
            |protocols: &[Protocol], https, version, fields| Mismatch::of(&with(protocols), https, version, fields);
        assert_eq!(of(&[Protocol::Http], true, Version::Http11, &plain), None);
        assert_eq!(of(&[Protocol::Https], false, Version::Http11, &plain), Some(Mismatch::NeedsHttps { status: 426 }));
        assert_eq!(of(&[Protocol::Http, Protocol::Https], false, Version::Http11, &plain), None);
        assert_eq!(of(&[Protocol::Grpc], false, Version::Http11, &plain), Some(Mismatch::NotGrpc));
        assert_eq!(of(&[Protocol::Grpc], false, Version::Http11, &grpc), Some(Mismatch::NeedsHttp2));
        assert_eq!(of(&[Protocol::Grpc], false, Version::Http2, &grpc), None);
        assert_eq!(of(&[Protocol::Grpcs], false, Version::Http2, &grpc), Some(Mismatch::NeedsGrpcs));
        assert_eq!(of(&[Protocol::Grpcs], true, Version::Http2, &grpc), None);
        let upgrade = Fields::from_iter([("upgrade", "WebSocket")]);
        assert_eq!(of(&[Protocol::Ws], false, Version::Http11, &plain), Some(Mismatch::NeedsWebSocket));
        assert_eq!(of(&[Protocol::Ws], false, Version::Http11, &upgrade), None);
        assert_eq!(of(&[Protocol::Wss], false, Version::Http11, &upgrade), Some(Mismatch::NeedsHttps { status: 426 }));
        assert_eq!(of(&[Protocol::Wss], true, Version::Http2, &upgrade), None);
    }
}
