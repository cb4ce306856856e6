//! Answers whose content a plugin makes piece by piece, such as streams of events: each piece goes through the filters
//! and out before the next one is asked for.

use super::announced::{self, Announced};
use super::context::{Broken, RequestContext};
use super::deadlines::{Deadlines, Wait};
use super::debug;
use super::downstream::Downstream;
use super::filters;
use super::respond;
use crate::chain;
use crate::directives::Encoder;
use sdk::{Bytes, Continuation, Exchange, Phases, Portion};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;
use wire::Framing;

/// What becomes of the pieces.
struct Content {
    /// The response has none, whatever is made.
    bodiless: bool,
    encoder: Option<Box<Encoder>>,
    announced: Option<Announced>,
    /// Octets that the encoder has taken and given.
    compressed: (u64, u64),
}

/// Sends the answer of which `exchange.response` is the head, and then its content as it is made. The code that makes
/// it ends when a piece does not get to the client any more.
pub(crate) async fn send(
    context: &mut RequestContext<'_>,
    exchange: &mut Exchange,
    downstream: &mut Downstream<'_>,
    mut continuation: Box<dyn Continuation>,
) -> Result<(), Broken> {
    exchange.response.fields.replace_all(&exchange.reply);
    debug::enter(exchange, "header_filter");
    let filtered = chain::run_header_filter(&context.selected, exchange);
    if let Some(from) = filters::first(exchange, filtered)? {
        Box::pin(filters::head(from, context, exchange, downstream, respond::drop_content)).await?;
    }
    respond::add_lines(context, exchange);
    let mut content = Content::begin(context, exchange);
    respond::finish_head(context, exchange, downstream);
    let sent = all(context, exchange, downstream, &mut *continuation, &mut content).await;
    context.deadlines.clear(downstream.timer());
    context.worker.update_time();
    sent
}

async fn all(
    context: &mut RequestContext<'_>,
    exchange: &mut Exchange,
    downstream: &mut Downstream<'_>,
    continuation: &mut dyn Continuation,
    content: &mut Content,
) -> Result<(), Broken> {
    // A filter that has another answer has the whole content already.
    let mut is_over = exchange.response_is_replaced();
    if is_over {
        finish(context, exchange, downstream, content, Bytes::new()).await?;
        return Ok(());
    }
    loop {
        // Code that has ended its answer does what is left, whatever the client does.
        let portion = match is_over {
            true => continuation.next(exchange).await,
            false => next(context, exchange, downstream, continuation).await?,
        };
        match portion {
            Portion::Content(_) | Portion::Last(_) if is_over => {}
            Portion::Content(piece) => {
                let piece = filtered(context, exchange, downstream, piece, false).await?;
                let piece = content.made_of(piece, false);
                write(context, downstream, &piece, false).await?;
                // Code may ask how much it has sent.
                exchange.traffic = downstream.traffic();
            }
            Portion::Last(piece) => {
                finish(context, exchange, downstream, content, piece).await?;
                is_over = true;
            }
            Portion::End if is_over => return Ok(()),
            Portion::End => return finish(context, exchange, downstream, content, Bytes::new()).await,
            // What the client has is all there is of it.
            Portion::Failed if is_over => return Ok(()),
            Portion::Failed => return Err(Broken::Aborted),
        }
    }
}

/// Waits for what comes next, as long as there is a client who takes it.
async fn next(
    context: &mut RequestContext<'_>,
    exchange: &mut Exchange,
    downstream: &mut Downstream<'_>,
    continuation: &mut dyn Continuation,
) -> Result<Portion, Broken> {
    let limits = context.limits();
    let (ignores_abort, send_timeout) = (limits.proxy_ignore_client_abort, limits.send_timeout);
    let can_be_reset = !matches!(downstream, Downstream::Http1(_));
    let mut portion = pin!(continuation.next(exchange));
    let deadlines = &mut context.deadlines;
    std::future::poll_fn(|cx| {
        if let Poll::Ready(portion) = portion.as_mut().poll(cx) {
            return Poll::Ready(Ok(portion));
        }
        // The head, before there is any content.
        if matches!(downstream.poll_flush(cx), Poll::Ready(Err(_))) {
            return Poll::Ready(Err(Broken::ClientClosed));
        }
        respond::drop_content(cx, downstream);
        // On a connection of its own a client may have said all, and still read; who is gone shows at the next piece.
        if can_be_reset && !ignores_abort && downstream.content_is_done() && downstream.poll_closed(cx).is_ready() {
            return Poll::Ready(Err(Broken::ClientClosed));
        }
        match downstream.has_pending() {
            true => slow(cx, deadlines, downstream, send_timeout),
            false => {
                deadlines.end(Wait::ClientWrite);
                Poll::Pending
            }
        }
    })
    .await
}

/// A client who does not take what there is, is waited for so long.
fn slow<T>(
    cx: &mut Context<'_>,
    deadlines: &mut Deadlines,
    downstream: &Downstream<'_>,
    send_timeout: Duration,
) -> Poll<Result<T, Broken>> {
    let timer = downstream.timer();
    deadlines.begin(Wait::ClientWrite, downstream.sent(), send_timeout, timer);
    match deadlines.poll_expired(cx, timer) {
        Some(_) => Poll::Ready(Err(Broken::Aborted)),
        None => Poll::Pending,
    }
}

async fn filtered(
    context: &mut RequestContext<'_>,
    exchange: &mut Exchange,
    downstream: &mut Downstream<'_>,
    piece: Bytes,
    last: bool,
) -> Result<Bytes, Broken> {
    let takes_part = |phases| context.selected.iter().any(|instance| instance.phases.has(phases));
    if takes_part(Phases::BODY_FILTER_WAITS) {
        let flush = |cx: &mut Context<'_>, downstream: &mut Downstream<'_>, _: &mut Deadlines| match downstream
            .poll_flush(cx)
        {
            Poll::Ready(Err(_)) => Err(Broken::ClientClosed),
            _ => Ok(()),
        };
        return Box::pin(filters::piece(context, exchange, downstream, (piece, last), flush)).await;
    }
    if !takes_part(Phases::BODY_FILTER) {
        return Ok(piece);
    }
    chain::run_body_filter(&context.selected, exchange, piece, last).map_err(|_| filters::failed(exchange))
}

/// Sends the last piece, and the end. Filters see the end as a piece of its own, as in nginx.
async fn finish(
    context: &mut RequestContext<'_>,
    exchange: &mut Exchange,
    downstream: &mut Downstream<'_>,
    content: &mut Content,
    piece: Bytes,
) -> Result<(), Broken> {
    let mut last = Vec::new();
    if !piece.is_empty() {
        last.extend_from_slice(&filtered(context, exchange, downstream, piece, false).await?);
    }
    last.extend_from_slice(&filtered(context, exchange, downstream, Bytes::new(), true).await?);
    let last = content.made_of(last.into(), true);
    if content.compressed != (0, 0) {
        exchange.compressed = Some(content.compressed);
    }
    if content.announced.take().is_some_and(|announced| !announced.is_kept(exchange)) {
        write(context, downstream, &last, false).await?;
        return Err(Broken::Aborted);
    }
    write(context, downstream, &last, true).await
}

/// Has the client get a piece, and all that was queued before.
async fn write(
    context: &mut RequestContext<'_>,
    downstream: &mut Downstream<'_>,
    piece: &[u8],
    last: bool,
) -> Result<(), Broken> {
    let send_timeout = context.limits().send_timeout;
    let deadlines = &mut context.deadlines;
    let mut written = piece.is_empty() && !last;
    let sent = std::future::poll_fn(|cx| {
        if !written {
            match piece.is_empty() {
                true => written = true,
                false => match downstream.poll_write(cx, piece) {
                    Poll::Ready(Ok(())) => written = true,
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken::ClientClosed)),
                    Poll::Pending => {}
                },
            }
            if written && last {
                downstream.finish(None);
            }
        }
        if written {
            match downstream.poll_flush(cx) {
                Poll::Ready(flushed) => return Poll::Ready(flushed.map_err(|_| Broken::ClientClosed)),
                Poll::Pending => {}
            }
        }
        respond::drop_content(cx, downstream);
        slow(cx, deadlines, downstream, send_timeout)
    });
    let sent = sent.await;
    deadlines.end(Wait::ClientWrite);
    sent
}

impl Content {
    /// Settles how the content is delimited.
    fn begin(context: &RequestContext<'_>, exchange: &mut Exchange) -> Content {
        let bodiless = context.head_request || respond::has_no_content(exchange.response.status);
        let encoder = respond::compress(context, exchange).filter(|_| !bodiless);
        let mut announced = None;
        if bodiless {
            exchange.response.framing = Framing::Empty;
        } else if encoder.is_some() {
            exchange.response.framing = Framing::Delimited;
        } else {
            announced = announced::promised(exchange);
        }
        Content { bodiless, encoder, announced, compressed: (0, 0) }
    }

    /// What is sent of a piece; what the encoder has of it does not wait for the next one.
    fn made_of(&mut self, mut piece: Bytes, last: bool) -> Bytes {
        if self.bodiless {
            return Bytes::new();
        }
        if let Some(mut encoder) = self.encoder.take() {
            let mut out = Vec::new();
            encoder.push(&piece, &mut out);
            self.compressed.0 += piece.len() as u64;
            match last {
                true => encoder.finish(&mut out),
                false => {
                    encoder.flush(&mut out);
                    self.encoder = Some(encoder);
                }
            }
            self.compressed.1 += out.len() as u64;
            piece = out.into();
        }
        if let Some(announced) = &mut self.announced {
            announced.take(&mut piece);
        }
        piece
    }
}
