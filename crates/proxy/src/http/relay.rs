//! The response of a service on its way down to the client, while the rest of the request may still go up.

use super::announced::Announced;
use super::context::{Broken, RequestContext};
use super::deadlines::{Deadlines, Wait};
use super::downstream::Downstream;
use super::filters;
use super::payload::Payload;
use super::request;
use super::respond;
use super::upload::Upload;
use super::waiting::Waiting;
use crate::chain::{self, Unfiltered};
use crate::directives::{Encoder, RateLimiter};
use crate::error_log::OfRequest;
use crate::upstream::Upstream;
use crate::worker::Worker;
use bytes::Buf;
use sdk::{Bytes, Exchange, Fields, Phases};
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use wire::Version;
use wire::net::{Deadline, Pipe};

/// Sends the response whose head has come, then its content, and gives the service's connection back.
pub(crate) async fn response(
    context: &mut RequestContext<'_>,
    exchange: &mut Exchange,
    downstream: &mut Downstream<'_>,
    mut upstream: Box<Upstream>,
    (upload, payload): (&mut Upload, &mut Payload),
) -> Result<(), Broken> {
    // A service that answers before it has read everything: what the client still sends belongs to nothing.
    if !upload.is_done() && payload.has_rest() {
        context.close = true;
    }
    let mut filtered = respond::filter_head(context, exchange);
    if let Ok(Some(from)) = filtered {
        let going_up = |cx: &mut Context<'_>, downstream: &mut Downstream<'_>| {
            push_up(cx, downstream, &mut upstream, upload, payload);
        };
        filtered = Box::pin(filters::head(from, context, exchange, downstream, going_up)).await.map(|()| None);
    }
    if let Err(broken) = filtered {
        tell(&upstream, exchange);
        payload.release(downstream);
        return Err(broken);
    }
    let respond::Started { bodiless, encoder, announced } = respond::start(context, exchange, downstream);
    let limits = context.limits();
    let mut down = Down {
        upstream: Some(upstream),
        piece: None,
        waiting: Waiting::new(limits, &context.worker.shared.memory),
        end: End::Open,
        trailers: None,
        filters: Filters::of(context),
        unfiltered: None,
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
    if exchange.response_is_replaced() {
        // Nothing of the service's content is the client's.
        if let Some(upstream) = down.upstream.take() {
            tell(&upstream, exchange);
        }
        down.unfiltered = Some((Bytes::new(), true));
    }
    let read_timeout = exchange.timeouts().read;
    let result = loop {
        let polled = std::future::poll_fn(|cx| {
            if let Some(upstream) = &mut down.upstream {
                push_up(cx, downstream, upstream, upload, payload);
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
        let Some(piece) = down.unfiltered.take() else { break polled };
        let sending = (&mut *upload, &mut *payload);
        let filtered = Box::pin(down.filter(piece, context, exchange, downstream, sending)).await;
        if filtered.is_err() {
            break filtered;
        }
    };
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

/// Sends what is left of the request up.
fn push_up(
    cx: &mut Context<'_>,
    downstream: &mut Downstream<'_>,
    upstream: &mut Upstream,
    upload: &mut Upload,
    payload: &mut Payload,
) {
    if !upload.is_done() && matches!(upload.poll(cx, downstream, upstream, payload), Poll::Ready(Err(_))) {
        upload.stop(upstream);
    }
}

/// What the last try has taken on the connection to its service.
pub(super) fn tell(upstream: &Upstream, exchange: &mut Exchange) {
    if let Some(last) = exchange.tries.last_mut() {
        upstream.tell(last);
    }
}

/// The way down.
struct Down<'a> {
    /// Until it has given all; then its connection serves somebody else, however slow the client is.
    upstream: Option<Box<Upstream>>,
    /// A piece that is being written.
    piece: Option<Bytes>,
    waiting: Waiting<'a>,
    end: End,
    trailers: Option<Box<Fields>>,
    filters: Filters,
    /// A piece for filters that may wait, and whether it is the last one: nothing else is done before they have it.
    unfiltered: Option<(Bytes, bool)>,
    /// The response has no content whatever the filters say.
    bodiless: bool,
    /// Boxed, since few responses have one.
    encoder: Option<Box<Encoder>>,
    announced: Option<Announced>,
    /// What it holds goes to the client next.
    pipe: Option<Pipe>,
    /// The encoder has content that it has said nothing of.
    unflushed: bool,
    /// Octets that the encoder has taken and given.
    compressed: (u64, u64),
    pace: Option<Pace>,
}

/// What plugins do with the content.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Filters {
    None,
    /// They filter it at once.
    Run,
    /// Some may have to wait.
    Wait,
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
    /// A filter has failed: the client is cut off.
    Unfiltered,
}

impl Filters {
    fn of(context: &RequestContext<'_>) -> Filters {
        let takes_part = |phases| context.selected.iter().any(|i| i.phases.has(phases));
        match takes_part(Phases::BODY_FILTER) {
            false => Filters::None,
            true if takes_part(Phases::BODY_FILTER_WAITS) => Filters::Wait,
            true => Filters::Run,
        }
    }
}

impl Down<'_> {
    /// Ready at the end, or when there is a piece to be filtered ([`Down::unfiltered`]).
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        context: &RequestContext<'_>,
        exchange: &mut Exchange,
        downstream: &mut Downstream<'_>,
        uploaded: bool,
    ) -> Poll<Result<(), Broken>> {
        loop {
            let blocked = match self.poll_out(cx, context.worker, downstream) {
                Poll::Pending => true,
                Poll::Ready(Ok(())) => false,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(broken(exchange, &error))),
            };
            match self.end {
                End::Reached if !blocked => {
                    downstream.finish(self.trailers.as_deref());
                    self.end = End::Marked;
                }
                End::Marked => return downstream.poll_flush(cx).map_err(|_| Broken::ClientClosed),
                End::Truncated if !blocked => {
                    let _ = ready!(downstream.poll_flush(cx));
                    return Poll::Ready(Err(Broken::Aborted));
                }
                End::Unfiltered => return Poll::Ready(Err(filters::failed(exchange))),
                End::Reached | End::Truncated => return Poll::Pending,
                End::Open if blocked && !self.waiting.poll_room(cx, exchange) => return Poll::Pending,
                End::Open => {
                    let fresh = self.poll_in(cx, context, exchange, downstream, (blocked, uploaded));
                    if let Poll::Ready(Err(error)) = &fresh {
                        return Poll::Ready(Err(broken(exchange, error)));
                    }
                    if self.unfiltered.is_some() {
                        return Poll::Ready(Ok(()));
                    }
                    if fresh.is_pending() {
                        if !blocked && self.flush_encoder() {
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
        let edited =
            self.filters != Filters::None || self.encoder.is_some() || self.pace.is_some() || self.announced.is_some();
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
                match self.filters {
                    Filters::None => {}
                    Filters::Run => match chain::run_body_filter(&context.selected, exchange, piece, false) {
                        Ok(filtered) => piece = filtered,
                        Err(Unfiltered) => return self.cut_off(),
                    },
                    Filters::Wait => {
                        self.unfiltered = Some((piece, false));
                        return Poll::Ready(Ok(()));
                    }
                }
                self.encode(piece);
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
                self.trailers = upstream.trailers().filter(|_| wanted).map(|trailers| Box::new(trailers.clone()));
                exchange.trailers = upstream.trailers().map(|trailers| Box::new(trailers.clone()));
                match self.filters {
                    Filters::None => {}
                    Filters::Run => match chain::run_body_filter(&context.selected, exchange, Bytes::new(), true) {
                        Ok(piece) => self.encode(piece),
                        Err(Unfiltered) => return self.cut_off(),
                    },
                    Filters::Wait => {
                        self.unfiltered = Some((Bytes::new(), true));
                        return Poll::Ready(Ok(()));
                    }
                }
                self.reach_end(context.worker, exchange, uploaded);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// What has come must not go on.
    fn cut_off(&mut self) -> Poll<io::Result<()>> {
        self.end = End::Unfiltered;
        Poll::Ready(Ok(()))
    }

    /// All content has come, and has been through the filters: the service's connection serves somebody else.
    fn reach_end(&mut self, worker: &Worker, exchange: &mut Exchange, uploaded: bool) {
        self.end = End::Reached;
        if let Some(encoder) = self.encoder.take() {
            let mut out = Vec::new();
            encoder.finish(&mut out);
            self.compressed.1 += out.len() as u64;
            exchange.compressed = Some(self.compressed);
            self.put(out.into());
        }
        let upstream = self.upstream.take();
        if let Some(upstream) = &upstream {
            tell(upstream, exchange);
        }
        if let Some(upstream) = upstream.filter(|_| uploaded) {
            worker.pool.borrow_mut().give(upstream, worker.loop_time());
        }
        if self.announced.take().is_some_and(|announced| !announced.is_kept(exchange)) {
            self.end = End::Truncated;
        }
    }

    /// Has a piece filtered, which may take its time: what came before goes down meanwhile, nothing more is taken from
    /// the service, and what the client sends goes up.
    async fn filter(
        &mut self,
        piece: (Bytes, bool),
        context: &mut RequestContext<'_>,
        exchange: &mut Exchange,
        downstream: &mut Downstream<'_>,
        (upload, payload): (&mut Upload, &mut Payload),
    ) -> Result<(), Broken> {
        let (worker, send_timeout, last) = (context.worker, context.limits().send_timeout, piece.1);
        let meanwhile = |cx: &mut Context<'_>, downstream: &mut Downstream<'_>, deadlines: &mut Deadlines| {
            if let Some(upstream) = &mut self.upstream {
                push_up(cx, downstream, upstream, upload, payload);
            }
            if self.poll_down(cx, worker, downstream).is_err() {
                return Err(Broken::ClientClosed);
            }
            let timer = downstream.timer();
            if self.pace.as_ref().is_some_and(|pace| pace.until.poll_expired(cx, timer)) {
                cx.waker().wake_by_ref();
            }
            match self.waits(downstream.has_pending()).0 {
                true => deadlines.begin(Wait::ClientWrite, downstream.sent(), send_timeout, timer),
                false => deadlines.end(Wait::ClientWrite),
            }
            deadlines.end(Wait::ServiceRead);
            Ok(())
        };
        let filtered = filters::piece(context, exchange, downstream, piece, meanwhile).await?;
        worker.update_time();
        self.encode(filtered);
        if last {
            self.reach_end(worker, exchange, upload.is_done());
        }
        Ok(())
    }

    /// Sends as much as the client takes of what has been filtered.
    fn poll_down(&mut self, cx: &mut Context<'_>, worker: &Worker, downstream: &mut Downstream<'_>) -> io::Result<()> {
        loop {
            match self.poll_out(cx, worker, downstream) {
                Poll::Pending => return Ok(()),
                Poll::Ready(sent) => sent?,
            }
            if !self.flush_encoder() {
                break;
            }
        }
        match downstream.poll_flush(cx) {
            Poll::Pending => Ok(()),
            Poll::Ready(flushed) => flushed,
        }
    }

    /// Takes out of the encoder what it has said nothing of: the client gets what there is while more is waited for.
    fn flush_encoder(&mut self) -> bool {
        if !std::mem::take(&mut self.unflushed) {
            return false;
        }
        let mut out = Vec::new();
        self.encoder.as_mut().into_iter().for_each(|encoder| encoder.flush(&mut out));
        self.compressed.1 += out.len() as u64;
        self.put(out.into());
        true
    }

    /// The pipe, where it holds something.
    fn full_pipe(&mut self) -> Option<&mut Pipe> {
        self.pipe.as_mut().filter(|pipe| !pipe.is_empty())
    }

    fn encode(&mut self, piece: Bytes) {
        let Some(encoder) = &mut self.encoder else { return self.put(piece) };
        let mut out = Vec::new();
        encoder.push(&piece, &mut out);
        self.compressed.0 += piece.len() as u64;
        self.compressed.1 += out.len() as u64;
        self.unflushed = true;
        self.put(out.into());
    }

    fn put(&mut self, mut piece: Bytes) {
        if let Some(announced) = &mut self.announced {
            announced.take(&mut piece);
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
        worker: &Worker,
        downstream: &mut Downstream<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if let Some(pipe) = self.full_pipe() {
                ready!(downstream.poll_pipe(cx, pipe))?;
            }
            if let Some(piece) = &mut self.piece {
                match &mut self.pace {
                    None => ready!(downstream.poll_write(cx, piece))?,
                    Some(pace) => ready!(pace.poll_write(cx, piece, downstream, worker.loop_time()))?,
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
        let upstream = exchange.tries.last().map(|last| last.address);
        let told = OfRequest { exchange, host: None, upstream };
        tracing::warn!(request_id = exchange.id_str(), "the service's response is cut short: {why}{told}");
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

fn broken(exchange: &Exchange, error: &io::Error) -> Broken {
    tracing::info!(request_id = exchange.id_str(), "a response could not be sent to its client: {error}");
    Broken::ClientClosed
}
