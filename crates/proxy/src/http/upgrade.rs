//! After `101 Switching Protocols`: octets both ways until one side has ended.

use super::Origin;
use super::access::{self, Line};
use super::exchange::Upgraded;
use crate::chain;
use crate::upstream::Upstream;
use crate::worker::{Session, Worker};
use std::rc::Rc;
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
    let Upgraded { upstream, logging, read_timeout } = upgraded;
    // The relay may take long; the log phase wants to know of the configuration what the exchange has already.
    let Session { mut exchange, view } = session;
    exchange.detach();
    drop(view);
    let traffic = relay(connection, upstream, read_timeout).await;
    exchange.traffic.received += traffic.received;
    exchange.traffic.sent += traffic.sent;
    chain::run_log(&logging.iter().collect(), &mut exchange);
    if let Some(line) = &mut line {
        line.took(traffic);
    }
    access::write(line, worker, origin, &exchange);
}

/// Relays between the client and the service. As nginx, ends when either has ended and the other has what came before,
/// when one of them fails, or when nothing moves for `idle`. What came from the client and what went to it.
async fn relay(client: ServerConnection, upstream: Upstream, idle: Duration) -> Traffic {
    let idle = idle.max(Duration::from_secs(1));
    let (mut client, client_sent, timer) = client.into_parts();
    let (mut service, service_sent, _peer) = upstream.into_parts();
    let mut up = Way { buffer: client_sent, state: State::Open, moved: 0, octets: 0 };
    let mut down = Way { buffer: service_sent, state: State::Open, moved: 0, octets: 0 };
    let mut moved = u64::MAX;
    std::future::poll_fn(|cx| {
        let first = up.poll(cx, &mut client, &mut service);
        let second = down.poll(cx, &mut service, &mut client);
        if first.is_ready() || second.is_ready() {
            return Poll::Ready(());
        }
        if moved != up.moved + down.moved {
            moved = up.moved + down.moved;
            timer.arm(idle);
        }
        if timer.poll_expired(cx) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    Traffic { received: up.octets, sent: down.octets, heads: 0 }
}

/// One direction.
struct Way {
    buffer: Buffer,
    state: State,
    /// Grows whenever something moves.
    moved: u64,
    octets: u64,
}

#[derive(PartialEq, Eq)]
enum State {
    Open,
    Closing,
    Closed,
}

impl Way {
    fn poll(&mut self, cx: &mut Context<'_>, from: &mut Stream, to: &mut Stream) -> Poll<std::io::Result<()>> {
        loop {
            while !self.buffer.is_empty() {
                let n = ready!(to.poll_write(cx, self.buffer.data()))?;
                if n == 0 {
                    return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
                }
                self.buffer.consume(n);
                self.moved += 1;
                self.octets += n as u64;
            }
            match self.state {
                State::Open => {
                    let read = from.poll_fill(cx, &mut self.buffer, BUFFER_SIZE);
                    if read.is_pending() {
                        // What TLS has gathered leaves while we wait.
                        if let Poll::Ready(Err(error)) = to.poll_flush(cx) {
                            return Poll::Ready(Err(error));
                        }
                        return Poll::Pending;
                    }
                    if ready!(read)? == 0 {
                        self.state = State::Closing;
                    }
                }
                State::Closing => {
                    ready!(to.poll_shutdown(cx))?;
                    self.state = State::Closed;
                }
                State::Closed => return Poll::Ready(Ok(())),
            }
        }
    }
}
