//! Running the phases of a chain.

use super::{Chain, Instance};
use futures_util::FutureExt;
use model::entities::Protocol;
use sdk::{Answer, Bytes, Exchange, Phases, Step};
use smallvec::SmallVec;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// The instances that were selected for an exchange; they take part in its later phases.
pub type Selected = SmallVec<[Arc<Instance>; 4]>;

/// The rewrite phase: global instances only.
pub async fn run_rewrite(chain: &Chain, exchange: &mut Exchange) -> Option<Answer> {
    if !chain.has(Phases::REWRITE) {
        return None;
    }
    for slot in &chain.slots {
        if let Some(instance) = slot.base.as_ref().filter(|i| i.phases.has(Phases::REWRITE) && applies(i, exchange)) {
            let step = guarded(instance, || instance.plugin.rewrite(exchange));
            if let Some(answer) = settle(instance, step).await {
                return Some(answer);
            }
        }
    }
    None
}

/// The access phase. Goes on selecting after an answer, since the later phases run for all that apply.
/// `run` false only selects: for requests without a route.
pub async fn run_access(chain: &Chain, exchange: &mut Exchange, selected: &mut Selected, run: bool) -> Option<Answer> {
    let mut answer = None;
    for slot in &chain.slots {
        let Some(instance) = slot.select(exchange.consumer.as_ref().map(|c| &c.id)).filter(|i| applies(i, exchange))
        else {
            continue;
        };
        selected.push(Arc::clone(instance));
        if run && answer.is_none() && instance.phases.has(Phases::ACCESS) {
            let step = guarded(instance, || instance.plugin.access(exchange));
            answer = settle(instance, step).await;
        }
    }
    answer
}

/// The header filter phase.
pub fn run_header_filter(selected: &Selected, exchange: &mut Exchange) {
    for instance in selected.iter().filter(|i| i.phases.has(Phases::HEADER_FILTER)) {
        guarded_sync(instance, || instance.plugin.header_filter(exchange));
    }
}

/// The body filter phase, for one piece.
pub fn run_body_filter(selected: &Selected, exchange: &mut Exchange, piece: Bytes, last: bool) -> Bytes {
    selected.iter().filter(|i| i.phases.has(Phases::BODY_FILTER)).fold(piece, |piece, instance| {
        let before = piece.clone();
        guarded_sync(instance, || instance.plugin.body_filter(exchange, piece, last)).unwrap_or(before)
    })
}

/// The log phase.
pub fn run_log(selected: &Selected, exchange: &mut Exchange) {
    for instance in selected.iter().filter(|i| i.phases.has(Phases::LOG)) {
        guarded_sync(instance, || instance.plugin.log(exchange));
    }
}

fn applies(instance: &Instance, exchange: &Exchange) -> bool {
    // The protocols are those of a request: gRPC is told by its content type, where HTTP/2 carries it.
    let plain = if exchange.client.https { Protocol::Https } else { Protocol::Http };
    instance.protocols.contains(plain)
}

async fn settle(instance: &Instance, mut step: Step<'_>) -> Option<Answer> {
    loop {
        match step {
            Step::Next => return None,
            Step::Answer(answer) => return Some(answer),
            Step::Wait(future) => {
                step = AssertUnwindSafe(future).catch_unwind().await.unwrap_or_else(|panic| failed(instance, &*panic))
            }
        }
    }
}

/// Calls a plugin; a panic in it becomes an answer 500 and stays within this exchange.
fn guarded<'a>(instance: &Instance, call: impl FnOnce() -> Step<'a>) -> Step<'a> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| failed(instance, &*panic))
}

fn failed(instance: &Instance, panic: &(dyn std::any::Any + Send)) -> Step<'static> {
    report(instance, panic);
    Step::Answer(Answer::json(500, &serde_json::json!({ "message": Answer::status_message(500) })))
}

fn guarded_sync<T>(instance: &Instance, call: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| report(instance, &*panic)).ok()
}

fn report(instance: &Instance, panic: &(dyn std::any::Any + Send)) {
    let what = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(plugin = instance.name, id = %instance.id, "plugin failed: {what}");
}
