//! The rules of writing, inside one transaction: references are resolved and must exist, unique values are
//! unique, deletions cascade or are refused, and all that happened is noted for the feed.

use crate::backend::{Row, Writer};
use crate::certificates::{self, Names, SniChanges};
use crate::layout::{Layout, OnDelete, Table, foreign_id};
use crate::read::{self, View, by_field, is_uuid, lookup, show, valid_id};
use crate::{Change, Key, Operation, rules};
use model::{Catalog, Error, Record};
use serde_json::Value;
use std::collections::HashSet;

/// Reads and writes that happen whole or not at all, see [`crate::Store::transaction`]. Entities go by their names.
pub struct Transaction<'t> {
    view: View<'t>,
    writer: &'t mut dyn Writer,
    changes: Vec<Change>,
}

/// The greatest `ttl`, in seconds: about three years.
const MAX_TTL: i64 = 100_000_000;

/// What a client says about how long a record lives.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ttl {
    Unsaid,
    Never,
    Milliseconds(i64),
}

impl<'t> Transaction<'t> {
    pub(crate) fn new(view: View<'t>, writer: &'t mut dyn Writer) -> Transaction<'t> {
        Transaction { view, writer, changes: Vec::new() }
    }

    /// What has been changed, in order.
    pub(crate) fn into_changes(self) -> Vec<Change> {
        self.changes
    }

    /// The schemas that records are checked by.
    pub fn catalog(&self) -> &'t Catalog {
        self.view.catalog
    }

    /// See [`crate::Store::get`].
    pub fn get(&mut self, entity: &str, key: &Key) -> Result<Option<Record>, Error> {
        let (view, table) = (self.view, self.table(entity)?);
        let row = lookup(self.writer, &view, table, key)?;
        row.map(|row| read::show_whole(self.writer, &view, table, row)).transpose()
    }

    /// See [`crate::Store::get_under`].
    pub fn get_under(&mut self, entity: &str, key: &Key, field: &str, id: &str) -> Result<Option<Record>, Error> {
        let (view, table) = (self.view, self.table(entity)?);
        let row = read::lookup_under(self.writer, &view, table, key, read::foreign(table, field)?, id)?;
        row.map(|row| read::show_whole(self.writer, &view, table, row)).transpose()
    }

    /// See [`crate::Store::insert`].
    pub fn insert(&mut self, entity: &str, mut input: Record) -> Result<Record, Error> {
        let table = self.table(entity)?;
        let ttl = take_ttl(table, &mut input)?;
        self.normalize(table, &mut input)?;
        let created = input.get("created_at").and_then(Value::as_f64);
        let names = self.names(table, &input, None)?;
        rules::check_references(self.writer, &self.view, table, &input, None)?;
        let record = table.schema.process_insert(self.view.catalog, input)?;
        rules::check_not_null(table, None, &record)?;
        let row = Row { record, expires: self.expiry(ttl, created) };
        let record = self.store(table, row, None)?;
        self.with_names(table, record, names)
    }

    /// See [`crate::Store::update`].
    pub fn update(&mut self, entity: &str, key: &Key, mut input: Record) -> Result<Option<Record>, Error> {
        let table = self.table(entity)?;
        let ttl = take_ttl(table, &mut input)?;
        let Some(old) = lookup(self.writer, &self.view, table, key)? else { return Ok(None) };
        self.normalize(table, &mut input)?;
        let names = self.names(table, &input, Some(table.id(&old.record)))?;
        rules::check_references(self.writer, &self.view, table, &input, Some(&old.record))?;
        let mut record = table.schema.process_update(self.view.catalog, input, &old.record)?;
        record.insert(table.primary.clone(), old.record[&table.primary].clone());
        rules::check_not_null(table, Some(key), &record)?;
        let expires = if ttl == Ttl::Unsaid { old.expires } else { self.expiry(ttl, None) };
        let record = self.store(table, Row { record, expires }, Some(old))?;
        self.with_names(table, record, names).map(Some)
    }

    /// See [`crate::Store::upsert`].
    pub fn upsert(&mut self, entity: &str, key: &Key, mut input: Record) -> Result<Record, Error> {
        let table = self.table(entity)?;
        let ttl = take_ttl(table, &mut input)?;
        let old = lookup(self.writer, &self.view, table, key)?;
        self.normalize(table, &mut input)?;
        let mut keys = Record::new();
        match key {
            Key::Id(id) => drop(keys.insert(table.primary.clone(), valid_id(table, id)?.into())),
            Key::Name(_) if certificates::named_by_snis(table) => {
                keys.extend(old.as_ref().map(|old| (table.primary.clone(), table.id(&old.record).into())));
            }
            Key::Name(name) => {
                let field = table.endpoint.as_ref().unwrap_or(&table.primary);
                keys.insert(field.clone(), name.as_str().into());
                if let Some(old) = &old {
                    keys.insert(table.primary.clone(), table.id(&old.record).into());
                }
            }
        }
        let created = input.get("created_at").and_then(Value::as_f64);
        let names = self.names(table, &input, keys.get(&table.primary).and_then(Value::as_str))?;
        rules::check_references(self.writer, &self.view, table, &input, None)?;
        let mut record = table.schema.process_upsert(self.view.catalog, input, &keys)?;
        record.extend(keys);
        rules::check_not_null(table, Some(key), &record)?;
        let row = Row { record, expires: self.expiry(ttl, created) };
        let record = self.store(table, row, old)?;
        self.with_names(table, record, names)
    }

    /// Deletes a record with what cascades from it; whether there was something to delete.
    pub fn delete(&mut self, entity: &str, key: &Key) -> Result<bool, Error> {
        let table = self.table(entity)?;
        let Some(row) = lookup(self.writer, &self.view, table, key)? else { return Ok(false) };
        rules::check_delete(self.writer, &self.view, table, &row)?;
        self.remove(table, vec![row], true)?;
        Ok(true)
    }

    fn table(&self, entity: &str) -> Result<&'t Table, Error> {
        known(self.view.layout, entity)
    }

    /// The names that the input of a certificate gives.
    fn names(&mut self, table: &Table, input: &Record, id: Option<&str>) -> Result<Option<Names>, Error> {
        let View { catalog, layout, now } = self.view;
        Names::read(self.writer, (catalog, layout, now), table, input, id)
    }

    /// Gives a stored certificate its names, and shows them with it.
    fn with_names(&mut self, table: &Table, mut record: Record, names: Option<Names>) -> Result<Record, Error> {
        let View { layout, now, .. } = self.view;
        if let Some(names) = names {
            let SniChanges { delete, insert } = names.changes(self.writer, layout, table.id(&record), now)?;
            for key in delete {
                self.delete(SniChanges::ENTITY, &key)?;
            }
            for sni in insert {
                self.insert(SniChanges::ENTITY, sni)?;
            }
        }
        certificates::show_names(self.writer, layout, table, &mut record, now)?;
        Ok(record)
    }

    /// Removes all rows of a table, and all that refer to them, whatever their foreign keys say.
    pub(crate) fn truncate(&mut self, entity: &str) -> Result<(), Error> {
        let table = self.table(entity)?;
        let mut rows = Vec::new();
        read::each(self.writer, table, None, i64::MIN, |row| {
            rows.push(row);
            Ok(true)
        })?;
        self.remove(table, rows, false)
    }

    /// Removes what has expired.
    pub(crate) fn purge(&mut self, limit: usize) -> Result<(), Error> {
        let layout = self.view.layout;
        for table in layout.tables().iter().filter(|table| table.has_ttl) {
            let rows = self.writer.expired(table, self.view.now, limit)?;
            self.remove(table, rows, false)?;
        }
        Ok(())
    }

    /// Checks a complete record against all others, and puts it in the place of `old`.
    fn store(&mut self, table: &Table, mut row: Row, old: Option<Row>) -> Result<Record, Error> {
        // What the schema takes as input but does not store goes no further.
        row.record.retain(|field, _| table.column_of(field).is_some());
        if old.is_none() {
            let key = Record::from_iter([(table.primary.clone(), table.id(&row.record).into())]);
            if let Some(other) = self.writer.get(table, table.id(&row.record))? {
                self.evict(table, other, || Error::primary_key_violation(key))?;
            }
        }
        for unique in &table.uniques {
            let Some(value) = unique.value(&row.record) else { continue };
            if old.as_ref().and_then(|old| unique.value(&old.record)).as_ref() == Some(&value) {
                continue;
            }
            if let Some(other) = self.writer.find(table, &unique.column, &value)?
                && table.id(&other.record) != table.id(&row.record)
            {
                self.evict(table, other, || Error::unique_violation(unique.fields(&row.record)))?;
            }
        }
        for foreign in &table.foreigns {
            let reference = |row: &Row| row.record.get(&foreign.field).and_then(foreign_id).map(str::to_owned);
            let Some(id) = reference(&row) else { continue };
            if old.as_ref().and_then(reference).as_ref() == Some(&id) {
                continue;
            }
            let target = self.view.layout.at(foreign.target);
            let found = self.writer.get(target, &id)?;
            if !found.is_some_and(|row| row.is_live(self.view.now)) {
                let key = Record::from_iter([(target.primary.clone(), id.into())]);
                return Err(Error::foreign_key_violation(&foreign.field, key, &target.name));
            }
        }
        self.writer.put(table, &row, old.as_ref())?;
        let record = show(&self.view, table, row);
        self.note(Operation::Put, table, record.clone());
        Ok(record)
    }

    /// What has expired but is not purged yet gives way; anything else is in the way.
    fn evict(&mut self, table: &Table, other: Row, in_the_way: impl FnOnce() -> Error) -> Result<(), Error> {
        if other.is_live(self.view.now) { Err(in_the_way()) } else { self.remove(table, vec![other], false) }
    }

    /// Removes rows and what cascades from them. With `restrict`, fails when anything else refers to them that is
    /// not to be deleted with them; without, that is removed too.
    fn remove(&mut self, table: &Table, rows: Vec<Row>, restrict: bool) -> Result<(), Error> {
        let layout = self.view.layout;
        let mut seen: HashSet<(usize, String)> =
            rows.iter().map(|row| (table.index, table.id(&row.record).to_owned())).collect();
        let mut doomed: Vec<(usize, Row)> = rows.into_iter().map(|row| (table.index, row)).collect();
        let mut orphaned: Vec<(usize, usize, Row)> = Vec::new();
        let mut next = 0;
        while next < doomed.len() {
            let parent = layout.at(doomed[next].0);
            let id = parent.id(&doomed[next].1.record).to_owned();
            for &(child, place) in &parent.referrers {
                let child = layout.at(child);
                let foreign = &child.foreigns[place];
                if foreign.on_delete == OnDelete::Restrict && restrict {
                    continue;
                }
                read::each(self.writer, child, Some((foreign, &id)), i64::MIN, |row| {
                    if foreign.on_delete == OnDelete::Null {
                        orphaned.push((child.index, place, row));
                    } else if seen.insert((child.index, child.id(&row.record).to_owned())) {
                        doomed.push((child.index, row));
                    }
                    Ok(true)
                })?;
            }
            next += 1;
        }
        if restrict {
            self.check_unreferenced(&doomed, &seen)?;
        }
        for (child, place, row) in orphaned {
            let child = layout.at(child);
            if !seen.contains(&(child.index, child.id(&row.record).to_owned())) {
                // Another of its references may have been cleared a moment ago.
                let Some(old) = self.writer.get(child, child.id(&row.record))? else { continue };
                let mut row = old.clone();
                row.record.insert(child.foreigns[place].field.clone(), Value::Null);
                self.writer.put(child, &row, Some(&old))?;
                self.note(Operation::Put, child, show(&self.view, child, row));
            }
        }
        // What refers goes before what it refers to.
        for (index, row) in doomed.into_iter().rev() {
            let table = layout.at(index);
            self.writer.remove(table, &row)?;
            self.note(Operation::Delete, table, show(&self.view, table, row));
        }
        Ok(())
    }

    /// Fails when a row that stays refers to one that goes.
    fn check_unreferenced(&mut self, doomed: &[(usize, Row)], seen: &HashSet<(usize, String)>) -> Result<(), Error> {
        for (index, row) in doomed {
            let parent = self.view.layout.at(*index);
            // Of several entities, the one that was declared last is named, as Kong does.
            for &(child, place) in parent.referrers.iter().rev() {
                let child = self.view.layout.at(child);
                let foreign = &child.foreigns[place];
                if foreign.on_delete != OnDelete::Restrict {
                    continue;
                }
                let mut stays = false;
                read::each(self.writer, child, Some((foreign, parent.id(&row.record))), self.view.now, |row| {
                    stays = !seen.contains(&(child.index, child.id(&row.record).to_owned()));
                    Ok(!stays)
                })?;
                if stays {
                    return Err(Error::still_referenced(&parent.name, &child.name));
                }
            }
        }
        Ok(())
    }

    /// Brings ids to the form in which they are stored, and references by other unique fields to ids.
    fn normalize(&mut self, table: &Table, input: &mut Record) -> Result<(), Error> {
        let View { layout, now, .. } = self.view;
        let writer = &mut *self.writer;
        let mut find = |entity: &str, field: &str, value: &Value| {
            let (Some(target), Some(value)) = (layout.table(entity), value.as_str()) else { return Ok(None) };
            let row = by_field(writer, target, field, value, now)?;
            Ok(row.map(|row| row.record))
        };
        table.schema.resolve_foreign(self.view.catalog, input, &mut find)?;
        if table.has_uuid {
            lower_uuid(input.get_mut(&table.primary));
        }
        for foreign in &table.foreigns {
            let target = layout.at(foreign.target);
            if target.has_uuid {
                lower_uuid(input.get_mut(&foreign.field).and_then(|reference| reference.get_mut(&target.primary)));
            }
        }
        Ok(())
    }

    /// A ttl counts from when the record says that it was created.
    fn expiry(&self, ttl: Ttl, created: Option<f64>) -> Option<i64> {
        match ttl {
            Ttl::Milliseconds(ttl) => {
                Some(created.map_or(self.view.now, |seconds| (seconds * 1000.0) as i64).saturating_add(ttl))
            }
            Ttl::Unsaid | Ttl::Never => None,
        }
    }

    fn note(&mut self, operation: Operation, table: &Table, record: Record) {
        self.changes.push(Change { operation, entity: table.name.clone(), record });
    }
}

fn lower_uuid(value: Option<&mut Value>) {
    if let Some(Value::String(id)) = value
        && is_uuid(id)
    {
        id.make_ascii_lowercase();
    }
}

/// The entity of that name.
pub fn known<'l>(layout: &'l Layout, entity: &str) -> Result<&'l Table, Error> {
    layout.table(entity).ok_or_else(|| Error::operation_unsupported(format!("there is no entity '{entity}'")))
}

/// Takes `ttl` (seconds) out of the input of an entity that has it.
fn take_ttl(table: &Table, input: &mut Record) -> Result<Ttl, Error> {
    if !table.has_ttl {
        return Ok(Ttl::Unsaid);
    }
    let seconds = match input.remove("ttl") {
        None => return Ok(Ttl::Unsaid),
        Some(Value::Null) => return Ok(Ttl::Never),
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.trim().parse::<f64>().ok(),
        Some(_) => None,
    };
    match seconds {
        Some(0.0) => Ok(Ttl::Never),
        Some(seconds) if seconds.fract() == 0.0 && (0.0..=MAX_TTL as f64).contains(&seconds) => {
            Ok(Ttl::Milliseconds(seconds as i64 * 1000))
        }
        _ => Err(Error::invalid_option("ttl", &format!("must be an integer between 0 and {MAX_TTL}"))),
    }
}
