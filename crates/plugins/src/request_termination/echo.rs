//! The answer to `echo`: the request as the gateway sees it, in octets.

use crate::json_text::{arguments, collect, object, plain, string};
use sdk::{Args, Content, Exchange, JsonObject, Known, NodeInfo, log, path};
use serde_json::{Value, json};

/// Describes the exchange as Kong does.
pub fn describe(exchange: &Exchange, message: Option<&str>, node: &NodeInfo) -> JsonObject {
    let request = &exchange.request;
    let headers = request.fields.iter().map(|(name, value)| (name.to_ascii_lowercase().into_bytes(), string(value)));
    let captures = exchange.captures.iter().map(|(name, value)| (name.clone().into_bytes(), string(value)));
    let body = match Content::of(exchange) {
        Some(Content::Json(object)) => object.encode(),
        Some(Content::Form(args)) => arguments(&args),
        Some(Content::Multipart(form)) => collect(form.iter().map(|(name, value)| (name.to_vec(), string(value)))),
        None => plain(&Value::Null),
    };
    // What is too large to be looked at is not empty.
    let raw_body = match exchange.body.bytes() {
        Some(body) => string(body),
        None if exchange.body.is_too_large() => plain(&Value::Null),
        None => string(b""),
    };
    let described = object([
        ("scheme", string(if exchange.client.https { b"https" } else { b"http" })),
        ("host", string(without_port(request.fields.known(Known::Host).unwrap_or_default()))),
        ("port", plain(&exchange.client.local_port.into())),
        ("headers", collect(headers)),
        ("query", arguments(&Args::parse(request.query().unwrap_or_default()))),
        ("body", body),
        ("raw_body", raw_body),
        ("method", string(request.method.as_bytes())),
        ("path", string(&path::octets(&exchange.path()))),
        ("uri_captures", collect(captures)),
    ]);
    let process =
        json!({ "node_id": node.id.to_string(), "worker_pid": std::process::id(), "hostname": node.hostname });
    let mut shown =
        object([("message", plain(&message.into())), ("kong", plain(&process)), ("request", described.encode())]);
    exchange.route.as_deref().iter().for_each(|route| shown.set("matched_route", &log::route(route)));
    exchange.service.as_deref().iter().for_each(|service| shown.set("matched_service", &log::service(service)));
    shown
}

fn without_port(host: &[u8]) -> &[u8] {
    match host.iter().rposition(|&b| b == b':') {
        Some(colon) if host[colon + 1..].iter().all(u8::is_ascii_digit) => &host[..colon],
        _ => host,
    }
}
