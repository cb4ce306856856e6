//! Brings a file to the layout of this program: new tables, new columns, new indexes. What the file has had and has no
//! more is not made anew: a table would be empty, a column would have its default in all rows.

use super::connection::{Connection, decode};
use crate::backend::cells::encode_value;
use crate::backend::sql::{EXPIRES, quote};
use crate::backend::{Row, Write, Writer};
use crate::layout::{COMPOSITE, ColumnType, Layout, Table, WORKSPACE, WORKSPACES};
use crate::scope::DEFAULT;
use model::Record;
use rusqlite::OptionalExtension;
use std::collections::{HashMap, HashSet};
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use uuid::Uuid;

/// The layout of what no schema describes (tags, workspaces), in the file's `user_version`. In the first one there
/// were no workspaces, and revisions were kept; in the second one there was no `layout`: the columns that the file has
/// had.
const VERSION: i64 = 3;

/// Makes sure that the file exists and that only its owner can read it: it holds keys and credentials. (SQLite
/// gives its side files the same mode.)
pub fn create_private(path: &Path) -> io::Result<()> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(drop)
}

/// Does all in one transaction: a file is migrated or left as it was. Ends with the id of the default workspace, which
/// is `workspace` where there was none.
pub fn migrate(
    connection: &mut Connection,
    layout: &Layout,
    workspace: Option<Record>,
) -> Result<Option<Uuid>, String> {
    connection.sqlite.execute_batch("BEGIN IMMEDIATE").map_err(text)?;
    match steps(connection, layout, workspace) {
        Ok(workspace) => connection.sqlite.execute_batch("COMMIT").map_err(text).map(|()| workspace),
        Err(error) => {
            connection.sqlite.execute_batch("ROLLBACK").map_err(text)?;
            Err(error)
        }
    }
}

fn steps(connection: &mut Connection, layout: &Layout, mut workspace: Option<Record>) -> Result<Option<Uuid>, String> {
    let version: i64 = connection.sqlite.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(text)?;
    if version > VERSION {
        return Err(format!("it was written by a newer version (layout {version}, this program knows {VERSION})"));
    }
    let rebuilt = version == 1;
    if version < 2 {
        connection.sqlite.execute_batch("DROP TABLE IF EXISTS tags; DROP TABLE IF EXISTS feed").map_err(text)?;
        for sql in &connection.tags.create {
            connection.sqlite.execute_batch(sql).map_err(text)?;
        }
    }
    if version < 3 {
        let layout = "CREATE TABLE layout (entity TEXT NOT NULL, field TEXT NOT NULL, PRIMARY KEY (entity, field))";
        connection.sqlite.execute_batch(layout).map_err(text)?;
        connection.sqlite.pragma_update(None, "user_version", VERSION).map_err(text)?;
    }
    connection.sqlite.prepare("SELECT entity, tag, id, place FROM tags").map_err(text)?;
    let mut had = columns_had(connection).map_err(text)?;
    let mut default = None;
    for table in layout.tables() {
        let had = had.remove(&table.name).unwrap_or_default();
        if table.is_counter && had.is_empty() {
            adopt_counters(connection, table).map_err(text)?;
        }
        table_steps(connection, table, &had, rebuilt, default).map_err(|e| format!("table {}: {e}", table.name))?;
        if table.name == WORKSPACES {
            default = default_workspace(connection, table, workspace.take())?;
        }
    }
    Ok(default)
}

/// Counters of before they were records: when their periods began was in milliseconds.
fn adopt_counters(connection: &Connection, table: &Table) -> rusqlite::Result<()> {
    let sqlite = &connection.sqlite;
    let known = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    let there: i64 = sqlite.query_row(known, [&table.name], |row| row.get(0))?;
    if there == 0 {
        return Ok(());
    }
    sqlite.execute(&format!("UPDATE {} SET period_date = period_date / 1000", quote(&table.name)), []).map(drop)
}

/// The columns that the file has had, by table.
fn columns_had(connection: &Connection) -> rusqlite::Result<HashMap<String, HashSet<String>>> {
    let mut had: HashMap<String, HashSet<String>> = HashMap::new();
    let mut statement = connection.sqlite.prepare("SELECT entity, field FROM layout")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        had.entry(row.get(0)?).or_default().insert(row.get(1)?);
    }
    Ok(had)
}

/// `had` are the columns that the table has had.
fn table_steps(
    connection: &mut Connection,
    table: &Table,
    had: &HashSet<String>,
    rebuilt: bool,
    workspace: Option<Uuid>,
) -> Result<(), String> {
    let present: HashSet<String> = connection
        .sqlite
        .prepare("SELECT name FROM pragma_table_info(?1)")
        .and_then(|mut info| info.query_map([&table.name], |row| row.get(0))?.collect())
        .map_err(text)?;
    if present.is_empty() && !had.is_empty() {
        return Err("it is missing".to_owned());
    }
    let extra = extra(table).into_iter().map(|(column, _)| column);
    let columns: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).chain(extra).collect();
    if let Some(column) = columns.iter().find(|column| had.contains(**column) && !present.contains(**column)) {
        return Err(format!("column {column} is missing"));
    }
    for column in columns.iter().filter(|column| !had.contains(**column)) {
        let note = "INSERT INTO layout VALUES (?1, ?2)";
        connection.sqlite.execute(note, [table.name.as_str(), column]).map_err(text)?;
    }
    let statements = connection.statements.clone();
    let statements = &statements[table.index];
    if present.is_empty() {
        connection.sqlite.execute_batch(&statements.create).map_err(text)?;
    } else {
        extend(connection, table, &present)?;
        // Such a file has no records of keys of several fields.
        if rebuilt && !table.has_joint_key() {
            rebuild(connection, table, workspace)?;
        }
    }
    for sql in &statements.indexes {
        connection.sqlite.execute_batch(sql).map_err(text)?;
    }
    Ok(())
}

/// Adds the columns that a table does not have.
fn extend(connection: &Connection, table: &Table, present: &HashSet<String>) -> Result<(), String> {
    let Connection { sqlite, statements, .. } = connection;
    let statements = &statements[table.index];
    for column in table.columns.iter().filter(|c| !present.contains(&c.name)) {
        sqlite.execute_batch(&statements.add_column(&column.name, column.kind)).map_err(text)?;
        if let Some(cell) = encode_value(column.kind, &column.default).filter(|_| !column.default.is_null()) {
            sqlite.execute(&statements.fill_column(&column.name), [cell]).map_err(text)?;
        }
    }
    for (column, kind) in extra(table).into_iter().filter(|(column, _)| !present.contains(*column)) {
        sqlite.execute_batch(&statements.add_column(column, kind)).map_err(text)?;
    }
    Ok(())
}

/// The columns that hold no field.
fn extra(table: &Table) -> Vec<(&'static str, ColumnType)> {
    let all = [
        (table.composite().is_some(), COMPOSITE, ColumnType::Text),
        (table.per_workspace, WORKSPACE, ColumnType::Uuid),
        (table.has_ttl, EXPIRES, ColumnType::Expiry),
    ];
    all.into_iter().filter(|(wanted, ..)| *wanted).map(|(_, column, kind)| (column, kind)).collect()
}

/// Writes all rows of a table anew, each in `workspace` if it is in none, with its tags and what is derived from it.
fn rebuild(connection: &mut Connection, table: &Table, workspace: Option<Uuid>) -> Result<(), String> {
    let former = format!("{} before", table.name);
    let statements = connection.statements.clone();
    let statements = &statements[table.index];
    let indexes: Vec<String> = connection
        .sqlite
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = ?1 AND sql IS NOT NULL")
        .and_then(|mut list| list.query_map([&table.name], |row| row.get(0))?.collect())
        .map_err(text)?;
    for sql in statements.rebuild(&former, &indexes) {
        connection.sqlite.execute_batch(&sql).map_err(text)?;
    }
    let mut after = String::new();
    // In portions, since a statement that is under way would hold the connection.
    loop {
        let rows = portion(connection, table, &statements.portion(&former), &after)?;
        let Some(last) = rows.last() else { break };
        after = table.id(&last.record).into_owned();
        let workspace = workspace.filter(|_| table.per_workspace);
        let rows: Vec<Row> =
            rows.into_iter().map(|row| Row { workspace: row.workspace.or(workspace), ..row }).collect();
        let writes: Vec<Write<'_>> = rows.iter().map(|row| Write::Put { table, row, old: None }).collect();
        connection.write(&writes).map_err(|e| e.message)?;
    }
    connection.sqlite.execute_batch(&statements.drop(&former)).map_err(text)
}

fn portion(connection: &Connection, table: &Table, sql: &str, after: &str) -> Result<Vec<Row>, String> {
    let mut statement = connection.sqlite.prepare_cached(sql).map_err(text)?;
    let mut rows = statement.query([after]).map_err(text)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(text)? {
        found.push(decode(table, row).map_err(|e| e.message)?);
    }
    Ok(found)
}

/// The id of the default workspace, which is written when there is none.
fn default_workspace(
    connection: &mut Connection,
    table: &Table,
    record: Option<Record>,
) -> Result<Option<Uuid>, String> {
    let known: Option<String> = connection
        .sqlite
        .query_row("SELECT id FROM workspaces WHERE name = ?1", [DEFAULT], |row| row.get(0))
        .optional()
        .map_err(text)?;
    let id = match (known, record) {
        (Some(id), _) => id,
        (None, Some(record)) => {
            let id = table.id(&record).into_owned();
            let row = Row { record, ..Row::default() };
            connection.write(&[Write::Put { table, row: &row, old: None }]).map_err(|e| e.message)?;
            id
        }
        (None, None) => return Ok(None),
    };
    id.parse().map(Some).map_err(|e| format!("the default workspace has no valid id: {e}"))
}

fn text(error: rusqlite::Error) -> String {
    error.to_string()
}
