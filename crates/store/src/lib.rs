//! The configuration store: one generic data-access layer over several backends, and the feed of changes
//! from which snapshots are compiled.

mod change;
mod page;

pub use change::{Change, Operation, Revision};
pub use page::{Page, PageQuery, TagEntry, TagFilter, TagPage, page_size};

use model::{Catalog, Error, Record};
use std::path::Path;
use std::sync::Arc;

/// Access to all entities. Cheap to clone; every method may wait for the backend and is called on the control
/// runtime, never on a worker.
#[derive(Clone)]
pub struct Store {
    catalog: Arc<Catalog>,
}

/// How a record is named in a path: by primary key or by the entity's endpoint key (`name`, `username`, `key` …).
#[derive(Clone, Debug, PartialEq)]
pub enum Key {
    Id(String),
    /// The field's value; which field is the schema's `endpoint_key`.
    Name(String),
}

/// A record after a write, and the revision at which it can be seen by the proxy.
#[derive(Clone, Debug)]
pub struct Written {
    pub record: Record,
    pub revision: Revision,
}

/// One write of a batch, see [`Store::apply`].
#[derive(Clone, Debug)]
pub enum Write {
    Insert { entity: String, input: Record },
    Update { entity: String, key: Key, input: Record },
    Upsert { entity: String, key: Key, input: Record },
    Delete { entity: String, key: Key },
}

impl Store {
    /// A store in one SQLite file, which is created when missing. An answered write is on disk.
    pub async fn open_sqlite(catalog: Arc<Catalog>, path: &Path) -> Result<Store, Error> {
        todo!("{catalog:?} {path:?}")
    }

    /// A store that lives and dies with the process: tests and DB-less nodes.
    pub fn memory(catalog: Arc<Catalog>) -> Result<Store, Error> {
        todo!("{catalog:?}")
    }

    /// The schemas that records are checked by.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// What a path segment names: a UUID is an id; else the entity's endpoint key, if it has one.
    pub fn key(&self, entity: &str, segment: &str) -> Key {
        todo!("{entity} {segment}")
    }

    /// One record.
    pub async fn get(&self, entity: &str, key: &Key) -> Result<Option<Record>, Error> {
        todo!("{entity} {key:?}")
    }

    /// The record whose unique field has that value (`custom_id` of consumers).
    pub async fn get_by(&self, entity: &str, field: &str, value: &str) -> Result<Option<Record>, Error> {
        todo!("{entity} {field} {value}")
    }

    /// Several records by id, in the order asked for; ids of nothing are left out.
    pub async fn get_many(&self, entity: &str, ids: &[String]) -> Result<Vec<Record>, Error> {
        todo!("{entity} {ids:?}")
    }

    /// Every record whose foreign key field points at that id (`targets` by `upstream`), ordered by id.
    pub async fn all_for(&self, entity: &str, field: &str, id: &str) -> Result<Vec<Record>, Error> {
        todo!("{entity} {field} {id}")
    }

    /// One page of a collection, optionally only what a foreign key or tags select.
    pub async fn page(&self, entity: &str, query: &PageQuery) -> Result<Page, Error> {
        todo!("{entity} {query:?}")
    }

    /// One page of all tags, or of the entities with one tag. `query` gives size and offset.
    pub async fn page_tags(&self, tag: Option<&str>, query: &PageQuery) -> Result<TagPage, Error> {
        todo!("{tag:?} {query:?}")
    }

    /// How many records there are.
    pub async fn count(&self, entity: &str) -> Result<u64, Error> {
        todo!("{entity}")
    }

    /// Adds a record (`POST`). `input` is what the client sent; the schema completes it.
    /// For entities with a `ttl`, `input` may have one, in seconds.
    pub async fn insert(&self, entity: &str, input: Record) -> Result<Written, Error> {
        todo!("{entity} {input:?}")
    }

    /// Changes a record (`PATCH`); `None` when there is none.
    pub async fn update(&self, entity: &str, key: &Key, input: Record) -> Result<Option<Written>, Error> {
        todo!("{entity} {key:?} {input:?}")
    }

    /// Creates or replaces a record (`PUT`).
    pub async fn upsert(&self, entity: &str, key: &Key, input: Record) -> Result<Written, Error> {
        todo!("{entity} {key:?} {input:?}")
    }

    /// Deletes a record with what cascades from it; the revision is `None` when there was nothing to delete.
    pub async fn delete(&self, entity: &str, key: &Key) -> Result<Option<Revision>, Error> {
        todo!("{entity} {key:?}")
    }

    /// Does all writes in one transaction, in order; the first that fails undoes all. The records are those of
    /// the writes, `None` for deletions and for updates of nothing.
    pub async fn apply(&self, writes: Vec<Write>) -> Result<(Revision, Vec<Option<Record>>), Error> {
        todo!("{writes:?}")
    }

    /// Deletes all records of an entity, and whatever refers to them.
    pub async fn truncate(&self, entity: &str) -> Result<Revision, Error> {
        todo!("{entity}")
    }

    /// Deletes what has outlived its `ttl`. Returns when the next record expires, in Unix milliseconds.
    pub async fn purge(&self) -> Result<Option<i64>, Error> {
        todo!()
    }

    /// Purges whenever a record expires, for ever: to be spawned once on the control runtime.
    pub async fn run_expiry(&self) {
        todo!()
    }

    /// Everything there is, as inserts, at one consistent revision: what a node starts from. Entities come in the
    /// catalog's order, so that what is referred to precedes what refers to it.
    pub async fn snapshot(&self) -> Result<(Revision, Vec<Change>), Error> {
        todo!()
    }

    /// The changes after a revision, in order, and the revision they lead to. `None`: the feed no longer reaches
    /// back that far, take a [`Store::snapshot`].
    pub async fn changes_since(&self, revision: Revision) -> Result<Option<(Revision, Vec<Change>)>, Error> {
        todo!("{revision:?}")
    }

    /// Wakes whoever compiles snapshots: its value is the newest revision.
    pub fn watch(&self) -> tokio::sync::watch::Receiver<Revision> {
        todo!()
    }
}
