//! `/audit`: what the audit log has of requests and of what was written.

use crate::access::text;
use crate::answer::{Answer, HandlerResult};
use crate::audit::{OBJECTS, REQUESTS, is_between};
use crate::call::Call;
use crate::endpoint::{Drafts, Method};
use crate::page;
use model::Record;
use serde_json::{Value, json};
use store::PageQuery;

pub fn add(drafts: &mut Drafts) {
    drafts.add("/audit/requests", &[(Method::Get, |call| Box::pin(list(call, REQUESTS, "requests")))]);
    drafts.add("/audit/objects", &[(Method::Get, |call| Box::pin(list(call, OBJECTS, "objects")))]);
}

/// A page, the oldest first; `before` and `after` are seconds since 1970, `entity_key` is the id of a record that was
/// written.
async fn list(call: Call, entity: &'static str, name: &'static str) -> HandlerResult {
    let time = |name: &str| match call.query.first(name).map(str::parse) {
        None => Ok(None),
        Some(Ok(seconds)) => Ok(Some(seconds)),
        Some(Err(_)) => Err(Answer::message(400, format!("{name} must be a number of seconds"))),
    };
    let (after, before) = (time("after")?, time("before")?);
    let key = call.query.first("entity_key").map(str::to_owned);
    let is_about = |record: &Record| key.as_deref().is_none_or(|key| text(record, "entity_key") == key);
    let size = page::size(&call.query)?;
    let offset = call.query.first("offset").map(str::to_owned);
    let mut query = PageQuery { size, offset, ..PageQuery::default() };
    let mut found: Vec<Value> = Vec::new();
    loop {
        query.size = size - found.len();
        let page = call.store.page(entity, &query).await?;
        let wanted = page.data.into_iter().filter(|one| is_between(one, after, before) && is_about(one));
        found.extend(wanted.map(Value::Object));
        query.offset = page.offset;
        if query.offset.is_none() || found.len() >= size {
            break;
        }
    }
    let mut carried = page::carried(&call.query);
    carried.extend(key.iter().map(|key| format!("&entity_key={}", page::escape(key))));
    for (name, seconds) in [("after", after), ("before", before)] {
        carried.extend(seconds.map(|seconds| format!("&{name}={seconds}")));
    }
    let total = found.len();
    let mut body = page::answer(found, query.offset, &format!("{}/audit/{name}", call.prefix), &carried);
    body["total"] = json!(total);
    Ok(Answer::new(200, body))
}
