//! Brings a file to the layout of this program: new tables, new columns, new indexes.

use super::connection::Connection;
use crate::backend::cells::encode_value;
use crate::backend::sql::EXPIRES;
use crate::layout::{COMPOSITE, ColumnType, Layout, Table};
use std::collections::HashSet;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The layout of what no schema describes (`feed`, `tags`), in the file's `user_version`.
const VERSION: i64 = 1;

/// Makes sure that the file exists and that only its owner can read it: it holds keys and credentials. (SQLite
/// gives its side files the same mode.)
pub fn create_private(path: &Path) -> io::Result<()> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(drop)
}

/// Does all in one transaction: a file is migrated or left as it was.
pub fn migrate(connection: &mut Connection, layout: &Layout) -> Result<(), String> {
    let text = |e: rusqlite::Error| e.to_string();
    connection.sqlite.execute_batch("BEGIN IMMEDIATE").map_err(text)?;
    match steps(connection, layout) {
        Ok(()) => connection.sqlite.execute_batch("COMMIT").map_err(text),
        Err(error) => {
            connection.sqlite.execute_batch("ROLLBACK").map_err(text)?;
            Err(error)
        }
    }
}

fn steps(connection: &mut Connection, layout: &Layout) -> Result<(), String> {
    let text = |e: rusqlite::Error| e.to_string();
    let version: i64 = connection.sqlite.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(text)?;
    if version > VERSION {
        return Err(format!("it was written by a newer version (layout {version}, this program knows {VERSION})"));
    }
    if version < 1 {
        connection
            .sqlite
            .execute_batch("CREATE TABLE feed (revision INTEGER NOT NULL); INSERT INTO feed VALUES (0)")
            .map_err(text)?;
        for sql in &connection.tags.create {
            connection.sqlite.execute_batch(sql).map_err(text)?;
        }
        connection.sqlite.pragma_update(None, "user_version", VERSION).map_err(text)?;
    }
    for table in layout.tables() {
        table_steps(connection, table).map_err(|e| format!("table {}: {e}", table.name))?;
    }
    Ok(())
}

fn table_steps(connection: &Connection, table: &Table) -> Result<(), String> {
    let text = |e: rusqlite::Error| e.to_string();
    let statements = &connection.statements[table.index];
    let sqlite = &connection.sqlite;
    let present: HashSet<String> = sqlite
        .prepare("SELECT name FROM pragma_table_info(?1)")
        .and_then(|mut info| info.query_map([&table.name], |row| row.get(0))?.collect())
        .map_err(text)?;
    if present.is_empty() {
        sqlite.execute_batch(&statements.create).map_err(text)?;
    } else {
        for column in table.columns.iter().filter(|c| !present.contains(&c.name)) {
            sqlite.execute_batch(&statements.add_column(&column.name, column.kind)).map_err(text)?;
            if let Some(cell) = encode_value(column.kind, &column.default).filter(|_| !column.default.is_null()) {
                sqlite.execute(&statements.fill_column(&column.name), [cell]).map_err(text)?;
            }
        }
        let extra =
            [(table.composite().is_some(), COMPOSITE, ColumnType::Text), (table.has_ttl, EXPIRES, ColumnType::Integer)];
        for (_, column, kind) in extra.into_iter().filter(|(wanted, column, _)| *wanted && !present.contains(*column)) {
            sqlite.execute_batch(&statements.add_column(column, kind)).map_err(text)?;
        }
    }
    for sql in &statements.indexes {
        sqlite.execute_batch(sql).map_err(text)?;
    }
    Ok(())
}
