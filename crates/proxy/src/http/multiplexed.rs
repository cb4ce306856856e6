//! The life of a connection that carries many exchanges at once (HTTP/2): it opens a task for each.

use super::downstream::Downstream;
use super::exchange::{self, Disposition};
use super::{Origin, access, respond, upgrade};
use crate::worker::{Session, Worker};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use wire::h1::HeadError;
use wire::h2::{Connection, ServerStream};
use wire::net::{Buffer, Lingering, Stream};

/// How long a client that has its answer may go on sending content before its stream is ended, and how much is taken.
const EARLY_TIME: Duration = Duration::from_secs(1);
const EARLY_OCTETS: usize = 1 << 20;
/// How long what has come of a response that breaks off may take to leave. Then the stream ends as one that is given up
/// (`CANCEL`), behind it.
const CUT_TIME: Duration = Duration::from_secs(1);

/// The exchanges of a connection that are under way.
#[derive(Default)]
pub(super) struct Open {
    count: Cell<usize>,
    /// The connection's task, which has something to do when there are none.
    waker: RefCell<Option<Waker>>,
}

/// Counts an exchange until it is over, however its task ends.
pub(super) struct Counted(Rc<Open>);

/// Serves a connection until either side ends it. `begun` is what has been read of it already.
pub(super) async fn serve(worker: &Rc<Worker>, stream: Stream, begun: Buffer, origin: Box<Origin>) {
    let limits = &worker.shared.settings.limits;
    let timer = worker.timers.timer();
    let since = worker.loop_time();
    let (client, origin) = (origin.peer.clone(), Rc::<Origin>::from(origin));
    let beginning = {
        let pools = (&worker.buffers, &worker.streams);
        let mut begin = pin!(Connection::begin(stream, begun, pools, &worker.timers, limits.streams()));
        timer.limit(limits.client_header_timeout, |cx| begin.as_mut().poll(cx)).await
    };
    let mut connection = match beginning {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            tracing::info!(client = client.as_str(), "a connection was refused: {error}");
            return;
        }
        Err(_) => return,
    };
    let open = Rc::<Open>::default();
    let mut number = 0;
    loop {
        let next = if open.any() {
            // While something is under way its own deadlines count.
            let accept = poll_fn(|cx| match connection.poll_accept(cx) {
                Poll::Pending if open.is_over(cx) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
                Poll::Ready(next) => Poll::Ready(Some(next)),
            });
            match accept.await {
                Some(next) => next,
                None => continue,
            }
        } else {
            worker.gauges.idle(true);
            let next = timer.limit_idle(limits.keepalive_timeout, |cx| connection.poll_accept(cx)).await;
            worker.gauges.idle(false);
            match next {
                Ok(next) => next,
                Err(_) => break,
            }
        };
        let stream = match next {
            Some(Ok(stream)) => stream,
            Some(Err(error)) => {
                tracing::info!(client = client.as_str(), "a connection was ended: {error}");
                return;
            }
            None => break,
        };
        number += 1;
        if worker.draining.get()
            || number >= limits.keepalive_requests
            || limits.keepalive_timeout.is_zero()
            || worker.loop_time().saturating_duration_since(since) >= limits.keepalive_time
        {
            connection.end();
        }
        let counted = Counted::new(&open);
        let (worker, origin) = (Rc::clone(worker), Rc::clone(&origin));
        tokio::task::spawn_local(Box::pin(async move {
            answer(&worker, &origin, stream, number).await;
            drop(counted);
        }));
    }
    // Nothing is under way: the client is told, and what is left for it sent.
    connection.end();
    let _ = timer.limit(limits.send_timeout.min(limits.lingering_timeout), |cx| connection.poll_accept(cx)).await;
    if limits.lingering_close {
        let lingering = Lingering { time: limits.lingering_time, pause: limits.lingering_timeout };
        connection.close(&worker.buffers, lingering).await;
    }
}

/// One exchange, from its head to its log.
async fn answer(worker: &Rc<Worker>, origin: &Origin, mut stream: ServerStream, number: u64) {
    let mut session = worker.session(&origin.client);
    let read = stream.take_head(&mut session.exchange.request);
    session.exchange.client.request = number;
    worker.gauges.request();
    worker.refresh_snapshot(&mut session);
    let mut line = access::Line::begin(worker, &session.exchange.request.fields);
    let mut downstream = Downstream::Http2(&mut stream);
    if let Disposition::Upgraded(upgraded) = follow(worker, origin, &mut downstream, &mut session, read).await {
        return Box::pin(upgrade::follow_stream(line, worker, origin, session, downstream, *upgraded)).await;
    }
    if let Some(line) = &mut line {
        line.took(stream.traffic());
    }
    access::end(line, worker, origin, session);
    if stream.is_answered_early() {
        // The end of the stream (`RST_STREAM`) must not overtake the answer in the client.
        let (timer, mut most) = (stream.timer().clone(), EARLY_OCTETS);
        let _ = timer.limit(EARLY_TIME, |cx| stream.poll_rest(cx, &mut most)).await;
    } else if stream.is_cut_short() {
        let timer = stream.timer().clone();
        if timer.limit(CUT_TIME, |cx| stream.poll_sent(cx)).await.is_ok() {
            stream.fail();
        }
    }
}

/// What follows a head: the exchange, or the answer that it cannot be had.
pub(super) async fn follow(
    worker: &Rc<Worker>,
    origin: &Origin,
    downstream: &mut Downstream<'_>,
    session: &mut Session,
    read: Result<(), HeadError>,
) -> Disposition {
    match read {
        Ok(()) if origin.unverified.is_some() => {
            let message = origin.unverified.unwrap_or_default();
            respond::refuse(worker, downstream, origin, session, 400, message).await;
            Disposition::Close
        }
        Ok(()) => exchange::run(worker, downstream, origin, session, false).await,
        Err(error) => {
            respond::tell_refusal(origin, error);
            let status = respond::refusal(error);
            let message = sdk::Answer::gateway_message(status);
            respond::refuse(worker, downstream, origin, session, status, &message).await;
            Disposition::Close
        }
    }
}

impl Open {
    /// Whether there are some.
    pub fn any(&self) -> bool {
        self.count.get() > 0
    }

    /// Whether there is nothing under way; otherwise the task is woken when that is so.
    pub fn is_over(&self, cx: &Context<'_>) -> bool {
        match &mut *self.waker.borrow_mut() {
            Some(waker) => waker.clone_from(cx.waker()),
            waker => *waker = Some(cx.waker().clone()),
        }
        self.count.get() == 0
    }
}

impl Counted {
    /// One more.
    pub fn new(open: &Rc<Open>) -> Counted {
        open.count.set(open.count.get() + 1);
        Counted(Rc::clone(open))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let left = self.0.count.get() - 1;
        self.0.count.set(left);
        if left == 0
            && let Some(waker) = self.0.waker.borrow_mut().take()
        {
            waker.wake();
        }
    }
}
