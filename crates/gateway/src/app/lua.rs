//! Lua's part in a node: code in configurations, what it may know of the node, and what it keeps of records.

use crate::settings::Settings;
use model::{Catalog, Record, Schema};
use serde_json::{Value, json};
use std::sync::Arc;
use store::Change;
use vaults::Lifetimes;

/// The surroundings of plugins, with Lua for their configurations.
pub fn with_scripts(env: sdk::Env) -> sdk::Env {
    env.with_scripts(Arc::new(runtimes::lua::LuaScripts))
}

/// Tells code what node it runs on.
pub fn surround(settings: &Settings, env: &sdk::Env, plugins: &[&str]) {
    let node = runtimes::lua::Node {
        id: env.node().id.to_string(),
        hostname: env.node().hostname.clone(),
        prefix: settings.prefix.display().to_string(),
        workers: settings.workers,
        shares_database: settings.text("database") == "postgres",
        configuration: settings.describe(plugins),
        trusted_ips: settings.trusted_ips.clone(),
    };
    runtimes::lua::surround(node, env.clone());
}

/// Lets code ask the vaults.
pub fn open_vaults(secrets: &vaults::Secrets) {
    let secrets = secrets.clone();
    runtimes::lua::open_vaults(Arc::new(move |reference| {
        let secrets = secrets.clone();
        Box::pin(async move {
            let fetched = secrets.fetch_lasting(&reference).await;
            let Lifetimes { ttl, neg_ttl, resurrect_ttl } = fetched.lifetimes;
            runtimes::lua::Secret { value: fetched.value, ttl, neg_ttl, resurrect_ttl }
        })
    }));
}

/// Takes from code what it has of the node.
pub fn leave() {
    runtimes::lua::leave();
}

/// What code keeps of these records is good no more; and those who want to know of changes are told.
pub fn forget(catalog: &Catalog, commits: &[Arc<[Change]>]) {
    for change in commits.iter().flat_map(|changes| changes.iter()) {
        let Some(schema) = catalog.entity(&change.entity) else { continue };
        if runtimes::lua::is_listened_to() {
            tell(schema, change);
        }
        runtimes::lua::invalidate(cache_key(schema, schema.primary_key(), &change.record).as_bytes());
        if !schema.cache_key().is_empty() {
            // What the record was found by before is not known any more.
            runtimes::lua::invalidate(format!("{}:", schema.name).as_bytes());
        }
    }
}

/// Kong's events of changes, by the entity, and by what has happened to it.
fn tell(schema: &Schema, change: &Change) {
    let operation = change.verb();
    let event = json!({
        "operation": operation,
        "entity": change.record,
        "old_entity": change.before,
        "schema": { "name": schema.name },
    });
    let (event, name) = (event.to_string(), format!("{}:{operation}", schema.name));
    let posted = [("crud", schema.name.as_str()), ("crud", name.as_str()), ("dao:crud", operation)];
    if !posted.iter().all(|(source, what)| runtimes::lua::post(source, what, event.clone())) {
        tracing::warn!(entity = schema.name, "a record is too long to tell code in Lua of its change");
    }
}

/// Calls a function of data access that a plugin has in the place of the store's.
pub async fn call_dao(request: sdk::AdminRequest, call: sdk::DaoCall) -> sdk::DaoAnswer {
    runtimes::lua::call_dao(request, call).await
}

/// Plugins whose records have been deleted are told so (`configure`), once that is in force.
pub fn removed(commits: &[Arc<[Change]>]) {
    let plugins = commits.iter().flat_map(|changes| changes.iter()).filter(|change| change.entity == "plugins");
    let deleted = plugins.filter(|change| change.verb() == "delete");
    let ids: Vec<_> = deleted.filter_map(|change| change.record.get("id")?.as_str()?.parse().ok()).collect();
    if !ids.is_empty() {
        runtimes::lua::removed(&ids);
    }
}

pub fn instances_so_far() -> u64 {
    runtimes::lua::instances_so_far()
}

/// The same of all that was configured before a whole configuration took the place of another.
pub fn replaced(before: u64) {
    runtimes::lua::replaced(before);
}

/// What code keeps in `kong.cache` under a key.
pub fn kept_value(key: &str) -> Option<serde_json::Value> {
    runtimes::lua::kept_value(key)
}

/// Has code load anew what it keeps under a key.
pub fn forget_value(key: &str) {
    runtimes::lua::forget_value(key);
}

/// What code keeps of records at all is good no more.
pub fn forget_all() {
    runtimes::lua::invalidate_all();
}

/// Another node has said something that is no business of the gateway itself: that what code keeps under a key is good
/// no more, or all that it keeps where there is no key, or what only code knows.
pub fn hear(channel: &str, data: &str) {
    if channel == runtimes::lua::INVALIDATIONS && data.is_empty() {
        runtimes::lua::invalidate_all();
    } else if channel == runtimes::lua::INVALIDATIONS {
        runtimes::lua::invalidate(data.as_bytes());
    } else if !runtimes::lua::hear(channel, data) {
        tracing::warn!(channel, "what another node says is too long for code in Lua");
    }
}

/// Kong's form: the entity, five values, the workspace.
fn cache_key(schema: &Schema, fields: &[String], record: &Record) -> String {
    let text = |name: &str| record.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut values: Vec<String> = fields.iter().map(|field| text(field)).collect();
    values.resize(5, String::new());
    let workspace = if schema.workspaceable() { text("ws_id") } else { String::new() };
    format!("{}:{}:{workspace}", schema.name, values.join(":"))
}
