//! `/bascule/live` and `/bascule/requests`: what goes through this node, once or as a stream of events.

use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::endpoint::{Drafts, Method};
use crate::node::WantedRequests;
use crate::pictures::Pictures;
use wire::field_value;

pub fn add(drafts: &mut Drafts) {
    drafts.add("/bascule/live", &[(Method::Get, |call| Box::pin(live(call)))]);
    drafts.add("/bascule/requests", &[(Method::Get, |call| Box::pin(requests(call)))]);
}

async fn live(call: Call) -> HandlerResult {
    let named = |list: &str| list.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let pictures = call.state.node.watch(call.query.first("upstreams").map(named));
    answer(&call, pictures).await
}

/// Requests as they end.
async fn requests(call: Call) -> HandlerResult {
    let text = |name: &str| call.query.first(name).filter(|text| !text.is_empty()).map(str::to_owned);
    let status = text("status").map(|status| status_of(&status).ok_or_else(|| wrong_status(&status))).transpose()?;
    let wanted = WantedRequests { method: text("method"), status, route: text("route") };
    let pictures = call.state.node.requests(wanted);
    answer(&call, pictures).await
}

async fn answer(call: &Call, pictures: Option<Pictures>) -> HandlerResult {
    let too_many = || Answer::message(503, "too many clients watch this node already");
    let pictures = pictures.ok_or_else(too_many)?;
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

/// A status, or the hundred of `5xx`.
fn status_of(text: &str) -> Option<u16> {
    let digits =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u16>().ok()).flatten();
    match text.strip_suffix("xx") {
        Some(class) => digits(class).filter(|class| (1..=5).contains(class)),
        None => digits(text).filter(|status| (100..=999).contains(status)),
    }
}

fn wrong_status(text: &str) -> Answer {
    Answer::message(400, format!("status: expected a status, or 1xx to 5xx, not '{text}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_named_alone_or_by_its_class() {
        assert_eq!(status_of("404"), Some(404));
        assert_eq!(status_of("5xx"), Some(5));
        for wrong in ["", "5", "xx", "50x", "5000", "-5xx", "+04", "404xx", "9xx", "0xx", "007"] {
            assert_eq!(status_of(wrong), None, "{wrong}");
        }
    }
}
