//! `/clustering`: the data planes of a control plane.

use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::endpoint::{Drafts, Method};
use crate::page;
use model::Record;
use serde_json::{Map, Value, json};
use store::PageQuery;

const ENTITY: &str = "clustering_data_planes";

pub fn add(drafts: &mut Drafts) {
    drafts.add("/clustering/data-planes", &[(Method::Get, |call| Box::pin(list(call)))]);
    drafts.add("/clustering/status", &[(Method::Get, |call| Box::pin(status(call)))]);
}

async fn list(call: Call) -> HandlerResult {
    check_role(&call)?;
    let query = PageQuery {
        size: page::size(&call.query)?,
        offset: call.query.first("offset").map(str::to_owned),
        ..PageQuery::default()
    };
    let found = call.store.page(ENTITY, &query).await?;
    Ok(Answer::new(
        200,
        page::records(found.data, found.offset, "/clustering/data-planes", &page::carried(&call.query)),
    ))
}

async fn status(call: Call) -> HandlerResult {
    check_role(&call)?;
    let mut all = Map::new();
    for record in page::all(&call.store, ENTITY).await? {
        let id = record.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        all.insert(id, shown(&record));
    }
    Ok(Answer::new(200, Value::Object(all)).with_header("deprecation", "true"))
}

fn shown(record: &Record) -> Value {
    let field = |name: &str| record.get(name).cloned().unwrap_or_default();
    json!({
        "config_hash": field("config_hash"),
        "hostname": field("hostname"),
        "ip": field("ip"),
        "last_seen": field("last_seen"),
    })
}

fn check_role(call: &Call) -> Result<(), Answer> {
    if call.state.options.control_plane {
        return Ok(());
    }
    Err(Answer::message(
        400,
        "this endpoint is only available when Kong is configured to run as Control Plane for the cluster",
    ))
}
