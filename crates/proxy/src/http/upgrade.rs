//! After `101 Switching Protocols`: octets both ways until one side has ended, then the log.

use super::Origin;
use super::access::{self, Line};
use super::debug;
use super::downstream::Downstream;
use super::exchange::Upgraded;
use super::filters;
use super::websocket::{Patience, Relay};
use crate::balancer::Peer;
use crate::chain::{self, Instance};
use crate::live::OpenConnection;
use crate::tunnel::{End, Tunnel, Until};
use crate::upstream::Upstream;
use crate::worker::{Session, Worker};
use sdk::Exchange;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use wire::h1::{ServerConnection, Traffic};

/// The rest of an exchange whose protocol has changed: the relay, the log phase, and the line of the access log.
pub(crate) async fn follow(
    mut line: Option<Line>,
    worker: &Rc<Worker>,
    origin: &Origin,
    session: Session,
    connection: ServerConnection,
    upgraded: Upgraded,
) {
    let Upgraded { upstream, logging, filtering, framing, read_timeout } = upgraded;
    let mut exchange = detached(session);
    let (client, client_sent, timer) = connection.into_parts();
    let (client, (service, _counts)) = (End::Socket(client, client_sent), service_end(upstream));
    let moved = if framing.is_empty() {
        let tunnel = Tunnel { client, service, idle: read_timeout, until: Until::EitherEnds };
        tunnel.run(worker, &timer).await
    } else {
        let relay = Relay::new(client, service, &mut exchange, &worker.shared.memory);
        Box::pin(relay.run(&mut exchange, &framing, &timer, patience(worker, read_timeout))).await
    };
    let traffic = Traffic { received: moved.up, sent: moved.down, heads: 0 };
    exchange.traffic.received += traffic.received;
    exchange.traffic.sent += traffic.sent;
    if let Some(line) = &mut line {
        line.took(traffic);
    }
    filters::upgrade_ended(&filtering, &mut exchange).await;
    log(line, worker, origin, &mut exchange, &logging);
}

/// The same for a tunnel that is a stream of a connection with others.
pub(crate) async fn follow_stream(
    mut line: Option<Line>,
    worker: &Rc<Worker>,
    origin: &Origin,
    session: Session,
    mut downstream: Downstream<'_>,
    upgraded: Upgraded,
) {
    let Upgraded { upstream, logging, filtering, framing, read_timeout } = upgraded;
    let mut exchange = detached(session);
    let (client, (service, _counts)) = (End::Stream(downstream.borrowed()), service_end(upstream));
    let timer = worker.timers.timer();
    if framing.is_empty() {
        let tunnel = Tunnel { client, service, idle: read_timeout, until: Until::ServiceEnds };
        tunnel.run(worker, &timer).await;
    } else {
        let relay = Relay::new(client, service, &mut exchange, &worker.shared.memory);
        Box::pin(relay.run(&mut exchange, &framing, &timer, patience(worker, read_timeout))).await;
    }
    exchange.traffic = downstream.traffic();
    if let Some(line) = &mut line {
        line.took(downstream.traffic());
    }
    filters::upgrade_ended(&filtering, &mut exchange).await;
    log(line, worker, origin, &mut exchange, &logging);
}

/// The service's end, and what the connection counts for as long as the tunnel lasts; a stream has that itself.
fn service_end(upstream: Upstream) -> (End<'static>, (Option<Peer>, Option<OpenConnection>)) {
    match upstream.into_parts() {
        Ok((socket, sent, counts)) => (End::Socket(socket, sent), counts),
        Err(stream) => (End::Service(stream), (None, None)),
    }
}

fn patience(worker: &Worker, idle: Duration) -> Patience {
    Patience { idle, lingering: worker.shared.settings.limits.lingering_timeout }
}

/// The relay may take long; the log phase wants to know of the configuration what the exchange has already.
fn detached(session: Session) -> Box<Exchange> {
    let Session { mut exchange, view } = session;
    exchange.detach();
    drop(view);
    exchange
}

fn log(line: Option<Line>, worker: &Rc<Worker>, origin: &Origin, exchange: &mut Exchange, logging: &[Arc<Instance>]) {
    exchange.finish_trace();
    debug::enter(exchange, "log");
    chain::run_log(&logging.iter().collect(), exchange);
    debug::log(exchange);
    access::write(line, worker, origin, exchange);
}
