//! Files into the store: in place of everything there is, or on top of it.

use super::records::{HASH, PARAMETERS, Records, differ_in_unique};
use super::{EMPTY_HASH, Entities};
use crate::backend::{Row, Wanted, Write};
use crate::layout::WORKSPACES;
use crate::write::Put;
use crate::{Key, Operation, Revision, Store, Transaction, rules};
use model::{Error, Record};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// How many records are imported at once.
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

    /// Records as JSON: tables of them by id, by entity.
    pub fn show(&self, records: &Records) -> Value {
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
        let mut declared: Vec<HashMap<&str, _>> = layout.tables().iter().map(|_| HashMap::new()).collect();
        for rows in &records.tables {
            let table = layout.at(rows.table);
            declared[rows.table].extend(rows.rows.iter().map(|row| (table.id(&row.row.record), row)));
        }
        let mut changed: Vec<(usize, Cow<'_, Row>, Option<Row>)> = Vec::new();
        // What refers to others goes before them.
        for table in layout.tables().iter().rev().filter(|table| table.name != WORKSPACES) {
            let declared = &mut declared[table.index];
            let (mut gone, mut freed) = (Vec::new(), Vec::new());
            self.writer.visit(table, i64::MIN, &mut |old| {
                let id = table.id(&old.record);
                let Some(row) = declared.remove(id) else {
                    if table.name != PARAMETERS || id != HASH {
                        gone.push(old.clone());
                    }
                    return Ok(());
                };
                let Some(new) = row.over(old) else { return Ok(()) };
                // Its values may be those of others from now on.
                if differ_in_unique(table, &new, old) {
                    freed.push(old.clone());
                    changed.push((table.index, Cow::Owned(new), None));
                } else {
                    changed.push((table.index, Cow::Owned(new), Some(old.clone())));
                }
                Ok(())
            })?;
            let removed = gone.iter().chain(&freed).map(|row| Write::Remove { table, row });
            self.writer.write(&removed.collect::<Vec<_>>())?;
            gone.into_iter().for_each(|row| self.note(Operation::Delete, table, row, None));
        }
        for (index, rows) in declared.iter().enumerate() {
            changed.extend(rows.values().map(|new| (index, Cow::Borrowed(&new.row), None)));
        }
        // And comes after them; in the order of their keys, rows are stored fastest.
        let key = |index: usize, row: &Row| layout.at(index).id(&row.record).to_owned();
        changed.sort_by_cached_key(|(index, row, _)| (*index, key(*index, row)));
        let writes = changed.iter().map(|(index, row, old)| {
            let (table, row, old) = (layout.at(*index), &**row, old.as_ref());
            Write::Put { table, row, old }
        });
        self.writer.write(&writes.collect::<Vec<_>>())?;
        for (index, row, _) in changed {
            self.note(Operation::Put, layout.at(index), row.into_owned(), None);
        }
        self.keep_hash(hash)
    }

    fn import(&mut self, records: &Records, progress: &mut dyn FnMut(usize)) -> Result<(), Error> {
        let layout = self.view.layout;
        let mut done = 0;
        for rows in &records.tables {
            let table = layout.at(rows.table);
            for batch in rows.rows.chunks(BATCH) {
                let wanted = batch.iter().map(|declared| Wanted::id(table, table.id(&declared.row.record)));
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
