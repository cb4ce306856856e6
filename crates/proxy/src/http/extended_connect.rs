//! WebSocket to services that are spoken to in HTTP/2 and take tunnels on its streams (RFC 8441). Others get the
//! handshake of HTTP/1.1, on a connection of its own.

use super::attempt::{Failure, dial};
use super::context::RequestContext;
use super::downstream::Downstream;
use crate::upstream::{PoolKey, Upstream};
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sdk::Exchange;
use std::time::{Duration, Instant};
use wire::{Known, Version};

/// What servers append to the key of a handshake (RFC 6455, section 1.3).
const SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A place on a connection of HTTP/2 whose service takes tunnels; `None`: it takes none. `key`: how HTTP/1.1 would go
/// there. Its settings are waited for as long as for a connection.
pub(super) async fn connection(
    context: &RequestContext<'_>,
    downstream: &mut Downstream<'_>,
    key: &PoolKey,
    (limit, now): (Duration, Instant),
) -> Result<Option<Box<Upstream>>, Failure> {
    let key = PoolKey { http2: true, ..key.clone() };
    let pooled = context.worker.pool.borrow_mut().take(&key, now);
    let upstream = match pooled {
        Some(upstream) => upstream,
        None => dial(context, downstream, &key, limit).await?,
    };
    let takes = downstream.timer().clone().limit(limit, |cx| upstream.poll_takes_tunnels(cx)).await;
    Ok(matches!(takes, Ok(true)).then_some(upstream))
}

/// Makes the success by which a service opens a tunnel what it would have said in HTTP/1.1.
pub(super) fn complete(exchange: &mut Exchange) {
    let accept = accept(exchange.request.fields.get("sec-websocket-key").unwrap_or_default());
    let head = &mut exchange.response;
    head.status = 101;
    head.fields.set_known(Known::Upgrade, b"websocket");
    head.fields.set("Sec-WebSocket-Accept", accept.as_bytes());
}

/// What a server says to the key of a handshake.
fn accept(key: &[u8]) -> String {
    STANDARD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &[key, SUFFIX].concat()))
}

/// Whether the response is of such a tunnel.
pub(super) fn has_opened(exchange: &Exchange) -> bool {
    exchange.response.status == 101 && exchange.response.version == Version::Http2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_answered() {
        // RFC 6455, section 1.3.
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
