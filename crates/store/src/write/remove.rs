//! Deletions, and what follows from them: cascades, references that become null, refusals.

use super::Transaction;
use crate::Operation;
use crate::backend::{Row, Selection, Wanted, Write};
use crate::layout::{OnDelete, Table, WORKSPACES};
use crate::read;
use model::Error;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashSet;

/// What becomes of rows that refer to those that are removed, and whose foreign keys neither cascade nor become null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Referrers {
    /// They stand against it.
    Restrict,
    /// They are removed, too.
    GoToo,
}

/// Rows that are removed: the table's place in the layout, and the row.
type Doomed = Vec<(usize, Row)>;

impl<'t> Transaction<'t> {
    /// Removes all rows of a table that are seen, and all that refer to them, whatever their foreign keys say.
    pub(crate) fn truncate(&mut self, entity: &str) -> Result<(), Error> {
        let table = self.table(entity)?;
        self.remove_selected(Selection { now: i64::MIN, ..self.view.selection(table) })
    }

    /// Deletes every record whose foreign key field points at that id.
    pub fn delete_for(&mut self, entity: &str, field: &str, id: &str) -> Result<(), Error> {
        let (view, table) = (self.view, self.table(entity)?);
        let foreign = read::foreign(table, field)?;
        self.check_writable("remove", table, None)?;
        let mut rows = Vec::new();
        read::each(self.writer, Selection { foreign: Some((foreign, &[id])), ..view.selection(table) }, |row| {
            rows.push(row);
            Ok(true)
        })?;
        self.remove(table, rows, Referrers::Restrict)
    }

    /// Removes what has expired.
    pub(crate) fn purge(&mut self, limit: usize) -> Result<(), Error> {
        let layout = self.view.layout;
        for table in layout.tables().iter().filter(|table| table.has_ttl) {
            let rows = self.writer.expired(table, self.view.now, limit)?;
            self.remove(table, rows, Referrers::GoToo)?;
        }
        Ok(())
    }

    /// Removes all that belongs to the workspace that the transaction is about.
    pub fn empty_workspace(&mut self) -> Result<(), Error> {
        if self.view.scope.workspace().is_none() {
            return Err(Error::operation_unsupported("only one workspace can be emptied"));
        }
        // What refers comes after what it refers to.
        let mut tables = self.view.layout.tables().iter().rev().filter(|table| table.per_workspace);
        tables.try_for_each(|table| self.remove_selected(Selection { now: i64::MIN, ..self.view.selection(table) }))
    }

    fn remove_selected(&mut self, selection: Selection<'t>) -> Result<(), Error> {
        let mut rows = Vec::new();
        read::each(self.writer, selection, |row| {
            rows.push(row);
            Ok(true)
        })?;
        self.remove(selection.table, rows, Referrers::GoToo)
    }

    /// Removes rows and what cascades from them.
    pub(super) fn remove(&mut self, table: &'t Table, rows: Vec<Row>, referrers: Referrers) -> Result<(), Error> {
        let layout = self.view.layout;
        let mut seen: HashSet<(usize, String)> =
            rows.iter().map(|row| (table.index, table.id(&row.record).into_owned())).collect();
        let mut doomed: Doomed = rows.into_iter().map(|row| (table.index, row)).collect();
        let mut orphaned: Vec<(usize, usize, String)> = Vec::new();
        let mut next = 0;
        while next < doomed.len() {
            let end = doomed.len();
            let follows = |on_delete| on_delete != OnDelete::Restrict || referrers == Referrers::GoToo;
            for ((child, place), rows) in self.referring(&doomed[next..end], i64::MIN, usize::MAX, follows)? {
                let child = layout.at(child);
                for row in rows {
                    let id = child.id(&row.record).into_owned();
                    if child.foreigns[place].on_delete == OnDelete::Null {
                        orphaned.push((child.index, place, id));
                    } else if seen.insert((child.index, id)) {
                        doomed.push((child.index, row));
                    }
                }
            }
            next = end;
        }
        if referrers == Referrers::Restrict {
            self.check_unreferenced(&doomed, &seen)?;
        }
        self.clear_references(&orphaned, &seen)?;
        // What refers goes before what it refers to.
        doomed.reverse();
        let writes = doomed.iter().map(|(index, row)| Write::Remove { table: layout.at(*index), row });
        self.writer.write(&writes.collect::<Vec<_>>())?;
        for (index, row) in doomed {
            self.note(Operation::Delete, layout.at(index), row, None);
        }
        Ok(())
    }

    /// The rows that refer to one of those, by table and foreign key; only by foreign keys that `by` takes. `limit` is
    /// how many of each are wanted at least, where there are as many.
    fn referring(
        &mut self,
        rows: &[(usize, Row)],
        now: i64,
        limit: usize,
        by: impl Fn(OnDelete) -> bool,
    ) -> Result<Vec<((usize, usize), Vec<Row>)>, Error> {
        let layout = self.view.layout;
        let mut referred: Vec<(&Table, Vec<Cow<'_, str>>)> = Vec::new();
        for table in layout.tables() {
            let ids: Vec<Cow<'_, str>> =
                rows.iter().filter(|(i, _)| *i == table.index).map(|(_, r)| table.id(&r.record)).collect();
            if !ids.is_empty() {
                referred.push((table, ids));
            }
        }
        let mut keys = Vec::new();
        let mut selections = Vec::new();
        let named: Vec<Vec<&str>> = referred.iter().map(|(_, ids)| ids.iter().map(|id| &**id).collect()).collect();
        for ((table, _), named) in referred.iter().zip(&named) {
            for &(child, place) in &table.referrers {
                let child = layout.at(child);
                let foreign = &child.foreigns[place];
                if by(foreign.on_delete) {
                    for ids in named.chunks(IDS_AT_ONCE) {
                        keys.push((child.index, place));
                        selections.push(Selection {
                            now,
                            limit,
                            foreign: Some((foreign, ids)),
                            ..Selection::all(child)
                        });
                    }
                }
            }
        }
        Ok(keys.into_iter().zip(self.writer.scan(&selections)?).collect())
    }

    /// Fails when a row that stays refers to one that goes, or belongs to a workspace that goes.
    fn check_unreferenced(&mut self, doomed: &[(usize, Row)], seen: &HashSet<(usize, String)>) -> Result<(), Error> {
        let layout = self.view.layout;
        // Among more rows than are seen, one stays.
        let limit = seen.len() + 1;
        let found = self.referring(doomed, self.view.now, limit, |on_delete| on_delete == OnDelete::Restrict)?;
        // Of several entities, the one that was declared last is named, as Kong does.
        let mut staying = found.into_iter().rev().filter(|((child, _), rows)| {
            rows.iter().any(|row| !seen.contains(&(*child, layout.at(*child).id(&row.record).into_owned())))
        });
        if let Some(((child, place), _)) = staying.next() {
            let child = layout.at(child);
            let parent = layout.at(child.foreigns[place].target);
            return Err(Error::still_referenced(&parent.name, &child.name));
        }
        let Some(workspaces) = layout.table(WORKSPACES) else { return Ok(()) };
        for (_, row) in doomed.iter().filter(|(index, _)| *index == workspaces.index) {
            let id = workspaces.id(&row.record).parse().map_err(Error::database)?;
            let tables: Vec<&Table> = layout.tables().iter().filter(|table| table.per_workspace).collect();
            let inside =
                |table| Selection { workspace: Some(id), limit: 1, now: self.view.now, ..Selection::all(table) };
            let rows = self.writer.scan(&tables.iter().map(|table| inside(table)).collect::<Vec<_>>())?;
            if let Some((table, _)) = tables.into_iter().zip(rows).find(|(_, rows)| !rows.is_empty()) {
                return Err(Error::still_referenced(&workspaces.name, &table.name));
            }
        }
        Ok(())
    }

    /// Clears foreign keys of rows that stay.
    fn clear_references(
        &mut self,
        orphaned: &[(usize, usize, String)],
        seen: &HashSet<(usize, String)>,
    ) -> Result<(), Error> {
        let layout = self.view.layout;
        for (child, place, id) in orphaned.iter().filter(|(child, _, id)| !seen.contains(&(*child, id.clone()))) {
            let child = layout.at(*child);
            // Another of its references may have been cleared a moment ago.
            let Some(old) = self.writer.find(&[Wanted::id(child, id)])?.pop().flatten() else { continue };
            let mut row = old.clone();
            row.record.insert(child.foreigns[*place].field.clone(), Value::Null);
            self.writer.write(&[Write::Put { table: child, row: &row, old: Some(&old) }])?;
            self.note(Operation::Put, child, row, Some(old));
        }
        Ok(())
    }
}

/// How many ids one question is about.
const IDS_AT_ONCE: usize = 500;
