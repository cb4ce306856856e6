//! `/filter-chains`: answered as Kong does while `wasm` is off, which it is here.

use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::endpoint::{Drafts, Handler, Method};

const COLLECTIONS: [&str; 3] =
    ["/filter-chains", "/routes/{routes}/filter-chains", "/services/{services}/filter-chains"];
const RECORDS: [&str; 5] = [
    "/filter-chains/{filter_chains}",
    "/filter-chains/{filter_chains}/route",
    "/filter-chains/{filter_chains}/service",
    "/routes/{routes}/filter-chains/{filter_chains}",
    "/services/{services}/filter-chains/{filter_chains}",
];
const FILTERS: [&str; 3] =
    ["/routes/{routes}/filters/all", "/routes/{routes}/filters/enabled", "/routes/{routes}/filters/disabled"];

pub fn add(drafts: &mut Drafts) {
    let refuse: Handler = |call| Box::pin(refuse(call));
    let (get, post) = ((Method::Get, refuse), (Method::Post, refuse));
    for path in COLLECTIONS {
        drafts.change(path, &[get, post]);
    }
    for path in RECORDS {
        drafts.change(path, &[get, (Method::Put, refuse), (Method::Patch, refuse), (Method::Delete, refuse)]);
    }
    for path in FILTERS {
        drafts.add(path, &[get]);
    }
    drafts.add("/schemas/filters/{name}", &[(Method::Get, |call| Box::pin(schema(call)))]);
}

async fn refuse(_call: Call) -> HandlerResult {
    Err(Answer::message(400, "this endpoint is only available when wasm is enabled"))
}

async fn schema(call: Call) -> HandlerResult {
    Err(Answer::message(404, format!("Filter '{}' not found", call.parameter(0))))
}
