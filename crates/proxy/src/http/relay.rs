//! Content on its way: up to the service while its answer is awaited, down to the client while the rest still goes up.

use super::attempt::Upstream;
use super::exchange::{Broken, RequestContext};
use super::payload::Payload;
use super::respond;
use crate::chain;
use sdk::{Bytes, Exchange, Phases};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use wire::h1::ServerConnection;

/// Why content could not be sent up.
#[derive(Debug)]
pub(crate) enum Upload {
    /// The client broke its framing or went away.
    Client,
    /// The client was silent for too long.
    TimedOut,
    /// More than is allowed.
    TooLarge,
    /// The service does not take it.
    Upstream,
}

/// How far the content of a request has come on its way to one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Stage {
    #[default]
    Held,
    Rest,
    Flush,
    Done,
}

/// Sends content up until it is all on its way.
pub(crate) fn poll_upload(
    cx: &mut Context<'_>,
    connection: &mut ServerConnection,
    upstream: &mut Upstream,
    payload: &mut Payload,
) -> Poll<Result<(), Upload>> {
    loop {
        match upstream.stage {
            Stage::Held => {
                ready!(upstream.connection.poll_write(cx, payload.held(connection))).map_err(|_| Upload::Upstream)?;
                upstream.stage = Stage::Rest;
            }
            Stage::Rest if !payload.has_rest() => {
                upstream.connection.finish(connection.trailers());
                upstream.stage = Stage::Flush;
            }
            Stage::Rest => match connection.poll_content(cx) {
                Poll::Pending => {
                    // What was gathered leaves before we wait; whether that can be done now or later is the same to us.
                    if let Poll::Ready(Err(_)) = upstream.connection.poll_flush(cx) {
                        return Poll::Ready(Err(Upload::Upstream));
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Upload::Client)),
                Poll::Ready(Ok(None)) => {
                    upstream.connection.finish(connection.trailers());
                    upstream.stage = Stage::Flush;
                }
                Poll::Ready(Ok(Some(n))) => {
                    ready!(upstream.connection.poll_write(cx, connection.content(n))).map_err(|_| Upload::Upstream)?;
                    connection.consume(n);
                    payload.stream(n)?;
                    upstream.progress += 1;
                }
            },
            Stage::Flush => {
                ready!(upstream.connection.poll_flush(cx)).map_err(|_| Upload::Upstream)?;
                upstream.stage = Stage::Done;
                upstream.progress += 1;
            }
            Stage::Done => return Poll::Ready(Ok(())),
        }
    }
}

/// Sends the response whose head has come, then its content, and gives the service's connection back.
pub(crate) async fn response(
    context: &mut RequestContext<'_>,
    exchange: &mut Exchange,
    connection: &mut ServerConnection,
    mut upstream: Box<Upstream>,
    payload: &mut Payload,
) -> Result<(), Broken> {
    // A service that answers before it has read everything: the client's connection cannot be told where its content
    // ends.
    if upstream.stage != Stage::Done && payload.has_rest() {
        context.close = true;
    }
    respond::start(context, exchange, connection);
    let filters = context.selected.iter().any(|i| i.phases.has(Phases::BODY_FILTER));
    let (timer, times) =
        (connection.timer().clone(), (upstream.read_timeout, context.worker.shared.settings.limits.send_timeout));
    let mut down = Down { filtered: None, end: End::Open, filters };
    let (mut armed_for, mut progress) = (Waiting::Nothing, 0);
    let result = std::future::poll_fn(|cx| {
        if upstream.stage != Stage::Done
            && let Poll::Ready(Err(_)) = poll_upload(cx, connection, &mut upstream, payload)
        {
            upstream.stage = Stage::Done;
            upstream.spoiled = true;
        }
        let waiting = match down.poll(cx, context, exchange, connection, &mut upstream) {
            Poll::Ready(result) => return Poll::Ready(result),
            Poll::Pending if connection.has_pending() => Waiting::Client,
            Poll::Pending => Waiting::Service,
        };
        if armed_for != waiting || progress != upstream.progress {
            (armed_for, progress) = (waiting, upstream.progress);
            timer.arm(if waiting == Waiting::Client { times.1 } else { times.0 });
        }
        if timer.poll_expired(cx) {
            return Poll::Ready(Err(if waiting == Waiting::Client {
                Broken
            } else {
                truncated(exchange, "no content within the read timeout")
            }));
        }
        Poll::Pending
    })
    .await;
    timer.disarm();
    payload.release(connection);
    if result.is_ok() && !upstream.spoiled {
        upstream.give_back(context.worker, exchange.timing.started);
    }
    result
}

/// Reads and drops what is left of a request's content; false when there is more than that, or it does not come.
pub(crate) async fn discard(connection: &mut ServerConnection, most: usize) -> bool {
    let mut left = most;
    let timer = connection.timer().clone();
    let drained = timer
        .limit(Duration::from_secs(5), |cx| {
            loop {
                match ready!(connection.poll_content(cx)) {
                    Ok(None) => return Poll::Ready(true),
                    Ok(Some(n)) if n <= left => {
                        connection.consume(n);
                        left -= n;
                    }
                    _ => return Poll::Ready(false),
                }
            }
        })
        .await;
    drained == Ok(true)
}

/// Whom the relay waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Nothing,
    Client,
    Service,
}

/// The way down.
struct Down {
    /// A piece that has passed the body filters and is being written.
    filtered: Option<Bytes>,
    end: End,
    filters: bool,
}

/// How near the end of the content is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    /// All content has come; the last filtered piece may still have to be written.
    Reached,
    /// The end mark is queued.
    Marked,
}

impl Down {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        context: &RequestContext<'_>,
        exchange: &mut Exchange,
        connection: &mut ServerConnection,
        upstream: &mut Upstream,
    ) -> Poll<Result<(), Broken>> {
        loop {
            if let Some(piece) = &self.filtered {
                ready!(connection.poll_write(cx, piece)).map_err(|_| Broken)?;
                self.filtered = None;
            }
            if self.end == End::Reached {
                // As nginx, which drops them all: nobody gets trailers unasked.
                connection.finish(upstream.connection.trailers().filter(|_| context.asked.trailers));
                self.end = End::Marked;
            }
            if self.end == End::Marked {
                return connection.poll_flush(cx).map_err(|_| Broken);
            }
            let piece = match upstream.connection.poll_content(cx) {
                Poll::Ready(piece) => piece,
                Poll::Pending => {
                    ready!(connection.poll_flush(cx)).map_err(|_| Broken)?;
                    return Poll::Pending;
                }
            };
            match piece {
                Err(error) => {
                    // What came before is the client's, as far as it can be sent without waiting.
                    let _ = connection.poll_flush(cx);
                    return Poll::Ready(Err(truncated(exchange, &error.to_string())));
                }
                Ok(Some(n)) => {
                    upstream.progress += 1;
                    if self.filters {
                        let piece = Bytes::copy_from_slice(upstream.connection.content(n));
                        self.filtered = Some(chain::run_body_filter(&context.selected, exchange, piece, false));
                    } else {
                        ready!(connection.poll_write(cx, upstream.connection.content(n))).map_err(|_| Broken)?;
                    }
                    upstream.connection.consume(n);
                }
                Ok(None) => {
                    self.end = End::Reached;
                    if self.filters {
                        self.filtered = Some(chain::run_body_filter(&context.selected, exchange, Bytes::new(), true));
                    }
                }
            }
        }
    }
}

/// The service did not send all of its content: the client must not take what it has for the whole.
fn truncated(exchange: &Exchange, why: &str) -> Broken {
    tracing::warn!(request_id = exchange.id_str(), "the service's response is cut short: {why}");
    Broken
}
