//! The answer to `echo`: the request as the gateway sees it, in octets.

use crate::json_text::{arguments, collect, object, plain, string};
use sdk::entities::{Protocol, Protocols, Route, Service};
use sdk::{Args, Content, Exchange, JsonObject, Known, NodeInfo, path};
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
    object([
        ("message", plain(&message.into())),
        ("kong", plain(&process)),
        ("request", described.encode()),
        ("matched_route", plain(&exchange.route.as_deref().map(route).into())),
        ("matched_service", plain(&exchange.service.as_deref().map(service).into())),
    ])
}

fn without_port(host: &[u8]) -> &[u8] {
    match host.iter().rposition(|&b| b == b':') {
        Some(colon) if host[colon + 1..].iter().all(u8::is_ascii_digit) => &host[..colon],
        _ => host,
    }
}

fn route(route: &Route) -> Value {
    json!({
        "id": route.id.to_string(),
        "name": route.name,
        "created_at": route.created_at,
        "protocols": protocols(route.protocols),
        "methods": route.methods,
        "hosts": route.hosts,
        "paths": route.paths,
        "headers": route.headers.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        "strip_path": route.strip_path,
        "preserve_host": route.preserve_host,
        "regex_priority": route.regex_priority,
        "service": route.service.map(|id| json!({ "id": id.to_string() })),
        "tags": route.tags,
    })
}

fn service(service: &Service) -> Value {
    json!({
        "id": service.id.to_string(),
        "name": service.name,
        "protocol": service.protocol.as_str(),
        "host": *service.host,
        "port": service.port,
        "path": service.path,
        "retries": service.retries,
        "connect_timeout": service.connect_timeout.as_millis() as u64,
        "write_timeout": service.write_timeout.as_millis() as u64,
        "read_timeout": service.read_timeout.as_millis() as u64,
        "enabled": service.enabled,
        "tags": service.tags,
    })
}

fn protocols(set: Protocols) -> Vec<&'static str> {
    Protocol::ALL.into_iter().filter(|p| set.contains(*p)).map(Protocol::as_str).collect()
}
