//! `/config`: loads a declarative configuration into a node without a database.

use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::endpoint::{Drafts, Method};

pub fn add(drafts: &mut Drafts) {
    drafts
        .add("/config", &[(Method::Get, |call| Box::pin(refuse(call))), (Method::Post, |call| Box::pin(refuse(call)))]);
}

async fn refuse(call: Call) -> HandlerResult {
    if call.state.options.dbless {
        return Ok(Answer::message(501, "this node cannot load a configuration while it runs"));
    }
    Ok(Answer::message(400, "this endpoint is only available when Kong is configured to not use a database"))
}
