//! `/proxy-cache`: looks at stored responses and drops them.

use super::key;
use super::store::{CachedResponse, Store};
use super::{VERSION, store_of};
use sdk::{AdminAnswer, AdminRequest, Config, Env, entities};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Whether the path is one of ours.
pub fn owns(path: &[String]) -> bool {
    path.first().is_some_and(|first| first == "proxy-cache")
        && (path.len() <= 2 || (path.len() == 4 && path[2] == "caches"))
}

/// Answers a request to a path of ours.
pub fn answer(request: &AdminRequest, env: &Env) -> AdminAnswer {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    let open = |plugin: &entities::Plugin| store_of(&Config::new(&plugin.config), env);
    let (instances, key) = match path[..] {
        ["proxy-cache"] => (request.instances.iter().collect::<Vec<_>>(), None),
        ["proxy-cache", key] => (request.instances.iter().collect(), Some(key)),
        ["proxy-cache", plugin, "caches", key] => {
            (request.instances.iter().filter(|p| p.id.to_string() == plugin).collect(), Some(key))
        }
        _ => return not_found(),
    };
    let stores = instances.into_iter().map(open);
    match (request.method.as_str(), key) {
        ("DELETE", None) => {
            stores.for_each(|store| store.clear());
            AdminAnswer { status: 204, body: Value::Null }
        }
        ("GET", Some(key)) => found(stores, key, |_, _, entry| AdminAnswer { status: 200, body: show(entry) }),
        ("DELETE", Some(key)) => found(stores, key, |store, key, _| {
            store.remove(key);
            AdminAnswer { status: 204, body: Value::Null }
        }),
        _ => AdminAnswer { status: 405, body: json!({ "message": "Method not allowed" }) },
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
    hit.unwrap_or_else(not_found)
}

fn not_found() -> AdminAnswer {
    AdminAnswer { status: 404, body: json!({ "message": "Not found" }) }
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
