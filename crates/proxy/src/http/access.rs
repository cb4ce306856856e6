//! The access log's line about a request.

use super::Origin;
use crate::access_log::Record;
use crate::forwarded::Address;
use crate::worker::{Session, Worker};
use sdk::{Exchange, Fields};
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use wire::h1::Traffic;

/// What status a request has that was not answered, because the client went away.
const NOT_ANSWERED: u16 = 499;

/// What has to be gathered for the line while the request runs.
pub(crate) struct Line {
    kept: Option<Fields>,
    traffic: Traffic,
}

impl Line {
    /// Begins a line if there is a log. `request` are the field lines as the client sent them.
    pub fn begin(worker: &Worker, request: &Fields) -> Option<Line> {
        let log = worker.access_log.as_ref()?;
        Some(Line { kept: log.format().keep(request), traffic: Traffic::default() })
    }

    /// Adds what went over the connection.
    pub fn took(&mut self, traffic: Traffic) {
        self.traffic.received += traffic.received;
        self.traffic.sent += traffic.sent;
        self.traffic.heads += traffic.heads;
    }

    fn write(&self, worker: &Worker, origin: &Origin, exchange: &Exchange) {
        let Some(log) = &worker.access_log else { return };
        let client = &exchange.client;
        // Only a trusted proxy names another one than the peer, whose text is at hand.
        let named = (client.ip != origin.peer.ip()).then(|| Address::new(SocketAddr::new(client.ip, 0)));
        let (now, unix_ms) = worker.now();
        let entry = Record {
            client: named.as_ref().unwrap_or(&origin.peer).as_str(),
            client_port: client.peer_port,
            peer: origin.peer.socket_address(),
            local: origin.local,
            tls: origin.tls,
            sni: origin.client.sni.as_deref(),
            server: "kong",
            connection: origin.client.connection,
            connection_requests: origin.request,
            method: exchange.request.method.as_str(),
            target: &exchange.request.target,
            version: exchange.request.version,
            request: &exchange.request.fields,
            kept: self.kept.as_ref(),
            response: &exchange.response.fields,
            status: if exchange.response.status == 0 { NOT_ANSWERED } else { exchange.response.status },
            sent: Some(self.traffic.sent),
            content_sent: self.traffic.sent.saturating_sub(self.traffic.heads),
            received: Some(self.traffic.received),
            id: Some(exchange.id_str()),
            elapsed: now.saturating_duration_since(exchange.timing.started),
            tries: &exchange.tries,
            since_last_try: exchange
                .tries
                .last()
                .map(|last| now.saturating_duration_since(last.started))
                .unwrap_or_default(),
            now: &log.stamp(unix_ms),
        };
        log.add(&entry);
    }
}

/// Notes a request that is over, and gives its session back.
pub(crate) fn end(line: Option<Line>, worker: &Worker, origin: &Origin, session: Session) {
    if let Some(line) = line {
        line.write(worker, origin, &session.exchange);
    }
    worker.give_back(session);
}

/// The same for a connection that has become something else: its request is over when that has ended.
pub(crate) async fn follow(
    line: Option<Line>,
    worker: &Rc<Worker>,
    origin: &Origin,
    session: Session,
    relay: impl Future<Output = Traffic>,
) {
    let Some(mut line) = line else {
        worker.give_back(session);
        relay.await;
        return;
    };
    // The relay may take long, and needs nothing of the configuration.
    let Session { mut exchange, view } = session;
    exchange.let_go();
    drop(view);
    line.took(relay.await);
    line.write(worker, origin, &exchange);
}
