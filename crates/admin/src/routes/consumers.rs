//! `/consumers?custom_id=`: the consumer with that id in another system.

use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::endpoint::{Drafts, Method};
use crate::{entity, page};

pub fn add(drafts: &mut Drafts) {
    drafts.change("/consumers", &[(Method::Get, |call| Box::pin(list(call)))]);
}

async fn list(call: Call) -> HandlerResult {
    let Some(custom_id) = call.query.text("custom_id") else { return entity::list(call).await };
    let custom_id = custom_id.map_err(|()| Answer::message(400, "custom_id must be an unempty string"))?;
    let found = call.store.get_by("consumers", "custom_id", custom_id).await?;
    Ok(Answer::new(200, page::records(found.into_iter().collect(), None, "/consumers", "")))
}
