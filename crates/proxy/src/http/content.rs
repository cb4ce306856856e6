//! The content of a request for plugins: read before they act, or when they ask.

use super::context::RequestContext;
use super::downstream::Downstream;
use super::payload::Payload;
use super::upload::UploadError;
use crate::chain::{self, Chain, OnDemand};
use sdk::{Answer, Bytes, ContentDemand, Exchange, RequestBody};
use std::mem;
use std::pin::pin;
use wire::Framing;

/// Which plugins act.
#[derive(Clone, Copy)]
enum Acting<'v> {
    /// The global ones, before routing.
    Rewriting(&'v Chain),
    Accessing(&'v Chain),
}

/// Reads all of it before plugins act.
pub async fn hold(
    context: &mut RequestContext<'_>,
    exchange: &mut Exchange,
    downstream: &mut Downstream<'_>,
    payload: &mut Payload,
) -> Result<(), UploadError> {
    payload.begin(exchange.request.framing, context.content_limit())?;
    payload.hold_for_plugins(context, downstream).await?;
    // What a plugin has put in its place before stays.
    if !matches!(exchange.body, RequestBody::Whole(_)) {
        exchange.body = payload.for_plugins();
    }
    Ok(())
}

/// Whether plugins that may ask for content have to wait for it. A request without any costs no more than the look.
pub fn is_to_come(exchange: &mut Exchange) -> bool {
    if !matches!(exchange.request.framing, Framing::Empty | Framing::Length(0)) {
        return true;
    }
    if !matches!(exchange.body, RequestBody::Whole(_) | RequestBody::TooLarge) {
        exchange.body = RequestBody::Whole(Bytes::new());
    }
    false
}

/// The rewrite phase with plugins that may ask for content.
pub async fn rewrite(
    context: &mut RequestContext<'_>,
    exchange: &mut Exchange,
    downstream: &mut Downstream<'_>,
    payload: &mut Payload,
) -> Result<Option<Answer>, UploadError> {
    let chain = context.view.global_chain();
    on_demand(context, exchange, downstream, payload, Acting::Rewriting(chain)).await
}

/// The access phase with plugins that may ask for content.
pub async fn access<'v>(
    context: &mut RequestContext<'v>,
    exchange: &mut Exchange,
    downstream: &mut Downstream<'_>,
    payload: &mut Payload,
    chain: &'v Chain,
) -> Result<Option<Answer>, UploadError> {
    on_demand(context, exchange, downstream, payload, Acting::Accessing(chain)).await
}

async fn on_demand<'v>(
    context: &mut RequestContext<'v>,
    exchange: &mut Exchange,
    downstream: &mut Downstream<'_>,
    payload: &mut Payload,
    acting: Acting<'v>,
) -> Result<Option<Answer>, UploadError> {
    let (framing, limit) = (exchange.request.framing, context.content_limit());
    let mut failure = payload.begin(framing, limit).err();
    if failure.is_none() && payload.is_at_hand(downstream) {
        failure = hold(context, exchange, downstream, payload).await.err();
    }
    let demand = ContentDemand::default();
    if !matches!(exchange.body, RequestBody::Whole(_) | RequestBody::TooLarge) {
        exchange.body = RequestBody::OnDemand(demand.clone());
    }
    let mut selected = mem::take(&mut context.selected);
    let may_run = failure.is_none();
    let answer = {
        let reading = pin!(async {
            match payload.hold_for_plugins(context, downstream).await {
                Ok(()) => Some(payload.for_plugins()),
                Err(why) => {
                    failure = Some(why);
                    None
                }
            }
        });
        let mut content = OnDemand::new(demand, reading);
        let answer = match acting {
            Acting::Rewriting(_) if !may_run => None,
            Acting::Rewriting(chain) => chain::run_rewrite(chain, exchange, Some(&mut content)).await,
            Acting::Accessing(chain) => {
                chain::run_access_with(chain, exchange, &mut selected, may_run, Some(&mut content)).await
            }
        };
        // Half of it is nothing that could go on to a service.
        if answer.is_none() {
            content.finish().await;
        }
        answer
    };
    context.selected = selected;
    exchange.body.receive();
    match failure {
        Some(why) => Err(why),
        None => Ok(answer),
    }
}
