//! One connection: rows in and out by prepared statements.

use crate::backend::cells::{self, Cell};
use crate::backend::sql::{CounterStatements, SQLITE, Statements, TagStatements};
use crate::backend::{By, Reader, Row, Selection, TagSelection, Wanted, Write, Writer, expiry, failure, full};
use crate::feed::Feed;
use crate::layout::{Layout, Table};
use crate::{Addition, Counter, Revision, TagEntry};
use model::Error;
use rusqlite::types::{ToSql, ToSqlOutput, Value, ValueRef};
use rusqlite::{ErrorCode, OptionalExtension, Params, params, params_from_iter};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// A connection with the statements of all tables.
#[derive(Debug)]
pub struct Connection {
    pub(super) sqlite: rusqlite::Connection,
    pub(super) statements: Arc<[Statements]>,
    pub(super) tags: Arc<TagStatements>,
    commits: Arc<Commits>,
}

/// What is committed in the file, and what the feed says of it.
#[derive(Debug)]
pub struct Commits {
    pub feed: Arc<Feed>,
    /// Held from before a commit until the feed has it.
    pub under_way: Mutex<()>,
}

/// How long another process may write, such as an import of very many records.
const BUSY: Duration = Duration::from_secs(60);

/// Statements that stay prepared: more than the request of an Admin API's usual mix needs.
const PREPARED: usize = 256;

impl Connection {
    /// Opens a file. The layout's tables need not exist yet. `cache` is how many KiB of it are kept in memory.
    pub fn open(path: &Path, layout: &Layout, cache: u32, commits: Arc<Commits>) -> rusqlite::Result<Connection> {
        let sqlite = rusqlite::Connection::open(path)?;
        sqlite.busy_timeout(BUSY)?;
        sqlite.pragma_update(None, "journal_mode", "WAL")?;
        sqlite.pragma_update(None, "synchronous", "FULL")?;
        sqlite.pragma_update(None, "temp_store", "MEMORY")?;
        sqlite.pragma_update(None, "cache_size", -i64::from(cache))?;
        sqlite.set_prepared_statement_cache_capacity(PREPARED);
        let statements = layout.tables().iter().map(|table| Statements::new(table, SQLITE)).collect();
        Ok(Connection { sqlite, statements, tags: Arc::new(TagStatements::new(SQLITE)), commits })
    }

    /// A number that changes whenever another connection has written.
    pub fn data_version(&self) -> rusqlite::Result<i64> {
        self.sqlite.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
    }

    /// Runs one of a few fixed statements.
    pub fn execute(&self, sql: &str) -> Result<(), Error> {
        self.run(sql, [])
    }

    fn run(&self, sql: &str, params: impl Params) -> Result<(), Error> {
        self.sqlite.prepare_cached(sql).and_then(|mut statement| statement.execute(params)).map(drop).map_err(failed)
    }

    fn rows(&self, table: &Table, sql: &str, params: impl Params) -> Result<Vec<Row>, Error> {
        let mut statement = self.sqlite.prepare_cached(sql).map_err(failed)?;
        let mut rows = statement.query(params).map_err(failed)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            found.push(decode(table, row)?);
        }
        Ok(found)
    }

    fn row(&self, table: &Table, sql: &str, params: impl Params) -> Result<Option<Row>, Error> {
        let mut statement = self.sqlite.prepare_cached(sql).map_err(failed)?;
        let mut rows = statement.query(params).map_err(failed)?;
        rows.next().map_err(failed)?.map(|row| decode(table, row)).transpose()
    }
}

impl Reader for Connection {
    fn find(&mut self, wanted: &[Wanted<'_>]) -> Result<Vec<Option<Row>>, Error> {
        let one = |&Wanted { table, by }: &Wanted<'_>| {
            let statements = &self.statements[table.index];
            match by {
                By::Id(id) => self.row(table, &statements.get, params_from_iter(cells::key(table, id))),
                By::Value { lookup, workspace, value } => {
                    let (sql, parameters) = statements.find(lookup, workspace, value);
                    self.row(table, &sql, params_from_iter(parameters))
                }
            }
        };
        wanted.iter().map(one).collect()
    }

    fn scan(&mut self, selections: &[Selection<'_>]) -> Result<Vec<Vec<Row>>, Error> {
        let one = |selection: &Selection<'_>| {
            let (sql, parameters) = self.statements[selection.table.index].scan(selection);
            self.rows(selection.table, &sql, params_from_iter(parameters))
        };
        selections.iter().map(one).collect()
    }

    fn visit(
        &mut self,
        table: &Table,
        now: i64,
        visit: &mut dyn FnMut(&mut Row) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let all = Selection { now, ..Selection::all(table) };
        let (sql, parameters) = self.statements[table.index].scan(&all);
        let mut statement = self.sqlite.prepare_cached(&sql).map_err(failed)?;
        let mut rows = statement.query(params_from_iter(parameters)).map_err(failed)?;
        let mut shown = Row::default();
        while let Some(row) = rows.next().map_err(failed)? {
            decode_into(table, row, &mut shown)?;
            visit(&mut shown)?;
        }
        Ok(())
    }

    fn count(&mut self, table: &Table, workspace: Option<Uuid>, now: i64) -> Result<u64, Error> {
        let (sql, parameters) = self.statements[table.index].count(table, workspace, now);
        let mut statement = self.sqlite.prepare_cached(&sql).map_err(failed)?;
        let count: i64 = statement.query_row(params_from_iter(parameters), |row| row.get(0)).map_err(failed)?;
        Ok(count.max(0) as u64)
    }

    fn tags(&mut self, selection: &TagSelection<'_>) -> Result<Vec<TagEntry>, Error> {
        let (sql, parameters) = self.tags.page(selection);
        let mut statement = self.sqlite.prepare_cached(&sql).map_err(failed)?;
        let entry = |row: &rusqlite::Row<'_>| {
            Ok(TagEntry { tag: row.get(0)?, entity: row.get(1)?, id: row.get(2)?, place: row.get(3)? })
        };
        statement.query_map(params_from_iter(parameters), entry).and_then(Iterator::collect).map_err(failed)
    }

    fn expired(&mut self, table: &Table, now: i64, limit: usize) -> Result<Vec<Row>, Error> {
        if !table.has_ttl {
            return Ok(Vec::new());
        }
        self.rows(table, &self.statements[table.index].expired, params![now, i64::try_from(limit).unwrap_or(i64::MAX)])
    }

    fn next_expiry(&mut self, table: &Table) -> Result<Option<i64>, Error> {
        if !table.has_ttl {
            return Ok(None);
        }
        let mut statement = self.sqlite.prepare_cached(&self.statements[table.index].next_expiry).map_err(failed)?;
        statement.query_row([], |row| row.get(0)).optional().map(Option::flatten).map_err(failed)
    }

    fn counts(&mut self, counters: &[Counter], now: i64) -> Result<Vec<i64>, Error> {
        let one = |counter: &Counter| {
            let sql = CounterStatements::new(&counter.entity, SQLITE).count;
            let mut statement = self.sqlite.prepare_cached(&sql).map_err(failed)?;
            let Counter { identifier, period, began, service, route, .. } = counter;
            let began = began.div_euclid(1000);
            let key = params![identifier, period, began, service.to_string(), route.to_string(), now];
            let count = statement.query_row(key, |row| row.get(0)).optional().map_err(failed)?;
            Ok(count.unwrap_or(0))
        };
        counters.iter().map(one).collect()
    }

    fn revision(&mut self) -> Result<Revision, Error> {
        let commits = Arc::clone(&self.commits);
        let _between_commits = commits.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        // The first look at the file decides which state is read.
        self.sqlite.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(failed)?;
        Ok(commits.feed.newest())
    }
}

impl Writer for Connection {
    fn write(&mut self, writes: &[Write<'_>]) -> Result<(), Error> {
        writes.iter().try_for_each(|write| match write {
            Write::Put { table, row, old } => self.put(table, row, *old),
            Write::Remove { table, row } => self.remove(table, row),
        })
    }

    fn add(&mut self, additions: &[Addition], now: i64) -> Result<(), Error> {
        for addition in additions {
            let Counter { entity, identifier, period, began, service, route } = &addition.counter;
            let statements = CounterStatements::new(entity, SQLITE);
            let (began, service, route) = (began.div_euclid(1000), service.to_string(), route.to_string());
            self.run(&statements.purge, [now])?;
            let values = params![identifier, period, began, service, route, addition.amount, expiry(addition, now)];
            self.run(&statements.add, values)?;
        }
        Ok(())
    }
}

impl Connection {
    fn put(&self, table: &Table, row: &Row, old: Option<&Row>) -> Result<(), Error> {
        let cells = cells::encode(table, row).map_err(failure)?;
        self.run(&self.statements[table.index].put, params_from_iter(cells))?;
        if old.is_some_and(|old| old.workspace == row.workspace && old.tags().eq(row.tags())) {
            return Ok(());
        }
        if let Some(old) = old {
            self.remove_tags(table, old)?;
        }
        let (id, workspace) = (table.id(&row.record), workspace_of(row));
        for (place, tag) in (0i64..).zip(row.tags()).filter(|_| table.has_tags) {
            self.run(&self.tags.add, params![table.name, id, workspace, tag, place])?;
        }
        Ok(())
    }

    fn remove(&self, table: &Table, row: &Row) -> Result<(), Error> {
        self.run(&self.statements[table.index].remove, params_from_iter(cells::key(table, &table.id(&row.record))))?;
        self.remove_tags(table, row)
    }

    fn remove_tags(&self, table: &Table, row: &Row) -> Result<(), Error> {
        if table.has_tags && row.tags().next().is_some() {
            self.run(&self.tags.remove, params![table.name, table.id(&row.record), workspace_of(row)])?;
        }
        Ok(())
    }
}

/// As the tags have it.
fn workspace_of(row: &Row) -> String {
    row.workspace.map(|id| id.to_string()).unwrap_or_default()
}

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let json = |text: String| ToSqlOutput::Owned(Value::Text(text));
        Ok(match self {
            Cell::Null => ToSqlOutput::Owned(Value::Null),
            Cell::Text(text) | Cell::Json(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Cell::Uuid(id) => json(id.to_string()),
            Cell::Integer(integer) | Cell::Expiry(integer) => ToSqlOutput::Owned(Value::Integer(*integer)),
            Cell::Boolean(flag) => ToSqlOutput::Owned(Value::Integer((*flag).into())),
            Cell::Time(seconds) if seconds.fract() == 0.0 => ToSqlOutput::Owned(Value::Integer(*seconds as i64)),
            Cell::Real(real) | Cell::Time(real) => ToSqlOutput::Owned(Value::Real(*real)),
            Cell::Texts(texts) => json(serde_json::Value::from(texts.as_slice()).to_string()),
            Cell::Uuids(ids) => json(ids.iter().map(uuid::Uuid::to_string).collect::<serde_json::Value>().to_string()),
            Cell::Jsons(texts) => json(format!("[{}]", texts.join(","))),
        })
    }
}

pub(super) fn decode(table: &Table, row: &rusqlite::Row<'_>) -> Result<Row, Error> {
    let mut decoded = Row::default();
    decode_into(table, row, &mut decoded)?;
    Ok(decoded)
}

fn decode_into(table: &Table, row: &rusqlite::Row<'_>, decoded: &mut Row) -> Result<(), Error> {
    cells_of(row).and_then(|cells| cells::decode_into(table, cells, decoded)).map_err(|error| {
        let primary = table.columns.iter().position(|column| column.field == table.primary).unwrap_or_default();
        let id: String = row.get(primary).unwrap_or_default();
        failure(format_args!("{} {id}: {error}", table.name))
    })
}

fn cells_of(row: &rusqlite::Row<'_>) -> Result<Vec<Cell>, String> {
    let cell = |i| {
        Ok(match row.get_ref(i).map_err(|e| e.to_string())? {
            // Another text in its place could be another record's key.
            ValueRef::Text(text) => {
                Cell::Text(String::from_utf8(text.to_vec()).map_err(|_| "a text is not UTF-8".to_owned())?)
            }
            ValueRef::Integer(integer) => Cell::Integer(integer),
            ValueRef::Real(real) => Cell::Real(real),
            ValueRef::Null => Cell::Null,
            // Nothing is stored as one.
            ValueRef::Blob(_) => return Err("a blob in place of a value".to_owned()),
        })
    };
    (0..row.as_ref().column_count()).map(cell).collect()
}

/// What an error of SQLite comes to.
fn failed(error: rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => full(error),
        _ => failure(error),
    }
}
