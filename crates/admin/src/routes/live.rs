//! `/bascule/live`: what goes through this node, once or as a stream of events.

use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::endpoint::{Drafts, Method};
use wire::field_value;

pub fn add(drafts: &mut Drafts) {
    drafts.add("/bascule/live", &[(Method::Get, |call| Box::pin(live(call)))]);
}

async fn live(call: Call) -> HandlerResult {
    let too_many = || Answer::message(503, "too many clients watch this node already");
    let pictures = call.state.node.watch().ok_or_else(too_many)?;
    let wants_events = call
        .headers
        .get_all("accept")
        .iter()
        .any(|accept| field_value::list_has(accept.as_bytes(), "text/event-stream"));
    if wants_events {
        let answer = Answer::events(pictures).with_header("content-type", "text/event-stream");
        return Ok(answer.with_header("cache-control", "no-store"));
    }
    let picture = pictures.next().await.ok_or_else(|| Answer::message(503, "the node ends"))?;
    Ok(Answer::written(200, picture.to_string()).with_header("cache-control", "no-store"))
}
