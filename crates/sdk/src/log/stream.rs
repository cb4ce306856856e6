//! The entry of a stream: Kong's for sessions of layer 4.

use super::writer::Writer;
use super::{client_tls, millis};
use crate::{Exchange, StreamSession};

/// What an entry has in place of request and response.
pub(super) fn members(exchange: &Exchange, session: &StreamSession, out: &mut Writer) {
    out.member("session", |out| {
        out.object(|out| {
            client_tls(exchange, out);
            out.number("received", exchange.traffic.received);
            out.number("sent", exchange.traffic.sent);
            out.number("status", exchange.response.status);
            out.number("server_port", exchange.client.public_port);
        });
    });
    out.member("upstream", |out| {
        out.object(|out| {
            out.number("received", session.from_service);
            out.number("sent", session.to_service);
        });
    });
    out.member("latencies", |out| {
        out.object(|out| {
            out.number("kong", millis(exchange.timing.proxy.unwrap_or_default()));
            out.number("session", millis(exchange.timing.started.elapsed()));
        });
    });
}
