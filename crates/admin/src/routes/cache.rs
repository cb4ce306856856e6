//! `/cache`: Kong's cache. Records are answered from a snapshot that is always current, so that there is nothing of
//! them to purge; what code of plugins keeps (`kong.cache`) is shown, and loaded anew after a DELETE.

use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::endpoint::{Drafts, Method};
use serde_json::{Value, json};

pub fn add(drafts: &mut Drafts) {
    drafts.add("/cache", &[(Method::Delete, |call| Box::pin(purge(call)))]);
    drafts.add(
        "/cache/{key}",
        &[(Method::Get, |call| Box::pin(probe(call))), (Method::Delete, |call| Box::pin(forget(call)))],
    );
}

async fn purge(call: Call) -> HandlerResult {
    call.state.node.forget_value(None);
    Ok(Answer::empty(204))
}

async fn forget(call: Call) -> HandlerResult {
    call.state.node.forget_value(Some(&call.parameter(0)));
    Ok(Answer::empty(204))
}

async fn probe(call: Call) -> HandlerResult {
    Ok(match call.state.node.kept_value(&call.parameter(0)) {
        None => Answer::not_found(),
        Some(whole @ (Value::Object(_) | Value::Array(_))) => Answer::new(200, whole),
        // What is known not to be there has no message.
        Some(Value::Null) => Answer::new(200, json!({})),
        Some(value) => Answer::new(200, json!({ "message": value })),
    })
}
