//! The life of a connection of HTTP/3: it opens a task for each exchange, as one of HTTP/2.

use super::downstream::Downstream;
use super::exchange::{CLIENT_CLOSED_REQUEST, Disposition};
use super::multiplexed::{Counted, Open, follow};
use super::{Origin, access, respond, upgrade};
use crate::worker::Worker;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use wire::h1::RequestError;
use wire::h3::{Connection, ServerStream, Unread};

/// Exchanges that a client may give up without having waited for another one meanwhile: whoever does so again and again
/// is disconnected (as CVE-2023-44487).
const ABANDONED: u32 = 128;

/// Serves a connection until either side ends it.
pub(crate) async fn serve(worker: &Rc<Worker>, quic: quinn::Connection, origin: Box<Origin>) {
    let limits = &worker.shared.settings.limits;
    let timer = worker.timers.timer();
    let since = worker.loop_time();
    let (connection, driver) = Connection::begin(quic, limits.heads(), &worker.timers);
    tokio::task::spawn_local(driver);
    let mut origin = Rc::<Origin>::from(origin);
    let (open, patience) = (Rc::<Open>::default(), Rc::new(Cell::new(ABANDONED)));
    let mut number = 0;
    loop {
        let next = if open.any() {
            let mut accept = pin!(connection.accept());
            // While something is under way its own deadlines count.
            let accepted = poll_fn(|cx| match accept.as_mut().poll(cx) {
                Poll::Pending if open.is_over(cx) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
                Poll::Ready(next) => Poll::Ready(Some(next)),
            });
            accepted.await
        } else if connection.has_ended() {
            break;
        } else if connection.is_ending() {
            // What the client has sent before it heard of the end is served.
            let limit = connection.grace().min(limits.lingering_timeout);
            let mut accept = pin!(connection.accept());
            match timer.limit(limit, |cx| accept.as_mut().poll(cx)).await {
                Ok(next) => Some(next),
                Err(_) => break,
            }
        } else {
            let mut accept = pin!(connection.accept());
            worker.gauges.idle(true);
            let next = timer.limit_idle(limits.keepalive_timeout, |cx| accept.as_mut().poll(cx)).await;
            worker.gauges.idle(false);
            match next {
                Ok(next) => Some(next),
                Err(_) => {
                    connection.end();
                    continue;
                }
            }
        };
        if patience.get() == 0 {
            tracing::info!(client = origin.peer.as_str(), "a connection was ended: too many requests were given up");
            return connection.refuse_load();
        }
        let stream = match next {
            Some(Ok(stream)) => stream,
            Some(Err(_)) if connection.is_overloaded() => {
                tracing::info!(client = origin.peer.as_str(), "a connection was ended: too much served no request");
                return;
            }
            Some(Err(error)) => {
                tracing::debug!(client = origin.peer.as_str(), "a connection is over: {error}");
                return;
            }
            None => continue,
        };
        number += 1;
        if worker.draining.get()
            || number >= limits.keepalive_requests
            || limits.keepalive_timeout.is_zero()
            || worker.loop_time().saturating_duration_since(since) >= limits.keepalive_time
        {
            connection.end();
        }
        if connection.remote_address() != origin.peer.socket_address() {
            origin = Rc::new(origin.moved(&worker.shared, connection.remote_address()));
        }
        let counted = Counted::new(&open);
        let (worker, origin, patience) = (Rc::clone(worker), Rc::clone(&origin), Rc::clone(&patience));
        tokio::task::spawn_local(Box::pin(async move {
            let mut stream = stream;
            let left = match answer(&worker, &origin, &mut stream, number).await {
                true => (patience.get() + 1).min(ABANDONED),
                false => patience.get().saturating_sub(1),
            };
            patience.set(left);
            // The connection must not end before the client has what was sent.
            let limit = worker.shared.settings.limits.send_timeout;
            let _ = worker.timers.timer().limit(limit, |cx| stream.poll_delivered(cx)).await;
            drop(counted);
        }));
    }
    // Nothing is under way: the client is told, and what it sends meanwhile is refused, so that it can go elsewhere.
    connection.end_now();
    let limit = connection.grace().min(limits.lingering_timeout);
    let mut accept = pin!(connection.accept());
    let _ = timer.limit(limit, |cx| accept.as_mut().poll(cx)).await;
}

/// One exchange, from its head to its log; whether the client has waited for its answer.
async fn answer(worker: &Rc<Worker>, origin: &Origin, stream: &mut ServerStream, number: u64) -> bool {
    let limits = &worker.shared.settings.limits;
    let mut session = worker.session(&origin.client);
    let head = &mut session.exchange.request;
    let timer = worker.timers.timer();
    // What came of the head.
    let mut taken = None;
    let read = timer.limit(limits.client_header_timeout, |cx| {
        if taken.is_none() {
            taken = Some(match ready!(stream.poll_head(cx, head)) {
                Ok(()) => Ok(()),
                Err(Unread::Refused(error)) => Err(error),
                Err(Unread::Gone) => return Poll::Ready(false),
            });
        }
        if taken == Some(Ok(())) {
            taken = Some(ready!(stream.poll_framing(cx, head)));
        }
        Poll::Ready(true)
    });
    let read = read.await;
    drop(timer);
    session.exchange.client.request = number;
    if matches!(read, Ok(false)) {
        return false;
    }
    worker.gauges.request();
    worker.refresh_snapshot(&mut session);
    let mut line = access::Line::begin(worker, &session.exchange.request.fields);
    match (read, taken) {
        (Ok(_), Some(taken)) => {
            let mut downstream = Downstream::Http3(stream);
            if let Disposition::Upgraded(upgraded) = follow(worker, origin, &mut downstream, &mut session, taken).await
            {
                Box::pin(upgrade::follow_stream(line, worker, origin, session, downstream, *upgraded)).await;
                return true;
            }
        }
        _ => respond::give_up(worker, origin, &mut session, &RequestError::TimedOut),
    }
    if let Some(line) = &mut line {
        line.took(stream.traffic());
    }
    let waited = session.exchange.response.status != CLIENT_CLOSED_REQUEST;
    access::end(line, worker, origin, session);
    waited
}
