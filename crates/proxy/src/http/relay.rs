//! The response of a service on its way down to the client, while the rest of the request may still go up.

use super::announced::Announced;
use super::context::{Broken, RequestContext};
use super::deadlines::Wait;
use super::downstream::Downstream;
use super::payload::Payload;
use super::request;
use super::respond;
use super::spool::Spool;
use super::upload::Upload;
use crate::chain;
use crate::directives::{Encoder, RateLimiter};
use crate::settings::Limits;
use crate::upstream::Upstream;
use bytes::Buf;
use sdk::{Bytes, Exchange, Fields, Known, Lease, MemoryBudget, Phases};
use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use wire::Version;
use wire::field_value;
use wire::net::{Deadline, Pipe};

/// Sends the response whose head has come, then its content, and gives the service's connection back.
pub(crate) async fn response(
    context: &mut RequestContext<'_>,
    exchange: &mut Exchange,
    downstream: &mut Downstream<'_>,
    upstream: Box<Upstream>,
    (upload, payload): (&mut Upload, &mut Payload),
) -> Result<(), Broken> {
    // A service that answers before it has read everything: what the client still sends belongs to nothing.
    if !upload.is_done() && payload.has_rest() {
        context.close = true;
    }
    let respond::Started { bodiless, encoder, announced } = respond::start(context, exchange, downstream);
    let limits = context.limits();
    let filters = context.selected.iter().any(|i| i.phases.has(Phases::BODY_FILTER));
    let mut down = Down {
        upstream: Some(upstream),
        piece: None,
        waiting: Waiting::new(limits, &context.worker.shared.memory),
        end: End::Open,
        trailers: None,
        filters,
        bodiless,
        encoder,
        announced,
        pipe: None,
        unflushed: false,
        compressed: (0, 0),
        pace: context.directives().limit_rate.map(|limit| Pace {
            limiter: limit.start(context.worker.loop_time()),
            sent: 0,
            until: Deadline::NEVER,
        }),
    };
    let read_timeout = exchange.timeouts().read;
    let result = std::future::poll_fn(|cx| {
        if let Some(upstream) = &mut down.upstream
            && !upload.is_done()
            && let Poll::Ready(Err(_)) = upload.poll(cx, downstream, upstream, payload)
        {
            upload.stop(upstream);
        }
        let waits = match down.poll(cx, context, exchange, downstream, upload.is_done()) {
            Poll::Ready(result) => return Poll::Ready(result),
            Poll::Pending => down.waits(downstream.has_pending()),
        };
        if !limits.proxy_ignore_client_abort && upload.is_done() && downstream.poll_closed(cx).is_ready() {
            return Poll::Ready(Err(Broken::ClientClosed));
        }
        let (timer, deadlines) = (downstream.timer(), &mut context.deadlines);
        if down.pace.as_ref().is_some_and(|pace| pace.until.poll_expired(cx, timer)) {
            cx.waker().wake_by_ref();
        }
        match waits.0 {
            true => deadlines.begin(Wait::ClientWrite, downstream.sent(), limits.send_timeout, timer),
            false => deadlines.end(Wait::ClientWrite),
        }
        match down.upstream.as_ref().filter(|_| waits.1) {
            Some(upstream) => deadlines.begin(Wait::ServiceRead, upstream.received(), read_timeout, timer),
            None => deadlines.end(Wait::ServiceRead),
        }
        match deadlines.poll_expired(cx, timer) {
            None => Poll::Pending,
            Some(Wait::ServiceRead) => {
                down.truncate(exchange, "no content within the read timeout");
                // What came before is the client's.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(_) => {
                tracing::info!(request_id = exchange.id_str(), "a client does not read its response");
                Poll::Ready(Err(Broken::Aborted))
            }
        }
    })
    .await;
    context.deadlines.clear(downstream.timer());
    if let Some(upstream) = &down.upstream {
        tell(upstream, exchange);
    }
    if let Some(pipe) = down.pipe {
        context.worker.give_pipe(pipe);
    }
    payload.release(downstream);
    result
}

/// What the last try has taken on the connection to its service.
pub(super) fn tell(upstream: &Upstream, exchange: &mut Exchange) {
    if let Some(last) = exchange.tries.last_mut() {
        upstream.tell(last);
    }
}

/// Whether the response is taken from the service as fast as it comes. Streams of events are not held back, nor what a
/// service says should not be (`X-Accel-Buffering`, as nginx).
fn is_buffered(exchange: &Exchange, limits: &Limits) -> bool {
    if request::is_grpc(exchange) {
        return false;
    }
    let fields = &exchange.response.fields;
    let accel = fields.known(Known::XAccelBuffering).filter(|_| !limits.ignore_accel_buffering);
    let asked = match accel {
        Some(value) if value.eq_ignore_ascii_case(b"no") => return false,
        Some(value) => value.eq_ignore_ascii_case(b"yes"),
        None => false,
    };
    let events = fields
        .known(Known::ContentType)
        .is_some_and(|value| field_value::essence(value).eq_ignore_ascii_case(b"text/event-stream"));
    !events && (asked || exchange.route.as_ref().is_none_or(|route| route.response_buffering))
}

/// The way down.
struct Down<'a> {
    /// Until it has given all; then its connection serves somebody else, however slow the client is.
    upstream: Option<Box<Upstream>>,
    /// A piece that is being written.
    piece: Option<Bytes>,
    waiting: Waiting<'a>,
    end: End,
    trailers: Option<Fields>,
    filters: bool,
    /// The response has no content whatever the filters say.
    bodiless: bool,
    encoder: Option<Encoder>,
    announced: Option<Announced>,
    /// What it holds goes to the client next.
    pipe: Option<Pipe>,
    /// The encoder has content that it has said nothing of.
    unflushed: bool,
    /// Octets that the encoder has taken and given.
    compressed: (u64, u64),
    pace: Option<Pace>,
}

/// How fast a response is sent (`limit_rate`).
struct Pace {
    limiter: RateLimiter,
    /// Octets of content that were sent.
    sent: u64,
    /// When the next ones may go.
    until: Deadline,
}

/// How near the end of the content is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    /// All content has come; what waits for the client still has to be written.
    Reached,
    /// The service failed: what it sent before is written, and then the client is cut off.
    Truncated,
    /// The end mark is queued.
    Marked,
}

/// What has come from the service and waits for a slow client, behind [`Down::piece`].
struct Waiting<'a> {
    pieces: VecDeque<Bytes>,
    /// Octets of `pieces`, and what is taken of the budget for them.
    octets: usize,
    lease: Option<Lease>,
    budget: &'a MemoryBudget,
    /// What came after that.
    spool: Option<Box<Spool>>,
    /// How much of the spool has been taken.
    taken: u64,
    /// The room that there is; `None`: nothing may wait.
    limits: Option<&'a Limits>,
    /// It is known whether something may.
    decided: bool,
}

impl Down<'_> {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        context: &RequestContext<'_>,
        exchange: &mut Exchange,
        downstream: &mut Downstream<'_>,
        uploaded: bool,
    ) -> Poll<Result<(), Broken>> {
        loop {
            let blocked = match self.poll_out(cx, context, downstream) {
                Poll::Pending => true,
                Poll::Ready(Ok(())) => false,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(broken(exchange, &error))),
            };
            match self.end {
                End::Reached if !blocked => {
                    downstream.finish(self.trailers.as_ref());
                    self.end = End::Marked;
                }
                End::Marked => return downstream.poll_flush(cx).map_err(|_| Broken::ClientClosed),
                End::Truncated if !blocked => {
                    let _ = ready!(downstream.poll_flush(cx));
                    return Poll::Ready(Err(Broken::Aborted));
                }
                End::Reached | End::Truncated => return Poll::Pending,
                End::Open if blocked && !self.waiting.poll_room(cx, exchange) => return Poll::Pending,
                End::Open => {
                    let fresh = self.poll_in(cx, context, exchange, downstream, (blocked, uploaded));
                    if let Poll::Ready(Err(error)) = &fresh {
                        return Poll::Ready(Err(broken(exchange, error)));
                    }
                    if fresh.is_pending() {
                        if !blocked && self.unflushed {
                            // The client gets what there is while more is waited for.
                            self.unflushed = false;
                            let mut out = Vec::new();
                            self.encoder.as_mut().into_iter().for_each(|encoder| encoder.flush(&mut out));
                            self.compressed.1 += out.len() as u64;
                            self.put(out.into(), exchange);
                            continue;
                        }
                        if !blocked {
                            ready!(downstream.poll_flush(cx)).map_err(|_| Broken::ClientClosed)?;
                        }
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// For whom it waits: the client, the service. `unsent`: something is queued for the client.
    fn waits(&self, unsent: bool) -> (bool, bool) {
        let behind =
            self.piece.is_some() || !self.waiting.is_empty() || self.pipe.as_ref().is_some_and(|pipe| !pipe.is_empty());
        // Whoever is sent to slowly on purpose is not blamed for it.
        let paced = self.pace.as_ref().is_some_and(|pace| pace.until != Deadline::NEVER);
        let for_client = (behind || unsent || self.end != End::Open) && !paced;
        let for_service = self.end == End::Open && (!behind || self.waiting.has_room());
        (for_client, for_service)
    }

    /// Takes the next piece from the service. The error is that of the client.
    fn poll_in(
        &mut self,
        cx: &mut Context<'_>,
        context: &RequestContext<'_>,
        exchange: &mut Exchange,
        downstream: &mut Downstream<'_>,
        (blocked, uploaded): (bool, bool),
    ) -> Poll<io::Result<()>> {
        if let Some(pipe) = self.full_pipe() {
            // The client is slower than the service: this waits like everything else, where there is more room.
            self.piece = Some(pipe.take()?);
        }
        let Some(upstream) = &mut self.upstream else { return Poll::Ready(Ok(())) };
        let edited = self.filters || self.encoder.is_some() || self.pace.is_some() || self.announced.is_some();
        let plain = !(edited || blocked || self.bodiless);
        if plain && upstream.fills_pipes() && downstream.takes_pipes() {
            self.pipe = self.pipe.take().or_else(|| context.worker.pipe());
            if let Some(pipe) = &mut self.pipe {
                // What it lets in goes out before anything else.
                if let Err(error) = ready!(upstream.poll_pipe(cx, pipe)) {
                    self.truncate(exchange, &error.to_string());
                }
                return Poll::Ready(Ok(()));
            }
        }
        match ready!(upstream.poll_content(cx)) {
            Err(error) => self.truncate(exchange, &error.to_string()),
            Ok(Some(n)) if edited || blocked => {
                let mut piece = Bytes::copy_from_slice(upstream.content(n));
                upstream.consume(n);
                if self.filters {
                    piece = chain::run_body_filter(&context.selected, exchange, piece, false);
                }
                self.encode(piece, exchange);
            }
            Ok(Some(n)) if self.bodiless => upstream.consume(n),
            Ok(Some(n)) => {
                // The usual way: from one connection's buffer to the other.
                match downstream.poll_write(cx, upstream.content(n)) {
                    Poll::Pending => self.piece = Some(Bytes::copy_from_slice(upstream.content(n))),
                    Poll::Ready(written) => written?,
                }
                upstream.consume(n);
            }
            Ok(None) => {
                // As nginx, which drops all but those of gRPC: nobody gets trailers unasked.
                let wanted =
                    context.hop_by_hop.trailers || (request::is_grpc(exchange) && context.version >= Version::Http2);
                self.trailers = upstream.trailers().filter(|_| wanted).cloned();
                self.end = End::Reached;
                exchange.trailers = upstream.trailers().cloned();
                if self.filters {
                    let piece = chain::run_body_filter(&context.selected, exchange, Bytes::new(), true);
                    self.encode(piece, exchange);
                }
                if let Some(encoder) = self.encoder.take() {
                    let mut out = Vec::new();
                    encoder.finish(&mut out);
                    self.compressed.1 += out.len() as u64;
                    exchange.compressed = Some(self.compressed);
                    self.put(out.into(), exchange);
                }
                let upstream = self.upstream.take();
                if let Some(upstream) = &upstream {
                    tell(upstream, exchange);
                }
                if let Some(upstream) = upstream.filter(|_| uploaded) {
                    context.worker.pool.borrow_mut().give(upstream, context.worker.loop_time());
                }
                if let Some(left @ 1..) = self.announced.as_ref().map(Announced::left) {
                    let why = "plugins have made less content than Content-Length says";
                    tracing::warn!(request_id = exchange.id_str(), "{why}: {left} octets are missing");
                    self.end = End::Truncated;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The pipe, where it holds something.
    fn full_pipe(&mut self) -> Option<&mut Pipe> {
        self.pipe.as_mut().filter(|pipe| !pipe.is_empty())
    }

    fn encode(&mut self, piece: Bytes, exchange: &Exchange) {
        let Some(encoder) = &mut self.encoder else { return self.put(piece, exchange) };
        let mut out = Vec::new();
        encoder.push(&piece, &mut out);
        self.compressed.0 += piece.len() as u64;
        self.compressed.1 += out.len() as u64;
        self.unflushed = true;
        self.put(out.into(), exchange);
    }

    fn put(&mut self, mut piece: Bytes, exchange: &Exchange) {
        if let Some(announced) = &mut self.announced {
            announced.take(&mut piece, exchange);
        }
        if piece.is_empty() || self.bodiless {
            return;
        }
        match &self.piece {
            None if self.waiting.is_empty() => self.piece = Some(piece),
            _ => self.waiting.push(piece),
        }
    }

    /// Writes what waits for the client; ready when nothing does.
    fn poll_out(
        &mut self,
        cx: &mut Context<'_>,
        context: &RequestContext<'_>,
        downstream: &mut Downstream<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if let Some(pipe) = self.full_pipe() {
                ready!(downstream.poll_pipe(cx, pipe))?;
            }
            if let Some(piece) = &mut self.piece {
                match &mut self.pace {
                    None => ready!(downstream.poll_write(cx, piece))?,
                    Some(pace) => ready!(pace.poll_write(cx, piece, downstream, context.worker.loop_time()))?,
                }
                self.piece = None;
            }
            if self.waiting.is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.piece = Some(ready!(self.waiting.poll_pop(cx))?);
        }
    }

    /// The service did not send all of its content: the client must not take what it has for the whole.
    fn truncate(&mut self, exchange: &mut Exchange, why: &str) {
        tracing::warn!(request_id = exchange.id_str(), "the service's response is cut short: {why}");
        if let Some(upstream) = self.upstream.take() {
            tell(&upstream, exchange);
        }
        self.end = End::Truncated;
    }
}

/// Octets that are gathered at once, so that no portion is left half written.
const PORTION: usize = 4096;

impl Pace {
    /// Writes a piece in portions that are small enough.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        piece: &mut Bytes,
        downstream: &mut Downstream<'_>,
        now: Instant,
    ) -> Poll<io::Result<()>> {
        while !piece.is_empty() {
            ready!(downstream.poll_flush(cx))?;
            match self.limiter.allowance(now, self.sent) {
                Err(wait) => {
                    self.until = downstream.timer().deadline(wait);
                    return Poll::Pending;
                }
                Ok(most) => {
                    self.until = Deadline::NEVER;
                    let portion = piece.slice(..most.min(piece.len()).min(PORTION));
                    ready!(downstream.poll_write(cx, &portion))?;
                    self.sent += portion.len() as u64;
                    piece.advance(portion.len());
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<'a> Waiting<'a> {
    fn new(limits: &'a Limits, budget: &'a MemoryBudget) -> Waiting<'a> {
        let (pieces, limits) = (VecDeque::new(), Some(limits));
        Waiting { pieces, octets: 0, lease: None, budget, spool: None, taken: 0, limits, decided: false }
    }

    fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.spooled() == 0
    }

    /// Whether more may be taken from the service.
    fn has_room(&self) -> bool {
        let Some(limits) = self.limits else { return false };
        let in_memory = self.spooled() == 0 && self.octets < limits.proxy_buffers;
        in_memory || self.spool.as_ref().map_or(0, |spool| spool.len()) < limits.proxy_max_temp_file_size
    }

    /// The same; where a piece is just being stored, the task is woken when there is room.
    fn poll_room(&mut self, cx: &mut Context<'_>, exchange: &Exchange) -> bool {
        if !self.decided {
            // Not looked at before, since it does not matter to most.
            self.decided = true;
            self.limits = self.limits.filter(|limits| is_buffered(exchange, limits));
        }
        self.has_room()
            && match &mut self.spool {
                // A failure shows when what was lost is read.
                Some(spool) => matches!(spool.poll_ready(cx), Poll::Ready(Ok(()))),
                None => true,
            }
    }

    fn push(&mut self, piece: Bytes) {
        // The order stays: once something is on disk, what comes next follows it there.
        let in_memory = self.spooled() == 0
            && self.limits.is_some_and(|limits| self.octets < limits.proxy_buffers)
            && self.take(piece.len());
        match self.limits.filter(|limits| limits.proxy_max_temp_file_size > 0) {
            Some(limits) if !in_memory => {
                self.spool.get_or_insert_with(|| Box::new(Spool::new(&limits.proxy_temporary_files))).push(&piece);
                return;
            }
            // This one is here already; the next ones stay with the service.
            None if !in_memory => self.limits = None,
            _ => {}
        }
        self.octets += piece.len();
        self.pieces.push_back(piece);
    }

    /// Takes memory from what all exchanges may hold.
    fn take(&mut self, octets: usize) -> bool {
        self.lease.get_or_insert_with(|| self.budget.lease()).try_grow(octets)
    }

    fn poll_pop(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        if let Some(piece) = self.pieces.pop_front() {
            self.octets -= piece.len();
            if let Some(lease) = &mut self.lease {
                lease.shrink_to(self.octets);
            }
            return Poll::Ready(Ok(piece));
        }
        let Some(spool) = &mut self.spool else { return Poll::Ready(Ok(Bytes::new())) };
        let piece = ready!(spool.poll_read(cx, self.taken))?;
        self.taken += piece.len() as u64;
        if self.taken == spool.len() && spool.restart() {
            self.taken = 0;
        }
        Poll::Ready(Ok(piece))
    }

    fn spooled(&self) -> u64 {
        self.spool.as_ref().map_or(0, |spool| spool.len()).saturating_sub(self.taken)
    }
}

fn broken(exchange: &Exchange, error: &io::Error) -> Broken {
    tracing::info!(request_id = exchange.id_str(), "a response could not be sent to its client: {error}");
    Broken::ClientClosed
}
