//! What the node says about itself: `/`, `/endpoints`, `/timers`.

use crate::answer::{Answer, HandlerResult};
use crate::call::Call;
use crate::endpoint::{Drafts, Method};
use crate::page;
use crate::records::Records;
use serde_json::{Map, Value, json};
use store::Scope;

/// The version of Kong that clients may count on.
const KONG_VERSION: &str = "3.10.0";

pub fn add(drafts: &mut Drafts) {
    drafts.add("/", &[(Method::Get, |call| Box::pin(root(call)))]);
    drafts.add("/endpoints", &[(Method::Get, |call| Box::pin(endpoints(call)))]);
    drafts.add("/timers", &[(Method::Get, |call| Box::pin(timers(call)))]);
}

async fn root(call: Call) -> HandlerResult {
    let node = &call.state.node;
    let mut enabled: Vec<Value> = Vec::new();
    let everywhere = Records::new(call.store.whole().of(Scope::All), None);
    for plugin in page::all(&everywhere, "plugins").await? {
        let name = plugin.get("name").cloned().unwrap_or_default();
        if !enabled.contains(&name) {
            enabled.push(name);
        }
    }
    let available: Map<String, Value> = call
        .store
        .catalog()
        .plugins()
        .map(|(name, plugin)| (name.to_owned(), json!({ "priority": plugin.priority, "version": plugin.version })))
        .collect();
    let mut configuration = node.settings();
    if let Some(settings) = configuration.as_object_mut() {
        settings.insert("log_level".to_owned(), Value::String(node.log_level()));
    }
    let pids = node.pids();
    let metrics = tokio::runtime::Handle::current().metrics();
    Ok(Answer::new(
        200,
        json!({
            "tagline": "Welcome to kong",
            "version": KONG_VERSION,
            "bascule_version": call.state.options.version,
            "edition": "community",
            "hostname": node.hostname(),
            "node_id": node.id().to_string(),
            "lua_version": "LuaJIT 2.1",
            "timers": { "running": metrics.num_alive_tasks(), "pending": metrics.global_queue_depth() },
            "plugins": { "available_on_server": available, "enabled_in_cluster": enabled },
            "configuration": configuration,
            "pids": { "master": pids.master, "workers": pids.workers },
        }),
    ))
}

async fn endpoints(call: Call) -> HandlerResult {
    Ok(Answer::new(200, json!({ "data": call.state.endpoints.paths().collect::<Vec<_>>() })))
}

/// Kong's timers are the tasks of the control runtime here; those that wait for something run, too, as in Kong.
async fn timers(call: Call) -> HandlerResult {
    let metrics = tokio::runtime::Handle::current().metrics();
    let (running, pending) = (metrics.num_alive_tasks(), metrics.global_queue_depth());
    let total = running + pending;
    Ok(Answer::new(
        200,
        json!({
            "worker": { "id": 0, "count": call.state.node.pids().workers.len() },
            "stats": {
                "sys": { "total": total, "runs": running, "running": running, "waiting": 0, "pending": pending },
                "timers": {},
                "flamegraph": { "running": "", "pending": "", "elapsed_time": "" },
            },
        }),
    ))
}
