//! `/openapi.json`: the Admin API, described for programs. Schemas and endpoints stay as they are while the node runs,
//! so that it is written once.

use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::endpoint::{Drafts, Method};
use crate::openapi;
use tokio::task::spawn_blocking;

pub fn add(drafts: &mut Drafts) {
    drafts.add("/openapi.json", &[(Method::Get, |call| Box::pin(show(call)))]);
}

async fn show(call: Call) -> HandlerResult {
    let write = move || {
        let state = call.state;
        let document = state.openapi.get_or_init(|| {
            let catalog = call.store.catalog();
            openapi::document(catalog, &state.endpoints, &state.options.version).to_string()
        });
        Answer::written(200, document.clone())
    };
    spawn_blocking(write).await.map_err(|_| Answer::unexpected())
}
