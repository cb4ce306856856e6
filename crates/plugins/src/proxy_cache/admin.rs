//! `/proxy-cache` and `/proxy-cache-advanced`: look at stored responses and drop them.

use super::VERSION;
use super::key::{self, Digest};
use super::storage::Storage;
use super::store::CachedResponse;
use sdk::entities::{Plugin, Uuid};
use sdk::redis::RedisError;
use sdk::{AdminAnswer, AdminEndpoint, AdminRequest, Env};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

pub const ENDPOINTS: &[AdminEndpoint] = &[
    endpoint("/proxy-cache", &["DELETE"]),
    endpoint("/proxy-cache/{cache_key}", &["DELETE", "GET"]),
    endpoint("/proxy-cache/{plugin_id}/caches/{cache_key}", &["DELETE", "GET"]),
];

pub const ADVANCED_ENDPOINTS: &[AdminEndpoint] = &[
    endpoint("/proxy-cache-advanced", &["DELETE"]),
    endpoint("/proxy-cache-advanced/{cache_key}", &["DELETE", "GET"]),
    endpoint("/proxy-cache-advanced/{plugin_id}/caches/{cache_key}", &["DELETE", "GET"]),
];

const fn endpoint(path: &'static str, methods: &'static [&'static str]) -> AdminEndpoint {
    AdminEndpoint { path, methods, on_admin: true, on_status: false, with_instances: true, in_workspaces: false }
}

/// Where nodes tell each other of what was dropped, as Kong's do.
pub const CHANNEL: &str = "proxy-cache:purge";
pub const ADVANCED_CHANNEL: &str = "proxy-cache-advanced:purge";
/// In place of a key: all of them.
const ALL: &str = "nil";

/// Answers a request to one of them, and has other nodes told on the channel.
pub async fn answer(request: &AdminRequest, channel: &'static str, env: &Env) -> AdminAnswer {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    let (plugin, key) = match path[..] {
        [_] => (None, None),
        [_, key] => (None, Some(key)),
        [_, plugin, "caches", key] => (Some(plugin), Some(key)),
        _ => return AdminAnswer::not_found(),
    };
    let asked = request.instances.iter().filter(|p| plugin.is_none_or(|plugin| p.id.to_string() == plugin));
    let storages: Vec<_> = asked.filter_map(|plugin| Some((plugin.id, Storage::of(plugin, env)?))).collect();
    let outcome = match (request.method.as_str(), key.map(key::from_hex)) {
        ("DELETE", None) => clear(&storages, channel).await,
        ("GET", Some(Some(key))) => find(&storages, &key).await,
        ("DELETE", Some(Some(key))) => remove(&storages, &key, channel).await,
        _ => Ok(AdminAnswer::not_found()),
    };
    outcome.unwrap_or_else(|error| {
        tracing::error!("{}: {error}", path[0]);
        AdminAnswer::json(500, json!({ "message": "An unexpected error occurred" }))
    })
}

/// Drops what another node has dropped: `<plugin>:<key>`. A Redis is everybody's.
pub fn hear(data: &str, instances: &[Plugin], env: &Env) {
    let Some((id, key)) = data.split_once(':') else { return };
    let plugin = instances.iter().find(|plugin| plugin.id.to_string() == id);
    if let Some(Storage::Memory(store)) = plugin.and_then(|plugin| Storage::of(plugin, env)) {
        match key::from_hex(key) {
            Some(key) => drop(store.remove(&key)),
            None if key == ALL => store.clear(),
            None => {}
        }
    }
}

async fn clear(storages: &[(Uuid, Storage)], channel: &'static str) -> Result<AdminAnswer, RedisError> {
    let mut answer = AdminAnswer::empty(204);
    for (id, storage) in storages {
        match storage {
            Storage::Memory(store) => {
                store.clear();
                answer.announced.push((channel, format!("{id}:{ALL}")));
            }
            Storage::Redis(store) => store.clear().await?,
        }
    }
    Ok(answer)
}

async fn find(storages: &[(Uuid, Storage)], key: &Digest) -> Result<AdminAnswer, RedisError> {
    for (_, storage) in storages {
        let entry = match storage {
            Storage::Memory(store) => store.get(key, now_ms()),
            Storage::Redis(store) => store.get(key).await?.map(Arc::new),
        };
        if let Some(entry) = entry {
            return Ok(AdminAnswer::json(200, show(key, &entry)));
        }
    }
    Ok(AdminAnswer::not_found())
}

async fn remove(storages: &[(Uuid, Storage)], key: &Digest, channel: &'static str) -> Result<AdminAnswer, RedisError> {
    let mut answer = AdminAnswer::empty(204);
    for (id, storage) in storages {
        let removed = match storage {
            Storage::Memory(store) => {
                answer.announced = vec![(channel, format!("{id}:{}", key::to_hex(key)))];
                store.get(key, now_ms()).is_some() && store.remove(key)
            }
            Storage::Redis(store) => {
                answer.announced.clear();
                store.remove(key).await?
            }
        };
        if removed {
            return Ok(answer);
        }
    }
    Ok(AdminAnswer::not_found())
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
}

/// An entry for people to look at: what is no text shows as U+FFFD. As with Kong, what the first client was told of the
/// cache is among its lines.
fn show(key: &Digest, entry: &CachedResponse) -> Value {
    let told = [("X-Cache-Key", key::to_hex(key)), ("X-Cache-Status", "Miss".to_owned())];
    let mut headers = Map::from_iter(told.map(|(name, value)| (name.to_owned(), value.into())));
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
