//! The configuration store: one generic data-access layer over several backends, and the feed of changes
//! from which snapshots are compiled.
//!
//! `write` and `read` hold the rules (keys, references, cascades, expiry, pages) and run inside transactions of a
//! [`backend::Backend`], which knows only tables and indexes; `layout` derives those from the schemas.

pub mod backend;
mod certificates;
mod change;
mod clock;
mod counter;
pub mod declarative;
mod feed;
pub mod layout;
mod mirror;
mod page;
mod read;
mod rules;
mod scope;
mod script;
mod write;

pub use change::{Change, Operation, Recorded, Revision};
pub use clock::Clock;
pub use counter::{Addition, Counter};
pub use feed::{Announcement, Follower};
pub use mirror::Mirror;
pub use page::{Page, PageQuery, TagEntry, TagFilter, TagPage, page_size};
pub use read::is_uuid;
pub use scope::{DEFAULT as DEFAULT_WORKSPACE, Scope};
pub use write::Transaction;

use backend::memory::Memory;
use backend::postgres::{Neighbour, Postgres, Server};
use backend::sqlite::Sqlite;
use backend::{Backend, Reader, Wanted};
use feed::Feed;
use layout::{Layout, Table, WORKSPACES};
use model::{Catalog, Code, Error, Record};
use read::View;
use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// Access to all entities of one workspace, or of all ([`Store::of`]). Cheap to clone; every method may wait for the
/// backend and is called on the control runtime, never on a worker.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    scope: Scope,
    read_only: bool,
    /// Whether a replica may be asked.
    replica: bool,
}

struct Inner {
    shared: Arc<Shared>,
    backend: Box<dyn Backend>,
    feed: Arc<Feed>,
}

/// What transactions need, wherever they run.
struct Shared {
    catalog: Arc<Catalog>,
    layout: Arc<Layout>,
    clock: Clock,
    /// The workspace that there always is; `None` where the catalog has none.
    default_workspace: Option<Uuid>,
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

/// How many expired records one transaction removes.
const PURGED_AT_ONCE: usize = 500;

impl Store {
    /// A store in one SQLite file, which is created when missing. An answered write is on disk.
    pub async fn open_sqlite(catalog: Arc<Catalog>, path: &Path) -> Result<Store, Error> {
        Store::open_sqlite_at(catalog, path, Clock::default()).await
    }

    /// [`Store::open_sqlite`] with a clock that can be moved.
    pub async fn open_sqlite_at(catalog: Arc<Catalog>, path: &Path, clock: Clock) -> Result<Store, Error> {
        let layout = Arc::new(Layout::new(&catalog).map_err(Error::database)?);
        let workspace = scope::default_workspace(&catalog)?;
        let (path, tables) = (path.to_owned(), layout.clone());
        let opened = tokio::task::spawn_blocking(move || Sqlite::open(tables, &path, workspace));
        let (sqlite, feed, default_workspace) = opened.await.map_err(Error::database)??;
        Ok(Store::new(Shared { catalog, layout, clock, default_workspace }, Box::new(sqlite), feed))
    }

    /// A store in a Postgres database, whose tables are there ([`backend::postgres::Migrations`]). A `neighbour` tells
    /// other nodes what is written, and takes what they write into the feed.
    pub async fn open_postgres(
        catalog: Arc<Catalog>,
        server: &Server,
        neighbour: Option<Neighbour>,
    ) -> Result<Store, Error> {
        Store::open_postgres_at(catalog, server, neighbour, Clock::default()).await
    }

    /// The same while the database does not answer; `workspace` is the id of its default workspace.
    pub async fn await_postgres(
        catalog: Arc<Catalog>,
        server: &Server,
        neighbour: Option<Neighbour>,
        workspace: Uuid,
    ) -> Result<Store, Error> {
        Store::postgres(catalog, server, neighbour, Clock::default(), Some(workspace)).await
    }

    /// [`Store::open_postgres`] with a clock that can be moved.
    pub async fn open_postgres_at(
        catalog: Arc<Catalog>,
        server: &Server,
        neighbour: Option<Neighbour>,
        clock: Clock,
    ) -> Result<Store, Error> {
        Store::postgres(catalog, server, neighbour, clock, None).await
    }

    async fn postgres(
        catalog: Arc<Catalog>,
        server: &Server,
        neighbour: Option<Neighbour>,
        clock: Clock,
        workspace: Option<Uuid>,
    ) -> Result<Store, Error> {
        let layout = Arc::new(Layout::new(&catalog).map_err(Error::database)?);
        let shown = (catalog.clone(), layout.clone(), clock.clone());
        let publish = Arc::new(move |table: &Table, row| {
            let (catalog, layout, clock) = &shown;
            read::publish(&View { catalog, layout, scope: Scope::All, now: clock.now() }, table, row)
        });
        let (postgres, feed, default_workspace) =
            Postgres::open(layout.clone(), server, neighbour, publish, workspace).await?;
        Ok(Store::new(Shared { catalog, layout, clock, default_workspace }, Box::new(postgres), feed))
    }

    /// A store that lives and dies with the process, for tests.
    pub fn memory(catalog: Arc<Catalog>) -> Result<Store, Error> {
        Store::memory_at(catalog, Clock::default())
    }

    /// [`Store::memory`] with a clock that can be moved.
    pub fn memory_at(catalog: Arc<Catalog>, clock: Clock) -> Result<Store, Error> {
        let layout = Arc::new(Layout::new(&catalog).map_err(Error::database)?);
        let feed = Arc::new(Feed::new(feed::CAPACITY));
        let memory = Memory::new(layout.clone(), feed.clone(), scope::default_workspace(&catalog)?);
        let default_workspace = layout.table(WORKSPACES).map(|_| scope::DEFAULT_ID);
        Ok(Store::new(Shared { catalog, layout, clock, default_workspace }, Box::new(memory), feed))
    }

    fn new(shared: Shared, backend: Box<dyn Backend>, feed: Arc<Feed>) -> Store {
        let scope = shared.default_workspace.map_or(Scope::All, Scope::Workspace);
        Store {
            inner: Arc::new(Inner { shared: Arc::new(shared), backend, feed }),
            scope,
            read_only: false,
            replica: false,
        }
    }

    /// The same store, as it is seen from elsewhere: a store that was just opened is about the default workspace.
    pub fn of(&self, scope: Scope) -> Store {
        Store { scope, ..self.clone() }
    }

    /// Whose records are seen.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// The id of the workspace that there always is.
    pub fn default_workspace(&self) -> Option<Uuid> {
        self.inner.shared.default_workspace
    }

    /// The same store for those who may not change single records: what they ask for is checked, and then refused. It
    /// changes as a whole ([`Store::replace`]).
    pub fn read_only(&self) -> Store {
        Store { read_only: true, ..self.clone() }
    }

    /// The same store for those who can do with what a replica of the database has, which may be behind it. What is
    /// written, and what it is decided by, is never there.
    pub fn from_replica(&self) -> Store {
        Store { replica: true, ..self.clone() }
    }

    /// The schemas that records are checked by.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.inner.shared.catalog
    }

    /// What a path segment names: a UUID is an id; else the entity's endpoint key, if it has one (of certificates: an
    /// SNI).
    pub fn key(&self, entity: &str, segment: &str) -> Key {
        let table = self.inner.shared.layout.table(entity);
        let by_name = table.is_some_and(|table| table.endpoint.is_some() || certificates::named_by_snis(table));
        if by_name && !is_uuid(segment) { Key::Name(segment.to_owned()) } else { Key::Id(segment.to_owned()) }
    }

    /// Whether the database answers: a look-up that finds nothing still has to.
    pub async fn is_reachable(&self) -> bool {
        let nobody = Key::Id(Uuid::nil().to_string());
        match (Store { replica: false, ..self.clone() }).get(WORKSPACES, &nobody).await {
            Ok(_) => true,
            Err(error) => {
                if error.code != Code::DatabaseUnavailable {
                    tracing::error!(%error, "the database fails");
                }
                false
            }
        }
    }

    /// One record.
    pub async fn get(&self, entity: &str, key: &Key) -> Result<Option<Record>, Error> {
        let key = key.clone();
        self.read_table(entity, move |view, reader, table| {
            let row = read::lookup(reader, view, table, &key)?;
            row.map(|row| read::show_whole(reader, view, table, row)).transpose()
        })
        .await
    }

    /// One record of those whose foreign key field points at that id: `/upstreams/{u}/targets/{t}`. By name it need
    /// not be the only one of its name.
    pub async fn get_under(&self, entity: &str, key: &Key, field: &str, id: &str) -> Result<Option<Record>, Error> {
        let (key, field, id) = (key.clone(), field.to_owned(), id.to_ascii_lowercase());
        self.read_table(entity, move |view, reader, table| {
            let row = read::lookup_under(reader, view, table, &key, read::foreign(table, &field)?, &id)?;
            row.map(|row| read::show_whole(reader, view, table, row)).transpose()
        })
        .await
    }

    /// The record whose unique field has that value (`custom_id` of consumers).
    pub async fn get_by(&self, entity: &str, field: &str, value: &str) -> Result<Option<Record>, Error> {
        let (field, value) = (field.to_owned(), value.to_owned());
        self.read_table(entity, move |view, reader, table| {
            let row = read::by_field(reader, view, table, &field, &value)?;
            row.map(|row| read::show_whole(reader, view, table, row)).transpose()
        })
        .await
    }

    /// Several records by id, in the order asked for; ids of nothing are left out.
    pub async fn get_many(&self, entity: &str, ids: &[String]) -> Result<Vec<Record>, Error> {
        let ids = ids.to_vec();
        self.read_table(entity, move |view, reader, table| {
            let ids: Vec<String> = ids.iter().filter_map(|id| read::normal_id(table, id)).collect();
            let wanted: Vec<Wanted<'_>> = ids.iter().map(|id| Wanted::id(table, id)).collect();
            let rows = reader.find(&wanted)?.into_iter().filter_map(|row| view.seen(table, row));
            rows.collect::<Vec<_>>().into_iter().map(|row| read::show_whole(reader, view, table, row)).collect()
        })
        .await
    }

    /// Every record whose foreign key field points at that id (`targets` by `upstream`), ordered by id.
    pub async fn all_for(&self, entity: &str, field: &str, id: &str) -> Result<Vec<Record>, Error> {
        let (field, id) = (field.to_owned(), id.to_ascii_lowercase());
        self.read_table(entity, move |view, reader, table| {
            read::all_for(reader, view, table, read::foreign(table, &field)?, &id)
        })
        .await
    }

    /// Every record with one of those values in a field that is found by without being unique (`user_token_ident`).
    pub async fn all_by(&self, entity: &str, field: &str, values: &[String]) -> Result<Vec<Record>, Error> {
        let (field, values) = (field.to_owned(), values.to_vec());
        self.read_table(entity, move |view, reader, table| read::all_by(reader, view, table, &field, &values)).await
    }

    /// One page of a collection, optionally only what a foreign key or tags select.
    pub async fn page(&self, entity: &str, query: &PageQuery) -> Result<Page, Error> {
        let mut query = query.clone();
        if self.read_only
            && let Some(offset) = &mut query.offset
        {
            *offset = page::encode_offset(&[page::decode_item(offset)?].into_iter().collect());
        }
        let (size, foreign) = (query.limit()?, query.foreign.clone());
        let read = self.read_table(entity, move |view, reader, table| read::page(reader, view, table, &query));
        let mut page = read.await?;
        if self.read_only {
            // Kong knows of the end of a collection only when a page is not full.
            let last = page.data.last().filter(|_| page.data.len() == size).and_then(|last| last.get("id"));
            let offset = |last: &serde_json::Value| page::encode_item(entity, foreign.as_ref(), last.as_str()?).into();
            page.offset = last.and_then(offset);
        }
        Ok(page)
    }

    /// One page of all tags, or of the entities with one tag. `query` gives size and offset.
    pub async fn page_tags(&self, tag: Option<&str>, query: &PageQuery) -> Result<TagPage, Error> {
        let (tag, query) = (tag.map(str::to_owned), query.clone());
        self.read(move |view, reader| read::page_tags(reader, view, tag.as_deref(), &query)).await
    }

    /// How many records there are.
    pub async fn count(&self, entity: &str) -> Result<u64, Error> {
        self.read_table(entity, |view, reader, table| reader.count(table, view.scope.workspace(), view.now)).await
    }

    /// Adds a record (`POST`). `input` is what the client sent; the schema completes it.
    /// For entities with a `ttl`, `input` may have one, in seconds.
    pub async fn insert(&self, entity: &str, input: Record) -> Result<Written, Error> {
        let entity = entity.to_owned();
        let (revision, record) =
            self.transaction(move |transaction| transaction.insert(&entity, input.clone())).await?;
        Ok(Written { record, revision })
    }

    /// Changes a record (`PATCH`); `None` when there is none.
    pub async fn update(&self, entity: &str, key: &Key, input: Record) -> Result<Option<Written>, Error> {
        let (entity, key) = (entity.to_owned(), key.clone());
        let (revision, record) =
            self.transaction(move |transaction| transaction.update(&entity, &key, input.clone())).await?;
        Ok(record.map(|record| Written { record, revision }))
    }

    /// Creates or replaces a record (`PUT`).
    pub async fn upsert(&self, entity: &str, key: &Key, input: Record) -> Result<Written, Error> {
        let (entity, key) = (entity.to_owned(), key.clone());
        let (revision, record) =
            self.transaction(move |transaction| transaction.upsert(&entity, &key, input.clone())).await?;
        Ok(Written { record, revision })
    }

    /// Deletes a record with what cascades from it; the revision is `None` when there was nothing to delete.
    pub async fn delete(&self, entity: &str, key: &Key) -> Result<Option<Revision>, Error> {
        let (entity, key) = (entity.to_owned(), key.clone());
        let (revision, deleted) = self.transaction(move |transaction| transaction.delete(&entity, &key)).await?;
        Ok(deleted.then_some(revision))
    }

    /// Deletes all records of an entity, and whatever refers to them.
    pub async fn truncate(&self, entity: &str) -> Result<Revision, Error> {
        let entity = entity.to_owned();
        self.transaction(move |transaction| transaction.truncate(&entity)).await.map(|(revision, ())| revision)
    }

    /// Reads and writes that no other write comes between. When `work` fails, nothing has happened; else all of it has,
    /// at the revision that comes with what `work` returns. `work` runs where blocking is allowed, and may be run
    /// again: what counts is its last run, before which all that it did to the store was undone.
    pub async fn transaction<T, E>(
        &self,
        mut work: impl FnMut(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<(Revision, T), E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (shared, slot) = (self.inner.shared.clone(), Arc::new(Mutex::new(None)));
        let (scope, read_only, out) = (self.scope, self.read_only, slot.clone());
        let work = Box::new(move |writer: &mut dyn backend::Writer| {
            // What an earlier run has left does not count.
            drop(take(&out));
            let mut transaction = Transaction::new(shared.view(scope), writer, read_only);
            let done = work(&mut transaction);
            let changes = match done {
                Ok(_) => Ok(transaction.into_changes()),
                // The backend only has to know that everything is to be undone.
                Err(_) => Err(Error::database("the transaction was given up")),
            };
            put(&out, done);
            changes
        });
        match (self.inner.backend.write(work).await, take(&slot)) {
            (_, Ok(Err(error))) => Err(error),
            (Ok(revision), Ok(Ok(value))) => Ok((revision, value)),
            (Err(error), _) | (_, Err(error)) => Err(error.into()),
        }
    }

    /// Adds to counters, all or none of them. Whatever others add at the same time counts too.
    pub async fn add(&self, additions: Vec<Addition>) -> Result<(), Error> {
        self.check_counters(additions.iter().map(|addition| &addition.counter))?;
        self.inner.backend.add(additions, self.inner.shared.clock.now()).await
    }

    /// What counters have come to, in that order; 0 where nothing was added.
    pub async fn counts(&self, counters: Vec<Counter>) -> Result<Vec<i64>, Error> {
        self.check_counters(counters.iter())?;
        self.read(move |view, reader| reader.counts(&counters, view.now)).await
    }

    /// Runs text in SQL, where the database takes it: what its statements come to
    /// ([`backend::postgres::Outcomes`]).
    pub async fn query(&self, text: String) -> Result<Vec<serde_json::Value>, Error> {
        match self.read_only {
            true => Err(Error::operation_unsupported("cannot perform queries without a database")),
            false => self.inner.backend.query(text).await,
        }
    }

    fn check_counters<'c>(&self, mut counters: impl Iterator<Item = &'c Counter>) -> Result<(), Error> {
        let known = &self.inner.shared.layout.counters;
        match counters.find(|counter| !known.contains(&counter.entity)) {
            Some(counter) => Err(Error::operation_unsupported(format!("there are no counters '{}'", counter.entity))),
            None => Ok(()),
        }
    }

    /// Deletes what has outlived its `ttl`. Returns when the next record expires, in Unix milliseconds.
    pub async fn purge(&self) -> Result<Option<i64>, Error> {
        loop {
            let next = self.next_expiry().await?;
            if next.is_none_or(|next| next > self.inner.shared.clock.now()) {
                return Ok(next);
            }
            self.transaction(|transaction| transaction.purge(PURGED_AT_ONCE)).await?;
        }
    }

    /// Purges whenever a record expires, for ever: to be spawned once on the control runtime.
    pub async fn run_expiry(&self) {
        // A write may bring an earlier expiry, and the feed does not tell of all; a backend that fails is asked again
        // after a while.
        const LONGEST: Duration = Duration::from_secs(60);
        const RETRY: Duration = Duration::from_secs(5);
        let mut changed = self.watch();
        loop {
            changed.mark_unchanged();
            let wait = match self.purge().await {
                Ok(Some(next)) => {
                    Duration::from_millis(next.saturating_sub(self.inner.shared.clock.now()).max(1) as u64).min(LONGEST)
                }
                Ok(None) => LONGEST,
                Err(error) => {
                    if error.code != Code::DatabaseUnavailable {
                        tracing::error!("cannot delete expired records: {error}");
                    }
                    RETRY
                }
            };
            let _ = tokio::time::timeout(wait, changed.changed()).await;
        }
    }

    /// Hands everything there is in all workspaces to `take`, record by record: what a node starts from (all but the
    /// records of entities that no snapshot holds). It is of one moment, which has seen all changes up to the revision
    /// that comes back; changes after it may be in it already. Entities come in the catalog's order, so that what is
    /// referred to precedes what refers to it. `take` is called where blocking is allowed, and must not keep the
    /// record's memory; `state` is its own, and comes back. A record that cannot be read, or is in no workspace, is an
    /// error that names it: nobody knows what the others are without it.
    pub async fn replay<T: Send + 'static>(
        &self,
        mut state: T,
        take: impl Fn(&mut T, &str, &Record) + Send + 'static,
    ) -> Result<(Revision, T), Error> {
        self.read(move |view, reader| {
            let revision = reader.revision()?;
            let mut workspaces = HashSet::new();
            for table in view.layout.tables().iter().filter(|table| table.in_snapshot) {
                reader.visit(table, view.now, &mut |row| {
                    read::check_stored(view, table, row, &mut workspaces)?;
                    read::publish_in_place(view, table, row, |record| take(&mut state, &table.name, record));
                    Ok(())
                })?;
            }
            Ok((revision, state))
        })
        .await
    }

    /// Begins to follow what is committed in all workspaces. Who follows reads everything first ([`Store::replay`]),
    /// and whenever changes are no longer kept.
    pub fn follow(&self) -> Follower {
        self.inner.feed.follow()
    }

    /// The newest revision.
    pub fn watch(&self) -> tokio::sync::watch::Receiver<Revision> {
        self.inner.feed.watch()
    }

    /// Tells other nodes on the same database of something that is no record, by one of Kong's channels.
    pub async fn announce(&self, channel: impl Into<Cow<'static, str>>, data: String) -> Result<(), Error> {
        self.inner.backend.announce(channel.into(), data).await
    }

    /// What other nodes announce from now on.
    pub fn announcements(&self) -> tokio::sync::broadcast::Receiver<Announcement> {
        self.inner.feed.announcements()
    }

    async fn next_expiry(&self) -> Result<Option<i64>, Error> {
        self.read(|view, reader| {
            let mut next: Option<i64> = None;
            for table in view.layout.tables().iter().filter(|table| table.has_ttl) {
                let first = reader.next_expiry(table)?;
                next = next.into_iter().chain(first).min();
            }
            Ok(next)
        })
        .await
    }

    async fn read_table<T: Send + 'static>(
        &self,
        entity: &str,
        query: impl FnOnce(&View<'_>, &mut dyn Reader, &Table) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let entity = entity.to_owned();
        self.read(move |view, reader| query(view, reader, write::known(view.layout, &entity)?)).await
    }

    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&View<'_>, &mut dyn Reader) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (shared, slot) = (self.inner.shared.clone(), Arc::new(Mutex::new(None)));
        let (scope, out) = (self.scope, slot.clone());
        let query = Box::new(move |reader: &mut dyn Reader| {
            let found = query(&shared.view(scope), reader)?;
            put(&out, found);
            Ok(())
        });
        match self.replica {
            true => self.inner.backend.read_replica(query).await?,
            false => self.inner.backend.read(query).await?,
        }
        take(&slot)
    }
}

impl Shared {
    fn view(&self, scope: Scope) -> View<'_> {
        View { catalog: &self.catalog, layout: &self.layout, scope, now: self.clock.now() }
    }
}

fn put<T>(slot: &Mutex<Option<T>>, value: T) {
    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
}

/// What a transaction has left behind when it was done.
fn take<T>(slot: &Mutex<Option<T>>) -> Result<T, Error> {
    let value = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    value.ok_or_else(|| Error::database("the transaction was not run"))
}

#[cfg(test)]
mod tests;
