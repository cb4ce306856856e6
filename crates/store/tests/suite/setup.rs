//! The backends, and entities with one of each kind of key, reference and rule.

use super::server;
use model::{Catalog, Record, Schema};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use store::backend::postgres::{LOCK_TIMEOUT, Migrations};
use store::{Change, Clock, Follower, Key, Revision, Store};
use tempfile::TempDir;

/// A store to test.
pub struct Subject {
    pub name: &'static str,
    pub store: Store,
    pub clock: Clock,
    _directory: Option<TempDir>,
}

/// One empty store of each backend.
pub async fn subjects() -> Vec<Subject> {
    let clock = Clock::default();
    let memory =
        Subject { name: "memory", store: Store::memory_at(catalog(), clock.clone()).unwrap(), clock, _directory: None };
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::default();
    let store = open(&directory.path().join("bascule.db"), &clock).await;
    let sqlite = Subject { name: "sqlite", store, clock, _directory: Some(directory) };
    vec![memory, sqlite, postgres().await]
}

async fn postgres() -> Subject {
    let (server, clock) = (server::server(), Clock::default());
    let migrations = Migrations::connect(&server, &catalog()).await.unwrap().without_kong();
    assert!(migrations.bootstrap(LOCK_TIMEOUT, &mut |_| {}).await.unwrap());
    let store = Store::open_postgres_at(catalog(), &server, None, clock.clone()).await.unwrap();
    Subject { name: "postgres", store, clock, _directory: None }
}

pub async fn open(path: &Path, clock: &Clock) -> Store {
    Store::open_sqlite_at(catalog(), path, clock.clone()).await.unwrap()
}

impl Subject {
    /// Inserts a record that must be accepted; returns its id.
    pub async fn add(&self, entity: &str, input: Value) -> String {
        let written = self.store.insert(entity, record(input)).await;
        let written = written.unwrap_or_else(|e| panic!("{}: {}", self.name, e.body()));
        written.record["id"].as_str().unwrap().to_owned()
    }

    /// The body of the error with which an insert must fail.
    pub async fn refuse(&self, entity: &str, input: Value) -> Value {
        self.store.insert(entity, record(input)).await.expect_err(self.name).body()
    }

    pub async fn find(&self, entity: &str, segment: &str) -> Option<Record> {
        self.store.get(entity, &self.store.key(entity, segment)).await.unwrap()
    }

    pub async fn count(&self, entity: &str) -> u64 {
        self.store.count(entity).await.unwrap()
    }
}

/// All records of all workspaces, with their entities.
pub async fn everything(store: &Store) -> (Revision, Vec<(String, Record)>) {
    let take = |all: &mut Vec<_>, entity: &str, record: &Record| all.push((entity.to_owned(), record.clone()));
    store.replay(Vec::new(), take).await.unwrap()
}

/// Takes what is new to a follower; `None`: it has to read everything.
pub fn news(follower: &mut Follower) -> Option<Vec<Change>> {
    let (revision, commits) = follower.changes()?;
    follower.taken(revision);
    Some(commits.iter().flat_map(|changes| changes.iter()).cloned().collect())
}

pub fn record(value: Value) -> Record {
    value.as_object().cloned().unwrap()
}

pub fn id(text: &str) -> Key {
    Key::Id(text.to_owned())
}

pub fn name(text: &str) -> Key {
    Key::Name(text.to_owned())
}

/// A UUID that sorts by its number.
pub fn uuid(number: u64) -> String {
    format!("{number:08x}-0000-4000-8000-000000000000")
}

pub fn catalog() -> Arc<Catalog> {
    catalog_with(|_, _| {})
}

/// The catalog, after `change` has seen each schema's text.
pub fn catalog_with(change: impl Fn(&str, &mut Value)) -> Arc<Catalog> {
    let mut catalog = Catalog::default();
    for mut schema in schemas() {
        let name = schema["name"].as_str().unwrap().to_owned();
        change(&name, &mut schema);
        catalog.add_entity(Schema::parse(&schema.to_string()).unwrap());
    }
    Arc::new(catalog)
}

fn schemas() -> Vec<Value> {
    let id = || json!({"id": {"type": "string", "uuid": true, "auto": true}});
    let created = || json!({"created_at": {"type": "integer", "timestamp": true, "auto": true}});
    let updated = || json!({"updated_at": {"type": "integer", "timestamp": true, "auto": true}});
    let tags = || json!({"tags": {"type": "set", "elements": {"type": "string", "required": true}}});
    let unique = |name: &str| json!({name: {"type": "string", "unique": true}});
    let foreign = |name: &str, reference: &str, on_delete: Value| {
        let mut field = json!({"type": "foreign", "reference": reference});
        if !on_delete.is_null() {
            field["on_delete"] = on_delete;
        }
        json!({name: field})
    };
    vec![
        json!({"name": "workspaces", "endpoint_key": "name", "fields": [id(), {"name": {"type": "string",
            "unique": true, "required": true}},
            {"comment": {"type": "string"}}]}),
        json!({"name": "certificates", "workspaceable": true, "fields": [id(), {"cert": {"type": "string",
            "required": true}}, tags(),
            {"snis": {"type": "array", "elements": {"type": "string"}, "transient": true}}]}),
        json!({"name": "snis", "workspaceable": true, "endpoint_key": "name", "fields": [id(),
            {"name": {"type": "string", "unique": true, "unique_across_ws": true}}, foreign("certificate",
            "certificates", Value::Null)]}),
        json!({"name": "services", "workspaceable": true, "endpoint_key": "name", "fields": [id(), created(),
            updated(), unique("name"),
            {"host": {"type": "string", "required": true}}, {"port": {"type": "integer", "default": 80}},
            {"enabled": {"type": "boolean", "default": true}}, tags(), foreign("client_certificate", "certificates",
            Value::Null)]}),
        json!({"name": "routes", "workspaceable": true, "endpoint_key": "name", "fields": [id(), unique("name"),
            {"protocols": {"type": "set", "elements": {"type": "string"}, "default": ["http", "https"]}},
            {"paths": {"type": "array", "elements": {"type": "string"}}},
            {"headers": {"type": "map", "keys": {"type": "string"},
                "values": {"type": "array", "elements": {"type": "string"}}}},
            foreign("service", "services", Value::Null), tags()]}),
        json!({"name": "consumers", "workspaceable": true, "endpoint_key": "username", "fields": [id(),
            unique("username"), unique("custom_id"), tags(),
            foreign("favourite", "services", json!("null"))]}),
        json!({"name": "plugins", "workspaceable": true, "endpoint_key": "instance_name", "cache_key": ["name",
            "route", "service", "consumer"], "fields": [id(),
            {"name": {"type": "string", "required": true}}, unique("instance_name"),
            {"protocols": {"type": "set", "elements": {"type": "string"}, "default": ["http", "https"]}},
            foreign("route", "routes", json!("cascade")), foreign("service", "services", json!("cascade")),
            foreign("consumer", "consumers", json!("cascade")), {"config": {"type": "map",
                "keys": {"type": "string"}, "values": {"type": "any"}}}]}),
        json!({"name": "upstreams", "workspaceable": true, "endpoint_key": "name", "fields": [id(), unique("name"),
            {"slots": {"type": "integer", "default": 10000}}]}),
        json!({"name": "targets", "workspaceable": true, "endpoint_key": "target", "cache_key": ["upstream",
            "target"], "fields": [id(),
            {"created_at": {"type": "number", "timestamp": true, "auto": true}}, foreign("upstream", "upstreams",
                json!("cascade")),
            {"target": {"type": "string", "required": true}}, {"weight": {"type": "integer", "default": 100}}]}),
        json!({"name": "acls", "workspaceable": true, "cache_key": ["consumer", "group"], "fields": [id(),
            foreign("consumer", "consumers", json!("cascade")), {"group": {"type": "string", "required": true}}]}),
        json!({"name": "keyauth_credentials", "workspaceable": true, "endpoint_key": "key", "ttl": true,
            "fields": [id(), created(),
            {"key": {"type": "string", "unique": true, "auto": true}}, foreign("consumer", "consumers",
                json!("cascade")), tags()]}),
        json!({"name": "tokens", "workspaceable": true, "endpoint_key": "token", "ttl": true, "in_snapshot": false,
            "fields": [id(), created(), unique("token"), {"scope": {"type": "string"}},
            foreign("consumer", "consumers", json!("cascade"))]}),
        json!({"name": "rbac_users", "workspaceable": true, "endpoint_key": "name", "in_snapshot": false,
            "fields": [id(), unique("name"), {"user_token_ident": {"type": "string"}}]}),
        json!({"name": "metrics", "primary_key": ["identifier", "period", "period_date", "service_id", "route_id"],
            "in_snapshot": false, "ttl": true,
            "fields": [{"identifier": {"type": "string", "required": true}}, {"period": {"type": "string",
                "required": true}}, {"period_date": {"type": "integer", "timestamp": true, "required": true}},
            {"service_id": {"type": "string", "uuid": true, "required": true}},
            {"route_id": {"type": "string", "uuid": true, "required": true}}, {"value": {"type": "integer"}}]}),
        json!({"name": "visits", "primary_key": ["consumer", "day", "page"], "workspaceable": true, "ttl": true,
            "in_snapshot": false, "fields": [foreign("consumer", "consumers", json!("cascade")),
            {"day": {"type": "integer", "timestamp": true, "required": true}},
            {"page": {"type": "string", "required": true}}, {"count": {"type": "integer"}}, unique("ticket")]}),
        json!({"name": "parameters", "primary_key": ["key"], "fields": [{"key": {"type": "string",
            "required": true}}, {"value": {"type": "string"}}]}),
    ]
}
