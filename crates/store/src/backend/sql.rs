//! SQL from the layout. What differs between databases is in [`Dialect`].

use super::cells::{self, Cell};
use super::postgres::fields;
use super::{Selection, TagSelection};
use crate::TagFilter;
use crate::layout::{COMPOSITE, ColumnType, Lookup, Table, WORKSPACE};
use std::fmt::Write;
use uuid::Uuid;

/// How one database writes what SQL leaves open.
#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    /// The type of a column.
    pub column_type: fn(ColumnType) -> &'static str,
    /// The n-th parameter, from 1.
    pub parameter: fn(usize) -> String,
    /// What follows the definition of a table.
    pub table_suffix: &'static str,
    /// The name of a table.
    pub relation: fn(&Table) -> &str,
    /// What all rows of a table are read from.
    pub source: fn(&Table) -> String,
    /// Whether a table has a column of the layout.
    pub has_column: fn(&Table, &str) -> bool,
    /// Whether tags are arrays that can be searched; else they are rows of a table of their own.
    pub has_arrays: bool,
}

/// SQLite. Numbers and times have no declared type, so that integers among them stay integers.
pub const SQLITE: Dialect = Dialect {
    column_type: |kind| match kind {
        ColumnType::Text | ColumnType::Uuid | ColumnType::Foreign => "TEXT",
        ColumnType::Texts | ColumnType::Uuids | ColumnType::Jsons | ColumnType::Json => "TEXT",
        ColumnType::Integer | ColumnType::Boolean | ColumnType::Seconds | ColumnType::Expiry => "INTEGER",
        ColumnType::Number | ColumnType::Time => "",
    },
    parameter: |n| format!("?{n}"),
    table_suffix: " WITHOUT ROWID",
    relation: |table| &table.name,
    source: |table| quote(&table.name),
    has_column: |_, _| true,
    has_arrays: false,
};

/// Postgres, with Kong's names and types.
pub const POSTGRES: Dialect = Dialect {
    column_type: |kind| match kind {
        ColumnType::Text => "TEXT",
        ColumnType::Uuid | ColumnType::Foreign => "UUID",
        ColumnType::Integer => "BIGINT",
        ColumnType::Number => "DOUBLE PRECISION",
        ColumnType::Boolean => "BOOLEAN",
        ColumnType::Seconds | ColumnType::Time | ColumnType::Expiry => "TIMESTAMP WITH TIME ZONE",
        ColumnType::Texts => "TEXT[]",
        ColumnType::Uuids => "UUID[]",
        ColumnType::Jsons => "JSONB[]",
        ColumnType::Json => "JSONB",
    },
    parameter: |n| format!("${n}"),
    table_suffix: "",
    relation: |table| &table.relation,
    source: fields::source,
    has_column: fields::has_column,
    has_arrays: true,
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
    pub expired: String,
    pub next_expiry: String,
    /// The columns that [`super::cells::decode`] wants, of a table called `t`.
    columns: String,
    /// The places of the cells that are written.
    places: Vec<usize>,
    table: String,
    /// What rows are read from.
    source: String,
    entity: String,
    /// The columns of the primary key.
    key: Vec<String>,
    dialect: Dialect,
}

/// The statements about tags, which all entities share.
#[derive(Debug)]
pub struct TagStatements {
    pub create: Vec<String>,
    pub add: String,
    pub remove: String,
    dialect: Dialect,
}

/// The statements of one entity's counters.
#[derive(Debug)]
pub struct CounterStatements {
    /// Parameters: those of the key, what is added, when it expires.
    pub add: String,
    /// Parameters: those of the key, the time.
    pub count: String,
    /// Removes some of what has expired. Its parameter is the time.
    pub purge: String,
}

impl Statements {
    pub fn new(table: &Table, dialect: Dialect) -> Statements {
        Statements::at(table, dialect, (dialect.relation)(table), |column| (dialect.has_column)(table, column))
    }

    /// The same for rows that are written to that relation, and the columns that it has.
    pub fn at(table: &Table, dialect: Dialect, relation: &str, has_column: impl Fn(&str) -> bool) -> Statements {
        let (name, source) = (quote(relation), (dialect.source)(table));
        let key: Vec<String> = table.keys().map(|column| quote(&column.name)).collect();
        let is_alone = key.len() == 1;
        let columns = columns(table);
        let selected = columns.iter().filter(|(column, _)| *column != COMPOSITE);
        let selected = selected.map(|(column, _)| format!("t.{}", quote(column))).collect::<Vec<_>>().join(", ");
        let select = format!("SELECT {selected} FROM {source} t");
        let parameter = |n| (dialect.parameter)(n);
        let places: Vec<usize> = (0..columns.len()).filter(|place| has_column(columns[*place].0)).collect();
        let columns: Vec<(String, ColumnType)> =
            places.iter().map(|place| (quote(columns[*place].0), columns[*place].1)).collect();
        let mut definitions: Vec<String> = columns
            .iter()
            .map(|(column, kind)| {
                let constraint = match key.contains(column) {
                    true if is_alone => " NOT NULL PRIMARY KEY",
                    true => " NOT NULL",
                    false => "",
                };
                format!("{column} {}{constraint}", (dialect.column_type)(*kind)).trim_end().to_owned()
            })
            .collect();
        if !is_alone {
            definitions.push(format!("PRIMARY KEY ({})", key.join(", ")));
        }
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        let assignments: Vec<String> =
            names.iter().filter(|n| !key.iter().any(|key| key == *n)).map(|n| format!("{n} = excluded.{n}")).collect();
        let conflict = if assignments.is_empty() {
            "NOTHING".to_owned()
        } else {
            format!("UPDATE SET {}", assignments.join(", "))
        };
        let is_key = key.iter().zip(1..).map(|(column, n)| format!("{column} = {}", parameter(n)));
        let is_key = is_key.collect::<Vec<_>>().join(" AND ");
        let expires = quote(EXPIRES);
        let lookups = table.lookups.iter().filter(|lookup| has_column(&lookup.column));
        let mut indexes: Vec<String> = lookups
            .map(|lookup| {
                let unique = if lookup.unique { "UNIQUE " } else { "" };
                let index = quote(&format!("{relation}_{}", lookup.column));
                let workspace = if lookup.per_workspace { format!("{}, ", quote(WORKSPACE)) } else { String::new() };
                format!("CREATE {unique}INDEX IF NOT EXISTS {index} ON {name} ({workspace}{})", quote(&lookup.column))
            })
            .collect();
        if table.per_workspace && has_column(WORKSPACE) {
            let index = quote(&format!("{relation}_{WORKSPACE}"));
            indexes.push(format!("CREATE INDEX IF NOT EXISTS {index} ON {name} ({})", quote(WORKSPACE)));
        }
        if table.has_ttl && has_column(EXPIRES) {
            let index = quote(&format!("{relation}_{EXPIRES}"));
            indexes
                .push(format!("CREATE INDEX IF NOT EXISTS {index} ON {name} ({expires}) WHERE {expires} IS NOT NULL"));
        }
        Statements {
            create: format!("CREATE TABLE IF NOT EXISTS {name} ({}){}", definitions.join(", "), dialect.table_suffix),
            indexes,
            get: format!("{select} WHERE {is_key}"),
            put: format!(
                "INSERT INTO {name} ({}) VALUES ({}) ON CONFLICT ({}) DO {conflict}",
                names.join(", "),
                (1..=names.len()).map(parameter).collect::<Vec<_>>().join(", "),
                key.join(", "),
            ),
            remove: format!("DELETE FROM {name} WHERE {is_key}"),
            expired: format!("{select} WHERE {expires} <= {} ORDER BY {expires} LIMIT {}", parameter(1), parameter(2)),
            next_expiry: format!("SELECT min({expires}) FROM {source} t"),
            places,
            columns: selected,
            table: relation.to_owned(),
            source,
            entity: table.name.clone(),
            key,
            dialect,
        }
    }

    /// Those of a row's cells that are written.
    pub fn written(&self, cells: Vec<Cell>) -> Vec<Cell> {
        let all = self.places.len() == cells.len();
        if all { cells } else { self.places.iter().map(|place| cells[*place].clone()).collect() }
    }

    /// The columns that are written.
    pub fn kept<'t>(&self, table: &'t Table) -> impl Iterator<Item = (&'t str, ColumnType)> {
        let columns = columns(table);
        self.places.iter().map(move |place| columns[*place])
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

    /// Puts a table aside under another name, and makes a new one without indexes. `indexes` are those that it has.
    pub fn rebuild(&self, former: &str, indexes: &[String]) -> Vec<String> {
        let aside = format!("ALTER TABLE {} RENAME TO {}", quote(&self.table), quote(former));
        let indexes = indexes.iter().map(|index| format!("DROP INDEX {}", quote(index)));
        std::iter::once(aside).chain(indexes).chain([self.create.clone()]).collect()
    }

    /// Some rows of a table that was put aside; its parameter is the primary key after which they come.
    pub fn portion(&self, former: &str) -> String {
        let (columns, key) = (&self.columns, self.key.join(", "));
        let after = (self.dialect.parameter)(1);
        format!("SELECT {columns} FROM {} t WHERE {key} > {after} ORDER BY {key} LIMIT 1000", quote(former))
    }

    pub fn drop(&self, table: &str) -> String {
        format!("DROP TABLE {}", quote(table))
    }

    /// The first row by a column with an index, and its parameters.
    pub fn find(&self, lookup: &Lookup, workspace: Option<Uuid>, value: &str) -> (String, Vec<Cell>) {
        let mut conditions: Vec<String> = Vec::new();
        let mut parameters: Vec<Cell> = Vec::new();
        let mut bind = |column: &str, cell: Cell| {
            parameters.push(cell);
            conditions.push(format!("{} = {}", quote(column), (self.dialect.parameter)(parameters.len())));
        };
        if let Some(workspace) = workspace.filter(|_| lookup.per_workspace) {
            bind(WORKSPACE, Cell::Uuid(workspace));
        }
        bind(&lookup.column, cells::lookup(lookup, value));
        let Statements { columns, source, key, .. } = self;
        let (conditions, key) = (conditions.join(" AND "), key.join(", "));
        (format!("SELECT {columns} FROM {source} t WHERE {conditions} ORDER BY {key} LIMIT 1"), parameters)
    }

    /// The number of rows and its parameters.
    pub fn count(&self, table: &Table, workspace: Option<Uuid>, now: i64) -> (String, Vec<Cell>) {
        let mut sql = format!("SELECT count(*) FROM {} t", self.source);
        let mut parameters = Vec::new();
        let mut bind = |cell: Cell| {
            parameters.push(cell);
            (self.dialect.parameter)(parameters.len())
        };
        if let Some(workspace) = workspace.filter(|_| table.per_workspace) {
            let _ = write!(sql, " WHERE {} = {}", quote(WORKSPACE), bind(Cell::Uuid(workspace)));
        }
        if table.has_ttl {
            let (expires, now) = (quote(EXPIRES), bind(Cell::Expiry(now)));
            let and = if sql.contains(" WHERE ") { "AND" } else { "WHERE" };
            let _ = write!(sql, " {and} ({expires} IS NULL OR {expires} > {now})");
        }
        (sql, parameters)
    }

    /// A scan and its parameters.
    ///
    /// Each form reads an index in the order of the primary key and stops at the limit, so that a page costs its
    /// size: all tags by walking the first one's entries, any of several by merging as many entries of each.
    pub fn scan(&self, selection: &Selection<'_>) -> (String, Vec<Cell>) {
        let table = selection.table;
        let mut parameters: Vec<Cell> = Vec::new();
        let mut bind = |cell: Cell| {
            parameters.push(cell);
            (self.dialect.parameter)(parameters.len())
        };
        let text = |text: &str| Cell::Text(text.to_owned());
        let id = |id: &str| Uuid::try_parse(id).map_or(Cell::Null, Cell::Uuid);
        let limit = bind(Cell::Integer(i64::try_from(selection.limit).unwrap_or(i64::MAX)));
        let key: Vec<String> = self.key.iter().map(|column| format!("t.{column}")).collect();
        let key = key.join(", ");
        // The entity's name is no input, but a literal: it is quoted as one.
        let entity = self.entity.replace('\'', "''");
        let mut conditions: Vec<String> = Vec::new();
        if let Some((foreign, ids)) = selection.foreign {
            let ids: Vec<String> = ids.iter().map(|of| bind(id(of))).collect();
            conditions.push(format!("t.{} IN ({})", quote(&foreign.column), ids.join(", ")));
        }
        if let Some((lookup, value)) = selection.value {
            conditions.push(format!("t.{} = {}", quote(&lookup.column), bind(cells::lookup(lookup, value))));
        }
        if table.has_ttl {
            let expires = quote(EXPIRES);
            conditions.push(format!("(t.{expires} IS NULL OR t.{expires} > {})", bind(Cell::Expiry(selection.now))));
        }
        let workspace = selection.workspace.filter(|_| table.per_workspace).map(|id| bind(Cell::Uuid(id)));
        if let Some(workspace) = &workspace {
            conditions.push(format!("t.{} = {workspace}", quote(WORKSPACE)));
        }
        let of_workspace = |tags: &str| match (&workspace, table.per_workspace) {
            (Some(workspace), _) => format!(" AND {tags}{WORKSPACE} = {workspace}"),
            (None, true) => String::new(),
            (None, false) => format!(" AND {tags}{WORKSPACE} = ''"),
        };
        let after = selection
            .after
            .map(|after| cells::key(table, after).into_iter().map(&mut bind).collect::<Vec<_>>().join(", "));
        let mut source = format!("{} t", self.source);
        let mut order = key.clone();
        match selection.tags {
            Some(TagFilter::All(tags)) if self.dialect.has_arrays => {
                conditions.push(format!("t.tags @> {}", bind(Cell::Texts(tags.clone()))));
            }
            Some(TagFilter::Any(tags)) if self.dialect.has_arrays => {
                conditions.push(format!("t.tags && {}", bind(Cell::Texts(tags.clone()))));
            }
            Some(TagFilter::All(tags)) if !tags.is_empty() => {
                source = format!("tags g CROSS JOIN {source}");
                order = "g.id".to_owned();
                let first = bind(text(&tags[0]));
                conditions
                    .push(format!("g.entity = '{entity}' AND g.tag = {first}{} AND {key} = g.id", of_workspace("g.")));
                for tag in &tags[1..] {
                    conditions.push(format!(
                        "EXISTS (SELECT 1 FROM tags h WHERE h.entity = '{entity}' AND h.tag = {} AND h.{WORKSPACE} = \
                         g.{WORKSPACE} AND h.id = g.id)",
                        bind(text(tag))
                    ));
                }
            }
            Some(TagFilter::Any(tags)) => {
                let after = after.as_ref().map(|after| format!(" AND id > {after}")).unwrap_or_default();
                // With other conditions, more than a page's worth of a tag may be needed to fill the page.
                let alone = conditions.len() == usize::from(workspace.is_some());
                let limit = if alone { format!(" ORDER BY id LIMIT {limit}") } else { String::new() };
                let each: Vec<String> = tags
                    .iter()
                    .map(|tag| {
                        format!(
                            "SELECT * FROM (SELECT id FROM tags WHERE entity = '{entity}' \
                             AND tag = {}{}{after}{limit})",
                            bind(text(tag)),
                            of_workspace("")
                        )
                    })
                    .collect();
                conditions.push(format!("{key} IN ({})", each.join(" UNION ")));
            }
            _ => {}
        }
        if let Some(after) = after {
            conditions.push(match table.has_joint_key() {
                true => format!("({order}) > ({after})"),
                false => format!("{order} > {after}"),
            });
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
        TagStatements {
            create: vec![
                format!(
                    "CREATE TABLE IF NOT EXISTS tags (entity TEXT NOT NULL, tag TEXT NOT NULL, \
                     {WORKSPACE} TEXT NOT NULL, id TEXT NOT NULL, place INTEGER NOT NULL, \
                     PRIMARY KEY (entity, tag, {WORKSPACE}, id)){}",
                    dialect.table_suffix
                ),
                format!("CREATE INDEX IF NOT EXISTS tags_by_record ON tags ({WORKSPACE}, id, entity, place)"),
                format!("CREATE INDEX IF NOT EXISTS tags_by_tag ON tags ({WORKSPACE}, tag, id, entity, place)"),
            ],
            add: format!(
                "INSERT INTO tags (entity, id, {WORKSPACE}, tag, place) VALUES ({}, {}, {}, {},
                {}) ON CONFLICT DO NOTHING",
                p(1),
                p(2),
                p(3),
                p(4),
                p(5)
            ),
            remove: format!("DELETE FROM tags WHERE entity = {} AND id = {} AND {WORKSPACE} = {}", p(1), p(2), p(3)),
            dialect,
        }
    }

    /// A page of tags and its parameters. What belongs to no workspace is listed with the tags of any, each part in the
    /// order of an index.
    pub fn page(&self, selection: &TagSelection<'_>) -> (String, Vec<Cell>) {
        let mut parameters: Vec<Cell> = Vec::new();
        let mut bind = |cell: Cell| {
            parameters.push(cell);
            (self.dialect.parameter)(parameters.len())
        };
        let mut conditions: Vec<String> = Vec::new();
        conditions.extend(selection.tag.map(|tag| format!("tag = {}", bind(Cell::Text(tag.to_owned())))));
        if let Some((id, entity, place)) = selection.after {
            let position = [Cell::Text(id.to_owned()), Cell::Text(entity.to_owned()), Cell::Integer(place.into())];
            let position = position.map(&mut bind).join(", ");
            conditions.push(format!("(id, entity, place) > ({position})"));
        }
        let limit = bind(Cell::Integer(i64::try_from(selection.limit).unwrap_or(i64::MAX)));
        let order = format!("ORDER BY id, entity, place LIMIT {limit}");
        let mut part = |workspace: Option<String>| {
            let mut conditions = conditions.clone();
            conditions.extend(workspace.map(|id| format!("{WORKSPACE} = {}", bind(Cell::Text(id)))));
            let conditions = if conditions.is_empty() { "TRUE".to_owned() } else { conditions.join(" AND ") };
            format!("SELECT * FROM (SELECT tag, entity, id, place FROM tags WHERE {conditions} {order})")
        };
        let sql = match selection.workspace {
            Some(workspace) => {
                format!("{} UNION ALL {} {order}", part(Some(workspace.to_string())), part(Some(String::new())))
            }
            None => part(None),
        };
        (sql, parameters)
    }
}

impl CounterStatements {
    pub fn new(entity: &str, dialect: Dialect) -> CounterStatements {
        const KEY: &str = "identifier, period, period_date, service_id, route_id";
        let table = quote(entity);
        let p = |n| (dialect.parameter)(n);
        let values = (1..=7).map(p).collect::<Vec<_>>().join(", ");
        let key = (1..=5).map(p).collect::<Vec<_>>().join(", ");
        CounterStatements {
            add: format!(
                "INSERT INTO {table} ({KEY}, value, {EXPIRES}) VALUES ({values}) ON CONFLICT ({KEY}) DO UPDATE SET \
                 value = {table}.value + excluded.value, {EXPIRES} = excluded.{EXPIRES}"
            ),
            count: format!("SELECT value FROM {table} WHERE ({KEY}) = ({key}) AND {EXPIRES} > {}", p(6)),
            purge: format!(
                "DELETE FROM {table} WHERE ({KEY}) IN (SELECT {KEY} FROM {table} WHERE {EXPIRES} <= {} LIMIT 100)",
                p(1)
            ),
        }
    }
}

/// All columns of a table, in the order of [`cells::encode`].
pub fn columns(table: &Table) -> Vec<(&str, ColumnType)> {
    let mut columns: Vec<(&str, ColumnType)> = table.columns.iter().map(|c| (c.name.as_str(), c.kind)).collect();
    columns.extend(table.composite().map(|_| (COMPOSITE, ColumnType::Text)));
    columns.extend(table.per_workspace.then_some((WORKSPACE, ColumnType::Uuid)));
    columns.extend(table.has_ttl.then_some((EXPIRES, ColumnType::Expiry)));
    columns
}

/// A name as an identifier, whatever it contains.
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
