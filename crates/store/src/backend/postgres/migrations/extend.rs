//! Tables and columns of our own: those of the layout that Kong does not have. They are made from the layout, so that
//! each is a migration by its own name.

use super::super::counters;
use super::state::Migration;
use crate::backend::sql::{EXPIRES, POSTGRES, Statements, quote};
use crate::layout::{COMPOSITE, ColumnType, Layout, Table, WORKSPACE};
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
            Some(columns) => extensions.extend(added_columns(table, &statements, columns)),
            None if kongs.contains(table.relation.as_str()) => {}
            None => extensions.push(new_table(table, &statements)),
        }
    }
    let missing = |entity: &&String| !present.contains_key(*entity) && !kongs.contains(entity.as_str());
    let counters = layout.counters.iter().filter(missing);
    extensions.extend(counters.map(|entity| Extension { name: entity.clone(), sql: counters::create(entity) }));
    extensions
}

fn new_table(table: &Table, statements: &Statements) -> Extension {
    let mut sql = vec![statements.create.clone()];
    sql.extend(statements.indexes.iter().cloned());
    if table.has_tags {
        let name = quote(&table.relation);
        sql.push(format!("CREATE INDEX {} ON {name} USING gin (tags)", quote(&format!("{}_tags_idx", table.relation))));
        sql.push(format!(
            "CREATE TRIGGER {} AFTER INSERT OR UPDATE OF tags OR DELETE ON {name} \
             FOR EACH ROW EXECUTE FUNCTION sync_tags()",
            quote(&format!("{}_sync_tags_trigger", table.relation))
        ));
    }
    Extension { name: table.relation.clone(), sql }
}

/// Columns have no default, so that rows of before have none in place of a value.
fn added_columns(table: &Table, statements: &Statements, present: &HashSet<String>) -> Vec<Extension> {
    let mut columns: Vec<(&str, ColumnType)> = table.columns.iter().map(|c| (c.name.as_str(), c.kind)).collect();
    columns.extend(table.composite().map(|_| (COMPOSITE, ColumnType::Text)));
    columns.extend(table.per_workspace.then_some((WORKSPACE, ColumnType::Uuid)));
    columns.extend(table.has_ttl.then_some((EXPIRES, ColumnType::Expiry)));
    let missing = columns.into_iter().filter(|(column, _)| !present.contains(*column));
    let extension = |(column, kind): (&str, ColumnType)| {
        let mut sql = vec![statements.add_column(column, kind)];
        let lookups = table.lookups.iter().zip(&statements.indexes);
        sql.extend(lookups.filter(|(lookup, _)| lookup.column == column).map(|(_, index)| index.clone()));
        Extension { name: format!("{}_{column}", table.relation), sql }
    };
    missing.map(extension).collect()
}
