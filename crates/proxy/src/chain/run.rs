//! Running the phases of a chain.

use super::{Chain, Instance, OnDemand, PluginSlot};
use crate::panic;
use futures_util::FutureExt;
use model::entities::{Protocol, Protocols, Uuid};
use sdk::recording::Before;
use sdk::{
    Answer, Bytes, CloseReason, Exchange, Filtered, Known, Phases, SpanId, Step, Timed, Trace, Verdict, Version,
    WebSocketMessage,
};
use smallvec::SmallVec;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;
use wire::websocket::Side;

/// The instances that were selected for an exchange; they take part in its later phases.
pub type Selected<'a> = SmallVec<[&'a Arc<Instance>; 4]>;

/// The rewrite phase: global instances only. Ends, as with no answer, where they have asked for content that cannot be
/// had.
pub async fn run_rewrite(
    chain: &Chain,
    exchange: &mut Exchange,
    mut content: Option<&mut OnDemand<'_>>,
) -> Option<Answer> {
    if !chain.has(Phases::REWRITE) {
        return None;
    }
    for instance in &chain.rewriting {
        if !applies(instance, exchange) {
            continue;
        }
        let begun = Begun::of(instance, exchange, "rewrite");
        let step = guarded(instance, || instance.plugin.rewrite(exchange));
        let settled = settle(instance, step, content.as_deref_mut()).await;
        begun.end(instance, exchange, "rewrite", settled.answer());
        match settled {
            Settled::Next => {}
            Settled::NoContent => return None,
            Settled::Answer(answer) => return Some(answer),
            Settled::Panicked => return Some(Answer::unexpected(exchange)),
        }
    }
    None
}

/// The access phase. Goes on selecting after an answer, since the later phases run for all that apply.
/// `run` false only selects: for requests without a route.
pub async fn run_access<'a>(
    chain: &'a Chain,
    exchange: &mut Exchange,
    selected: &mut Selected<'a>,
    run: bool,
) -> Option<Answer> {
    run_access_with(chain, exchange, selected, run, None).await
}

/// The same with content that plugins may ask for. No plugin acts any more where it cannot be had.
pub async fn run_access_with<'a>(
    chain: &'a Chain,
    exchange: &mut Exchange,
    selected: &mut Selected<'a>,
    mut run: bool,
    mut content: Option<&mut OnDemand<'_>>,
) -> Option<Answer> {
    let mut answer = None;
    for slot in &chain.slots {
        let Some(instance) = select(slot, exchange).filter(|i| applies(i, exchange)) else { continue };
        if slot.is_gate && !instance.refuses {
            continue;
        }
        if instance.condition.as_ref().is_some_and(|condition| !condition.holds(exchange)) {
            let Instance { name, id, .. } = &**instance;
            tracing::debug!("plugin condition not matched for plugin '{name}' (ID: {id}): skipped");
            continue;
        }
        selected.push(instance);
        if run && answer.is_none() && instance.phases.has(Phases::ACCESS) {
            let begun = Begun::of(instance, exchange, "access");
            let mut step = Step::Next;
            let ran = guarded_sync(instance, || step = instance.plugin.access(exchange)).is_some();
            // Most plugins have nothing to wait for, and let the request go on.
            if ran && matches!(step, Step::Next) {
                drop(step);
                begun.end(instance, exchange, "access", None);
                continue;
            }
            let settled = settle(instance, ran.then_some(step), content.as_deref_mut()).await;
            begun.end(instance, exchange, "access", settled.answer());
            answer = match settled {
                Settled::Next => None,
                Settled::NoContent => {
                    run = false;
                    None
                }
                Settled::Answer(answer) => Some(answer),
                Settled::Panicked => Some(Answer::unexpected(exchange)),
            };
        }
    }
    if chain.is_reordered {
        // Only the access phase has another order than that of priorities.
        selected.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| b.name.cmp(&a.name)));
    }
    answer
}

/// The response phase, until a plugin answers in place of the service.
pub async fn run_response(selected: &Selected<'_>, exchange: &mut Exchange) -> Option<Answer> {
    for instance in selected.iter().filter(|i| i.phases.has(Phases::RESPONSE)) {
        let begun = Begun::of(instance, exchange, "response");
        let step = guarded(instance, || instance.plugin.response(exchange));
        let settled = settle(instance, step, None).await;
        begun.end(instance, exchange, "response", settled.answer());
        match settled {
            Settled::Next | Settled::NoContent => {}
            Settled::Answer(answer) => return Some(answer),
            Settled::Panicked => return Some(Answer::unexpected(exchange)),
        }
    }
    None
}

/// What the client gets in the place of an answer that is not the service's. A plugin that panics leaves it as it is.
pub fn run_exit(selected: &Selected<'_>, exchange: &mut Exchange, answer: Answer) -> Answer {
    selected.iter().filter(|i| i.phases.has(Phases::EXIT)).fold(answer, |answer, instance| {
        let begun = Begun::of(instance, exchange, "exit");
        let kept = answer.clone();
        let answer = guarded_sync(instance, || instance.plugin.exit(exchange, answer)).unwrap_or(kept);
        begun.end(instance, exchange, "exit", Some(&answer));
        answer
    })
}

/// The header filter phase, up to the first plugin that may wait: its place, for [`wait_for_header_filters`].
pub fn run_header_filter(selected: &Selected<'_>, exchange: &mut Exchange) -> Result<Option<usize>, Unfiltered> {
    for (place, instance) in selected.iter().enumerate().filter(|(_, i)| i.phases.has(Phases::HEADER_FILTER)) {
        if instance.phases.has(Phases::HEADER_FILTER_WAITS) {
            return Ok(Some(place));
        }
        filter_header(instance, exchange)?;
    }
    Ok(None)
}

/// The header filter phase from a plugin on that may wait.
pub async fn wait_for_header_filters(
    selected: &Selected<'_>,
    from: usize,
    exchange: &mut Exchange,
) -> Result<(), Unfiltered> {
    for instance in selected.iter().skip(from).filter(|i| i.phases.has(Phases::HEADER_FILTER)) {
        if !instance.phases.has(Phases::HEADER_FILTER_WAITS) {
            filter_header(instance, exchange)?;
            continue;
        }
        let begun = Begun::of(instance, exchange, "header_filter");
        let filtered = guarded_sync(instance, || instance.plugin.header_filter_waiting(exchange));
        settle_filter(instance, filtered).await?;
        begun.end(instance, exchange, "header_filter", None);
        if exchange.filter_has_failed() {
            return Err(Unfiltered);
        }
    }
    Ok(())
}

fn filter_header(instance: &Instance, exchange: &mut Exchange) -> Result<(), Unfiltered> {
    let begun = Begun::of(instance, exchange, "header_filter");
    let ran = guarded_sync(instance, || instance.plugin.header_filter(exchange));
    begun.end(instance, exchange, "header_filter", None);
    ran.filter(|()| !exchange.filter_has_failed()).ok_or(Unfiltered)
}

/// The body filter phase, for one piece. Not for chains with [`Phases::BODY_FILTER_WAITS`].
pub fn run_body_filter(
    selected: &Selected<'_>,
    exchange: &mut Exchange,
    piece: Bytes,
    last: bool,
) -> Result<Bytes, Unfiltered> {
    if let Some(debug) = exchange.debug.as_deref_mut() {
        debug.enter("body_filter");
    }
    let mut filtering = selected.iter().filter(|i| i.phases.has(Phases::BODY_FILTER));
    let filtered = filtering.try_fold(piece, |piece, instance| filter_body(instance, exchange, piece, last));
    if let Some(debug) = exchange.debug.as_deref_mut() {
        debug.leave();
    }
    filtered
}

/// The body filter phase, for one piece, with plugins that may wait.
pub async fn wait_for_body_filters(
    selected: &Selected<'_>,
    exchange: &mut Exchange,
    piece: Bytes,
    last: bool,
) -> Result<Bytes, Unfiltered> {
    if let Some(debug) = exchange.debug.as_deref_mut() {
        debug.enter("body_filter");
    }
    let filtered = filter_body_waiting(selected, exchange, piece, last).await;
    if let Some(debug) = exchange.debug.as_deref_mut() {
        debug.leave();
    }
    filtered
}

async fn filter_body_waiting(
    selected: &Selected<'_>,
    exchange: &mut Exchange,
    mut piece: Bytes,
    last: bool,
) -> Result<Bytes, Unfiltered> {
    for instance in selected.iter().filter(|i| i.phases.has(Phases::BODY_FILTER)) {
        if !instance.phases.has(Phases::BODY_FILTER_WAITS) {
            piece = filter_body(instance, exchange, piece, last)?;
            continue;
        }
        let begun = Begun::debugged(exchange);
        let filtered = guarded_sync(instance, || instance.plugin.body_filter_waiting(exchange, piece, last));
        piece = settle_filter(instance, filtered).await?;
        begun.end(instance, exchange, "body_filter", None);
        if exchange.filter_has_failed() {
            return Err(Unfiltered);
        }
    }
    Ok(piece)
}

fn filter_body(instance: &Instance, exchange: &mut Exchange, piece: Bytes, last: bool) -> Result<Bytes, Unfiltered> {
    let begun = Begun::debugged(exchange);
    let filtered = guarded_sync(instance, || instance.plugin.body_filter(exchange, piece, last));
    begun.end(instance, exchange, "body_filter", None);
    filtered.filter(|_| !exchange.filter_has_failed()).ok_or(Unfiltered)
}

/// Those of the selected that take part in any of these phases, for an exchange that outlives its view of the
/// configuration.
pub fn taking_part(selected: &Selected<'_>, phases: Phases) -> Vec<Arc<Instance>> {
    selected.iter().filter(|i| i.phases.has_any(phases)).map(|instance| Arc::clone(instance)).collect()
}

/// A message of a WebSocket, until a plugin decides that it does not go on. Nothing goes on that a plugin should have
/// seen and could not.
pub fn run_ws_frame(instances: &[Arc<Instance>], exchange: &mut Exchange, from: Side, message: &mut WebSocketMessage) {
    let phase = match from {
        Side::Client => Phases::WS_CLIENT_FRAME,
        Side::Service => Phases::WS_UPSTREAM_FRAME,
    };
    for instance in instances.iter().filter(|i| i.phases.has(phase)) {
        let run = guarded_sync(instance, || match from {
            Side::Client => instance.plugin.ws_client_frame(exchange, message),
            Side::Service => instance.plugin.ws_upstream_frame(exchange, message),
        });
        if run.is_none() {
            let reason = CloseReason::new(CloseReason::INTERNAL_ERROR, "");
            message.verdict = Verdict::Close(reason.clone(), reason);
        }
        if message.verdict != Verdict::Forward {
            return;
        }
    }
}

/// The log phase.
pub fn run_log(selected: &Selected<'_>, exchange: &mut Exchange) {
    for instance in selected.iter().filter(|i| i.phases.has(Phases::LOG)) {
        let begun = Begun::debugged(exchange);
        guarded_sync(instance, || instance.plugin.log(exchange));
        begun.end(instance, exchange, "log", None);
    }
}

/// How a step ended.
enum Settled {
    Next,
    Answer(Answer),
    /// It has asked for content that cannot be had.
    NoContent,
    Panicked,
}

impl Settled {
    fn answer(&self) -> Option<&Answer> {
        match self {
            Settled::Answer(answer) => Some(answer),
            _ => None,
        }
    }
}

/// The instance for whoever the caller is by now.
fn select<'a>(slot: &'a PluginSlot, exchange: &Exchange) -> Option<&'a Arc<Instance>> {
    let consumer = exchange.consumer.as_ref().map(|consumer| &consumer.id);
    if slot.by_group.is_empty() {
        return slot.select(consumer, &[]);
    }
    let groups: SmallVec<[Uuid; 4]> = exchange.consumer_groups().iter().map(|group| group.id).collect();
    slot.select(consumer, &groups)
}

fn applies(instance: &Instance, exchange: &Exchange) -> bool {
    if let Some(session) = &exchange.stream {
        return instance.protocols.contains(session.protocol);
    }
    let (plain, grpc, websocket) = match exchange.client.https {
        true => (Protocol::Https, Protocol::Grpcs, Protocol::Wss),
        false => (Protocol::Http, Protocol::Grpc, Protocol::Ws),
    };
    // A call of gRPC is a request, too, and so is the handshake of a WebSocket.
    instance.protocols.contains(plain)
        || (instance.protocols.contains(grpc) && is_grpc(exchange))
        || (instance.protocols.contains(websocket) && is_for_websockets(exchange))
}

fn is_for_websockets(exchange: &Exchange) -> bool {
    exchange.route.as_ref().is_some_and(|route| route.protocols.intersects(Protocols::WEBSOCKETS))
}

fn is_grpc(exchange: &Exchange) -> bool {
    let content_type = exchange.request.fields.known(Known::ContentType);
    exchange.request.version >= Version::Http2 && content_type.is_some_and(|kind| kind.starts_with(b"application/grpc"))
}

async fn settle(instance: &Instance, mut step: Option<Step<'_>>, mut content: Option<&mut OnDemand<'_>>) -> Settled {
    loop {
        match step {
            Some(Step::Next) => return Settled::Next,
            Some(Step::Answer(answer)) => return Settled::Answer(answer),
            Some(Step::Wait(future)) => {
                let waited = match content.as_deref_mut() {
                    None => AssertUnwindSafe(future).catch_unwind().await,
                    Some(content) => match AssertUnwindSafe(content.during(future)).catch_unwind().await {
                        Ok(Some(step)) => Ok(step),
                        Ok(None) => return Settled::NoContent,
                        Err(panic) => Err(panic),
                    },
                };
                step = waited.map_err(|panic| report(instance, panic::message(&*panic))).ok();
            }
            None => return Settled::Panicked,
        }
    }
}

/// A filter has failed, and why was logged: what it was to see must not go on.
#[derive(Debug)]
pub struct Unfiltered;

/// Follows a filter to its end.
async fn settle_filter<T>(instance: &Instance, filtered: Option<Filtered<'_, T>>) -> Result<T, Unfiltered> {
    let why = match filtered {
        Some(Filtered::Done(done)) => return Ok(done),
        Some(Filtered::Wait(waits)) => match AssertUnwindSafe(waits).catch_unwind().await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(why)) => why,
            Err(panic) => panic::message(&*panic).to_owned(),
        },
        // The panic was logged.
        None => return Err(Unfiltered),
    };
    report(instance, &why);
    Err(Unfiltered)
}

/// What is kept while a plugin acts, where the exchange is traced, timed or recorded.
struct Begun {
    timed: Option<Instant>,
    span: Option<SpanId>,
    recorded: Option<Box<Before>>,
}

impl Begun {
    fn of(instance: &Instance, exchange: &mut Exchange, phase: &'static str) -> Begun {
        let span = exchange.trace.as_deref_mut().and_then(|trace| enter(instance, trace, phase));
        let timed = exchange.debug.is_some().then(Instant::now);
        Begun { timed, span, recorded: Before::of(exchange) }
    }

    /// For phases of which only clients that ask for it are told how long they took.
    fn debugged(exchange: &Exchange) -> Begun {
        Begun { timed: exchange.debug.is_some().then(Instant::now), span: None, recorded: None }
    }

    /// Notes what the plugin has done, and how long that took.
    fn end(self, instance: &Instance, exchange: &mut Exchange, phase: &'static str, answer: Option<&Answer>) {
        if let Some(started) = self.timed {
            note_time(instance, exchange, started);
        }
        if let (Some(span), Some(trace)) = (self.span, exchange.trace.as_deref_mut()) {
            trace.finish(span, None);
        }
        if let Some(before) = self.recorded {
            before.note(exchange, (&instance.name, instance.id.to_string()), phase, answer);
        }
    }
}

#[cold]
fn note_time(instance: &Instance, exchange: &mut Exchange, started: Instant) {
    if let Some(debug) = exchange.debug.as_deref_mut() {
        debug.within(&["plugins", &instance.name, &instance.id.to_string()], started.elapsed());
    }
}

/// Begins the span of what a plugin does in a phase, of which spans that the plugin makes are parts.
#[cold]
fn enter(instance: &Instance, trace: &mut Trace, phase: &'static str) -> Option<SpanId> {
    let traced = match phase {
        "rewrite" => Timed::PLUGIN_REWRITE,
        "access" => Timed::PLUGIN_ACCESS,
        "header_filter" => Timed::PLUGIN_HEADER_FILTER,
        _ => return None,
    };
    trace.enter(traced, || format!("kong.{phase}.plugin.{}", instance.name))
}

/// Calls a plugin; a panic in it stays within this exchange.
fn guarded<'a>(instance: &Instance, call: impl FnOnce() -> Step<'a>) -> Option<Step<'a>> {
    guarded_sync(instance, call)
}

fn guarded_sync<T>(instance: &Instance, call: impl FnOnce() -> T) -> Option<T> {
    panic::caught(call).map_err(|what| report(instance, &what)).ok()
}

fn report(instance: &Instance, what: &str) {
    tracing::error!(plugin = &*instance.name, id = %instance.id, "plugin failed: {what}");
}
