//! After `101 Switching Protocols`: octets both ways until one side has ended, then the log.

use super::Origin;
use super::access::{self, Line};
use super::debug;
use super::downstream::Downstream;
use super::exchange::Upgraded;
use super::websocket::{End, Patience, Relay};
use crate::chain::{self, Instance};
use crate::tunnel::{Moved, Tunnel};
use crate::worker::{Session, Worker};
use sdk::Exchange;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use wire::h1::{ServerConnection, Traffic};
use wire::net::{BUFFER_SIZE, Buffer, Stream};

/// The rest of an exchange whose protocol has changed: the relay, the log phase, and the line of the access log.
pub(crate) async fn follow(
    mut line: Option<Line>,
    worker: &Rc<Worker>,
    origin: &Origin,
    session: Session,
    connection: ServerConnection,
    upgraded: Upgraded,
) {
    let Upgraded { upstream, logging, framing, read_timeout } = upgraded;
    let mut exchange = detached(session);
    let (client, client_sent, timer) = connection.into_parts();
    let moved = match upstream.into_parts() {
        Some((service, service_sent, _counts)) if !framing.is_empty() => {
            let ends = (End::Socket(client, client_sent), End::Socket(service, service_sent));
            let relay = Relay::new(ends.0, ends.1, &mut exchange, &worker.shared.memory);
            Box::pin(relay.run(&mut exchange, &framing, &timer, patience(worker, read_timeout))).await
        }
        Some((service, service_sent, _counts)) => {
            let tunnel = Tunnel { client, client_sent, service, service_sent, idle: read_timeout, half_close: false };
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
    let Upgraded { upstream, logging, framing, read_timeout } = upgraded;
    let mut exchange = detached(session);
    match upstream.into_parts() {
        Some((service, service_sent, _counts)) if !framing.is_empty() => {
            let ends = (End::Stream(downstream.borrowed()), End::Socket(service, service_sent));
            let relay = Relay::new(ends.0, ends.1, &mut exchange, &worker.shared.memory);
            let timer = worker.timers.timer();
            Box::pin(relay.run(&mut exchange, &framing, &timer, patience(worker, read_timeout))).await;
        }
        Some((service, service_sent, _counts)) => {
            relay(worker, &mut downstream, service, service_sent, read_timeout).await;
        }
        None => {}
    }
    exchange.traffic = downstream.traffic();
    if let Some(line) = &mut line {
        line.took(downstream.traffic());
    }
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

/// As [`Tunnel::run`], for a stream: its ways end one by one. A client that has not got everything has its stream reset
/// when that is dropped.
async fn relay(
    worker: &Rc<Worker>,
    downstream: &mut Downstream<'_>,
    mut service: Stream,
    mut sent: Buffer,
    idle: Duration,
) {
    let (timer, idle) = (worker.timers.timer(), idle.max(Duration::from_secs(1)));
    let (mut moved, mut client_ended) = (u64::MAX, false);
    std::future::poll_fn(|cx| {
        if poll_down(cx, &mut service, &mut sent, downstream).is_ready() {
            return Poll::Ready(());
        }
        if client_ended && downstream.poll_closed(cx).is_ready() {
            return Poll::Ready(());
        }
        if !client_ended {
            match poll_up(cx, downstream, &mut service) {
                Poll::Ready(Ok(())) => client_ended = true,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => {}
            }
        }
        if moved != downstream.received() + downstream.sent() {
            moved = downstream.received() + downstream.sent();
            timer.arm(idle);
        }
        if timer.poll_expired(cx) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Ready when the client has ended and the service knows.
fn poll_up(cx: &mut Context<'_>, downstream: &mut Downstream<'_>, service: &mut Stream) -> Poll<io::Result<()>> {
    loop {
        match downstream.poll_content(cx) {
            Poll::Ready(Ok(Some(n))) => {
                let n = ready!(service.poll_write(cx, downstream.content(n)))?;
                if n == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                downstream.consume(n);
            }
            Poll::Ready(Ok(None)) => return service.poll_shutdown(cx),
            Poll::Ready(Err(_)) => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Poll::Pending => {
                ready!(service.poll_flush(cx))?;
                return Poll::Pending;
            }
        }
    }
}

/// Ready when the service has ended and the client has all of it.
fn poll_down(
    cx: &mut Context<'_>,
    service: &mut Stream,
    sent: &mut Buffer,
    downstream: &mut Downstream<'_>,
) -> Poll<io::Result<()>> {
    loop {
        while !sent.is_empty() {
            let n = sent.data().len();
            ready!(downstream.poll_write(cx, sent.data()))?;
            sent.consume(n);
        }
        match service.poll_fill(cx, sent, BUFFER_SIZE) {
            Poll::Ready(Ok(0)) => {
                downstream.finish(None);
                return downstream.poll_flush(cx);
            }
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => {
                ready!(downstream.poll_flush(cx))?;
                return Poll::Pending;
            }
        }
    }
}
