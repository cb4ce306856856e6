//! Records of plugins' own that requests read and write: tokens, sessions, counters.
//!
//! No snapshot holds them ([`crate::PluginKind::entities`]). A request that asks for one waits on its worker while the
//! store is asked on the control runtime, so that a slow database slows those requests and no other.

use crate::{BoxFuture, Record, Tasks};
use model::Error;
use model::entities::Uuid;
use serde_json::Value;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// The way to the store. Clones share their limits.
#[derive(Clone)]
pub struct Records {
    store: Option<Arc<dyn RecordStore>>,
    tasks: Tasks,
    places: Arc<Semaphore>,
    patience: Duration,
}

/// Who keeps records. Entities go by their names, and `workspace` says whose records are meant; the nil one stands for
/// the default workspace.
pub trait RecordStore: Send + Sync {
    /// Why nothing can be written here, where that is so.
    fn read_only(&self) -> Option<&'static str> {
        None
    }

    /// What its schema says of an entity: `name`, `primary_key`, `endpoint_key`, `cache_key`, `workspaceable`, `ttl`
    /// and `fields`; null where there is no such entity.
    fn describe(&self, _entity: &str) -> Value {
        Value::Null
    }

    /// What the schema of a plugin's configuration says: `name` and `fields`, null where there is no such plugin;
    /// without a name, `PRIORITY` and `VERSION` of all plugins by their names.
    fn describe_plugin(&self, _plugin: &str) -> Value {
        Value::Null
    }

    /// What is wrong with a new record of an entity: errors by fields; null where nothing is.
    fn validate(&self, _entity: &str, _record: Record) -> BoxFuture<'static, Result<Value, Error>> {
        Box::pin(std::future::ready(Ok(Value::Null)))
    }

    /// The record of that id.
    fn get(&self, workspace: Uuid, entity: &str, id: &str) -> BoxFuture<'static, Result<Option<Record>, Error>>;

    /// Some of the records of an entity, from an offset on.
    fn page(
        &self,
        workspace: Uuid,
        entity: &str,
        size: usize,
        offset: Option<String>,
    ) -> BoxFuture<'static, Result<RecordPage, Error>>;

    /// The record whose unique field has that value.
    fn find(
        &self,
        workspace: Uuid,
        entity: &str,
        field: &str,
        value: &str,
    ) -> BoxFuture<'static, Result<Option<Record>, Error>>;

    /// The records that refer to that id by that field.
    fn find_all(
        &self,
        workspace: Uuid,
        entity: &str,
        field: &str,
        id: Uuid,
    ) -> BoxFuture<'static, Result<Vec<Record>, Error>>;

    /// All records of an entity.
    fn all(&self, workspace: Uuid, entity: &str) -> BoxFuture<'static, Result<Vec<Record>, Error>>;

    /// Adds a record, completed by its schema; with a `ttl`, in seconds, where the entity has that.
    fn insert(&self, workspace: Uuid, entity: &str, input: Record) -> BoxFuture<'static, Result<Record, Error>>;

    /// Changes the fields of a record that the change names; `None`: there is none of that id.
    fn update(
        &self,
        workspace: Uuid,
        entity: &str,
        id: &str,
        change: Record,
    ) -> BoxFuture<'static, Result<Option<Record>, Error>>;

    /// Creates a record of that id, or replaces the one that there is.
    fn upsert(
        &self,
        workspace: Uuid,
        entity: &str,
        id: &str,
        input: Record,
    ) -> BoxFuture<'static, Result<Record, Error>>;

    /// Deletes a record; false when it was not there. Of several who ask, one gets true.
    fn delete(&self, workspace: Uuid, entity: &str, id: &str) -> BoxFuture<'static, Result<bool, Error>>;

    /// Adds to counters, all or none of them; what others add at the same time counts too.
    fn add(&self, additions: Vec<Addition>) -> BoxFuture<'static, Result<(), Error>>;

    /// What counters have come to, in that order; 0 where nothing was added.
    fn counts(&self, counters: Vec<Counter>) -> BoxFuture<'static, Result<Vec<i64>, Error>>;

    /// Runs text in SQL: what each statement comes to. That is `true`, an object with `affected_rows`, or one with
    /// `rows`, too.
    fn query(&self, _text: String) -> BoxFuture<'static, Result<Vec<Value>, Error>> {
        Box::pin(std::future::ready(Err(Error::operation_unsupported("cannot perform queries without a database"))))
    }

    /// Tells other nodes on the same database of something that is no record, on one of Kong's channels.
    fn announce(&self, _channel: String, _data: String) -> BoxFuture<'static, Result<(), Error>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Some records, and the offset of those that follow, if there are any.
pub type RecordPage = (Vec<Record>, Option<String>);

/// A counter that all nodes of a database share: what Kong keeps in `ratelimiting_metrics`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Counter {
    /// The entity; its primary key is made of the other fields.
    pub entity: &'static str,
    /// Who is counted.
    pub identifier: String,
    /// `second`, say.
    pub period: String,
    /// When the period began, in Unix milliseconds.
    pub began: i64,
    /// What the limit is for; nil where it is for all.
    pub service: Uuid,
    pub route: Uuid,
}

/// What is added to a counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addition {
    pub counter: Counter,
    pub amount: i64,
    /// How long the counter is kept from now on.
    pub kept: Duration,
}

/// Why there is no answer from the store. Nothing is said of whether a write has happened, but after [`Busy`], when it
/// has not.
///
/// [`Busy`]: RecordsError::Busy
#[derive(Debug)]
pub enum RecordsError {
    /// Too many requests wait for the store already.
    Busy,
    /// The store did not answer in time, or the node ends.
    Late,
    Store(Error),
}

/// How many requests wait for the store at once, at most.
const PLACES: usize = 1024;
/// How long a request waits for the store.
const PATIENCE: Duration = Duration::from_secs(5);

impl Records {
    /// Records of that store, asked on those tasks' runtime.
    pub fn new(store: Arc<dyn RecordStore>, tasks: Tasks) -> Records {
        Records { store: Some(store), ..Records::nowhere(tasks) }
    }

    /// Without a store: every question is an error.
    pub(crate) fn nowhere(tasks: Tasks) -> Records {
        Records { store: None, tasks, places: Arc::new(Semaphore::new(PLACES)), patience: PATIENCE }
    }

    /// With other limits than the usual ones.
    pub fn with_limits(self, places: usize, patience: Duration) -> Records {
        Records { places: Arc::new(Semaphore::new(places)), patience, ..self }
    }

    /// Why nothing can be written, where that is so: for [`crate::Plugin::degraded`].
    pub fn read_only(&self) -> Option<&'static str> {
        self.store.as_ref().map_or(Some("there is no store"), |store| store.read_only())
    }

    /// See [`RecordStore::describe`].
    pub fn describe(&self, entity: &str) -> Value {
        self.store.as_ref().map_or(Value::Null, |store| store.describe(entity))
    }

    /// See [`RecordStore::validate`].
    pub async fn validate(&self, entity: &str, record: Record) -> Result<Value, RecordsError> {
        self.ask(|store| store.validate(entity, record)).await
    }

    /// See [`RecordStore::get`].
    pub async fn get(&self, workspace: Uuid, entity: &str, id: &str) -> Result<Option<Record>, RecordsError> {
        self.ask(|store| store.get(workspace, entity, id)).await
    }

    /// See [`RecordStore::describe_plugin`].
    pub fn describe_plugin(&self, plugin: &str) -> Value {
        self.store.as_ref().map_or(Value::Null, |store| store.describe_plugin(plugin))
    }

    /// See [`RecordStore::page`].
    pub async fn page(
        &self,
        workspace: Uuid,
        entity: &str,
        size: usize,
        offset: Option<String>,
    ) -> Result<RecordPage, RecordsError> {
        self.ask(|store| store.page(workspace, entity, size, offset)).await
    }

    /// See [`RecordStore::find`].
    pub async fn find(
        &self,
        workspace: Uuid,
        entity: &str,
        field: &str,
        value: &str,
    ) -> Result<Option<Record>, RecordsError> {
        self.ask(|store| store.find(workspace, entity, field, value)).await
    }

    /// See [`RecordStore::find_all`].
    pub async fn find_all(
        &self,
        workspace: Uuid,
        entity: &str,
        field: &str,
        id: Uuid,
    ) -> Result<Vec<Record>, RecordsError> {
        self.ask(|store| store.find_all(workspace, entity, field, id)).await
    }

    /// See [`RecordStore::all`].
    pub async fn all(&self, workspace: Uuid, entity: &str) -> Result<Vec<Record>, RecordsError> {
        self.ask(|store| store.all(workspace, entity)).await
    }

    /// See [`RecordStore::insert`].
    pub async fn insert(&self, workspace: Uuid, entity: &str, input: Record) -> Result<Record, RecordsError> {
        self.ask(|store| store.insert(workspace, entity, input)).await
    }

    /// See [`RecordStore::update`].
    pub async fn update(
        &self,
        workspace: Uuid,
        entity: &str,
        id: &str,
        change: Record,
    ) -> Result<Option<Record>, RecordsError> {
        self.ask(|store| store.update(workspace, entity, id, change)).await
    }

    /// See [`RecordStore::upsert`].
    pub async fn upsert(&self, workspace: Uuid, entity: &str, id: &str, input: Record) -> Result<Record, RecordsError> {
        self.ask(|store| store.upsert(workspace, entity, id, input)).await
    }

    /// See [`RecordStore::delete`].
    pub async fn delete(&self, workspace: Uuid, entity: &str, id: &str) -> Result<bool, RecordsError> {
        self.ask(|store| store.delete(workspace, entity, id)).await
    }

    /// See [`RecordStore::add`].
    pub async fn add(&self, additions: Vec<Addition>) -> Result<(), RecordsError> {
        self.ask(|store| store.add(additions)).await
    }

    /// See [`RecordStore::counts`].
    pub async fn counts(&self, counters: Vec<Counter>) -> Result<Vec<i64>, RecordsError> {
        self.ask(|store| store.counts(counters)).await
    }

    /// See [`RecordStore::query`].
    pub async fn query(&self, text: String) -> Result<Vec<Value>, RecordsError> {
        self.ask(|store| store.query(text)).await
    }

    /// See [`RecordStore::announce`].
    pub async fn announce(&self, channel: String, data: String) -> Result<(), RecordsError> {
        self.ask(|store| store.announce(channel, data)).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn RecordStore) -> BoxFuture<'static, Result<T, Error>>,
    ) -> Result<T, RecordsError> {
        let store = self.store.as_ref().ok_or_else(|| RecordsError::Store(Error::database("there is no store")))?;
        let _place = self.places.try_acquire().map_err(|_| RecordsError::Busy)?;
        let answer = tokio::time::timeout(self.patience, question(&**store));
        match self.tasks.call("records", answer).await {
            Some(Ok(answer)) => answer.map_err(RecordsError::Store),
            Some(Err(_)) | None => Err(RecordsError::Late),
        }
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").field("places", &self.places.available_permits()).finish_non_exhaustive()
    }
}

impl fmt::Display for RecordsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordsError::Busy => f.write_str("too many requests wait for the database"),
            RecordsError::Late => f.write_str("the database did not answer in time"),
            RecordsError::Store(error) => f.write_str(&error.message),
        }
    }
}

impl std::error::Error for RecordsError {}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::watch;

    /// A store that answers when it is told to.
    struct Slow(watch::Receiver<bool>);

    impl RecordStore for Slow {
        fn get(&self, _: Uuid, _: &str, _: &str) -> BoxFuture<'static, Result<Option<Record>, Error>> {
            Box::pin(async { Ok(None) })
        }

        fn page(&self, _: Uuid, _: &str, _: usize, _: Option<String>) -> BoxFuture<'static, Result<RecordPage, Error>> {
            Box::pin(async { Ok((Vec::new(), None)) })
        }

        fn upsert(&self, _: Uuid, _: &str, _: &str, input: Record) -> BoxFuture<'static, Result<Record, Error>> {
            Box::pin(async { Ok(input) })
        }

        fn find(&self, _: Uuid, _: &str, _: &str, _: &str) -> BoxFuture<'static, Result<Option<Record>, Error>> {
            let mut ready = self.0.clone();
            Box::pin(async move {
                let _ = ready.wait_for(|ready| *ready).await;
                Ok(Some(Record::new()))
            })
        }

        fn find_all(&self, _: Uuid, _: &str, _: &str, _: Uuid) -> BoxFuture<'static, Result<Vec<Record>, Error>> {
            Box::pin(async { Ok(Vec::new()) })
        }

        fn all(&self, _: Uuid, _: &str) -> BoxFuture<'static, Result<Vec<Record>, Error>> {
            Box::pin(async { Ok(Vec::new()) })
        }

        fn insert(&self, _: Uuid, _: &str, _: Record) -> BoxFuture<'static, Result<Record, Error>> {
            Box::pin(async { Err(Error::database("the disk is full")) })
        }

        fn update(&self, _: Uuid, _: &str, _: &str, _: Record) -> BoxFuture<'static, Result<Option<Record>, Error>> {
            Box::pin(async { Ok(None) })
        }

        fn delete(&self, _: Uuid, _: &str, _: &str) -> BoxFuture<'static, Result<bool, Error>> {
            Box::pin(async { Ok(true) })
        }

        fn add(&self, _: Vec<Addition>) -> BoxFuture<'static, Result<(), Error>> {
            Box::pin(async { Ok(()) })
        }

        fn counts(&self, _: Vec<Counter>) -> BoxFuture<'static, Result<Vec<i64>, Error>> {
            Box::pin(async { Ok(Vec::new()) })
        }
    }

    async fn find(records: &Records) -> Result<Option<Record>, RecordsError> {
        records.find(Uuid::nil(), "tokens", "token", "t").await
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_nor_behind_too_many() {
        let (ready, told) = watch::channel(false);
        let records = Records::new(Arc::new(Slow(told)), Tasks::default()).with_limits(1, Duration::from_secs(1));
        let (first, second) = tokio::join!(find(&records), find(&records));
        assert!(matches!(first, Err(RecordsError::Late)));
        assert!(matches!(second, Err(RecordsError::Busy)));
        ready.send_replace(true);
        assert_eq!(find(&records).await.unwrap(), Some(Record::new()));
    }

    #[tokio::test]
    async fn failures_are_told_apart() {
        let records = Records::new(Arc::new(Slow(watch::channel(true).1)), Tasks::default());
        let failed = records.insert(Uuid::nil(), "tokens", Record::new()).await.unwrap_err();
        assert_eq!(failed.to_string(), "the disk is full");
        let nowhere = Records::nowhere(Tasks::default());
        assert!(matches!(find(&nowhere).await, Err(RecordsError::Store(_))));
        assert!(nowhere.read_only().is_some());
    }
}
