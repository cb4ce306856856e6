//! Filters of plugins that fail, and those that wait: the response waits with them, and its client is served, listened
//! to and let go as at any other time.

use super::context::{Broken, RequestContext};
use super::deadlines::{Deadlines, Wait};
use super::downstream::Downstream;
use super::exchange::CLIENT_CLOSED_REQUEST;
use crate::chain::{self, Instance, Selected, Unfiltered};
use sdk::{Bytes, Exchange, Phases};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// How long a head, or one piece of content, waits for all its filters.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why there is nothing to be sent.
#[derive(Debug)]
enum Failure {
    ClientClosed,
    /// The client does not take what came before.
    ClientTimedOut,
    FilterTimedOut,
    /// Why, was logged.
    Unfiltered,
}

/// What filters have come to before anything of the response has left. Where one has failed, nothing does.
pub(crate) fn first<T>(exchange: &mut Exchange, filtered: Result<T, Unfiltered>) -> Result<T, Broken> {
    filtered.map_err(|Unfiltered| {
        exchange.response.status = 500;
        failed(exchange)
    })
}

/// A filter has failed.
#[cold]
pub(crate) fn failed(exchange: &Exchange) -> Broken {
    Failure::Unfiltered.told(exchange)
}

/// Runs the header filters from that place on; `meanwhile` is done while they wait. Where one fails the client is cut
/// off, as in Kong.
pub(crate) async fn head(
    from: usize,
    context: &mut RequestContext<'_>,
    exchange: &mut Exchange,
    downstream: &mut Downstream<'_>,
    mut meanwhile: impl FnMut(&mut Context<'_>, &mut Downstream<'_>),
) -> Result<(), Broken> {
    let ignores_abort = context.limits().proxy_ignore_client_abort;
    let RequestContext { selected, deadlines, worker, .. } = context;
    let filtered = chain::wait_for_header_filters(selected, from, exchange);
    let followed = follow(filtered, deadlines, downstream, ignores_abort, |cx, downstream, _| {
        meanwhile(cx, downstream);
        flush(cx, downstream)
    });
    let followed = followed.await;
    deadlines.clear(downstream.timer());
    worker.update_time();
    followed.map_err(|failure| {
        // Of the service's head the client has seen nothing.
        exchange.response.status = match failure {
            Failure::ClientClosed | Failure::ClientTimedOut => CLIENT_CLOSED_REQUEST,
            Failure::FilterTimedOut | Failure::Unfiltered => 500,
        };
        failure.told(exchange)
    })
}

/// Runs the body filters over the whole content of a response.
pub(crate) async fn whole(
    context: &mut RequestContext<'_>,
    exchange: &mut Exchange,
    downstream: &mut Downstream<'_>,
    content: Bytes,
) -> Result<Bytes, Broken> {
    let filtered = piece(context, exchange, downstream, (content, true), |cx, downstream, _| flush(cx, downstream));
    let filtered = filtered.await;
    context.deadlines.clear(downstream.timer());
    context.worker.update_time();
    filtered.inspect_err(|_| exchange.response.status = 500)
}

/// Runs the body filters before an upgraded connection begins, over nothing, as nginx does; what they put in its place
/// goes before all that is relayed, which they do not see. Where one fails, nothing is relayed.
pub(crate) async fn upgrade(context: &RequestContext<'_>, exchange: &mut Exchange) -> Result<Bytes, Broken> {
    let filtering = &context.selected;
    if !filtering.iter().any(|i| i.phases.has(Phases::BODY_FILTER)) {
        return Ok(Bytes::new());
    }
    let filtered = pieceless(filtering, exchange, false).await;
    filtered.map_err(|failure| failure.told(exchange))
}

/// The same when it has ended, over the last piece, which nobody gets any more.
pub(crate) async fn upgrade_ended(filtering: &[Arc<Instance>], exchange: &mut Exchange) {
    if !filtering.is_empty()
        && let Err(failure) = pieceless(&filtering.iter().collect(), exchange, true).await
    {
        failure.told(exchange);
    }
}

async fn pieceless(filtering: &Selected<'_>, exchange: &mut Exchange, last: bool) -> Result<Bytes, Failure> {
    if !filtering.iter().any(|i| i.phases.has(Phases::BODY_FILTER_WAITS)) {
        return chain::run_body_filter(filtering, exchange, Bytes::new(), last)
            .map_err(|Unfiltered| Failure::Unfiltered);
    }
    // Boxed, since few exchanges come here.
    let filtered = Box::pin(chain::wait_for_body_filters(filtering, exchange, Bytes::new(), last));
    match tokio::time::timeout(PATIENCE, filtered).await {
        Ok(filtered) => filtered.map_err(|Unfiltered| Failure::Unfiltered),
        Err(_) => Err(Failure::FilterTimedOut),
    }
}

/// Runs the body filters over a piece of content, and whether it is the last one. `meanwhile` goes on with what came
/// before, and sets its deadlines.
pub(crate) async fn piece(
    context: &mut RequestContext<'_>,
    exchange: &mut Exchange,
    downstream: &mut Downstream<'_>,
    (content, last): (Bytes, bool),
    meanwhile: impl FnMut(&mut Context<'_>, &mut Downstream<'_>, &mut Deadlines) -> Result<(), Broken>,
) -> Result<Bytes, Broken> {
    let ignores_abort = context.limits().proxy_ignore_client_abort;
    let RequestContext { selected, deadlines, .. } = context;
    let filtered = chain::wait_for_body_filters(selected, exchange, content, last);
    let followed = follow(filtered, deadlines, downstream, ignores_abort, meanwhile).await;
    deadlines.end(Wait::Filter);
    followed.map_err(|failure| failure.told(exchange))
}

/// Sends what is queued, such as interim responses.
fn flush(cx: &mut Context<'_>, downstream: &mut Downstream<'_>) -> Result<(), Broken> {
    match downstream.has_pending() && matches!(downstream.poll_flush(cx), Poll::Ready(Err(_))) {
        true => Err(Broken::ClientClosed),
        false => Ok(()),
    }
}

/// Waits for filters as long as there is a client for whom it is worth it.
async fn follow<T>(
    filtered: impl Future<Output = Result<T, Unfiltered>>,
    deadlines: &mut Deadlines,
    downstream: &mut Downstream<'_>,
    ignores_abort: bool,
    mut meanwhile: impl FnMut(&mut Context<'_>, &mut Downstream<'_>, &mut Deadlines) -> Result<(), Broken>,
) -> Result<T, Failure> {
    let mut filtered = pin!(filtered);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(filtered) = filtered.as_mut().poll(cx) {
            return Poll::Ready(filtered.map_err(|Unfiltered| Failure::Unfiltered));
        }
        if meanwhile(cx, downstream, deadlines).is_err() {
            return Poll::Ready(Err(Failure::ClientClosed));
        }
        // While it sends content, what would tell that it has gone is not its turn to be read.
        if !ignores_abort && downstream.content_is_done() && downstream.poll_closed(cx).is_ready() {
            return Poll::Ready(Err(Failure::ClientClosed));
        }
        deadlines.begin(Wait::Filter, 0, PATIENCE, downstream.timer());
        match deadlines.poll_expired(cx, downstream.timer()) {
            None => Poll::Pending,
            Some(Wait::Filter) => Poll::Ready(Err(Failure::FilterTimedOut)),
            Some(_) => Poll::Ready(Err(Failure::ClientTimedOut)),
        }
    })
    .await
}

impl Failure {
    /// Logs it.
    fn told(self, exchange: &Exchange) -> Broken {
        let request_id = exchange.id_str();
        match self {
            Failure::ClientClosed => {
                tracing::info!(request_id, "a client has gone while its response was filtered");
                return Broken::ClientClosed;
            }
            Failure::ClientTimedOut => tracing::info!(request_id, "a client does not read its response"),
            Failure::FilterTimedOut => {
                let seconds = PATIENCE.as_secs();
                tracing::error!(request_id, "a response is cut off, since a filter has waited for {seconds} seconds");
            }
            Failure::Unfiltered => tracing::error!(request_id, "a response is cut off, since a filter has failed"),
        }
        Broken::Aborted
    }
}
