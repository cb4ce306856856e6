//! The seam between the data-access rules and where records live. Backends know tables, rows and indexes; what
//! is valid, unique or referred to is decided above them, inside their transactions.

mod cells;
pub mod memory;
pub mod sql;
pub mod sqlite;

use crate::layout::{Foreign, Table};
use crate::{Change, Revision, TagEntry, TagFilter};
use futures_util::future::BoxFuture;
use model::{Error, Record};
use serde_json::Value;

/// Where records live. All methods may be called from any task at the same time.
pub trait Backend: Send + Sync {
    /// Runs `query` on one consistent state: the effects of a write are seen whole or not at all. It runs where
    /// blocking is allowed. A panic in it is an error for its caller only.
    fn read(&self, query: Query) -> BoxFuture<'_, Result<(), Error>>;

    /// Runs `work` in a transaction that no other write overlaps. When it fails, nothing has happened. When it
    /// returns changes, the next revision is recorded with them in the same transaction; once that is durable,
    /// the feed gets them (in the order of revisions, before any later write is answered) and the future ends with
    /// that revision. Without changes it ends with the newest revision.
    /// Once started, a write goes on when the future is dropped.
    fn write(&self, work: Work) -> BoxFuture<'_, Result<Revision, Error>>;
}

/// A read, given to [`Backend::read`].
pub type Query = Box<dyn FnOnce(&mut dyn Reader) -> Result<(), Error> + Send>;

/// A write, given to [`Backend::write`].
pub type Work = Box<dyn FnOnce(&mut dyn Writer) -> Result<Vec<Change>, Error> + Send>;

/// What can be asked inside a transaction.
pub trait Reader {
    /// The row with that primary key, expired or not.
    fn get(&mut self, table: &Table, id: &str) -> Result<Option<Row>, Error>;

    /// The first row, by primary key, that has `value` in a column of the table's `lookups`, expired or not.
    fn find(&mut self, table: &Table, column: &str, value: &str) -> Result<Option<Row>, Error>;

    /// Rows in the order of their primary key.
    fn scan(&mut self, table: &Table, selection: &Selection<'_>) -> Result<Vec<Row>, Error>;

    /// Shows all rows that have not expired, in the order of their primary key, one after the other in the same memory.
    fn visit(
        &mut self,
        table: &Table,
        now: i64,
        visit: &mut dyn FnMut(&mut Row) -> Result<(), Error>,
    ) -> Result<(), Error>;

    /// How many rows have not expired.
    fn count(&mut self, table: &Table, now: i64) -> Result<u64, Error>;

    /// Tags in the order of (id, entity, place), after such a position, of all names or of one.
    fn tags(
        &mut self,
        tag: Option<&str>,
        after: Option<(&str, &str, u32)>,
        limit: usize,
    ) -> Result<Vec<TagEntry>, Error>;

    /// Rows that have expired, at most `limit`.
    fn expired(&mut self, table: &Table, now: i64, limit: usize) -> Result<Vec<Row>, Error>;

    /// When the first row expires, in Unix milliseconds.
    fn next_expiry(&mut self, table: &Table) -> Result<Option<i64>, Error>;

    /// The newest revision of the state that is read.
    fn revision(&mut self) -> Result<Revision, Error>;
}

/// What can be done inside a writing transaction. Nothing is checked here: the caller has.
pub trait Writer: Reader {
    /// Adds a row, or replaces `old`, which has the same primary key.
    fn put(&mut self, table: &Table, row: &Row, old: Option<&Row>) -> Result<(), Error>;

    /// Removes a row.
    fn remove(&mut self, table: &Table, row: &Row) -> Result<(), Error>;
}

/// A stored record.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// With all stored fields of its schema and without `ttl`.
    pub record: Record,
    /// When it ends, in Unix milliseconds.
    pub expires: Option<i64>,
}

/// Which rows a scan returns.
#[derive(Debug)]
pub struct Selection<'a> {
    /// Only rows with a greater primary key.
    pub after: Option<&'a str>,
    pub limit: usize,
    /// Only rows that refer to that id.
    pub foreign: Option<(&'a Foreign, &'a str)>,
    pub tags: Option<&'a TagFilter>,
    /// Only rows that have not expired by then, in Unix milliseconds.
    pub now: i64,
}

impl Row {
    pub fn is_live(&self, now: i64) -> bool {
        self.expires.is_none_or(|expires| expires > now)
    }

    /// The tags of the record.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.record.get("tags").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }
}

/// A failure of the backend itself: nobody's input is to blame, and a retry is allowed.
pub fn failure(cause: impl std::fmt::Display) -> Error {
    tracing::error!("store: {cause}");
    Error::database(cause)
}
