//! SQL from the layout. What differs between databases is in [`Dialect`].

use super::Selection;
use super::cells::Cell;
use crate::TagFilter;
use crate::layout::{COMPOSITE, ColumnType, Table};
use std::fmt::Write;

/// How one database writes what SQL leaves open.
#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    /// The type of a column.
    pub column_type: fn(ColumnType) -> &'static str,
    /// The n-th parameter, from 1.
    pub parameter: fn(usize) -> String,
    /// What follows the definition of a table.
    pub table_suffix: &'static str,
}

/// SQLite. Numbers have no declared type, so that integers among them stay integers.
pub const SQLITE: Dialect = Dialect {
    column_type: |kind| match kind {
        ColumnType::Text | ColumnType::Foreign | ColumnType::Json => "TEXT",
        ColumnType::Integer | ColumnType::Boolean => "INTEGER",
        ColumnType::Number => "",
    },
    parameter: |n| format!("?{n}"),
    table_suffix: " WITHOUT ROWID",
};

/// The name of the column that says when a row expires.
pub const EXPIRES: &str = "ttl";

/// The statements of one table.
#[derive(Debug)]
pub struct Statements {
    pub create: String,
    pub indexes: Vec<String>,
    pub get: String,
    pub put: String,
    pub remove: String,
    pub count: String,
    pub expired: String,
    pub next_expiry: String,
    /// The columns that [`super::cells::decode`] wants, of a table called `t`.
    columns: String,
    table: String,
    primary: String,
    dialect: Dialect,
}

/// The statements about tags, which all entities share.
#[derive(Debug)]
pub struct TagStatements {
    pub create: Vec<String>,
    pub add: String,
    pub remove: String,
    pub page: String,
    pub page_of_one: String,
}

impl Statements {
    pub fn new(table: &Table, dialect: Dialect) -> Statements {
        let name = quote(&table.name);
        let primary = quote(&table.primary);
        let mut columns: Vec<(String, ColumnType)> = table.columns.iter().map(|c| (quote(&c.name), c.kind)).collect();
        let mut select = columns.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        if table.composite().is_some() {
            columns.push((quote(COMPOSITE), ColumnType::Text));
        }
        if table.has_ttl {
            columns.push((quote(EXPIRES), ColumnType::Integer));
            select.push(quote(EXPIRES));
        }
        let selected = select.iter().map(|column| format!("t.{column}")).collect::<Vec<_>>().join(", ");
        let select = format!("SELECT {selected} FROM {name} t");
        let parameter = |n| (dialect.parameter)(n);
        let definitions: Vec<String> = columns
            .iter()
            .map(|(column, kind)| {
                let key = if *column == primary { " NOT NULL PRIMARY KEY" } else { "" };
                format!("{column} {}{key}", (dialect.column_type)(*kind)).trim_end().to_owned()
            })
            .collect();
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        let assignments: Vec<String> =
            names.iter().filter(|n| **n != primary).map(|n| format!("{n} = excluded.{n}")).collect();
        let conflict = if assignments.is_empty() {
            "NOTHING".to_owned()
        } else {
            format!("UPDATE SET {}", assignments.join(", "))
        };
        let expires = quote(EXPIRES);
        let alive = if table.has_ttl {
            format!(" WHERE {expires} IS NULL OR {expires} > {}", parameter(1))
        } else {
            String::new()
        };
        let mut indexes: Vec<String> = table
            .lookups
            .iter()
            .map(|lookup| {
                let unique = if lookup.unique { "UNIQUE " } else { "" };
                let index = quote(&format!("{}_{}", table.name, lookup.column));
                format!("CREATE {unique}INDEX IF NOT EXISTS {index} ON {name} ({})", quote(&lookup.column))
            })
            .collect();
        if table.has_ttl {
            let index = quote(&format!("{}_{EXPIRES}", table.name));
            indexes
                .push(format!("CREATE INDEX IF NOT EXISTS {index} ON {name} ({expires}) WHERE {expires} IS NOT NULL"));
        }
        Statements {
            create: format!("CREATE TABLE IF NOT EXISTS {name} ({}){}", definitions.join(", "), dialect.table_suffix),
            indexes,
            get: format!("{select} WHERE {primary} = {}", parameter(1)),
            put: format!(
                "INSERT INTO {name} ({}) VALUES ({}) ON CONFLICT ({primary}) DO {conflict}",
                names.join(", "),
                (1..=names.len()).map(parameter).collect::<Vec<_>>().join(", "),
            ),
            remove: format!("DELETE FROM {name} WHERE {primary} = {}", parameter(1)),
            count: format!("SELECT count(*) FROM {name}{alive}"),
            expired: format!("{select} WHERE {expires} <= {} ORDER BY {expires} LIMIT {}", parameter(1), parameter(2)),
            next_expiry: format!("SELECT min({expires}) FROM {name}"),
            columns: selected,
            table: table.name.clone(),
            primary,
            dialect,
        }
    }

    /// Adds a column to a table that was made before the schema had it.
    pub fn add_column(&self, column: &str, kind: ColumnType) -> String {
        format!("ALTER TABLE {} ADD COLUMN {} {}", quote(&self.table), quote(column), (self.dialect.column_type)(kind))
            .trim_end()
            .to_owned()
    }

    /// Gives all rows a value of a column.
    pub fn fill_column(&self, column: &str) -> String {
        format!("UPDATE {} SET {} = {}", quote(&self.table), quote(column), (self.dialect.parameter)(1))
    }

    /// The first row by the value of one column.
    pub fn find(&self, column: &str) -> String {
        let parameter = (self.dialect.parameter)(1);
        format!(
            "SELECT {} FROM {} t WHERE {} = {parameter} ORDER BY {} LIMIT 1",
            self.columns,
            quote(&self.table),
            quote(column),
            self.primary
        )
    }

    /// A scan and its parameters.
    ///
    /// Each form reads an index in the order of the primary key and stops at the limit, so that a page costs its
    /// size: all tags by walking the first one's entries, any of several by merging as many entries of each.
    pub fn scan(&self, table: &Table, selection: &Selection<'_>) -> (String, Vec<Cell>) {
        let mut parameters: Vec<Cell> = Vec::new();
        let mut bind = |cell: Cell| {
            parameters.push(cell);
            (self.dialect.parameter)(parameters.len())
        };
        let text = |text: &str| Cell::Text(text.to_owned());
        let limit = bind(Cell::Integer(i64::try_from(selection.limit).unwrap_or(i64::MAX)));
        let primary = &self.primary;
        // The entity's name is no input, but a literal: it is quoted as one.
        let entity = self.table.replace('\'', "''");
        let mut conditions: Vec<String> = Vec::new();
        if let Some((foreign, id)) = selection.foreign {
            conditions.push(format!("t.{} = {}", quote(&foreign.column), bind(text(id))));
        }
        if table.has_ttl {
            let expires = quote(EXPIRES);
            conditions.push(format!("(t.{expires} IS NULL OR t.{expires} > {})", bind(Cell::Integer(selection.now))));
        }
        let after = selection.after.map(|after| bind(text(after)));
        let mut source = format!("{} t", quote(&self.table));
        let mut order = format!("t.{primary}");
        match selection.tags {
            Some(TagFilter::All(tags)) if !tags.is_empty() => {
                source = format!("tags g CROSS JOIN {source}");
                order = "g.id".to_owned();
                let first = bind(text(&tags[0]));
                conditions.push(format!("g.entity = '{entity}' AND g.tag = {first} AND t.{primary} = g.id"));
                for tag in &tags[1..] {
                    let tag = bind(text(tag));
                    conditions.push(format!(
                        "EXISTS (SELECT 1 FROM tags h WHERE h.entity = '{entity}' AND h.tag = {tag} AND h.id = g.id)"
                    ));
                }
            }
            Some(TagFilter::Any(tags)) => {
                let after = after.as_ref().map(|after| format!(" AND id > {after}")).unwrap_or_default();
                // With other conditions, more than a page's worth of a tag may be needed to fill the page.
                let limit = if conditions.is_empty() { format!(" ORDER BY id LIMIT {limit}") } else { String::new() };
                let each: Vec<String> = tags
                    .iter()
                    .map(|tag| {
                        format!(
                            "SELECT * FROM (SELECT id FROM tags WHERE entity = '{entity}' AND tag = {}{after}{limit})",
                            bind(text(tag))
                        )
                    })
                    .collect();
                conditions.push(format!("t.{primary} IN ({})", each.join(" UNION ")));
            }
            _ => {}
        }
        if let Some(after) = after {
            conditions.push(format!("{order} > {after}"));
        }
        let mut sql = format!("SELECT {} FROM {source}", self.columns);
        for (i, condition) in conditions.iter().enumerate() {
            let _ = write!(sql, "{}{condition}", if i == 0 { " WHERE " } else { " AND " });
        }
        let _ = write!(sql, " ORDER BY {order} LIMIT {limit}");
        (sql, parameters)
    }
}

impl TagStatements {
    pub fn new(dialect: Dialect) -> TagStatements {
        let p = |n| (dialect.parameter)(n);
        let page = "SELECT tag, entity, id, place FROM tags WHERE";
        let after = |n| {
            format!(
                "(id, entity, place) > ({}, {}, {}) ORDER BY id, entity, place LIMIT {}",
                p(n),
                p(n + 1),
                p(n + 2),
                p(n + 3)
            )
        };
        TagStatements {
            create: vec![
                format!(
                    "CREATE TABLE IF NOT EXISTS tags (entity TEXT NOT NULL, tag TEXT NOT NULL, id TEXT NOT NULL, \
                     place INTEGER NOT NULL, PRIMARY KEY (entity, tag, id)){}",
                    dialect.table_suffix
                ),
                "CREATE INDEX IF NOT EXISTS tags_by_record ON tags (id, entity, place)".to_owned(),
                "CREATE INDEX IF NOT EXISTS tags_by_tag ON tags (tag, id, entity, place)".to_owned(),
            ],
            add: format!(
                "INSERT INTO tags (entity, id, tag, place) VALUES ({}, {}, {}, {}) ON CONFLICT DO NOTHING",
                p(1),
                p(2),
                p(3),
                p(4)
            ),
            remove: format!("DELETE FROM tags WHERE entity = {} AND id = {}", p(1), p(2)),
            page: format!("{page} {}", after(1)),
            page_of_one: format!("{page} tag = {} AND {}", p(1), after(2)),
        }
    }
}

/// A name as an identifier, whatever it contains.
fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
