//! The answer to `echo`: the request as the gateway sees it.

use sdk::entities::{Protocol, Protocols, Route, Service};
use sdk::{Args, Content, Exchange, Known, NodeInfo};
use serde_json::{Map, Value, json};

/// Describes the exchange as Kong does.
pub fn describe(exchange: &Exchange, message: Option<&str>, node: &NodeInfo) -> Value {
    let request = &exchange.request;
    let host = request.fields.known(Known::Host).and_then(|h| std::str::from_utf8(h).ok()).unwrap_or_default();
    let query = collect(
        Args::parse(request.query().unwrap_or_default())
            .iter()
            .map(|(name, value)| (name.to_owned(), value.map_or(true.into(), Value::from))),
    );
    let headers = collect(
        request.fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), String::from_utf8_lossy(value).into())),
    );
    let body = match Content::of(exchange) {
        Some(Content::Json(members)) => Value::Object(members),
        Some(Content::Form(args)) => {
            collect(args.iter().map(|(name, value)| (name.to_owned(), value.map_or(true.into(), Value::from))))
        }
        Some(Content::Multipart(form)) => {
            collect(form.iter().map(|(name, value)| (name.to_owned(), String::from_utf8_lossy(value).into())))
        }
        None => Value::Null,
    };
    json!({
        "message": message,
        "kong": { "node_id": node.id.to_string(), "worker_pid": std::process::id(), "hostname": node.hostname },
        "request": {
            "scheme": if exchange.client.https { "https" } else { "http" },
            "host": without_port(host),
            "port": exchange.client.local_port,
            "headers": headers,
            "query": query,
            "body": body,
            "raw_body": exchange.body.bytes().map(|body| String::from_utf8_lossy(body)).unwrap_or_default(),
            "method": request.method.as_str(),
            "path": request.path(),
            "uri_captures": collect(exchange.captures.iter().map(|(name, value)| (name.clone(), value.as_str().into()))),
        },
        "matched_route": exchange.route.as_deref().map(route),
        "matched_service": exchange.service.as_deref().map(service),
    })
}

/// An object whose repeated names have arrays.
fn collect(pairs: impl Iterator<Item = (String, Value)>) -> Value {
    let mut map = Map::new();
    for (name, value) in pairs {
        match map.get_mut(&name) {
            None => {
                map.insert(name, value);
            }
            Some(Value::Array(list)) => list.push(value),
            Some(first) => *first = json!([first.take(), value]),
        }
    }
    Value::Object(map)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
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
    let all = [
        Protocol::Http,
        Protocol::Https,
        Protocol::Grpc,
        Protocol::Grpcs,
        Protocol::Tcp,
        Protocol::Tls,
        Protocol::TlsPassthrough,
        Protocol::Udp,
    ];
    all.into_iter().filter(|p| set.contains(*p)).map(Protocol::as_str).collect()
}
