//! The head that a service gets.

use super::exchange::RequestContext;
use super::payload::Payload;
use crate::balancer::Peer;
use crate::forwarded::Forwarded;
use crate::snapshot::Found;
use crate::{hop_by_hop, path};
use model::entities::Protocol;
use sdk::{Exchange, Known};
use std::sync::Arc;
use wire::Framing;

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
    let Found { route, service, matched_path, captures, path_handling } = matched;
    let mut stripped = Stripped::Nothing;
    if let Some(service) = &service {
        let upstream = &mut exchange.upstream;
        upstream.protocol = service.protocol;
        upstream.port = service.port;
        let base = service.path.as_deref().unwrap_or("/");
        path::join(path_handling, base, path, matched_path, route.strip_path, &mut upstream.path);
        upstream.query = query.map(str::to_owned);
        let prefix = matched_path.filter(|_| route.strip_path).and_then(|n| path.get(..n));
        if let Some(prefix) = prefix.filter(|p| !p.is_empty() && *p != "/") {
            stripped = if verbatim { Stripped::OfTarget(prefix.len()) } else { Stripped::Of(prefix.to_owned()) };
        }
    }
    if route.preserve_host {
        context.kept_host = exchange.request.fields.get_str("host").map(str::to_owned);
    }
    exchange.captures = captures;
    exchange.route = Some(route);
    exchange.service = service;
    stripped
}

/// Makes the field lines those of a request to a service; whether it asks for an upgrade that we relay.
pub(crate) fn prepare(
    context: &mut RequestContext<'_>,
    exchange: &mut Exchange,
    stripped: &Stripped,
    payload: &Payload,
) -> bool {
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
        path: path::Target::split(&head.target).path,
        prefix: stripped.as_str(&head.target),
    };
    let fields = &mut head.fields;
    forwarded.write(
        fields,
        context.client.is_none().then_some(&origin.lines),
        &mut context.worker.scratch.borrow_mut(),
    );
    context.asked = hop_by_hop::strip_request(fields);
    let upgrade = context.asked.websocket && head.version == wire::Version::Http11;
    if upgrade {
        fields.append_known(Known::Connection, b"keep-alive, Upgrade");
        fields.set_known(Known::Upgrade, b"websocket");
    } else {
        fields.append_known(Known::Connection, b"keep-alive");
    }
    fields.remove_known(Known::Expect);
    fields.remove_known(Known::TransferEncoding);
    match payload.framing() {
        Framing::Length(n) => set_length(fields, n),
        Framing::Delimited => {
            fields.remove_known(Known::ContentLength);
            fields.append_known(Known::TransferEncoding, b"chunked");
        }
        // A client that said that its content is empty says so to the service too.
        _ if fields.has(Known::ContentLength) => set_length(fields, 0),
        _ => {}
    }
    if shared.settings.headers.request_id_upstream {
        fields.set_known(Known::XKongRequestId, &exchange.id);
    }
    match fields.known(Known::Via) {
        None if head.version == wire::Version::Http11 => fields.append_all(&shared.via_line),
        None => fields.append_known(Known::Via, format!("{version} {}", shared.settings.token).as_bytes()),
        Some(before) => {
            let all = [before, b", ", version.as_bytes(), b" ", shared.settings.token.as_bytes()].concat();
            fields.set_known(Known::Via, &all);
        }
    }
    upgrade
}

/// Sets `Host` for a peer: what a plugin or the client (`preserve_host`) wants, else the peer's own name with its port
/// where that is not the usual one.
pub(crate) fn address(context: &RequestContext<'_>, exchange: &mut Exchange, peer: &Peer) {
    let usual = match exchange.upstream.protocol {
        Protocol::Https | Protocol::Grpcs => 443,
        _ => 80,
    };
    let port = peer.address.port();
    let kept = exchange.upstream.host_header.as_deref().or(context.kept_host.as_deref());
    let mut scratch = context.worker.scratch.borrow_mut();
    let host = match kept {
        Some(host) => host.as_bytes(),
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
pub(crate) fn server_name(exchange: &Exchange, peer: &Peer) -> Arc<str> {
    let host = exchange.request.fields.known(Known::Host).and_then(|h| std::str::from_utf8(h).ok()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    if name.is_empty() || name == &**peer.host() { Arc::clone(peer.host()) } else { Arc::from(name) }
}

/// Writes request line and field lines.
pub(crate) fn write_head(exchange: &Exchange, out: &mut Vec<u8>) {
    let upstream = &exchange.upstream;
    out.extend_from_slice(upstream.method.as_deref().map_or(exchange.request.method.as_bytes(), str::as_bytes));
    out.push(b' ');
    out.extend_from_slice(if upstream.path.is_empty() { b"/" } else { upstream.path.as_bytes() });
    if let Some(query) = &upstream.query {
        out.push(b'?');
        out.extend_from_slice(query.as_bytes());
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    exchange.request.fields.write_to(out);
    out.extend_from_slice(b"\r\n");
}

fn set_length(fields: &mut sdk::Fields, length: u64) {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(length);
    if fields.known(Known::ContentLength) != Some(text.as_bytes()) {
        fields.set_known(Known::ContentLength, text.as_bytes());
    }
}
