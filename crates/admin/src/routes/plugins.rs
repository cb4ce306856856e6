//! `/plugins/enabled` and `/plugins/schema/{name}`: what the node can do, besides the configured plugins.

use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::endpoint::{Drafts, Method};
use serde_json::json;

pub fn add(drafts: &mut Drafts) {
    drafts.add("/plugins/enabled", &[(Method::Get, |call| Box::pin(enabled(call)))]);
    drafts.add("/plugins/schema/{name}", &[(Method::Get, |call| Box::pin(schema(call)))]);
}

async fn enabled(call: Call) -> HandlerResult {
    let names: Vec<&str> = call.store.catalog().plugins().map(|(name, _)| name).collect();
    Ok(Answer::new(200, json!({ "enabled_plugins": names })))
}

/// The older form of `/schemas/plugins/{name}`: only what is inside `config`.
async fn schema(call: Call) -> HandlerResult {
    let name = call.parameter(0);
    let Some(plugin) = call.store.catalog().plugin(&name) else {
        return Err(Answer::message(404, format!("No plugin named '{name}'")));
    };
    let description = plugin.schema.describe();
    let fields = description.get("fields").and_then(|fields| fields.as_array());
    let config =
        fields.and_then(|fields| fields.iter().find_map(|field| field.get("config"))).cloned().unwrap_or_default();
    let part = |key: &str| config.get(key).cloned().unwrap_or_else(|| json!([]));
    Ok(Answer::new(200, json!({ "fields": part("fields"), "entity_checks": part("entity_checks") })))
}
