//! After `101 Switching Protocols`: octets both ways until one side has ended, then the log.

use super::Origin;
use super::access::{self, Line};
use super::exchange::Upgraded;
use crate::chain;
use crate::tunnel::{Moved, Tunnel};
use crate::worker::{Session, Worker};
use std::rc::Rc;
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
    let Upgraded { upstream, logging, read_timeout } = upgraded;
    // The relay may take long; the log phase wants to know of the configuration what the exchange has already.
    let Session { mut exchange, view } = session;
    exchange.detach();
    drop(view);
    let (client, client_sent, timer) = connection.into_parts();
    let moved = match upstream.into_parts() {
        Some((service, service_sent, _counts)) => {
            let tunnel = Tunnel { client, client_sent, service, service_sent, idle: read_timeout, half_close: false };
            tunnel.run(&timer).await
        }
        None => Moved::default(),
    };
    let traffic = Traffic { received: moved.up, sent: moved.down, heads: 0 };
    exchange.traffic.received += traffic.received;
    exchange.traffic.sent += traffic.sent;
    exchange.finish_trace();
    chain::run_log(&logging.iter().collect(), &mut exchange);
    if let Some(line) = &mut line {
        line.took(traffic);
    }
    access::write(line, worker, origin, &exchange);
}
