//! Tables and columns of our own: those of the layout that Kong does not have. They are made from the layout, so that
//! each is a migration by its own name.

use super::super::fields::{self, Fields};
use super::super::plugins;
use super::state::Migration;
use crate::backend::sql::{POSTGRES, Statements, columns, quote};
use crate::layout::{ColumnType, Layout, OnDelete, Table};
use std::collections::{HashMap, HashSet};

/// The columns of the tables that are there.
pub type Present = HashMap<String, HashSet<String>>;

/// What earlier versions read plugins from. A table of Kong's that a view is about cannot be changed by it.
const FORMER_VIEW: &str = "bascule_all_plugins";

/// What is to be done, and by which statements.
#[derive(Debug)]
pub struct Extension {
    pub name: Migration,
    /// The entity whose it is.
    pub table: String,
    pub sql: Vec<String>,
}

/// What a database lacks. `kongs` are the tables that Kong's own migrations make.
pub fn extensions(layout: &Layout, present: &Present, kongs: &HashSet<&str>) -> Vec<Extension> {
    let mut extensions = Vec::new();
    for table in layout.tables() {
        let statements = Statements::new(table, POSTGRES);
        let own = present.get(&table.relation);
        match own {
            Some(columns) => extensions.extend(added_columns(table, &table.relation, &statements, columns)),
            None if kongs.contains(table.relation.as_str()) => {}
            None => extensions.push(new_table(layout, table, &table.relation, &statements, kongs)),
        }
        if let Some(statements) = plugins::own(table) {
            match present.get(plugins::OWN) {
                Some(columns) => extensions.extend(added_columns(table, plugins::OWN, &statements, columns)),
                None => extensions.push(new_table(layout, table, plugins::OWN, &statements, kongs)),
            }
        }
        if let Some((relation, fields)) = fields::relation(table).zip(Fields::new(table)) {
            match present.get(&relation) {
                Some(columns) => extensions.extend(added_columns(table, &relation, &fields.statements, columns)),
                None => extensions.push(new_fields(table, relation, &fields.statements, own)),
            }
        }
    }
    if present.contains_key(FORMER_VIEW) {
        extensions.push(Extension {
            name: FORMER_VIEW.to_owned(),
            table: String::new(),
            sql: vec![format!("DROP VIEW {FORMER_VIEW}")],
        });
    }
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
    Extension { name: relation.to_owned(), table: table.name.clone(), sql }
}

/// The table of fields that Kong's has no columns for. Earlier versions had such columns in Kong's table: `present` are
/// those that it has.
fn new_fields(
    table: &Table,
    relation: String,
    statements: &Statements,
    present: Option<&HashSet<String>>,
) -> Extension {
    let (own, kongs, primary) = (quote(&relation), quote(&table.relation), quote(&table.primary));
    let mut sql = vec![statements.create.clone()];
    sql.extend(statements.indexes.iter().cloned());
    sql.push(format!("ALTER TABLE {own} ADD FOREIGN KEY ({primary}) REFERENCES {kongs} ({primary}) ON DELETE CASCADE"));
    let columns: Vec<(&str, _)> =
        columns(table).into_iter().filter(|(column, _)| !fields::has_column(table, column)).collect();
    if present.is_some_and(|present| columns.iter().any(|(column, _)| present.contains(*column))) {
        let former = Statements::new(table, POSTGRES);
        let missing = columns.iter().filter(|(column, _)| present.is_some_and(|present| !present.contains(*column)));
        sql.extend(missing.map(|(column, kind)| former.add_column(column, *kind)));
        let names: Vec<String> = columns.iter().map(|(column, _)| quote(column)).collect();
        let stand_ins = || fields::stand_ins(table);
        let places = stand_ins().map(|stand_in| quote(stand_in.column));
        let places = [primary].into_iter().chain(names.clone()).chain(places).collect::<Vec<_>>();
        let true_values = stand_ins().map(|s| format!("CASE WHEN {} THEN {} END", s.condition, quote(s.column)));
        let values = places[..=names.len()].iter().cloned().chain(true_values).collect::<Vec<_>>().join(", ");
        let any = names.iter().map(|name| format!("{name} IS NOT NULL")).collect::<Vec<_>>().join(" OR ");
        sql.push(format!("INSERT INTO {own} ({}) SELECT {values} FROM {kongs} WHERE {any}", places.join(", ")));
        let stand_in =
            |s: &fields::StandIn| format!("UPDATE {kongs} SET {} = {} WHERE {}", quote(s.column), s.value, s.condition);
        sql.extend(stand_ins().map(stand_in));
        let drops: Vec<String> = names.iter().map(|name| format!("DROP COLUMN {name}")).collect();
        sql.push(format!("ALTER TABLE {kongs} {}", drops.join(", ")));
    }
    Extension { name: relation, table: table.name.clone(), sql }
}

/// Columns have no default, so that rows of before have none in place of a value.
fn added_columns(table: &Table, relation: &str, statements: &Statements, present: &HashSet<String>) -> Vec<Extension> {
    let missing = statements.kept(table).filter(|(column, _)| !present.contains(*column));
    let extension = |(column, kind): (&str, ColumnType)| {
        let mut sql = vec![statements.add_column(column, kind)];
        let index = quote(&format!("{relation}_{column}"));
        sql.extend(statements.indexes.iter().filter(|sql| sql.contains(&index)).cloned());
        Extension { name: format!("{relation}_{column}"), table: table.name.clone(), sql }
    };
    missing.map(extension).collect()
}
