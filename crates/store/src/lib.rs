//! The configuration store: one generic data-access layer over several backends, and the feed of changes
//! from which snapshots are compiled.

mod change;
mod page;

pub use change::{Change, Operation, Revision};
pub use page::{Page, PageQuery, TagFilter};

use model::{Catalog, Error, Record};
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

impl Store {
    /// The schemas that records are checked by.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// One record.
    pub async fn get(&self, entity: &str, key: &Key) -> Result<Option<Record>, Error> {
        todo!("{entity} {key:?}")
    }

    /// One page of a collection, optionally only what a foreign key or tags select.
    pub async fn page(&self, entity: &str, query: &PageQuery) -> Result<Page, Error> {
        todo!("{entity} {query:?}")
    }

    /// Adds a record (`POST`). `input` is what the client sent; the schema completes it.
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

    /// Everything there is, as inserts, at one consistent revision: what a node starts from.
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
