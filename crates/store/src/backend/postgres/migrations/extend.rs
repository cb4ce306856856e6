//! Tables and columns of our own: those of the layout that Kong does not have. They are made from the layout, so that
//! each is a migration by its own name.

use super::super::{counters, plugins};
use super::state::Migration;
use crate::backend::sql::{EXPIRES, POSTGRES, Statements, quote};
use crate::layout::{COMPOSITE, ColumnType, Layout, OnDelete, Table, WORKSPACE};
use std::collections::{HashMap, HashSet};

/// The columns of the tables that are there.
pub type Present = HashMap<String, HashSet<String>>;

/// What is to be done, and by which statements.
#[derive(Debug)]
pub struct Extension {
    pub name: Migration,
    pub sql: Vec<String>,
}

/// What a database lacks. `kongs` are the tables that Kong's own migrations make.
pub fn extensions(layout: &Layout, present: &Present, kongs: &HashSet<&str>) -> Vec<Extension> {
    let mut extensions = Vec::new();
    for table in layout.tables() {
        let statements = Statements::new(table, POSTGRES);
        match present.get(&table.relation) {
            Some(columns) => extensions.extend(added_columns(table, &table.relation, &statements, columns)),
            None if kongs.contains(table.relation.as_str()) => {}
            None => extensions.push(new_table(layout, table, &table.relation, &statements, kongs)),
        }
        if let Some(statements) = plugins::own(table) {
            let before = extensions.len();
            let own = present.get(plugins::OWN);
            match own {
                Some(columns) => extensions.extend(added_columns(table, plugins::OWN, &statements, columns)),
                None => extensions.push(new_table(layout, table, plugins::OWN, &statements, kongs)),
            }
            if extensions.len() > before || !present.contains_key(plugins::ALL) {
                let mut columns: Vec<String> = own.into_iter().flatten().cloned().collect();
                columns.sort();
                extensions.push(Extension { name: plugins::ALL.to_owned(), sql: plugins::view(table, &columns) });
            }
        }
    }
    let missing = |entity: &&String| !present.contains_key(*entity) && !kongs.contains(entity.as_str());
    let counters = layout.counters.iter().filter(missing);
    extensions.extend(counters.map(|entity| Extension { name: entity.clone(), sql: counters::create(entity) }));
    extensions
}

/// `kongs`: where a Kong deletes rows, what refers to them has to follow by itself.
fn new_table(
    layout: &Layout,
    table: &Table,
    relation: &str,
    statements: &Statements,
    kongs: &HashSet<&str>,
) -> Extension {
    let name = quote(relation);
    let mut sql = vec![statements.create.clone()];
    sql.extend(statements.indexes.iter().cloned());
    for foreign in table.foreigns.iter().filter(|_| !kongs.is_empty()) {
        let target = layout.at(foreign.target);
        let follows = match foreign.on_delete {
            OnDelete::Cascade => " ON DELETE CASCADE",
            OnDelete::Null => " ON DELETE SET NULL",
            OnDelete::Restrict => "",
        };
        let (column, target, primary) = (quote(&foreign.column), quote(&target.relation), quote(&target.primary));
        sql.push(format!("ALTER TABLE {name} ADD FOREIGN KEY ({column}) REFERENCES {target} ({primary}){follows}"));
    }
    if table.has_tags {
        sql.push(format!("CREATE INDEX {} ON {name} USING gin (tags)", quote(&format!("{relation}_tags_idx"))));
        sql.push(format!(
            "CREATE TRIGGER {} AFTER INSERT OR UPDATE OF tags OR DELETE ON {name} \
             FOR EACH ROW EXECUTE FUNCTION sync_tags()",
            quote(&format!("{relation}_sync_tags_trigger"))
        ));
    }
    Extension { name: relation.to_owned(), sql }
}

/// Columns have no default, so that rows of before have none in place of a value.
fn added_columns(table: &Table, relation: &str, statements: &Statements, present: &HashSet<String>) -> Vec<Extension> {
    let mut columns: Vec<(&str, ColumnType)> = table.columns.iter().map(|c| (c.name.as_str(), c.kind)).collect();
    columns.extend(table.composite().map(|_| (COMPOSITE, ColumnType::Text)));
    columns.extend(table.per_workspace.then_some((WORKSPACE, ColumnType::Uuid)));
    columns.extend(table.has_ttl.then_some((EXPIRES, ColumnType::Expiry)));
    let kept = |column: &str| relation != table.relation || plugins::has_column(table, column);
    let missing = columns.into_iter().filter(|(column, _)| kept(column) && !present.contains(*column));
    let extension = |(column, kind): (&str, ColumnType)| {
        let mut sql = vec![statements.add_column(column, kind)];
        let index = quote(&format!("{relation}_{column}"));
        sql.extend(statements.indexes.iter().filter(|sql| sql.contains(&index)).cloned());
        Extension { name: format!("{relation}_{column}"), sql }
    };
    missing.map(extension).collect()
}
