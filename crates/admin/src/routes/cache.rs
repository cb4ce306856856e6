//! `/cache`: Kong's record cache. Requests are answered from a snapshot that is always current, so that there is
//! nothing to purge; tools that purge are told that it is done.

use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::endpoint::{Drafts, Method};

pub fn add(drafts: &mut Drafts) {
    drafts.add("/cache", &[(Method::Delete, |call| Box::pin(purge(call)))]);
    drafts.add(
        "/cache/{key}",
        &[(Method::Get, |call| Box::pin(probe(call))), (Method::Delete, |call| Box::pin(purge(call)))],
    );
}

async fn purge(_call: Call) -> HandlerResult {
    Ok(Answer::empty(204))
}

async fn probe(_call: Call) -> HandlerResult {
    Ok(Answer::not_found())
}
