//! Responses of services that are held until plugins have seen all of them: the response phase.

use super::context::{Broken, RequestContext};
use super::deadlines::Wait;
use super::debug;
use super::downstream::Downstream;
use super::payload::Payload;
use super::relay;
use super::request;
use super::respond;
use super::upload::Upload;
use crate::chain;
use crate::upstream::Upstream;
use sdk::{Answer, Bytes, Exchange, Held, Phases, Source};
use std::task::Poll;
use wire::Framing;

/// The most octets of content that one exchange holds for its plugins.
const MOST: usize = 64 << 20;

/// Why there is no whole response.
enum Failure {
    ClientClosed,
    TimedOut,
    /// In words for the log.
    Unusable(String),
}

/// Whether a plugin wants to see the response before the client does. A call of gRPC is a conversation, whose end is
/// not waited for, as in Kong.
pub(crate) fn is_wanted(context: &RequestContext<'_>, exchange: &Exchange) -> bool {
    let mut phase = context.selected.iter().filter(|instance| instance.phases.has(Phases::RESPONSE));
    let wanted = exchange.holds_response || phase.any(|instance| instance.plugin.wants_response(exchange));
    wanted && !request::is_grpc(exchange)
}

/// Reads the response whose head has come to its end, runs the phase, and sends what has become of it.
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
    respond::take_head(context, exchange);
    let gathered = gather(context, exchange, downstream, upstream, (upload, payload)).await;
    payload.release(downstream);
    let status = match gathered {
        Ok(content) => {
            exchange.response_body = Some(content);
            return finish(context, exchange, downstream).await;
        }
        Err(Failure::ClientClosed) => return Err(Broken::ClientClosed),
        Err(Failure::TimedOut) => 504,
        Err(Failure::Unusable(why)) => {
            tracing::error!(request_id = exchange.id_str(), "a response cannot be held for plugins: {why}");
            502
        }
    };
    let answer = Answer::gateway_error(exchange, status, &Answer::gateway_message(status));
    respond::send(context, exchange, downstream, answer, Source::Error).await
}

/// The phase, and what the client gets then.
async fn finish(
    context: &mut RequestContext<'_>,
    exchange: &mut Exchange,
    downstream: &mut Downstream<'_>,
) -> Result<(), Broken> {
    debug::enter(exchange, "response");
    lay_below(exchange);
    let answer = chain::run_response(&context.selected, exchange).await;
    context.worker.update_time();
    if let Some(answer) = answer {
        exchange.response_body = None;
        return respond::send(context, exchange, downstream, answer, Source::Exit).await;
    }
    // Plugins have seen these lines, and perhaps changed them.
    exchange.reply.clear();
    let content = exchange.response_body.clone().unwrap_or_default();
    exchange.response.framing = Framing::Empty;
    respond::send_whole(context, exchange, downstream, content).await
}

/// Lines that plugins have set before are there for those of this phase; where the service has sent some of the same
/// name, these count, as in Kong.
fn lay_below(exchange: &mut Exchange) {
    if exchange.reply.is_empty() {
        return;
    }
    for (name, _) in exchange.response.fields.iter() {
        exchange.reply.remove(name);
    }
    exchange.response.fields.append_all(&exchange.reply);
}

/// All content of the response; the service's connection is given back.
async fn gather(
    context: &mut RequestContext<'_>,
    exchange: &mut Exchange,
    downstream: &mut Downstream<'_>,
    mut upstream: Box<Upstream>,
    (upload, payload): (&mut Upload, &mut Payload),
) -> Result<Bytes, Failure> {
    let mut held = Held::new(&context.worker.shared.memory);
    let (limits, read_timeout) = (context.limits(), exchange.timeouts().read);
    let came = std::future::poll_fn(|cx| {
        if !upload.is_done()
            && let Poll::Ready(Err(_)) = upload.poll(cx, downstream, &mut upstream, payload)
        {
            upload.stop(&mut upstream);
        }
        loop {
            match upstream.poll_content(cx) {
                Poll::Pending => break,
                Poll::Ready(Ok(None)) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Failure::Unusable(error.to_string()))),
                Poll::Ready(Ok(Some(n))) => {
                    if held.octets().len() + n > MOST || held.try_extend(upstream.content(n)).is_err() {
                        return Poll::Ready(Err(Failure::Unusable("it is too large".to_owned())));
                    }
                    upstream.consume(n);
                }
            }
        }
        if !limits.proxy_ignore_client_abort && upload.is_done() && downstream.poll_closed(cx).is_ready() {
            return Poll::Ready(Err(Failure::ClientClosed));
        }
        let (timer, deadlines) = (downstream.timer(), &mut context.deadlines);
        deadlines.begin(Wait::ServiceRead, upstream.received(), read_timeout, timer);
        match deadlines.poll_expired(cx, timer) {
            Some(_) => Poll::Ready(Err(Failure::TimedOut)),
            None => Poll::Pending,
        }
    })
    .await;
    context.deadlines.clear(downstream.timer());
    relay::tell(&upstream, exchange);
    came?;
    exchange.trailers = upstream.trailers().map(|trailers| Box::new(trailers.clone()));
    if upload.is_done() {
        context.worker.pool.borrow_mut().give(upstream, context.worker.loop_time());
    }
    Ok(held.into_bytes())
}
