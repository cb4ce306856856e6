//! Complete records on their way into the backend: checked against all others, then written.

use super::{Referrers, Transaction, lengths};
use crate::Operation;
use crate::backend::{By, Row, Wanted, Write};
use crate::layout::{Lookup, Table, WORKSPACES, foreign_id};
use crate::read::show;
use model::{Error, Record};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use uuid::Uuid;

/// A row, and the one whose place it takes.
pub struct Put {
    pub row: Row,
    pub old: Option<Row>,
}

/// How many rows are asked about and written at once.
const AT_ONCE: usize = 500;

/// The unique values that a row wants to have and did not have before.
type Claims<'t> = Vec<(&'t Lookup, String)>;

/// What a row refers to: a table's place in the layout, and an id.
type Reference = (usize, String);

impl<'t> Transaction<'t> {
    /// Checks a complete record against all others, and puts it in the place of the old one.
    pub(super) fn put(&mut self, table: &'t Table, put: Put) -> Result<Record, Error> {
        let mut put = self.put_all(table, vec![put])?;
        put.pop().ok_or_else(|| Error::database("nothing was written"))
    }

    /// The same for many, as if one came after the other.
    pub(crate) fn put_all(&mut self, table: &'t Table, puts: Vec<Put>) -> Result<Vec<Record>, Error> {
        let mut records = Vec::with_capacity(puts.len());
        let mut puts = puts.into_iter().peekable();
        while puts.peek().is_some() {
            let mut batch: Vec<Put> = puts.by_ref().take(AT_ONCE).collect();
            for Put { row, .. } in &mut batch {
                // What the schema takes as input but does not store goes no further.
                row.record.retain(|field, _| table.column_of(field).is_some());
                table.schema.strip_shown(self.view.catalog, &mut row.record);
            }
            batch.iter().try_for_each(|put| lengths::check(table, put))?;
            self.check_all(table, &batch)?;
            let writes = batch.iter().map(|put| Write::Put { table, row: &put.row, old: put.old.as_ref() });
            self.writer.write(&writes.collect::<Vec<_>>())?;
            for Put { row, old } in batch {
                self.note(Operation::Put, table, row.clone(), old);
                records.push(show(&self.view, table, row));
            }
        }
        Ok(records)
    }

    /// Asks at once for all that may stand against the rows of a batch.
    fn check_all(&mut self, table: &'t Table, batch: &[Put]) -> Result<(), Error> {
        let layout = self.view.layout;
        let claims: Vec<Claims<'_>> = batch.iter().map(|put| claims(table, put)).collect();
        let references: Vec<Vec<Reference>> = batch.iter().map(|put| self.references(table, put)).collect();
        let targets: BTreeSet<&Reference> = references.iter().flatten().collect();
        let mut wanted: Vec<Wanted<'_>> = targets.iter().map(|(index, id)| Wanted::id(layout.at(*index), id)).collect();
        let ids: Vec<_> = batch.iter().map(|put| table.id(&put.row.record)).collect();
        for ((put, id), claims) in batch.iter().zip(&ids).zip(&claims) {
            if put.old.is_none() {
                wanted.push(Wanted::id(table, id));
            }
            let workspace = put.row.workspace;
            wanted.extend(
                claims.iter().map(|(lookup, value)| Wanted { table, by: By::Value { lookup, workspace, value } }),
            );
        }
        let mut found = self.writer.find(&wanted)?;
        let others = found.split_off(targets.len());
        let found: Vec<(&Reference, Row)> =
            targets.into_iter().zip(found).filter_map(|(reference, row)| Some((reference, row?))).collect();
        self.check_unique(table, batch, &claims, others)?;
        for (put, references) in batch.iter().zip(&references) {
            for reference in references {
                let target = found.binary_search_by_key(&reference, |(found, _)| found).ok().map(|at| &found[at].1);
                let own = table.index == reference.0 && batch.iter().any(|p| table.id(&p.row.record) == reference.1);
                if !own && !target.is_some_and(|target| self.refers(table, &put.row, reference, target)) {
                    return Err(self.missing(table, reference, &put.row));
                }
            }
        }
        Ok(())
    }

    /// `others` are the rows with the primary key of each new row, and with each value that is claimed.
    fn check_unique(
        &mut self,
        table: &'t Table,
        batch: &[Put],
        claims: &[Claims<'_>],
        others: Vec<Option<Row>>,
    ) -> Result<(), Error> {
        let mut others = others.into_iter();
        let mut written: HashSet<Cow<'_, str>> = HashSet::new();
        let mut taken: HashSet<(&str, Option<Uuid>, &str)> = HashSet::new();
        for (put, claims) in batch.iter().zip(claims) {
            let id = table.id(&put.row.record);
            if put.old.is_none() {
                let other = others.next().flatten();
                let in_the_way = || Error::primary_key_violation(table.key_fields(&id));
                if written.contains(&id) {
                    return Err(in_the_way());
                }
                self.evict(table, other, in_the_way)?;
            }
            for (lookup, value) in claims {
                let in_the_way = || Error::unique_violation(lookup.violated(&put.row.record));
                let workspace = put.row.workspace.filter(|_| lookup.per_workspace);
                if !taken.insert((&lookup.column, workspace, value)) {
                    return Err(in_the_way());
                }
                // A row of this batch has got the value that it has now.
                let other = others.next().flatten().filter(|other| {
                    let other = table.id(&other.record);
                    other != id && !written.contains(&other)
                });
                self.evict(table, other, in_the_way)?;
            }
            written.insert(id);
        }
        Ok(())
    }

    /// What has expired but is not purged yet gives way; anything else is in the way.
    fn evict(&mut self, table: &'t Table, other: Option<Row>, in_the_way: impl FnOnce() -> Error) -> Result<(), Error> {
        match other {
            None => Ok(()),
            Some(other) if other.is_live(self.view.now) => Err(in_the_way()),
            Some(other) => self.remove(table, vec![other], Referrers::GoToo),
        }
    }

    /// What must exist for a row: what it newly refers to, and its workspace.
    fn references(&self, table: &Table, put: &Put) -> Vec<Reference> {
        let mut references = Vec::new();
        let workspaces = self.view.layout.table(WORKSPACES);
        if let (Some(workspaces), Some(id), None) = (workspaces, put.row.workspace, &put.old) {
            references.push((workspaces.index, id.to_string()));
        }
        for foreign in &table.foreigns {
            let reference = |row: &'_ Row| row.record.get(&foreign.field).and_then(foreign_id).map(str::to_owned);
            let before = put.old.as_ref().and_then(reference);
            references
                .extend(reference(&put.row).filter(|id| before.as_ref() != Some(id)).map(|id| (foreign.target, id)));
        }
        references
    }

    /// Whether a row can refer to that target: it is there, and in the same workspace.
    fn refers(&self, table: &Table, row: &Row, reference: &Reference, target: &Row) -> bool {
        let apart = table.per_workspace && self.view.layout.at(reference.0).per_workspace;
        target.is_live(self.view.now) && (!apart || target.workspace == row.workspace)
    }

    fn missing(&self, table: &Table, (target, id): &Reference, row: &Row) -> Error {
        let target = self.view.layout.at(*target);
        let refers = |field: &str| row.record.get(field).and_then(foreign_id) == Some(id.as_str());
        match table.foreigns.iter().find(|f| f.target == target.index && refers(&f.field)) {
            Some(foreign) => {
                let key = Record::from_iter([(target.primary.clone(), id.as_str().into())]);
                Error::foreign_key_violation(&foreign.field, key, &target.name)
            }
            None => Error::invalid_workspace(id),
        }
    }
}

fn claims<'t>(table: &'t Table, put: &Put) -> Claims<'t> {
    let claim = |lookup: &'t Lookup| {
        let value = |row: &Row| table.value(lookup, &row.record, row.workspace);
        let before = put.old.as_ref().and_then(value);
        value(&put.row).filter(|value| before.as_ref() != Some(value)).map(|value| (lookup, value))
    };
    table.uniques().filter_map(claim).collect()
}
