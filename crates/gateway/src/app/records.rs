//! The store as plugins see it: records that requests read and write.

use crate::settings::Settings;
use model::{Error, PluginSchema};
use sdk::entities::Uuid;
use sdk::{Addition, BoxFuture, Counter, Record, RecordPage, RecordStore, Records, Tasks};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Key, PageQuery, Scope, Store};

/// How many records are read at once.
const PAGE: usize = 1000;

/// The records of that store, asked on those tasks' runtime.
pub fn of(store: Store, settings: &Settings, tasks: Tasks) -> Records {
    let why = "this node has no database, and so keeps nothing for requests";
    let read_only = settings.dbless().then_some(why);
    let store = if settings.dbless() { store.read_only() } else { store };
    Records::new(Arc::new(StoredRecords { store, read_only }), tasks)
}

struct StoredRecords {
    store: Store,
    read_only: Option<&'static str>,
}

impl StoredRecords {
    /// The store of a workspace, and an entity's name: what a future needs that outlives the call.
    fn of(&self, workspace: Uuid, entity: &str) -> (Store, String) {
        let scoped = || self.store.of(Scope::Workspace(workspace));
        (if workspace.is_nil() { self.store.clone() } else { scoped() }, entity.to_owned())
    }
}

impl RecordStore for StoredRecords {
    fn read_only(&self) -> Option<&'static str> {
        self.read_only
    }

    fn describe_plugin(&self, plugin: &str) -> Value {
        let catalog = self.store.catalog();
        let known = |(name, plugin): (&str, &PluginSchema)| {
            (name.to_owned(), json!({ "PRIORITY": plugin.priority, "VERSION": plugin.version }))
        };
        match catalog.plugin(plugin) {
            Some(found) => json!({ "name": plugin, "fields": found.schema.describe()["fields"] }),
            None if plugin.is_empty() => Value::Object(catalog.plugins().map(known).collect()),
            None => Value::Null,
        }
    }

    fn describe(&self, entity: &str) -> Value {
        let Some(schema) = self.store.catalog().entity(entity) else { return Value::Null };
        json!({
            "name": schema.name,
            "primary_key": schema.primary_key(),
            "endpoint_key": schema.endpoint_key(),
            "cache_key": schema.cache_key(),
            "workspaceable": schema.workspaceable(),
            "ttl": schema.ttl(),
            "fields": schema.describe()["fields"],
        })
    }

    fn validate(&self, entity: &str, record: Record) -> BoxFuture<'static, Result<Value, Error>> {
        let (store, entity) = (self.store.clone(), entity.to_owned());
        Box::pin(async move {
            let catalog = store.catalog();
            let Some(schema) = catalog.entity(&entity) else { return Ok(Value::Null) };
            Ok(schema.validate(catalog, record).map_or_else(|error| error.fields, |()| Value::Null))
        })
    }

    fn get(&self, workspace: Uuid, entity: &str, id: &str) -> BoxFuture<'static, Result<Option<Record>, Error>> {
        let ((store, entity), id) = (self.of(workspace, entity), Key::Id(id.to_owned()));
        Box::pin(async move { store.get(&entity, &id).await })
    }

    fn page(
        &self,
        workspace: Uuid,
        entity: &str,
        size: usize,
        offset: Option<String>,
    ) -> BoxFuture<'static, Result<RecordPage, Error>> {
        let (store, entity) = self.of(workspace, entity);
        Box::pin(async move {
            let query = PageQuery { size, offset, ..PageQuery::default() };
            // No entity has such a name: tags are those of all records.
            if entity == "tags" || entity.starts_with("tags:") {
                let page = store.page_tags(entity.strip_prefix("tags:"), &query).await?;
                let tags = page.data.iter().map(|tag| tag.body().as_object().cloned().unwrap_or_default());
                return Ok((tags.collect(), page.offset));
            }
            let page = store.page(&entity, &query).await?;
            Ok((page.data, page.offset))
        })
    }

    fn find(
        &self,
        workspace: Uuid,
        entity: &str,
        field: &str,
        value: &str,
    ) -> BoxFuture<'static, Result<Option<Record>, Error>> {
        let ((store, entity), field, value) = (self.of(workspace, entity), field.to_owned(), value.to_owned());
        Box::pin(async move { store.get_by(&entity, &field, &value).await })
    }

    fn find_all(
        &self,
        workspace: Uuid,
        entity: &str,
        field: &str,
        id: Uuid,
    ) -> BoxFuture<'static, Result<Vec<Record>, Error>> {
        let ((store, entity), field) = (self.of(workspace, entity), field.to_owned());
        Box::pin(async move { store.all_for(&entity, &field, &id.to_string()).await })
    }

    fn all(&self, workspace: Uuid, entity: &str) -> BoxFuture<'static, Result<Vec<Record>, Error>> {
        let (store, entity) = self.of(workspace, entity);
        Box::pin(async move {
            let (mut all, mut query) = (Vec::new(), PageQuery { size: PAGE, ..PageQuery::default() });
            loop {
                let page = store.page(&entity, &query).await?;
                all.extend(page.data);
                query.offset = page.offset;
                if query.offset.is_none() {
                    return Ok(all);
                }
            }
        })
    }

    fn insert(&self, workspace: Uuid, entity: &str, input: Record) -> BoxFuture<'static, Result<Record, Error>> {
        let (store, entity) = self.of(workspace, entity);
        Box::pin(async move { store.insert(&entity, input).await.map(|written| written.record) })
    }

    fn update(
        &self,
        workspace: Uuid,
        entity: &str,
        id: &str,
        change: Record,
    ) -> BoxFuture<'static, Result<Option<Record>, Error>> {
        let ((store, entity), id) = (self.of(workspace, entity), Key::Id(id.to_owned()));
        Box::pin(async move {
            let written = store.update(&entity, &id, change).await?;
            Ok(written.map(|written| written.record))
        })
    }

    fn upsert(
        &self,
        workspace: Uuid,
        entity: &str,
        id: &str,
        input: Record,
    ) -> BoxFuture<'static, Result<Record, Error>> {
        let ((store, entity), id) = (self.of(workspace, entity), Key::Id(id.to_owned()));
        Box::pin(async move { store.upsert(&entity, &id, input).await.map(|written| written.record) })
    }

    fn delete(&self, workspace: Uuid, entity: &str, id: &str) -> BoxFuture<'static, Result<bool, Error>> {
        let ((store, entity), id) = (self.of(workspace, entity), Key::Id(id.to_owned()));
        Box::pin(async move { store.delete(&entity, &id).await.map(|deleted| deleted.is_some()) })
    }

    fn add(&self, additions: Vec<Addition>) -> BoxFuture<'static, Result<(), Error>> {
        let store = self.store.clone();
        let additions = additions.into_iter().map(|addition| store::Addition {
            counter: counter(addition.counter),
            amount: addition.amount,
            kept: addition.kept,
        });
        let additions = additions.collect();
        Box::pin(async move { store.add(additions).await })
    }

    fn counts(&self, counters: Vec<Counter>) -> BoxFuture<'static, Result<Vec<i64>, Error>> {
        let store = self.store.clone();
        let counters = counters.into_iter().map(counter).collect();
        Box::pin(async move { store.counts(counters).await })
    }

    fn query(&self, text: String) -> BoxFuture<'static, Result<Vec<Value>, Error>> {
        let store = self.store.clone();
        Box::pin(async move { store.query(text).await })
    }

    fn announce(&self, channel: String, data: String) -> BoxFuture<'static, Result<(), Error>> {
        let store = self.store.clone();
        Box::pin(async move { store.announce(channel, data).await })
    }
}

fn counter(counter: Counter) -> store::Counter {
    let Counter { entity, identifier, period, began, service, route } = counter;
    store::Counter { entity: entity.to_owned(), identifier, period, began, service, route }
}
