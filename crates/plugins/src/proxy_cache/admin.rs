//! `/proxy-cache`: looks at stored responses and drops them.

use super::key;
use super::store::{CachedResponse, Store};
use super::{VERSION, store_of};
use sdk::{AdminAnswer, AdminEndpoint, AdminRequest, Config, Env, entities};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

pub const ENDPOINTS: &[AdminEndpoint] = &[
    endpoint("/proxy-cache", &["DELETE"]),
    endpoint("/proxy-cache/{cache_key}", &["DELETE", "GET"]),
    endpoint("/proxy-cache/{plugin_id}/caches/{cache_key}", &["DELETE", "GET"]),
];

const fn endpoint(path: &'static str, methods: &'static [&'static str]) -> AdminEndpoint {
    AdminEndpoint { path, methods, on_status: false, with_instances: true }
}

/// Answers a request to one of them.
pub fn answer(request: &AdminRequest, env: &Env) -> AdminAnswer {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    let open = |plugin: &entities::Plugin| store_of(&Config::new(&plugin.config), env);
    let (instances, key) = match path[..] {
        ["proxy-cache"] => (request.instances.iter().collect::<Vec<_>>(), None),
        ["proxy-cache", key] => (request.instances.iter().collect(), Some(key)),
        ["proxy-cache", plugin, "caches", key] => {
            (request.instances.iter().filter(|p| p.id.to_string() == plugin).collect(), Some(key))
        }
        _ => return AdminAnswer::not_found(),
    };
    let stores = instances.into_iter().map(open);
    match (request.method.as_str(), key) {
        ("DELETE", None) => {
            stores.for_each(|store| store.clear());
            AdminAnswer::empty(204)
        }
        ("GET", Some(key)) => found(stores, key, |_, _, entry| AdminAnswer::json(200, show(entry))),
        ("DELETE", Some(key)) => found(stores, key, |store, key, _| {
            store.remove(key);
            AdminAnswer::empty(204)
        }),
        _ => AdminAnswer::not_found(),
    }
}

fn found(
    mut stores: impl Iterator<Item = Arc<Store>>,
    key: &str,
    act: impl Fn(&Store, &key::Digest, &CachedResponse) -> AdminAnswer,
) -> AdminAnswer {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
    let hit = key::from_hex(key)
        .and_then(|key| stores.find_map(|store| store.get(&key, now_ms).map(|entry| act(&store, &key, &entry))));
    hit.unwrap_or_else(AdminAnswer::not_found)
}

/// An entry for people to look at: what is no text shows as U+FFFD.
fn show(entry: &CachedResponse) -> Value {
    let mut headers = Map::new();
    for (name, value) in entry.fields.iter() {
        let value = Value::from(String::from_utf8_lossy(value));
        match headers.get_mut(name) {
            None => {
                headers.insert(name.to_owned(), value);
            }
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = json!([first.take(), value]),
        }
    }
    json!({
        "status": entry.status,
        "headers": headers,
        "body": String::from_utf8_lossy(&entry.body),
        "body_len": entry.body.len(),
        "timestamp": entry.stored_at,
        "ttl": entry.ttl,
        "version": VERSION,
    })
}
