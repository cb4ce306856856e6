//! The head that a service gets.

use super::access;
use super::context::RequestContext;
use super::payload::Payload;
use super::websocket;
use crate::balancer::Peer;
use crate::forwarded::Forwarded;
use crate::snapshot::Found;
use crate::{hop_by_hop, path};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::entities::Protocol;
use sdk::{Exchange, Known};
use wire::h1::OutgoingRequest;
use wire::{Framing, Version};

/// The part of the path that does not go to the service.
pub(crate) enum Stripped {
    Nothing,
    /// So much of the target, which is in normal form already.
    OfTarget(usize),
    Of(String),
}

impl Stripped {
    fn as_str<'a>(&'a self, target: &'a str) -> Option<&'a str> {
        match self {
            Stripped::Nothing => None,
            Stripped::OfTarget(length) => target.get(..*length),
            Stripped::Of(prefix) => Some(prefix),
        }
    }
}

/// Takes the route into the exchange and works out where the request goes. `path` is that of the request in normal
/// form, `verbatim` whether it came so.
pub(crate) fn enter(
    context: &mut RequestContext<'_>,
    exchange: &mut Exchange,
    matched: Found,
    path: &str,
    verbatim: bool,
    query: Option<&str>,
) -> Stripped {
    let Found { route, service, matched_path, captures, path_handling, .. } = matched;
    let mut stripped = Stripped::Nothing;
    if let Some(service) = &service {
        let upstream = &mut exchange.upstream;
        upstream.protocol = service.protocol;
        upstream.port = service.port;
        // Where plugins have sent the request before it had a route means nothing, as in Kong.
        upstream.path.clear();
        upstream.host_header = None;
        let base = service.path.as_deref().unwrap_or("/");
        path::join(path_handling, base, path, matched_path, route.strip_path, &mut upstream.path);
        // What plugins have made of it before.
        let edited = upstream.query.take();
        let edited = edited.map(|edited| Some(edited).filter(|edited| !edited.is_empty()));
        upstream.query = edited.unwrap_or_else(|| query.map(str::to_owned));
        let prefix = matched_path.filter(|_| route.strip_path).and_then(|n| path.get(..n));
        if let Some(prefix) = prefix.filter(|p| !p.is_empty() && *p != "/") {
            stripped = if verbatim { Stripped::OfTarget(prefix.len()) } else { Stripped::Of(prefix.to_owned()) };
        }
    }
    if route.preserve_host {
        context.kept_host = exchange.request.fields.known(Known::Host).map(<[u8]>::to_vec);
    }
    exchange.captures = captures;
    exchange.route = Some(route);
    exchange.service = service;
    stripped
}

/// Makes the field lines those of a request to a service. The target begins with the path, which is that long.
pub(crate) fn prepare(
    context: &mut RequestContext<'_>,
    exchange: &mut Exchange,
    (path_length, stripped): (usize, &Stripped),
    payload: &Payload,
) {
    let shared = &context.worker.shared;
    let origin = context.origin;
    let head = &mut exchange.request;
    let version = head.version.number();
    let forwarded = Forwarded {
        peer: &origin.peer,
        client: context.client.as_ref().unwrap_or(&origin.peer),
        trusted: exchange.client.trusted,
        tls: origin.tls,
        port: origin.port,
        path: head.target.get(..path_length).unwrap_or_default(),
        prefix: stripped.as_str(&head.target),
    };
    let fields = &mut head.fields;
    forwarded.write(
        fields,
        context.client.is_none().then_some(&origin.lines),
        &mut context.worker.scratch.borrow_mut(),
    );
    for (name, value) in exchange.upstream.forwarded.drain(..) {
        fields.remove(name);
        if !value.is_empty() {
            fields.append(name, &value);
        }
    }
    hop_by_hop::strip_request(fields);
    fields.remove_known(Known::Expect);
    match payload.framing() {
        Framing::Length(n) => set_length(fields, n),
        _ => {
            fields.remove_known(Known::ContentLength);
        }
    }
    let tells_id = shared.settings.headers.request_id_upstream;
    if head.version == Version::Http11 && !fields.may_have(&[Known::XKongRequestId, Known::Via]) {
        fields.append_all(&shared.request_lines);
        if tells_id {
            fields.overwrite_known(Known::XKongRequestId, &exchange.id);
        }
    } else {
        if tells_id {
            fields.set_known(Known::XKongRequestId, &exchange.id);
        }
        match fields.known(Known::Via) {
            None => fields.append_known(Known::Via, format!("{version} {}", shared.settings.token).as_bytes()),
            Some(before) => {
                let all = [before, b", ", version.as_bytes(), b" ", shared.settings.token.as_bytes()].concat();
                fields.set_known(Known::Via, &all);
            }
        }
    }
    if is_upgrade(context) && context.selected.iter().any(|instance| instance.phases.has_any(websocket::FRAMES)) {
        // Frames in the form of an extension are not read here.
        fields.remove("Sec-WebSocket-Extensions");
    }
    if is_upgrade(context) && context.version >= Version::Http2 {
        // Tunnels of streams have no key; services of HTTP/1.1 want one.
        let key = STANDARD.encode(&context.worker.request_id()[..16]);
        fields.set("Sec-WebSocket-Key", key.as_bytes());
    }
    let set_header = &context.directives().set_header;
    if !set_header.is_empty() {
        let values = access::evaluate(context, exchange, |record| set_header.render(record));
        set_header.apply(&mut exchange.request.fields, &values);
    }
}

/// Sets `Host` for a peer: what a plugin or the client (`preserve_host`) wants, else the peer's own name with its port
/// where that is not the usual one.
pub(crate) fn address(context: &RequestContext<'_>, exchange: &mut Exchange, peer: &Peer) {
    let usual = match exchange.upstream.protocol {
        Protocol::Https | Protocol::Grpcs | Protocol::Wss => 443,
        _ => 80,
    };
    let port = peer.address.port();
    let kept = exchange.upstream.host_header.as_deref().or(context.kept_host.as_deref());
    let mut scratch = context.worker.scratch.borrow_mut();
    let host = match kept {
        Some(host) => host,
        None if port == usual => peer.host().as_bytes(),
        None => {
            scratch.clear();
            scratch.extend_from_slice(peer.host().as_bytes());
            scratch.push(b':');
            scratch.extend_from_slice(itoa::Buffer::new().format(port).as_bytes());
            &scratch
        }
    };
    exchange.request.fields.set_known(Known::Host, host);
}

/// The server name for TLS: as Kong, the host that the request names.
pub(crate) fn server_name<'a>(exchange: &'a Exchange, peer: &'a Peer) -> &'a str {
    let host = exchange.request.fields.known(Known::Host).and_then(|h| std::str::from_utf8(h).ok()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    if name.is_empty() { peer.host() } else { name }
}

/// The request as the service gets it.
pub(crate) fn outgoing<'a>(
    context: &RequestContext<'_>,
    exchange: &'a Exchange,
    payload: &Payload,
) -> OutgoingRequest<'a> {
    let upstream = &exchange.upstream;
    OutgoingRequest {
        method: upstream.method.as_deref().map_or(exchange.request.method.as_bytes(), str::as_bytes),
        path: &upstream.path,
        query: upstream.query.as_deref(),
        fields: &exchange.request.fields,
        framing: payload.framing(),
        websocket: is_upgrade(context),
    }
}

/// Whether it goes to a service of gRPC: over HTTP/2, and nothing of it is held back.
pub(crate) fn is_grpc(exchange: &Exchange) -> bool {
    matches!(exchange.upstream.protocol, Protocol::Grpc | Protocol::Grpcs)
}

/// Whether it goes over HTTP/2: as in nginx, calls of gRPC do; others where their service says so, but for upgrades.
pub(crate) fn goes_by_http2(context: &RequestContext<'_>, exchange: &Exchange) -> bool {
    is_grpc(exchange) || exchange.service.as_deref().is_some_and(|service| service.http2) && !is_upgrade(context)
}

/// Whether an upgrade may become a tunnel on a stream, of a service that takes such (RFC 8441). Such a service does not
/// see a handshake of HTTP/1.1: one that it could not take is left to be refused in HTTP/1.1.
pub(crate) fn may_tunnel(context: &RequestContext<'_>, exchange: &Exchange) -> bool {
    let head = &exchange.request;
    let is_handshake = || {
        let key = head.fields.get("sec-websocket-key").and_then(|key| STANDARD.decode(key).ok());
        head.method.as_bytes() == b"GET"
            && matches!(head.framing, Framing::Empty | Framing::Length(0))
            && head.fields.get("sec-websocket-version") == Some(b"13")
            && key.is_some_and(|key| key.len() == 16)
    };
    is_upgrade(context)
        && exchange.service.as_deref().is_some_and(|service| service.http2)
        && (context.version >= Version::Http2 || is_handshake())
}

/// Whether the request asks for an upgrade that we relay.
pub(crate) fn is_upgrade(context: &RequestContext<'_>) -> bool {
    context.hop_by_hop.websocket && context.version >= Version::Http11
}

fn set_length(fields: &mut sdk::Fields, length: u64) {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(length);
    if fields.known(Known::ContentLength) != Some(text.as_bytes()) {
        fields.set_known(Known::ContentLength, text.as_bytes());
    }
}
