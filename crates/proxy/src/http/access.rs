//! The access log's line about a request.

use super::Origin;
use super::context::RequestContext;
use crate::access_log::{Record, Stamp};
use crate::directives::LimitRate;
use crate::forwarded::Address;
use crate::worker::{Session, Worker};
use model::entities::Protocol;
use sdk::{Exchange, Fields};
use std::net::SocketAddr;
use std::time::Instant;
use wire::h1::Traffic;

/// What has to be gathered for the line while the request runs.
pub(crate) struct Line {
    kept: Option<Box<Fields>>,
    /// All lines of the request, where somebody looks at requests.
    shown: Option<Box<Fields>>,
    traffic: Traffic,
}

impl Line {
    /// Begins a line if there is a log, or somebody looks at requests. `request` are the field lines as the client sent
    /// them.
    pub fn begin(worker: &Worker, request: &Fields) -> Option<Line> {
        let shown = worker.counting.lines_to_show(request);
        let log = worker.access_log.as_ref();
        if log.is_none() && shown.is_none() {
            return None;
        }
        Some(Line {
            kept: log.and_then(|log| log.format().keep(request)).map(Box::new),
            shown,
            traffic: Traffic::default(),
        })
    }

    /// Adds what went over the connection.
    pub fn took(&mut self, traffic: Traffic) {
        self.traffic.received += traffic.received;
        self.traffic.sent += traffic.sent;
        self.traffic.heads += traffic.heads;
    }

    fn write(&self, worker: &Worker, origin: &Origin, exchange: &Exchange) {
        worker.counting.shown(exchange, self.shown.as_deref());
        let Some(log) = &worker.access_log else { return };
        let (now, unix_ms) = worker.now();
        let stamp = log.stamp(unix_ms);
        let of = (worker, origin);
        with_record(of, exchange, self.kept.as_deref(), self.traffic, (now, &stamp), |record| log.add(record));
    }
}

/// The values that `add_header` and `proxy_set_header` have for an exchange under way. `kept`: its lines as they came.
pub(crate) fn evaluate<T>(
    context: &RequestContext<'_>,
    exchange: &Exchange,
    evaluate: impl FnOnce(&Record<'_>) -> T,
) -> T {
    let (now, unix_ms) = context.worker.now();
    let mut stamp = Stamp::default();
    stamp.set(unix_ms);
    let of = (&**context.worker, context.origin);
    with_record(of, exchange, context.kept.as_deref(), Traffic::default(), (now, &stamp), evaluate)
}

fn with_record<T>(
    (worker, origin): (&Worker, &Origin),
    exchange: &Exchange,
    kept: Option<&Fields>,
    traffic: Traffic,
    (now, stamp): (Instant, &Stamp),
    use_it: impl FnOnce(&Record<'_>) -> T,
) -> T {
    let client = &exchange.client;
    // Only a trusted proxy names another one than the peer, whose text is at hand.
    let named = (client.ip != origin.peer.ip()).then(|| Address::new(SocketAddr::new(client.ip, 0)));
    use_it(&Record {
        client: named.as_ref().unwrap_or(&origin.peer).as_str(),
        client_port: client.port,
        peer: origin.peer.socket_address(),
        local: origin.local,
        proxied: origin.proxied.as_deref(),
        tls: origin.tls,
        datagrams: exchange.stream.is_some_and(|session| session.protocol == Protocol::Udp),
        sni: client.sni.as_deref(),
        offered: origin.offered.as_deref(),
        limit_rate: worker.shared.settings.directives.limit_rate.as_ref().map_or(0, LimitRate::rate),
        server: "kong",
        connection: origin.client.connection,
        connection_requests: client.request,
        method: exchange.request.method.as_str(),
        target: &exchange.request.target,
        version: exchange.request.version,
        request: &exchange.request.fields,
        kept,
        response: &exchange.response.fields,
        status: exchange.response.status,
        sent: Some(traffic.sent),
        content_sent: traffic.sent.saturating_sub(traffic.heads),
        received: Some(traffic.received),
        id: Some(exchange.id_str()),
        elapsed: now.saturating_duration_since(exchange.timing.started),
        tries: &exchange.tries,
        since_last_try: exchange
            .tries
            .last()
            .map(|last| now.saturating_duration_since(last.started))
            .unwrap_or_default(),
        now: stamp,
        exchange,
    })
}

/// Notes a stream that is over.
pub(crate) fn note_stream(worker: &Worker, origin: &Origin, exchange: &Exchange) {
    worker.over(exchange);
    let Some(log) = &worker.stream_access_log else { return };
    let (now, unix_ms) = worker.now();
    let stamp = log.stamp(unix_ms);
    with_record((worker, origin), exchange, None, exchange.traffic, (now, &stamp), |record| log.add(record));
}

/// Notes a request that is over, and gives its session back.
pub(crate) fn end(line: Option<Line>, worker: &Worker, origin: &Origin, session: Session) {
    write(line, worker, origin, &session.exchange);
    worker.give_back(session);
}

/// Notes a request that is over.
pub(crate) fn write(line: Option<Line>, worker: &Worker, origin: &Origin, exchange: &Exchange) {
    worker.over(exchange);
    if let Some(line) = line {
        line.write(worker, origin, exchange);
    }
}
