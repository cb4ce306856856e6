//! A copy of the records that snapshots hold, in a SQLite file: what a node starts from while its database is away.

use crate::backend::{Row, Wanted, Write, Writer};
use crate::feed::Changes;
use crate::layout::{Layout, Table, WORKSPACE};
use crate::scope::DEFAULT;
use crate::{Change, Follower, Key, Operation, Revision, Store};
use model::{Catalog, Code, Error, Record};
use serde_json::Value;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;
use uuid::Uuid;

/// A copy of one database.
pub struct Mirror {
    copy: Store,
    origin: String,
}

/// Records on their way from the database into the copy.
enum Portion {
    /// Some of a table, by its place in the layout.
    Rows(usize, Vec<Row>),
    /// There are no more.
    End,
}

/// What was read and not sent yet.
struct Sending {
    layout: Arc<Layout>,
    to: SyncSender<Portion>,
    table: usize,
    rows: Vec<Row>,
    now: i64,
}

/// The parameter that says of which database the copy is; it is there as soon as the copy is whole.
const ORIGIN: &str = "mirror_of";
const PARAMETERS: &str = "parameters";

/// How many rows are looked up and written at once, and how many such portions wait.
const AT_ONCE: usize = 500;
const WAITING: usize = 4;

/// What remains of a `ttl` is known in whole seconds.
const INEXACT: i64 = 2000;

/// How long a copy that could not be written is not tried again.
const RETRY: Duration = Duration::from_secs(30);

impl Mirror {
    /// Opens the file, which is made where there is none. `origin` says which database the copy is of: what the file
    /// has of another one does not count.
    pub async fn open(catalog: Arc<Catalog>, path: &Path, origin: String) -> Result<Mirror, Error> {
        Ok(Mirror { copy: Store::open_sqlite(catalog, path).await?, origin })
    }

    /// The records, with the id of the default workspace, where all of one moment are there.
    pub async fn whole(&self) -> Result<Option<(Store, Uuid)>, Error> {
        let kept = self.copy.get(PARAMETERS, &Key::Id(ORIGIN.to_owned())).await?;
        if kept.as_ref().and_then(|kept| kept.get("value")).and_then(Value::as_str) != Some(&self.origin) {
            return Ok(None);
        }
        let workspace = self.copy.get("workspaces", &Key::Name(DEFAULT.to_owned())).await?;
        let id = workspace.as_ref().and_then(|found| found.get("id")).and_then(Value::as_str);
        Ok(id.and_then(|id| id.parse().ok()).map(|id| (self.copy.clone(), id)))
    }

    /// Follows the database for ever. While it is away, or the copy cannot be written, the copy stays as it is.
    pub async fn run(self, source: Store) {
        let mut feed = source.follow();
        let (mut anew, mut told) = (true, false);
        loop {
            match self.catch_up(&source, &mut feed, &mut anew).await {
                Ok(()) => {
                    told = false;
                    feed.changed().await;
                }
                Err(error) => {
                    if error.code != Code::DatabaseUnavailable && !std::mem::replace(&mut told, true) {
                        tracing::error!("the copy of the database for its absence is not kept up to date: {error}");
                    }
                    let _ = tokio::time::timeout(RETRY, feed.changed()).await;
                }
            }
        }
    }

    async fn catch_up(&self, source: &Store, feed: &mut Follower, anew: &mut bool) -> Result<(), Error> {
        loop {
            let revision = match feed.changes() {
                Some((_, commits)) if !*anew && commits.is_empty() => return Ok(()),
                Some((revision, commits)) if !*anew => {
                    let applied = self.apply(commits).await;
                    *anew = applied.is_err();
                    applied?;
                    revision
                }
                _ => {
                    let revision = self.copy(source).await?;
                    *anew = false;
                    revision
                }
            };
            feed.taken(revision);
        }
    }

    /// Makes the copy what the database is now; what is the same already is not written.
    async fn copy(&self, source: &Store) -> Result<Revision, Error> {
        let whole = self.whole().await?.is_some();
        match self.copy_over(source, whole).await {
            // Two records may have changed places.
            Err(error) if whole && error.code != Code::DatabaseUnavailable => self.copy_over(source, false).await,
            done => done,
        }
    }

    async fn copy_over(&self, source: &Store, keep: bool) -> Result<Revision, Error> {
        let (to, portions) = sync_channel(WAITING);
        let layout = self.copy.inner.shared.layout.clone();
        let now = self.copy.inner.shared.clock.now();
        let sending = Sending { layout: layout.clone(), to, table: 0, rows: Vec::new(), now };
        let read = async {
            let (revision, mut sending) = source.replay(sending, Sending::take).await?;
            let sent = tokio::task::spawn_blocking(move || {
                sending.flush();
                let _ = sending.to.send(Portion::End);
            });
            sent.await.map_err(Error::database)?;
            Ok(revision)
        };
        let origin = self.origin_row()?;
        let written = self.write(move |writer| copy(writer, &layout, &portions, keep, &origin));
        let (read, written) = tokio::join!(read, written);
        let revision = read?;
        written.map(|()| revision)
    }

    async fn apply(&self, commits: Vec<Arc<[Change]>>) -> Result<(), Error> {
        let layout = self.copy.inner.shared.layout.clone();
        let now = self.copy.inner.shared.clock.now();
        let one = move |writer: &mut dyn Writer, change: &Change| {
            let Some(table) = layout.table(&change.entity) else { return Ok(()) };
            let old = writer.find(&[Wanted::id(table, &table.id(&change.record))])?.pop().flatten();
            match (change.operation, old) {
                (Operation::Put, old) => {
                    let row = row(table, &change.record, now);
                    writer.write(&[Write::Put { table, row: &row, old: old.as_ref() }])
                }
                (Operation::Delete, Some(old)) => writer.write(&[Write::Remove { table, row: &old }]),
                (Operation::Delete, None) => Ok(()),
            }
        };
        self.write(move |writer| commits.iter().flat_map(|commit| commit.iter()).try_for_each(|c| one(writer, c))).await
    }

    async fn write(
        &self,
        mut work: impl FnMut(&mut dyn Writer) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        let work = Box::new(move |writer: &mut dyn Writer| {
            work(writer)?;
            let mut changes = Changes::default();
            changes.push_untold();
            Ok(changes)
        });
        self.copy.inner.backend.write(work).await.map(drop)
    }

    fn origin_row(&self) -> Result<Row, Error> {
        let shared = &self.copy.inner.shared;
        let field = |name: &str, value: &str| (name.to_owned(), Value::from(value));
        let input = Record::from_iter([field("key", ORIGIN), field("value", &self.origin)]);
        let table = shared.layout.table(PARAMETERS).ok_or_else(|| Error::database("there are no parameters"))?;
        Ok(Row { record: table.schema.process_insert(&shared.catalog, input)?, ..Row::default() })
    }
}

impl Sending {
    fn take(&mut self, entity: &str, record: &Record) {
        let layout = self.layout.clone();
        let Some(table) = layout.table(entity) else { return };
        if table.index != self.table || self.rows.len() == AT_ONCE {
            self.flush();
            self.table = table.index;
        }
        self.rows.push(row(table, record, self.now));
    }

    /// Who gave up writing says why itself.
    fn flush(&mut self) {
        if !self.rows.is_empty() {
            let _ = self.to.send(Portion::Rows(self.table, std::mem::take(&mut self.rows)));
        }
    }
}

/// Takes all portions in place of what there was; `keep`: what is the same stays.
fn copy(
    writer: &mut dyn Writer,
    layout: &Layout,
    portions: &Receiver<Portion>,
    keep: bool,
    origin: &Row,
) -> Result<(), Error> {
    let tables = || layout.tables().iter().filter(|table| table.in_snapshot);
    if !keep {
        tables().try_for_each(|table| remove(writer, table, |_| true))?;
    }
    let mut seen: Vec<HashSet<String>> = layout.tables().iter().map(|_| HashSet::new()).collect();
    loop {
        match portions.recv() {
            Ok(Portion::Rows(index, mut rows)) => {
                let table = layout.at(index);
                put(writer, table, &mut rows)?;
                seen[index].extend(rows.iter().map(|row| table.id(&row.record).into_owned()));
            }
            Ok(Portion::End) => break,
            Err(_) => return Err(Error::unavailable("not all records could be read")),
        }
    }
    for table in tables() {
        let seen = &seen[table.index];
        let own = |id: &str| table.name == PARAMETERS && id == ORIGIN;
        if writer.count(table, None, i64::MIN)? != seen.len() as u64 {
            remove(writer, table, |id| !seen.contains(id) && !own(id))?;
        }
    }
    let Some(table) = layout.table(PARAMETERS) else { return Ok(()) };
    let old = writer.find(&[Wanted::id(table, ORIGIN)])?.pop().flatten();
    writer.write(&[Write::Put { table, row: origin, old: old.as_ref() }])
}

fn put(writer: &mut dyn Writer, table: &Table, rows: &mut [Row]) -> Result<(), Error> {
    let ids: Vec<String> = rows.iter().map(|row| table.id(&row.record).into_owned()).collect();
    let wanted: Vec<Wanted<'_>> = ids.iter().map(|id| Wanted::id(table, id)).collect();
    let found = writer.find(&wanted)?;
    for (row, old) in rows.iter_mut().zip(&found) {
        if let (Some(new), Some(old)) = (&mut row.expires, old.as_ref().and_then(|old| old.expires))
            && (*new - old).abs() < INEXACT
        {
            *new = old;
        }
    }
    let changed = rows.iter().zip(&found).filter(|(row, old)| old.as_ref() != Some(*row));
    let writes = changed.map(|(row, old)| Write::Put { table, row, old: old.as_ref() });
    writer.write(&writes.collect::<Vec<_>>())
}

/// Removes rows by their ids.
fn remove(writer: &mut dyn Writer, table: &Table, gone: impl Fn(&str) -> bool) -> Result<(), Error> {
    let mut rows = Vec::new();
    writer.visit(table, i64::MIN, &mut |row| {
        if gone(&table.id(&row.record)) {
            rows.push(row.clone());
        }
        Ok(())
    })?;
    let writes: Vec<Write<'_>> = rows.iter().map(|row| Write::Remove { table, row }).collect();
    writer.write(&writes)
}

/// The row of a record as the feed shows it.
fn row(table: &Table, record: &Record, now: i64) -> Row {
    let workspace = record.get(WORKSPACE).and_then(Value::as_str).and_then(|id| id.parse().ok());
    let ttl = record.get("ttl").filter(|_| table.has_ttl).and_then(Value::as_i64);
    let expires = ttl.map(|seconds| now.saturating_add(seconds.saturating_mul(1000)));
    let column = |field: &str| table.columns.iter().find(|column| column.field == field);
    let stored = |field: &str, value: &Value| column(field).is_some_and(|c| !(c.enterprise && value.is_null()));
    let fields = record.iter().filter(|(field, value)| stored(field, value));
    Row { record: fields.map(|(field, value)| (field.clone(), value.clone())).collect(), workspace, expires }
}
