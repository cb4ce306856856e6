//! The seam between the data-access rules and where records live. Backends know tables, rows and indexes; what
//! is valid, unique or referred to is decided above them, inside their transactions.

mod cells;
pub mod memory;
pub mod postgres;
pub mod sql;
pub mod sqlite;

use crate::feed::Changes;
use crate::layout::{Foreign, Lookup, Table};
use crate::{Addition, Counter, Revision, TagEntry, TagFilter};
use futures_util::future::BoxFuture;
use model::{Error, Record};
use serde_json::Value;
use std::borrow::Cow;
use uuid::Uuid;

/// Where records live. All methods may be called from any task at the same time.
pub trait Backend: Send + Sync {
    /// Runs `query` on one consistent state: the effects of a write are seen whole or not at all. It runs where
    /// blocking is allowed. A panic in it is an error for its caller only.
    fn read(&self, query: Query) -> BoxFuture<'_, Result<(), Error>>;

    /// The same on a state that may be an older one, where the database has a replica.
    fn read_replica(&self, query: Query) -> BoxFuture<'_, Result<(), Error>> {
        self.read(query)
    }

    /// Runs `work` in a transaction that no other write seems to overlap: when one does, what `work` did is undone,
    /// and it is run again. When it fails, nothing has happened. When it returns changes, they are made durable, then
    /// the feed gets them (in the order in which they were made, before any of them is answered), and the future ends
    /// with their revision. Without changes it ends with the newest revision. Once started, a write goes on when the
    /// future is dropped.
    fn write(&self, work: Work) -> BoxFuture<'_, Result<Revision, Error>>;

    /// Adds to counters, all or none of them. A database in which transactions would stand in each other's way here
    /// does it in one statement.
    fn add(&self, additions: Vec<Addition>, now: i64) -> BoxFuture<'_, Result<(), Error>> {
        let done = self.write(Box::new(move |writer| {
            writer.add(&additions, now)?;
            let mut changes = Changes::default();
            changes.push_untold();
            Ok(changes)
        }));
        Box::pin(async move { done.await.map(drop) })
    }

    /// Runs text in SQL, where there is a server for it.
    fn query(&self, _text: String) -> BoxFuture<'_, Result<Vec<Value>, Error>> {
        let why = "cannot perform queries: SQLite does not take the SQL that plugins write for Postgres (kong.db has \
                   records by entity)";
        Box::pin(async move { Err(Error::operation_unsupported(why)) })
    }

    /// Tells other nodes of something, where there may be some.
    fn announce(&self, _channel: Cow<'static, str>, _data: String) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }
}

/// A read, given to [`Backend::read`].
pub type Query = Box<dyn FnOnce(&mut dyn Reader) -> Result<(), Error> + Send>;

/// A write, given to [`Backend::write`]. Each run finds everything as if there had been none before.
pub type Work = Box<dyn FnMut(&mut dyn Writer) -> Result<Changes, Error> + Send>;

/// What can be asked inside a transaction.
pub trait Reader {
    /// The rows that are wanted, in that order, expired or not.
    fn find(&mut self, wanted: &[Wanted<'_>]) -> Result<Vec<Option<Row>>, Error>;

    /// The rows of each selection, in the order of their primary key.
    fn scan(&mut self, selections: &[Selection<'_>]) -> Result<Vec<Vec<Row>>, Error>;

    /// Shows all rows that have not expired, in the order of their primary key, one after the other in the same memory.
    fn visit(
        &mut self,
        table: &Table,
        now: i64,
        visit: &mut dyn FnMut(&mut Row) -> Result<(), Error>,
    ) -> Result<(), Error>;

    /// How many rows of a workspace, or of all, have not expired.
    fn count(&mut self, table: &Table, workspace: Option<Uuid>, now: i64) -> Result<u64, Error>;

    /// Tags in the order of (id, entity, place).
    fn tags(&mut self, selection: &TagSelection<'_>) -> Result<Vec<TagEntry>, Error>;

    /// Rows that have expired, at most `limit`.
    fn expired(&mut self, table: &Table, now: i64, limit: usize) -> Result<Vec<Row>, Error>;

    /// When the first row expires, in Unix milliseconds.
    fn next_expiry(&mut self, table: &Table) -> Result<Option<i64>, Error>;

    /// What counters have come to, in that order, unless they have expired.
    fn counts(&mut self, counters: &[Counter], now: i64) -> Result<Vec<i64>, Error>;

    /// A revision whose changes are all in the state that is read; to be asked before anything else. Changes that the
    /// feed has after it may be in it already.
    fn revision(&mut self) -> Result<Revision, Error>;
}

/// What can be done inside a writing transaction. Nothing is checked here: the caller has.
pub trait Writer: Reader {
    /// Does all of it, in that order.
    fn write(&mut self, writes: &[Write<'_>]) -> Result<(), Error>;

    /// Adds to counters, and removes some that have expired.
    fn add(&mut self, additions: &[Addition], now: i64) -> Result<(), Error>;
}

/// One row by what it is found by.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub table: &'a Table,
    pub by: By<'a>,
}

#[derive(Clone, Copy, Debug)]
pub enum By<'a> {
    /// The primary key.
    Id(&'a str),
    /// The first row, by primary key, with that value in a column with an index; of that workspace, where the index
    /// keeps workspaces apart.
    Value { lookup: &'a Lookup, workspace: Option<Uuid>, value: &'a str },
}

/// A change of one row.
#[derive(Clone, Copy, Debug)]
pub enum Write<'a> {
    /// Adds a row, or replaces `old`, which has the same primary key.
    Put {
        table: &'a Table,
        row: &'a Row,
        old: Option<&'a Row>,
    },
    Remove {
        table: &'a Table,
        row: &'a Row,
    },
}

/// A stored record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// With all stored fields of its schema, but for those that it may leave out where they are null, and without
    /// `ttl`.
    pub record: Record,
    /// The workspace that it belongs to, if its table has that.
    pub workspace: Option<Uuid>,
    /// When it ends, in Unix milliseconds.
    pub expires: Option<i64>,
}

impl Row {
    /// What plugins, and Kong nodes, keep of it under: the entity, five values, the workspace.
    pub fn cached_as(&self, table: &Table) -> String {
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            Value::Object(reference) => {
                reference.get("id").and_then(Value::as_str).map(str::to_owned).unwrap_or_default()
            }
            other => other.to_string(),
        };
        let value = |field: &String| self.record.get(field).map(text).unwrap_or_default();
        let mut values: Vec<String> = table.schema.cache_key().iter().map(value).collect();
        if values.iter().all(String::is_empty) {
            values = table.key_fields(&table.id(&self.record)).values().map(text).collect();
        }
        values.resize(5, String::new());
        let workspace = self.workspace.map(|id| id.to_string()).unwrap_or_default();
        format!("{}:{}:{workspace}", table.name, values.join(":"))
    }
}

/// Which rows a scan returns.
#[derive(Clone, Copy, Debug)]
pub struct Selection<'a> {
    pub table: &'a Table,
    /// Only rows of that workspace.
    pub workspace: Option<Uuid>,
    /// Only rows with a greater primary key.
    pub after: Option<&'a str>,
    pub limit: usize,
    /// Only rows that refer to one of those ids.
    pub foreign: Option<(&'a Foreign, &'a [&'a str])>,
    /// Only rows with that value in a column whose index does not keep workspaces apart; not together with `foreign`.
    pub value: Option<(&'a Lookup, &'a str)>,
    pub tags: Option<&'a TagFilter>,
    /// Only rows that have not expired by then, in Unix milliseconds.
    pub now: i64,
}

/// Which tags are listed.
#[derive(Clone, Copy, Debug)]
pub struct TagSelection<'a> {
    /// Only this one.
    pub tag: Option<&'a str>,
    /// Only those of records that belong to that workspace or to none.
    pub workspace: Option<Uuid>,
    /// Only what follows this position.
    pub after: Option<(&'a str, &'a str, u32)>,
    pub limit: usize,
}

impl<'a> Wanted<'a> {
    pub fn id(table: &'a Table, id: &'a str) -> Wanted<'a> {
        Wanted { table, by: By::Id(id) }
    }
}

impl<'a> Selection<'a> {
    /// All rows of a table, expired or not.
    pub fn all(table: &'a Table) -> Selection<'a> {
        Selection {
            table,
            workspace: None,
            after: None,
            limit: usize::MAX,
            foreign: None,
            value: None,
            tags: None,
            now: i64::MIN,
        }
    }
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

/// When a counter expires to which that is added, in Unix milliseconds.
pub fn expiry(addition: &Addition, now: i64) -> i64 {
    now.saturating_add(i64::try_from(addition.kept.as_millis()).unwrap_or(i64::MAX))
}

/// A failure of the backend itself: nobody's input is to blame, and a retry is allowed.
pub fn failure(cause: impl std::fmt::Display) -> Error {
    tracing::error!("store: {cause}");
    Error::database(cause)
}

/// The same for want of room.
pub fn full(cause: impl std::fmt::Display) -> Error {
    tracing::error!("store: {cause}");
    Error::database_full(cause)
}
