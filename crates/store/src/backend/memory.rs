//! Records in memory, for tests: ordered maps behind one lock, and an undo log per write.

use super::{Backend, By, Query, Reader, Row, Selection, TagSelection, Wanted, Work, Write, Writer, expiry, failure};
use crate::feed::Feed;
use crate::layout::{Layout, Lookup, Table, WORKSPACES};
use crate::{Addition, Counter, Revision, TagEntry, TagFilter};
use futures_util::future::{BoxFuture, FutureExt};
use model::{Error, Record};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::task::spawn_blocking;
use uuid::Uuid;

/// See [`Backend`].
#[derive(Clone, Debug)]
pub struct Memory {
    layout: Arc<Layout>,
    feed: Arc<Feed>,
    data: Arc<RwLock<Data>>,
}

#[derive(Debug, Default)]
struct Data {
    tables: Vec<Rows>,
    /// (id, entity, place, tag)
    by_record: BTreeSet<(String, String, u32, String)>,
    /// (tag, id, entity, place)
    by_tag: BTreeSet<(String, String, String, u32)>,
    /// What they have come to, and when they expire.
    counters: BTreeMap<Counter, (i64, i64)>,
}

#[derive(Debug, Default)]
struct Rows {
    rows: BTreeMap<String, Row>,
    /// One per lookup of the table: (workspace, value, id).
    lookups: Vec<BTreeSet<(Option<Uuid>, String, String)>>,
    /// (workspace, id)
    by_workspace: BTreeSet<(Uuid, String)>,
    /// (expires, id)
    expiries: BTreeSet<(i64, String)>,
}

/// The data in the hands of one read (`&Data`) or write (`&mut Data`).
struct Session<'m, D> {
    memory: &'m Memory,
    data: D,
    /// What a write has replaced: table, id, and the row there was.
    log: Vec<(usize, String, Option<Row>)>,
}

impl Memory {
    /// With that workspace in it.
    pub fn new(layout: Arc<Layout>, feed: Arc<Feed>, workspace: Option<Record>) -> Memory {
        let rows = |table: &Table| Rows { lookups: vec![BTreeSet::new(); table.lookups.len()], ..Rows::default() };
        let mut data = Data { tables: layout.tables().iter().map(rows).collect(), ..Data::default() };
        if let (Some(table), Some(record)) = (layout.table(WORKSPACES), workspace) {
            let id = table.id(&record).into_owned();
            data.set(table, &id, Some(Row { record, ..Row::default() }));
        }
        Memory { layout, feed, data: Arc::new(RwLock::new(data)) }
    }

    fn write_now(&self, mut work: Work) -> Result<Revision, Error> {
        // A panic inside is caught and undone below, so a poisoned lock guards whole data.
        let mut data = self.data.write().unwrap_or_else(PoisonError::into_inner);
        let mut session = Session { memory: self, data: &mut *data, log: Vec::new() };
        let done =
            catch_unwind(AssertUnwindSafe(|| work(&mut session))).unwrap_or_else(|_| Err(failure("a write panicked")));
        match done {
            Ok(changes) if changes.is_empty() => Ok(self.feed.newest()),
            Ok(changes) => Ok(self.feed.publish(changes)),
            Err(error) => {
                let log = std::mem::take(&mut session.log);
                for (index, id, old) in log.into_iter().rev() {
                    data.set(self.layout.at(index), &id, old);
                }
                Err(error)
            }
        }
    }

    fn read_now(&self, query: Query) -> Result<(), Error> {
        let data = self.data.read().unwrap_or_else(PoisonError::into_inner);
        let mut session = Session { memory: self, data: &*data, log: Vec::new() };
        catch_unwind(AssertUnwindSafe(|| query(&mut session))).unwrap_or_else(|_| Err(failure("a read panicked")))
    }
}

impl Backend for Memory {
    fn read(&self, query: Query) -> BoxFuture<'_, Result<(), Error>> {
        let memory = self.clone();
        let done = spawn_blocking(move || memory.read_now(query));
        async move { done.await.map_err(failure)? }.boxed()
    }

    fn write(&self, work: Work) -> BoxFuture<'_, Result<Revision, Error>> {
        let memory = self.clone();
        let done = spawn_blocking(move || memory.write_now(work));
        async move { done.await.map_err(failure)? }.boxed()
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
                if let Some((workspace, value)) = indexed(table, lookup, old) {
                    index.remove(&(workspace, value, id.to_owned()));
                }
            }
            if let Some(workspace) = old.workspace {
                rows.by_workspace.remove(&(workspace, id.to_owned()));
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
                if let Some((workspace, value)) = indexed(table, lookup, row) {
                    index.insert((workspace, value, id.to_owned()));
                }
            }
            if let Some(workspace) = row.workspace {
                rows.by_workspace.insert((workspace, id.to_owned()));
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
        workspace: Option<Uuid>,
        value: &str,
        after: &str,
    ) -> impl Iterator<Item = &'d str> + use<'d> {
        let index = table.lookups.iter().position(|lookup| lookup.column == column);
        let value = value.to_owned();
        let from = Bound::Excluded((workspace, value.clone(), after.to_owned()));
        let index = index.map(|index| &self.tables[table.index].lookups[index]);
        index.into_iter().flat_map(move |index| {
            let value = value.clone();
            let from = (from.clone(), Bound::Unbounded);
            index.range(from).take_while(move |(w, v, _)| *w == workspace && *v == value).map(|(_, _, id)| id.as_str())
        })
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

/// Where a lookup has a row.
fn indexed(table: &Table, lookup: &Lookup, row: &Row) -> Option<(Option<Uuid>, String)> {
    let value = table.value(lookup, &row.record, row.workspace)?;
    Some((row.workspace.filter(|_| lookup.per_workspace), value))
}

impl Data {
    fn row(&self, wanted: &Wanted<'_>) -> Option<Row> {
        let Wanted { table, by } = *wanted;
        let rows = &self.tables[table.index].rows;
        match by {
            By::Id(id) => rows.get(id).cloned(),
            By::Value { lookup, workspace, value } => {
                let workspace = workspace.filter(|_| lookup.per_workspace);
                let id = self.ids(table, &lookup.column, workspace, value, "").next();
                id.and_then(|id| rows.get(id)).cloned()
            }
        }
    }

    fn rows(&self, selection: &Selection<'_>) -> Vec<Row> {
        let table = selection.table;
        let Rows { rows, by_workspace, .. } = &self.tables[table.index];
        let after = selection.after.unwrap_or_default();
        let workspace = selection.workspace.filter(|_| table.per_workspace);
        let of_value = selection.value.map(|(lookup, value)| self.ids(table, &lookup.column, None, value, after));
        let ids: Box<dyn Iterator<Item = &str>> = match (of_value, selection.foreign, selection.tags, workspace) {
            (Some(ids), ..) => Box::new(ids),
            (_, Some((foreign, ids)), ..) => {
                Box::new(merge(ids.iter().map(|id| self.ids(table, &foreign.column, None, id, after)).collect()))
            }
            (.., Some(TagFilter::All(tags)), _) if !tags.is_empty() => Box::new(self.tagged(table, &tags[0], after)),
            (.., Some(TagFilter::Any(tags)), _) => {
                Box::new(merge(tags.iter().map(|tag| self.tagged(table, tag, after)).collect()))
            }
            (.., Some(workspace)) => {
                let from = Bound::Excluded((workspace, after.to_owned()));
                let of_workspace = by_workspace.range((from, Bound::Unbounded));
                Box::new(of_workspace.take_while(move |(id, _)| *id == workspace).map(|(_, id)| id.as_str()))
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
            tagged && row.is_live(selection.now) && (workspace.is_none() || row.workspace == workspace)
        };
        ids.filter_map(|id| rows.get(id)).filter(wanted).take(selection.limit).cloned().collect()
    }
}

impl<D: Deref<Target = Data>> Reader for Session<'_, D> {
    fn find(&mut self, wanted: &[Wanted<'_>]) -> Result<Vec<Option<Row>>, Error> {
        Ok(wanted.iter().map(|wanted| self.data.row(wanted)).collect())
    }

    fn scan(&mut self, selections: &[Selection<'_>]) -> Result<Vec<Vec<Row>>, Error> {
        Ok(selections.iter().map(|selection| self.data.rows(selection)).collect())
    }

    fn visit(
        &mut self,
        table: &Table,
        now: i64,
        visit: &mut dyn FnMut(&mut Row) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let rows = self.data.tables[table.index].rows.values();
        rows.filter(|row| row.is_live(now)).try_for_each(|row| visit(&mut row.clone()))
    }

    fn count(&mut self, table: &Table, workspace: Option<Uuid>, now: i64) -> Result<u64, Error> {
        let Rows { rows, by_workspace, expiries, .. } = &self.data.tables[table.index];
        let expired = expiries.iter().take_while(|(expires, _)| *expires <= now).filter_map(|(_, id)| rows.get(id));
        let count = match workspace.filter(|_| table.per_workspace) {
            Some(workspace) => {
                let of_workspace =
                    by_workspace.range((workspace, String::new())..).take_while(|(id, _)| *id == workspace);
                of_workspace.count() - expired.filter(|row| row.workspace == Some(workspace)).count()
            }
            None => rows.len() - expired.count(),
        };
        Ok(count as u64)
    }

    fn tags(&mut self, selection: &TagSelection<'_>) -> Result<Vec<TagEntry>, Error> {
        let (id, entity, place) = selection.after.unwrap_or(("", "", 0));
        let entry = |tag: &str, id: &str, entity: &str, place| TagEntry {
            tag: tag.to_owned(),
            entity: entity.to_owned(),
            id: id.to_owned(),
            place,
        };
        let visible = |entry: &TagEntry| {
            let table = self.memory.layout.table(&entry.entity);
            let row = table.and_then(|table| self.data.tables[table.index].rows.get(&entry.id));
            let workspace = row.and_then(|row| row.workspace);
            selection.workspace.is_none() || workspace.is_none() || workspace == selection.workspace
        };
        let found: Box<dyn Iterator<Item = TagEntry>> = match selection.tag {
            Some(tag) => {
                let from = Bound::Excluded((tag.to_owned(), id.to_owned(), entity.to_owned(), place));
                let found = self.data.by_tag.range((from, Bound::Unbounded)).take_while(move |(t, ..)| t == tag);
                Box::new(found.map(|(tag, id, entity, place)| entry(tag, id, entity, *place)))
            }
            None => {
                // Tags are never empty, so a position with an empty one comes right before the position's own entry:
                // the next place is what follows it.
                let place = if selection.after.is_some() { place.saturating_add(1) } else { 0 };
                let from = Bound::Included((id.to_owned(), entity.to_owned(), place, String::new()));
                let found = self.data.by_record.range((from, Bound::Unbounded));
                Box::new(found.map(|(id, entity, place, tag)| entry(tag, id, entity, *place)))
            }
        };
        Ok(found.filter(visible).take(selection.limit).collect())
    }

    fn expired(&mut self, table: &Table, now: i64, limit: usize) -> Result<Vec<Row>, Error> {
        let rows = &self.data.tables[table.index];
        let due = rows.expiries.iter().take_while(|(expires, _)| *expires <= now).take(limit);
        Ok(due.filter_map(|(_, id)| rows.rows.get(id)).cloned().collect())
    }

    fn next_expiry(&mut self, table: &Table) -> Result<Option<i64>, Error> {
        Ok(self.data.tables[table.index].expiries.first().map(|(expires, _)| *expires))
    }

    fn counts(&mut self, counters: &[Counter], now: i64) -> Result<Vec<i64>, Error> {
        let count = |counter| match self.data.counters.get(counter) {
            Some((count, expires)) if *expires > now => *count,
            _ => 0,
        };
        Ok(counters.iter().map(count).collect())
    }

    fn revision(&mut self) -> Result<Revision, Error> {
        // Nothing is published while the data are held.
        Ok(self.memory.feed.newest())
    }
}

impl<D: DerefMut<Target = Data>> Writer for Session<'_, D> {
    fn write(&mut self, writes: &[Write<'_>]) -> Result<(), Error> {
        for write in writes {
            let (table, row, new) = match *write {
                Write::Put { table, row, .. } => (table, row, Some(row.clone())),
                Write::Remove { table, row } => (table, row, None),
            };
            let id = table.id(&row.record);
            let old = self.data.set(table, &id, new);
            self.log.push((table.index, id.into_owned(), old));
        }
        Ok(())
    }

    fn add(&mut self, additions: &[Addition], now: i64) -> Result<(), Error> {
        // Nothing that can fail comes after this.
        self.data.counters.retain(|_, (_, expires)| *expires > now);
        for addition in additions {
            let (count, expires) = self.data.counters.entry(addition.counter.clone()).or_default();
            *count += addition.amount;
            *expires = expiry(addition, now);
        }
        Ok(())
    }
}
