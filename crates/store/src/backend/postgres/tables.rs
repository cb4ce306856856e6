//! Which statements write a row: most rows are in one table, some in a table of our own, some in two.

use super::fields::Fields;
use super::plugins;
use super::session::Question;
use crate::backend::cells;
use crate::backend::sql::{POSTGRES, Statements};
use crate::backend::{Row, Write, failure};
use crate::layout::{Layout, Table};
use model::Error;

/// The statements of all tables.
pub struct Tables {
    statements: Vec<Statements>,
    /// Those of plugins that are not in Kong's table.
    plugins: Option<Statements>,
    /// What Kong's tables have no columns for.
    fields: Vec<Option<Fields>>,
}

impl Tables {
    pub fn new(layout: &Layout) -> Tables {
        Tables {
            statements: layout.tables().iter().map(|table| Statements::new(table, POSTGRES)).collect(),
            plugins: layout.tables().iter().find_map(plugins::own),
            fields: layout.tables().iter().map(Fields::new).collect(),
        }
    }

    /// Those that read a table.
    pub fn of(&self, table: &Table) -> &Statements {
        &self.statements[table.index]
    }

    /// What makes a write happen.
    pub fn questions(&self, write: &Write<'_>, questions: &mut Vec<Question>) -> Result<(), Error> {
        let (table, new, old) = match *write {
            Write::Put { table, row, old } => (table, Some(row), old),
            Write::Remove { table, row } => (table, None, Some(row)),
        };
        let key = |row: &Row| cells::key(table, &table.id(&row.record));
        let is_own = |row: &Row| plugins::is_split(table) && !plugins::is_kongs(table, row);
        let statements = |row: &Row| match &self.plugins {
            Some(own) if is_own(row) => own,
            _ => self.of(table),
        };
        let moved = |old: &&Row| new.is_none_or(|new| is_own(new) != is_own(old));
        if let Some(old) = old.filter(moved) {
            questions.push((statements(old).remove.clone(), key(old)));
        }
        let Some(new) = new else { return Ok(()) };
        if is_own(new) && old.is_none_or(|old| !is_own(old)) {
            tracing::info!("{} {}: a Kong on this database does not see it", table.name, table.id(&new.record));
        }
        let encode = |row: &Row| cells::encode(table, row).map_err(failure);
        let mut cells = encode(new)?;
        let fields = self.fields[table.index].as_ref();
        let own = fields.and_then(|fields| fields.take(&new.record, &mut cells));
        questions.push((statements(new).put.clone(), statements(new).written(cells)));
        let Some(fields) = fields else { return Ok(()) };
        if let Some(own) = own {
            questions.push((fields.statements.put.clone(), own));
        } else if let Some(old) = old
            && fields.take(&old.record, &mut encode(old)?).is_some()
        {
            questions.push((fields.statements.remove.clone(), key(old)));
        }
        Ok(())
    }
}
