//! Requests that ask for their timing (`X-Kong-Request-Debug`, setting `request_debug`). Each of these does nothing for
//! any other.

use super::context::RequestContext;
use aws_lc_rs::constant_time;
use sdk::{Exchange, Known, RequestDebug};
use serde_json::json;
use std::time::Instant;

const TOKEN: &str = "X-Kong-Request-Debug-Token";
const LOG: &str = "X-Kong-Request-Debug-Log";
const OUTPUT: &str = "X-Kong-Request-Debug-Output";

/// Octets of output from which on clients elsewhere are sent to the log.
const LINE: usize = 2 << 10;
/// Octets of output in one message of the log.
const MESSAGE: usize = 3 << 10;

/// Looks whether a request asks for its timing, and may.
pub(super) fn begin(context: &RequestContext<'_>, exchange: &mut Exchange) {
    if exchange.request.fields.may_have(&[Known::XKongRequestDebug]) {
        ask(context, exchange);
    }
}

/// A request may when it comes from this machine, and no proxy says from where else, or has the token. Plugins and
/// services do not see that it has asked.
#[cold]
fn ask(context: &RequestContext<'_>, exchange: &mut Exchange) {
    let Some(token) = context.worker.shared.settings.request_debug.as_deref() else { return };
    let from_loopback = context.client.is_none() && exchange.client.peer.is_loopback();
    let fields = &mut exchange.request.fields;
    let has_token = |given: &[u8]| constant_time::verify_slices_are_equal(given, token.as_bytes()).is_ok();
    let is_allowed = from_loopback || fields.get(TOKEN).is_some_and(has_token);
    let is_logged = fields.get(LOG) == Some(b"true");
    let asks = fields.known(Known::XKongRequestDebug) == Some(b"*");
    fields.remove_known(Known::XKongRequestDebug);
    fields.remove(TOKEN);
    fields.remove(LOG);
    if asks && is_allowed {
        let mut debug = RequestDebug::new(is_logged, from_loopback);
        debug.enter("rewrite");
        exchange.debug = Some(Box::new(debug));
    }
}

/// A phase begins, and the one before ends.
pub(super) fn enter(exchange: &mut Exchange, phase: &'static str) {
    if let Some(debug) = exchange.debug.as_deref_mut() {
        debug.enter(phase);
    }
}

/// The phase ends.
pub(super) fn leave(exchange: &mut Exchange) {
    if let Some(debug) = exchange.debug.as_deref_mut() {
        debug.leave();
    }
}

/// A route was looked for.
pub(super) fn routed(exchange: &mut Exchange, started: Instant) {
    if let Some(debug) = exchange.debug.as_deref_mut() {
        debug.within(&["router"], started.elapsed());
    }
}

/// The addresses of a host were looked up.
pub(super) fn resolved(exchange: &mut Exchange, host: &str, started: Instant, known: bool) {
    if let Some(debug) = exchange.debug.as_deref_mut() {
        debug.resolved(host, started.elapsed(), known);
    }
}

/// Tells the client what is known by the time of its head.
pub(super) fn tell(exchange: &mut Exchange) {
    if exchange.debug.is_some() {
        write_head(exchange);
    }
}

#[cold]
fn write_head(exchange: &mut Exchange) {
    let Some(mut debug) = exchange.debug.take() else { return };
    debug.leave();
    if let Some(waited) = exchange.timing.upstream {
        debug.waited(waited, None);
    }
    let mut output = text(&debug, exchange);
    if output.len() >= LINE && !debug.from_loopback {
        debug.logged = true;
        let words = "Output is truncated, please check the error_log for full output by filtering with the request_id.";
        output = json!({ "truncated": true, "request_id": exchange.id_str(), "message": words }).to_string();
    }
    exchange.response.fields.set(OUTPUT, output.as_bytes());
    exchange.debug = Some(debug);
}

/// Writes it into the log, where that is wanted. The exchange is over.
pub(super) fn log(exchange: &mut Exchange) {
    if let Some(debug) = exchange.debug.take() {
        write_log(*debug, exchange);
    }
}

#[cold]
fn write_log(mut debug: RequestDebug, exchange: &Exchange) {
    if !debug.logged {
        return;
    }
    debug.leave();
    if let (Some(proxy), Some(waited)) = (exchange.timing.proxy, exchange.timing.upstream) {
        debug.waited(waited, Some(exchange.timing.started.elapsed().saturating_sub(proxy + waited)));
    }
    debug.filtered();
    let (output, id) = (text(&debug, exchange), exchange.id_str());
    let parts = output.len().div_ceil(MESSAGE);
    for (at, part) in output.as_bytes().chunks(MESSAGE).enumerate() {
        let part = String::from_utf8_lossy(part);
        match parts {
            1 => tracing::info!(request_id = id, "[request-debug] output: {part}"),
            _ => tracing::info!(request_id = id, "[request-debug] parts: {}/{parts} output: {part}", at + 1),
        }
    }
}

fn text(debug: &RequestDebug, exchange: &Exchange) -> String {
    debug.to_json(exchange.id_str(), &exchange.workspace().to_string()).to_string()
}
