//! Records in memory, for DB-less nodes and tests: ordered maps behind one lock, and an undo log per write.

use super::{Backend, Query, Reader, Row, Selection, Work, Writer, failure};
use crate::feed::Feed;
use crate::layout::{Layout, Table};
use crate::{Revision, TagEntry, TagFilter};
use futures_util::future::{self, BoxFuture, FutureExt};
use model::Error;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock};

/// See [`Backend`].
#[derive(Debug)]
pub struct Memory {
    layout: Arc<Layout>,
    feed: Arc<Feed>,
    data: RwLock<Data>,
}

#[derive(Debug, Default)]
struct Data {
    tables: Vec<Rows>,
    /// (id, entity, place, tag)
    by_record: BTreeSet<(String, String, u32, String)>,
    /// (tag, id, entity, place)
    by_tag: BTreeSet<(String, String, String, u32)>,
    revision: Revision,
}

#[derive(Debug, Default)]
struct Rows {
    rows: BTreeMap<String, Row>,
    /// One per lookup of the table: (value, id).
    lookups: Vec<BTreeSet<(String, String)>>,
    /// (expires, id)
    expiries: BTreeSet<(i64, String)>,
}

/// A write in progress: what to do to undo it.
struct Undoable<'d> {
    data: &'d mut Data,
    log: Vec<(usize, String, Option<Row>)>,
}

impl Memory {
    pub fn new(layout: Arc<Layout>, feed: Arc<Feed>) -> Memory {
        let rows = |table: &Table| Rows { lookups: vec![BTreeSet::new(); table.lookups.len()], ..Rows::default() };
        let data = Data { tables: layout.tables().iter().map(rows).collect(), ..Data::default() };
        Memory { layout, feed, data: RwLock::new(data) }
    }

    fn write_now(&self, work: Work) -> Result<Revision, Error> {
        // A panic inside is caught and undone below, so a poisoned lock guards whole data.
        let mut data = self.data.write().unwrap_or_else(PoisonError::into_inner);
        let mut transaction = Undoable { data: &mut data, log: Vec::new() };
        let done = catch_unwind(AssertUnwindSafe(|| work(&mut transaction)))
            .unwrap_or_else(|_| Err(failure("a write panicked")));
        match done {
            Ok(changes) if changes.is_empty() => Ok(data.revision),
            Ok(changes) => {
                data.revision.0 += 1;
                let revision = data.revision;
                self.feed.publish(revision, changes);
                Ok(revision)
            }
            Err(error) => {
                let log = std::mem::take(&mut transaction.log);
                for (index, id, old) in log.into_iter().rev() {
                    data.set(self.layout.at(index), &id, old);
                }
                Err(error)
            }
        }
    }
}

impl Backend for Memory {
    fn read(&self, query: Query) -> BoxFuture<'_, Result<(), Error>> {
        let data = self.data.read().unwrap_or_else(PoisonError::into_inner);
        let mut reader: &Data = &data;
        let done =
            catch_unwind(AssertUnwindSafe(|| query(&mut reader))).unwrap_or_else(|_| Err(failure("a read panicked")));
        future::ready(done).boxed()
    }

    fn write(&self, work: Work) -> BoxFuture<'_, Result<Revision, Error>> {
        future::ready(self.write_now(work)).boxed()
    }
}

impl Data {
    /// Makes `row` the one with that id; `None` removes it.
    fn set(&mut self, table: &Table, id: &str, row: Option<Row>) -> Option<Row> {
        let rows = &mut self.tables[table.index];
        let old = match row.clone() {
            Some(row) => rows.rows.insert(id.to_owned(), row),
            None => rows.rows.remove(id),
        };
        if let Some(old) = &old {
            for (lookup, index) in table.lookups.iter().zip(&mut rows.lookups) {
                if let Some(value) = lookup.value(&old.record) {
                    index.remove(&(value, id.to_owned()));
                }
            }
            if let Some(expires) = old.expires {
                rows.expiries.remove(&(expires, id.to_owned()));
            }
            for (place, tag) in (0..).zip(old.tags()) {
                self.by_record.remove(&(id.to_owned(), table.name.clone(), place, tag.to_owned()));
                self.by_tag.remove(&(tag.to_owned(), id.to_owned(), table.name.clone(), place));
            }
        }
        if let Some(row) = &row {
            for (lookup, index) in table.lookups.iter().zip(&mut rows.lookups) {
                if let Some(value) = lookup.value(&row.record) {
                    index.insert((value, id.to_owned()));
                }
            }
            if let Some(expires) = row.expires {
                rows.expiries.insert((expires, id.to_owned()));
            }
            for (place, tag) in (0..).zip(row.tags()) {
                self.by_record.insert((id.to_owned(), table.name.clone(), place, tag.to_owned()));
                self.by_tag.insert((tag.to_owned(), id.to_owned(), table.name.clone(), place));
            }
        }
        old
    }

    /// Ids with that value in a lookup column, after an id.
    fn ids<'d>(
        &'d self,
        table: &Table,
        column: &str,
        value: &str,
        after: &str,
    ) -> Box<dyn Iterator<Item = &'d str> + 'd> {
        let Some(index) = table.lookups.iter().position(|l| l.column == column) else {
            return Box::new(std::iter::empty());
        };
        let value = value.to_owned();
        let from = (Bound::Excluded((value.clone(), after.to_owned())), Bound::Unbounded);
        Box::new(
            self.tables[table.index].lookups[index]
                .range(from)
                .take_while(move |(v, _)| *v == value)
                .map(|(_, id)| id.as_str()),
        )
    }

    /// Ids of records of a table with a tag, after an id.
    fn tagged<'d>(&'d self, table: &'d Table, tag: &str, after: &str) -> impl Iterator<Item = &'d str> + use<'d> {
        let tag = tag.to_owned();
        let from = Bound::Included((tag.clone(), after.to_owned(), String::new(), 0));
        let after = after.to_owned();
        self.by_tag
            .range((from, Bound::Unbounded))
            .take_while(move |(t, ..)| *t == tag)
            .filter(move |(_, id, entity, _)| *entity == table.name && *id > after)
            .map(|(_, id, ..)| id.as_str())
    }
}

/// Several ordered sequences as one, without repetitions, as far as it is taken.
fn merge<'d>(sequences: Vec<impl Iterator<Item = &'d str>>) -> impl Iterator<Item = &'d str> {
    let mut sequences: Vec<_> = sequences.into_iter().map(Iterator::peekable).collect();
    std::iter::from_fn(move || {
        let least = sequences.iter_mut().filter_map(|s| s.peek().copied()).min()?;
        for sequence in &mut sequences {
            sequence.next_if_eq(&least);
        }
        Some(least)
    })
}

impl Reader for &Data {
    fn get(&mut self, table: &Table, id: &str) -> Result<Option<Row>, Error> {
        Ok(self.tables[table.index].rows.get(id).cloned())
    }

    fn find(&mut self, table: &Table, column: &str, value: &str) -> Result<Option<Row>, Error> {
        let id = self.ids(table, column, value, "").next();
        Ok(id.and_then(|id| self.tables[table.index].rows.get(id)).cloned())
    }

    fn scan(&mut self, table: &Table, selection: &Selection<'_>) -> Result<Vec<Row>, Error> {
        let rows = &self.tables[table.index].rows;
        let after = selection.after.unwrap_or_default();
        let ids: Box<dyn Iterator<Item = &str>> = match (selection.foreign, selection.tags) {
            (Some((foreign, id)), _) => self.ids(table, &foreign.column, id, after),
            (None, Some(TagFilter::All(tags))) if !tags.is_empty() => Box::new(self.tagged(table, &tags[0], after)),
            (None, Some(TagFilter::Any(tags))) => {
                Box::new(merge(tags.iter().map(|tag| self.tagged(table, tag, after)).collect()))
            }
            _ => Box::new(rows.range::<str, _>((Bound::Excluded(after), Bound::Unbounded)).map(|(id, _)| id.as_str())),
        };
        let wanted = |row: &&Row| {
            let has = |tag: &String| row.tags().any(|t| t == tag);
            let tagged = match selection.tags {
                Some(TagFilter::All(tags)) => tags.iter().all(has),
                Some(TagFilter::Any(tags)) => tags.iter().any(has),
                None => true,
            };
            tagged && row.is_live(selection.now)
        };
        Ok(ids.filter_map(|id| rows.get(id)).filter(wanted).take(selection.limit).cloned().collect())
    }

    fn visit(
        &mut self,
        table: &Table,
        now: i64,
        visit: &mut dyn FnMut(&mut Row) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.tables[table.index]
            .rows
            .values()
            .filter(|row| row.is_live(now))
            .try_for_each(|row| visit(&mut row.clone()))
    }

    fn count(&mut self, table: &Table, now: i64) -> Result<u64, Error> {
        let rows = &self.tables[table.index];
        let expired = rows.expiries.iter().take_while(|(expires, _)| *expires <= now).count();
        Ok((rows.rows.len() - expired) as u64)
    }

    fn tags(
        &mut self,
        tag: Option<&str>,
        after: Option<(&str, &str, u32)>,
        limit: usize,
    ) -> Result<Vec<TagEntry>, Error> {
        let (id, entity, place) = after.unwrap_or(("", "", 0));
        let entry = |tag: &str, id: &str, entity: &str, place| TagEntry {
            tag: tag.to_owned(),
            entity: entity.to_owned(),
            id: id.to_owned(),
            place,
        };
        Ok(match tag {
            Some(tag) => {
                let from = Bound::Excluded((tag.to_owned(), id.to_owned(), entity.to_owned(), place));
                let found = self.by_tag.range((from, Bound::Unbounded)).take_while(|(t, ..)| t == tag);
                found.take(limit).map(|(tag, id, entity, place)| entry(tag, id, entity, *place)).collect()
            }
            None => {
                // Tags are never empty, so a position with an empty one comes right before the position's own entry:
                // the next place is what follows it.
                let place = if after.is_some() { place.saturating_add(1) } else { 0 };
                let from = Bound::Included((id.to_owned(), entity.to_owned(), place, String::new()));
                let found = self.by_record.range((from, Bound::Unbounded));
                found.take(limit).map(|(id, entity, place, tag)| entry(tag, id, entity, *place)).collect()
            }
        })
    }

    fn expired(&mut self, table: &Table, now: i64, limit: usize) -> Result<Vec<Row>, Error> {
        let rows = &self.tables[table.index];
        let due = rows.expiries.iter().take_while(|(expires, _)| *expires <= now).take(limit);
        Ok(due.filter_map(|(_, id)| rows.rows.get(id)).cloned().collect())
    }

    fn next_expiry(&mut self, table: &Table) -> Result<Option<i64>, Error> {
        Ok(self.tables[table.index].expiries.first().map(|(expires, _)| *expires))
    }

    fn revision(&mut self) -> Result<Revision, Error> {
        Ok(self.revision)
    }
}

impl Reader for Undoable<'_> {
    fn get(&mut self, table: &Table, id: &str) -> Result<Option<Row>, Error> {
        (&*self.data).get(table, id)
    }

    fn find(&mut self, table: &Table, column: &str, value: &str) -> Result<Option<Row>, Error> {
        (&*self.data).find(table, column, value)
    }

    fn scan(&mut self, table: &Table, selection: &Selection<'_>) -> Result<Vec<Row>, Error> {
        (&*self.data).scan(table, selection)
    }

    fn visit(
        &mut self,
        table: &Table,
        now: i64,
        visit: &mut dyn FnMut(&mut Row) -> Result<(), Error>,
    ) -> Result<(), Error> {
        (&*self.data).visit(table, now, visit)
    }

    fn count(&mut self, table: &Table, now: i64) -> Result<u64, Error> {
        (&*self.data).count(table, now)
    }

    fn tags(
        &mut self,
        tag: Option<&str>,
        after: Option<(&str, &str, u32)>,
        limit: usize,
    ) -> Result<Vec<TagEntry>, Error> {
        (&*self.data).tags(tag, after, limit)
    }

    fn expired(&mut self, table: &Table, now: i64, limit: usize) -> Result<Vec<Row>, Error> {
        (&*self.data).expired(table, now, limit)
    }

    fn next_expiry(&mut self, table: &Table) -> Result<Option<i64>, Error> {
        (&*self.data).next_expiry(table)
    }

    fn revision(&mut self) -> Result<Revision, Error> {
        Ok(self.data.revision)
    }
}

impl Writer for Undoable<'_> {
    fn put(&mut self, table: &Table, row: &Row, _old: Option<&Row>) -> Result<(), Error> {
        let id = table.id(&row.record);
        let old = self.data.set(table, id, Some(row.clone()));
        self.log.push((table.index, id.to_owned(), old));
        Ok(())
    }

    fn remove(&mut self, table: &Table, row: &Row) -> Result<(), Error> {
        let id = table.id(&row.record);
        let old = self.data.set(table, id, None);
        self.log.push((table.index, id.to_owned(), old));
        Ok(())
    }
}
