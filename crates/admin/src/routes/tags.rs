//! `/tags`: all tags with the records that have them. They are written with the records, never here.

use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::endpoint::{Drafts, Method};
use crate::page;
use model::Error;
use store::{PageQuery, TagEntry};

pub fn add(drafts: &mut Drafts) {
    drafts.add("/tags", &[(Method::Get, |call| Box::pin(list(call))), (Method::Post, |call| Box::pin(refuse(call)))]);
    drafts.add(
        "/tags/{tags}",
        &[
            (Method::Get, |call| Box::pin(of_tag(call))),
            (Method::Put, |call| Box::pin(refuse(call))),
            (Method::Patch, |call| Box::pin(refuse(call))),
            (Method::Delete, |call| Box::pin(refuse(call))),
        ],
    );
}

async fn list(call: Call) -> HandlerResult {
    let found = call.store.page_tags(None, &query(&call)?).await?;
    let data = found.data.iter().map(TagEntry::body).collect();
    Ok(Answer::new(
        200,
        page::answer(data, found.offset, &format!("{}/tags", call.prefix), &page::carried(&call.query)),
    ))
}

async fn of_tag(call: Call) -> HandlerResult {
    let found = call.store.page_tags(Some(&call.parameter(0)), &query(&call)?).await?;
    let data = found.data.iter().map(TagEntry::body).collect();
    let path = format!("{}/tags/{}", call.prefix, call.raw_parameter(0));
    Ok(Answer::new(200, page::answer(data, found.offset, &path, "")))
}

async fn refuse(_call: Call) -> HandlerResult {
    Err(Answer::from(Error::field_violation("tags", "does not support insert/upsert/update/delete operations")))
}

fn query(call: &Call) -> Result<PageQuery, Answer> {
    Ok(PageQuery {
        size: page::size(&call.query)?,
        offset: call.query.first("offset").map(str::to_owned),
        ..PageQuery::default()
    })
}
