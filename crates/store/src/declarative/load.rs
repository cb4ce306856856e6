//! Files into the store: in place of everything there is, or on top of it.

use super::records::{DeclaredRow, HASH, PARAMETERS, Records, differ_in_unique};
use super::{EMPTY_HASH, Entities};
use crate::backend::{Row, Wanted, Write};
use crate::feed::CAPACITY;
use crate::layout::WORKSPACES;
use crate::write::Put;
use crate::{Key, Operation, Revision, Store, Transaction, rules};
use model::{Error, Record};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// A stored record that is no more, or makes way for what takes its place.
struct Removal {
    /// The table's place in the layout.
    table: usize,
    id: String,
    returns: bool,
}

/// A record of a file that is new, or other than the stored one.
struct Pending<'r> {
    table: usize,
    declared: &'r DeclaredRow,
    /// The stored one is overwritten.
    stays: bool,
    /// When the one was created that has made way for it.
    created: Option<Value>,
}

/// How many records are written at once.
const BATCH: usize = 500;

impl Store {
    /// Brings the records of a file to the form in which they are stored.
    pub async fn prepare(&self, entities: Entities) -> Result<Records, Error> {
        let shared = self.inner.shared.clone();
        let done = tokio::task::spawn_blocking(move || {
            Records::new(&shared.catalog, &shared.layout, entities, shared.default_workspace, shared.clock.now())
        });
        done.await.map_err(Error::database)?
    }

    /// Makes these records all there are, and `hash` the configuration's. Those that stay as they were are not touched.
    /// Unlike other writes, it is also for a store that is [`Store::read_only`]: that is how such a store changes.
    pub async fn replace(&self, records: Arc<Records>, hash: &str) -> Result<Revision, Error> {
        let hash = if records.is_empty() { EMPTY_HASH } else { hash }.to_owned();
        self.transaction(move |transaction| transaction.replace(&records, &hash)).await.map(|(revision, ())| revision)
    }

    /// Puts records over those with the same ids, and leaves all others. `progress` is told how many are done, where
    /// blocking is allowed.
    pub async fn import(
        &self,
        records: Records,
        mut progress: impl FnMut(usize) + Send + 'static,
    ) -> Result<Revision, Error> {
        let done = self.transaction(move |transaction| transaction.import(&records, &mut progress));
        done.await.map(|(revision, ())| revision)
    }

    /// Records as the text of JSON: tables of them by id, by entity.
    pub fn show(&self, records: &Records) -> String {
        records.to_json(&self.inner.shared.layout)
    }

    /// The hash of the configuration that was loaded last; [`EMPTY_HASH`] where there has been none.
    pub async fn configuration_hash(&self) -> Result<String, Error> {
        let kept = self.get(PARAMETERS, &Key::Id(HASH.to_owned())).await?;
        let hash = kept.as_ref().and_then(|kept| kept.get("value")).and_then(Value::as_str);
        Ok(hash.unwrap_or(EMPTY_HASH).to_owned())
    }
}

impl Transaction<'_> {
    fn replace(&mut self, records: &Records, hash: &str) -> Result<(), Error> {
        let layout = self.view.layout;
        let (removals, mut puts) = self.compare(records)?;
        if removals.len() + puts.len() > CAPACITY {
            self.unlist();
        }
        // What refers to others goes before them.
        for batch in removals.chunk_by(|a, b| a.table == b.table).flat_map(|one| one.chunks(BATCH)) {
            let table = layout.at(batch[0].table);
            let wanted: Vec<_> = batch.iter().map(|removal| Wanted::id(table, &removal.id)).collect();
            let found = self.writer.find(&wanted)?;
            let rows: Vec<(&Removal, Row)> =
                batch.iter().zip(found).filter_map(|(removal, row)| Some((removal, row?))).collect();
            let writes = rows.iter().map(|(_, row)| Write::Remove { table, row });
            self.writer.write(&writes.collect::<Vec<_>>())?;
            for (_, row) in rows.into_iter().filter(|(removal, _)| !removal.returns) {
                self.note(Operation::Delete, table, row, None);
            }
        }
        // And comes after them; about in the order of their keys, rows are stored fastest.
        puts.sort_by_cached_key(|put| {
            let id = layout.at(put.table).id(&put.declared.row.record);
            (put.table, id.as_bytes().first_chunk().map_or(0, |begin| u128::from_be_bytes(*begin)))
        });
        for batch in puts.chunk_by(|a, b| a.table == b.table).flat_map(|one| one.chunks(BATCH)) {
            let table = layout.at(batch[0].table);
            let ids = batch.iter().filter(|put| put.stays).map(|put| table.id(&put.declared.row.record));
            let ids: Vec<Cow<'_, str>> = ids.collect();
            let wanted: Vec<_> = ids.iter().map(|id| Wanted::id(table, id)).collect();
            let mut found = self.writer.find(&wanted)?.into_iter();
            let rows = batch.iter().map(|put| {
                let old = if put.stays { found.next().flatten() } else { None };
                let created = old.as_ref().and_then(|old| old.record.get("created_at")).or(put.created.as_ref());
                (put.declared.row_created(created), old)
            });
            let rows: Vec<(Row, Option<Row>)> = rows.collect();
            let writes = rows.iter().map(|(row, old)| Write::Put { table, row, old: old.as_ref() });
            self.writer.write(&writes.collect::<Vec<_>>())?;
            for (row, _) in rows {
                self.note(Operation::Put, table, row, None);
            }
        }
        self.keep_hash(hash)
    }

    /// What there is to be removed, what refers to others before them, and what there is to be put. Only ids are kept
    /// of what is stored, since all of it may be others.
    fn compare<'r>(&mut self, records: &'r Records) -> Result<(Vec<Removal>, Vec<Pending<'r>>), Error> {
        let layout = self.view.layout;
        let mut declared: Vec<HashMap<String, &DeclaredRow>> = layout.tables().iter().map(|_| HashMap::new()).collect();
        for rows in &records.tables {
            let table = layout.at(rows.table);
            declared[rows.table].extend(rows.rows.iter().map(|row| (table.id(&row.row.record).into_owned(), row)));
        }
        let (mut removals, mut puts) = (Vec::new(), Vec::new());
        // What requests have counted is nobody's to declare.
        let declarable = layout.tables().iter().rev().filter(|table| table.name != WORKSPACES && !table.is_counter);
        for table in declarable {
            let (index, declared) = (table.index, &mut declared[table.index]);
            self.writer.visit(table, i64::MIN, &mut |old| {
                let id = table.id(&old.record);
                let Some(row) = declared.remove(&*id) else {
                    if table.name != PARAMETERS || id != HASH {
                        removals.push(Removal { table: index, id: id.into_owned(), returns: false });
                    }
                    return Ok(());
                };
                if row.is_same(old) {
                    return Ok(());
                }
                // Its values may be those of others from now on.
                let stays = !differ_in_unique(table, &row.row, old);
                if !stays {
                    removals.push(Removal { table: index, id: id.into_owned(), returns: true });
                }
                let created = old.record.get("created_at").filter(|_| !stays).cloned();
                puts.push(Pending { table: index, declared: row, stays, created });
                Ok(())
            })?;
        }
        for (index, rows) in declared.into_iter().enumerate() {
            let new = |declared| Pending { table: index, declared, stays: false, created: None };
            puts.extend(rows.into_values().map(new));
        }
        Ok((removals, puts))
    }

    fn import(&mut self, records: &Records, progress: &mut dyn FnMut(usize)) -> Result<(), Error> {
        let layout = self.view.layout;
        let mut done = 0;
        for rows in &records.tables {
            let table = layout.at(rows.table);
            for batch in rows.rows.chunks(BATCH) {
                let ids: Vec<_> = batch.iter().map(|declared| table.id(&declared.row.record)).collect();
                let wanted = ids.iter().map(|id| Wanted::id(table, id));
                let found = self.writer.find(&wanted.collect::<Vec<_>>())?;
                let mut puts = Vec::with_capacity(batch.len());
                for (declared, old) in batch.iter().zip(found) {
                    let row = match &old {
                        None => Some(declared.row.clone()),
                        Some(old) => declared.over(old),
                    };
                    let Some(row) = row else { continue };
                    rules::check_references(self.writer, &self.view, table, &row.record, None)?;
                    puts.push(Put { row, old });
                }
                self.put_all(table, puts)?;
                done += batch.len();
                progress(done);
            }
        }
        Ok(())
    }

    fn keep_hash(&mut self, hash: &str) -> Result<(), Error> {
        let Some(table) = self.view.layout.table(PARAMETERS) else { return Ok(()) };
        let old = self.writer.find(&[Wanted::id(table, HASH)])?.pop().flatten();
        if old.as_ref().and_then(|old| old.record.get("value")).and_then(Value::as_str) == Some(hash) {
            return Ok(());
        }
        let field = |name: &str, value: &str| (name.to_owned(), Value::from(value));
        let input = Record::from_iter([field("key", HASH), field("value", hash)]);
        let record = table.schema.process_insert(self.view.catalog, input)?;
        let row = Row { record, ..Row::default() };
        self.writer.write(&[Write::Put { table, row: &row, old: old.as_ref() }])?;
        self.note(Operation::Put, table, row, None);
        Ok(())
    }
}
