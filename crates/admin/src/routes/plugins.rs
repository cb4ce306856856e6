//! `/plugins/enabled` and `/plugins/schema/{name}`: what the node can do, besides the configured plugins; and the
//! endpoints that plugins add.

use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::content::Content;
use crate::endpoint::{Drafts, Handler, Method};
use crate::form;
use crate::node::{PluginAnswer, PluginContent, PluginEndpoint, PluginRequest};
use serde_json::json;
use std::sync::Arc;

pub fn add(drafts: &mut Drafts) {
    drafts.add("/plugins/enabled", &[(Method::Get, |call| Box::pin(enabled(call)))]);
    drafts.add("/plugins/schema/{name}", &[(Method::Get, |call| Box::pin(schema(call)))]);
}

/// Adds an endpoint of a plugin.
pub fn add_own(drafts: &mut Drafts, endpoint: &PluginEndpoint) {
    add_handler(drafts, endpoint, |call| Box::pin(own(call, false)));
}

/// The same on the Status API.
pub fn add_own_of_status(drafts: &mut Drafts, endpoint: &PluginEndpoint) {
    add_handler(drafts, endpoint, |call| Box::pin(own(call, true)));
}

fn add_handler(drafts: &mut Drafts, endpoint: &PluginEndpoint, handler: Handler) {
    let methods = endpoint.methods.iter().filter_map(|name| Some((Method::parse(name)?, handler)));
    if endpoint.in_workspaces {
        drafts.in_workspaces(endpoint.path);
    }
    drafts.replace(endpoint.path, &methods.collect::<Vec<_>>());
}

/// A request as plugins get it.
pub fn request(call: &Call, of_status: bool) -> Result<PluginRequest, Answer> {
    let segments = call.path.split('/').filter(|segment| !segment.is_empty());
    Ok(PluginRequest {
        method: call.method.name(),
        path: segments.map(|s| form::unescape(s.as_bytes())).collect::<Option<_>>().ok_or_else(Answer::not_found)?,
        query: call.query.0.iter().map(|(name, value)| (name.clone(), value.clone().unwrap_or_default())).collect(),
        body: match &call.content {
            Content::Json(record) | Content::Form(record) => Some(record.clone()),
            Content::None | Content::Text(_) => None,
        },
        scope: call.store.scope(),
        of_status,
        raw_path: call.path.clone(),
        raw_query: call.raw_query.clone(),
        headers: call.headers.clone(),
        client: call.client,
        content: call.raw_content.clone(),
    })
}

async fn own(mut call: Call, of_status: bool) -> HandlerResult {
    let mut answer = call.state.node.plugin_admin(request(&call, of_status)?).await;
    if let PluginContent::Replaced(changed) = &mut answer.content {
        let changed = changed.take();
        let state = Arc::clone(&call.state);
        let found = state.endpoints.find(&call.path).and_then(|(endpoint, _)| endpoint.replaced(call.method));
        let replaced = found.ok_or_else(Answer::not_found)?;
        if let (Content::Json(record) | Content::Form(record), Some(changed)) = (&mut call.content, changed) {
            *record = changed;
        }
        let headers = answer.headers;
        return match replaced(call).await {
            Ok(said) => Ok(with_headers(said, headers)),
            Err(said) => Err(with_headers(said, headers)),
        };
    }
    Ok(said(answer))
}

/// What a plugin answers.
pub fn said(answer: PluginAnswer) -> Answer {
    let has_type = answer.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let said = match answer.content {
        PluginContent::None | PluginContent::Replaced(_) => Answer::empty(answer.status),
        PluginContent::Json(value) => Answer::new(answer.status, value),
        PluginContent::Text(text) if has_type => Answer::written(answer.status, text),
        PluginContent::Text(text) => {
            Answer::written(answer.status, text).with_header("content-type", "text/plain; charset=UTF-8")
        }
    };
    with_headers(said, answer.headers)
}

/// How an answer is framed is not the plugin's business.
fn with_headers(said: Answer, mut headers: Vec<(String, String)>) -> Answer {
    let framing = ["connection", "content-length", "transfer-encoding"];
    headers.retain(|(name, _)| !framing.iter().any(|framing| name.eq_ignore_ascii_case(framing)));
    headers.into_iter().fold(said, |said, (name, value)| said.with_header(name, value))
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
