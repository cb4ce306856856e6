//! The answer to `echo`: the request as the gateway sees it, in octets.

use crate::json_text::{arguments, captures, collect, object, plain, string};
use sdk::{Args, Content, Exchange, JsonObject, Known, NodeInfo, log, path};
use serde_json::json;

/// Describes the exchange as Kong does.
pub fn describe(exchange: &Exchange, message: Option<&str>, node: &NodeInfo) -> JsonObject {
    let request = &exchange.request;
    let headers = request.fields.iter().map(|(name, value)| (name.to_ascii_lowercase().into_bytes(), string(value)));
    let body = Content::of(exchange).map(|content| match content {
        Content::Json(object) => object.encode(),
        Content::Form(args) => arguments(&args),
        Content::Multipart(form) => collect(form.iter().map(|(name, value)| (name.to_vec(), string(value)))),
    });
    let mut described = object([
        ("scheme", string(if exchange.client.https { b"https" } else { b"http" })),
        ("host", string(without_port(request.fields.known(Known::Host).unwrap_or_default()))),
        ("port", plain(&exchange.client.local_port.into())),
        ("headers", collect(headers)),
        ("query", arguments(&Args::parse(request.query().unwrap_or_default()))),
        ("method", string(request.method.as_bytes())),
        ("path", string(&path::octets(&exchange.path()))),
        ("uri_captures", captures(exchange)),
    ]);
    body.iter().for_each(|body| described.set("body", body));
    // What is too large to be looked at is not empty.
    if !exchange.body.is_too_large() {
        described.set("raw_body", &string(exchange.body.bytes().map_or(&[][..], |body| body)));
    }
    let process =
        json!({ "node_id": node.id.to_string(), "worker_pid": std::process::id(), "hostname": node.hostname });
    let mut shown = JsonObject::default();
    message.iter().for_each(|message| shown.set("message", &plain(&(*message).into())));
    shown.set("kong", &plain(&process));
    shown.set("request", &described.encode());
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
