//! After `101 Switching Protocols`: octets both ways until one side has ended, then the log.

use super::Origin;
use super::access::{self, Line};
use super::debug;
use super::downstream::Downstream;
use super::exchange::Upgraded;
use super::filters;
use super::websocket::{Patience, Relay};
use crate::chain::{self, Instance};
use crate::tunnel::{End, Moved, Tunnel, Until};
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
    let moved = match upstream.into_parts() {
        Some((service, service_sent, _counts)) if !framing.is_empty() => {
            let ends = (End::Socket(client, client_sent), End::Socket(service, service_sent));
            let relay = Relay::new(ends.0, ends.1, &mut exchange, &worker.shared.memory);
            Box::pin(relay.run(&mut exchange, &framing, &timer, patience(worker, read_timeout))).await
        }
        Some((service, service_sent, _counts)) => {
            let (client, service) = (End::Socket(client, client_sent), End::Socket(service, service_sent));
            let tunnel = Tunnel { client, service, idle: read_timeout, until: Until::EitherEnds };
            tunnel.run(worker, &timer).await
        }
        None => Moved::default(),
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
    match upstream.into_parts() {
        Some((service, service_sent, _counts)) if !framing.is_empty() => {
            let ends = (End::Stream(downstream.borrowed()), End::Socket(service, service_sent));
            let relay = Relay::new(ends.0, ends.1, &mut exchange, &worker.shared.memory);
            let timer = worker.timers.timer();
            Box::pin(relay.run(&mut exchange, &framing, &timer, patience(worker, read_timeout))).await;
        }
        Some((service, service_sent, _counts)) => {
            let (client, service) = (End::Stream(downstream.borrowed()), End::Socket(service, service_sent));
            let tunnel = Tunnel { client, service, idle: read_timeout, until: Until::ServiceEnds };
            tunnel.run(worker, &worker.timers.timer()).await;
        }
        None => {}
    }
    exchange.traffic = downstream.traffic();
    if let Some(line) = &mut line {
        line.took(downstream.traffic());
    }
    filters::upgrade_ended(&filtering, &mut exchange).await;
    log(line, worker, origin, &mut exchange, &logging);
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
