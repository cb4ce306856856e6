//! `/bascule/dump` and `/bascule/plan`: the configuration of a workspace as a file, and the steps that would make it
//! like a file. Nothing is written here: clients take the steps that they want, each by its own request.

use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::endpoint::{Drafts, Method};
use crate::node::Configuration;
use serde_json::json;
use store::PageQuery;

const PLAN: &str = "/bascule/plan";

pub fn add(drafts: &mut Drafts) {
    drafts.add("/bascule/dump", &[(Method::Get, |call| Box::pin(dump(call)))]);
    drafts.add(PLAN, &[(Method::Post, |call| Box::pin(plan(call)))]);
    // A file may hold secrets, and nothing is written by it.
    drafts.keeps_no_content(PLAN);
}

async fn dump(call: Call) -> HandlerResult {
    let configuration = configuration(&call).await?;
    let text = call.state.node.dump(configuration).await.map_err(|why| Answer::message(500, why))?;
    Ok(Answer::new(200, json!({ "config": text })).with_header("cache-control", "no-store"))
}

async fn plan(call: Call) -> HandlerResult {
    let file = call.content.field("file").and_then(|file| file.as_str()).unwrap_or_default().to_owned();
    if file.is_empty() {
        return Err(Answer::message(400, "file: required"));
    }
    let configuration = configuration(&call).await?;
    let steps = call.state.node.plan(configuration, file).await.map_err(|why| Answer::message(400, why))?;
    Ok(Answer::new(200, json!({ "steps": steps })).with_header("cache-control", "no-store"))
}

/// Everything of the workspace that the user may see.
async fn configuration(call: &Call) -> Result<Configuration, Answer> {
    let mut records = Vec::new();
    for entity in call.state.node.configured() {
        let mut query = PageQuery { size: 1000, ..PageQuery::default() };
        let mut found = Vec::new();
        loop {
            let page = call.store.page(&entity, &query).await?;
            found.extend(page.data);
            match page.offset {
                Some(offset) => query.offset = Some(offset),
                None => break,
            }
        }
        records.push((entity, found));
    }
    Ok(Configuration { workspace: call.workspace.clone(), records })
}
