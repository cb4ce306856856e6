//! What is written down of an exchange that somebody wants to see ([`sdk::recording`]), step by step. Each of these
//! does nothing for any other.

use super::context::RequestContext;
use super::downstream::Downstream;
use super::payload::Payload;
use super::request;
use crate::balancer::{Destination, Peer, Ring, Standing};
use crate::router::Query;
use crate::snapshot::View;
use crate::upstream::Upstream;
use model::entities::{Algorithm, Route};
use sdk::Exchange;
use sdk::recording::{lines, millis};
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Octets of content that are shown.
const SHOWN: usize = 64 << 10;
/// Routes and targets that are shown.
const MOST: usize = 20;

/// The request as it came.
pub(super) fn begin(exchange: &mut Exchange) {
    let Some(recording) = exchange.recording.as_deref_mut() else { return };
    let (head, client) = (&exchange.request, &exchange.client);
    let request = json!({
        "method": head.method.as_str(),
        "target": head.target,
        "scheme": if client.https { "https" } else { "http" },
        "client": client.ip.to_string(),
        "port": client.public_port,
        "headers": lines(&head.fields),
    });
    recording.tell("request", request);
}

/// The routes that fit, best first.
pub(super) fn candidates(view: &View, query: &Query<'_>) -> Value {
    let route = |(route, decided): &(Arc<Route>, Option<&str>)| {
        let criteria = [
            ("hosts", json!(route.hosts)),
            ("paths", json!(route.paths)),
            ("methods", json!(route.methods)),
            ("headers", json!(route.headers.iter().map(|(name, _)| name).collect::<Vec<_>>())),
            ("snis", json!(route.snis)),
        ];
        let asked = criteria.into_iter().filter(|(_, list)| list.as_array().is_some_and(|list| !list.is_empty()));
        json!({
            "id": route.id.to_string(),
            "name": route.name,
            "asks_for": asked.map(|(name, list)| (name.to_owned(), list)).collect::<Map<_, _>>(),
            "expression": route.expression,
            "priority": route.expression.is_some().then_some(route.priority),
            "regex_priority": route.regex_priority,
            "created_at": route.created_at,
            "behind_for": decided,
        })
    };
    let found = view.router.candidates(query, MOST);
    json!({
        "flavor": view.router.flavor(),
        "path": query.path,
        "candidates": found.iter().map(route).collect::<Vec<_>>(),
    })
}

/// A target was chosen.
pub(super) fn picked(exchange: &mut Exchange, destination: &Destination, peer: &Peer, tried: &[SocketAddr]) {
    let Some(recording) = exchange.recording.as_deref_mut() else { return };
    if let Some(ring) = destination.ring().filter(|_| tried.is_empty()) {
        recording.tell("upstream", upstream(ring));
    }
    let chosen_by = destination.ring().map(|ring| match ring.upstream().algorithm {
        Algorithm::RoundRobin => "its turn, by weight",
        Algorithm::ConsistentHashing => "the hash of the request",
        Algorithm::LeastConnections => "the fewest exchanges for its weight",
        Algorithm::StickySessions => "its cookie, else its turn",
        Algorithm::Latency => "the shortest response times for its weight",
    });
    recording.add_try(json!({
        "address": peer.address.to_string(),
        "host": **peer.host(),
        "chosen_by": chosen_by.unwrap_or("the next address of its name"),
    }));
}

/// The head of a request to a service, and what is held of its content.
pub(super) fn sent(
    context: &RequestContext<'_>,
    exchange: &mut Exchange,
    (payload, downstream): (&Payload, &Downstream<'_>),
    upstream: &Upstream,
    reused: bool,
) {
    let outgoing = request::outgoing(context, exchange, payload);
    let target = match outgoing.query {
        Some(query) => format!("{}?{query}", outgoing.path),
        None => outgoing.path.to_owned(),
    };
    let held = payload.held(downstream);
    let key = upstream.key();
    let request = json!({
        "method": String::from_utf8_lossy(outgoing.method),
        "target": target,
        "headers": lines(outgoing.fields),
        "body": String::from_utf8_lossy(&held[..held.len().min(SHOWN)]),
        "tls": key.tls.as_ref().map(|tls| tls.name.to_string()),
        "http2": key.http2,
        "kept_connection": reused,
    });
    if let Some(last) = exchange.recording.as_deref_mut().and_then(|recording| recording.last_try()) {
        last["sent"] = request;
    }
}

/// A try is over: with the head of a response, or with what its failure amounts to.
pub(super) fn answered(exchange: &mut Exchange, status: u16, waited: Duration) {
    let Some(recording) = exchange.recording.as_deref_mut() else { return };
    let Some(last) = recording.last_try() else { return };
    last["status"] = json!(status);
    last["time"] = json!(millis(waited));
    last["failed"] = json!(exchange.response.status == 0);
    if exchange.response.status != 0 {
        last["received"] = json!({ "status": status, "headers": lines(&exchange.response.fields) });
    }
}

/// The exchange is over.
pub(super) fn end(exchange: &mut Exchange) {
    let Some(mut recording) = exchange.recording.take() else { return };
    let named = |id: String, name: Option<&String>| json!({ "id": id, "name": name });
    let (route, service) = (exchange.route.as_deref(), exchange.service.as_deref());
    let consumer = exchange.consumer.as_deref();
    recording.tell("route", json!(route.map(|route| named(route.id.to_string(), route.name.as_ref()))));
    recording.tell("service", json!(service.map(|service| named(service.id.to_string(), service.name.as_ref()))));
    recording.tell("consumer", json!(consumer.map(|c| named(c.id.to_string(), c.username.as_ref()))));
    let timing = &exchange.timing;
    let times = json!({
        "gateway": timing.proxy.map(millis),
        "upstream": timing.upstream.map(millis),
        "total": millis(timing.started.elapsed()),
    });
    recording.tell("timings", times);
    recording.tell("request_id", json!(exchange.id_str()));
    recording.tell(
        "answered_by",
        json!(match exchange.source {
            sdk::Source::Service => "service",
            sdk::Source::Exit => "plugin",
            sdk::Source::Error => "gateway",
        }),
    );
}

fn upstream(ring: &Ring) -> Value {
    let target = |standing: Standing| {
        json!({
            "id": standing.target.to_string(),
            "target": standing.name,
            "address": standing.address.map(|address| address.to_string()),
            "weight": standing.weight,
            "health": standing.health,
        })
    };
    let upstream = ring.upstream();
    let targets = ring.standings();
    json!({
        "id": upstream.id.to_string(),
        "name": upstream.name,
        "algorithm": upstream.algorithm.as_str(),
        "targets_in_all": targets.len(),
        "targets": targets.into_iter().take(MOST).map(target).collect::<Vec<_>>(),
    })
}
