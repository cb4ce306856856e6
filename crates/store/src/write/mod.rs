//! The rules of writing, inside one transaction: references are resolved and must exist, unique values are
//! unique (`put`), what databases have an index on is not too long (`lengths`), deletions cascade or are refused
//! (`remove`), and all that happened is noted for the feed.

mod lengths;
mod put;
mod remove;

use crate::backend::{Row, Writer};
use crate::certificates::{self, Names, SniChanges};
use crate::feed::Changes;
use crate::layout::{ColumnType, Foreign, Layout, Table};
use crate::read::{self, View, is_uuid, lookup, valid_id};
use crate::{Change, Key, Operation, Recorded, Scope, rules};
use model::{Catalog, Error, InWorkspace, Record};
pub use put::Put;
use remove::Referrers;
use serde_json::Value;

/// Reads and writes that happen whole or not at all, see [`crate::Store::transaction`]. Entities go by their names.
pub struct Transaction<'t> {
    pub(crate) view: View<'t>,
    pub(crate) writer: &'t mut dyn Writer,
    changes: Changes,
    /// What was written, with what it was before, if anybody wants to know.
    recorded: Option<Vec<Recorded>>,
    read_only: bool,
}

/// The greatest `ttl`, in seconds: about three years.
pub const MAX_TTL: i64 = 100_000_000;

/// What a client says about how long a record lives.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ttl {
    Unsaid,
    Never,
    Milliseconds(i64),
}

impl<'t> Transaction<'t> {
    /// `read_only`: what clients ask for is checked, and then refused.
    pub(crate) fn new(view: View<'t>, writer: &'t mut dyn Writer, read_only: bool) -> Transaction<'t> {
        Transaction { view, writer, changes: Changes::default(), recorded: None, read_only }
    }

    /// What has been changed, in order.
    pub(crate) fn into_changes(self) -> Changes {
        self.changes
    }

    /// Says whose records the rest of the transaction is about.
    pub fn enter(&mut self, scope: Scope) {
        self.view.scope = scope;
    }

    /// Begins to record what is written, with what it was before.
    pub fn record(&mut self) {
        self.recorded.get_or_insert_default();
    }

    /// Ends that: what has been written since.
    pub fn recorded(&mut self) -> Vec<Recorded> {
        self.recorded.take().unwrap_or_default()
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

    /// See [`crate::Store::all_for`].
    pub fn all_for(&mut self, entity: &str, field: &str, id: &str) -> Result<Vec<Record>, Error> {
        let (view, table) = (self.view, self.table(entity)?);
        let foreign = read::foreign(table, field)?;
        read::all_for(self.writer, &view, table, foreign, id)
    }

    /// See [`crate::Store::all_by`].
    pub fn all_by(&mut self, entity: &str, field: &str, values: &[String]) -> Result<Vec<Record>, Error> {
        let (view, table) = (self.view, self.table(entity)?);
        read::all_by(self.writer, &view, table, field, values)
    }

    /// See [`crate::Store::insert`].
    pub fn insert(&mut self, entity: &str, input: Record) -> Result<Record, Error> {
        let mut added = self.insert_all(entity, vec![input])?;
        added.pop().ok_or_else(|| Error::database("nothing was inserted"))
    }

    /// Adds records one after the other, with few questions to the backend for all of them together.
    pub fn insert_all(&mut self, entity: &str, inputs: Vec<Record>) -> Result<Vec<Record>, Error> {
        let table = self.table(entity)?;
        let mut puts = Vec::with_capacity(inputs.len());
        let mut names = Vec::with_capacity(inputs.len());
        for mut input in inputs {
            let ttl = take_ttl(table, &mut input)?;
            self.normalize(table, &mut input)?;
            let created = input.get("created_at").and_then(Value::as_f64);
            names.push(self.names(table, &input, None)?);
            rules::check_references(self.writer, &self.view, table, &input, None)?;
            rules::link_partials(self.writer, &self.view, table, &mut input, None)?;
            let _here = InWorkspace::enter(self.view.scope.workspace());
            let deprecations = table.schema.deprecations(self.view.catalog, &input, None);
            let record = table.schema.process_insert(self.view.catalog, input)?;
            rules::tell(deprecations);
            rules::check_not_null(table, None, &record)?;
            self.check_writable("create", table, None)?;
            puts.push(Put { row: self.new_row(table, record, self.expiry(ttl, created))?, old: None });
        }
        let records = self.put_all(table, puts)?;
        records.into_iter().zip(names).map(|(record, names)| self.with_names(table, record, names)).collect()
    }

    /// See [`crate::Store::update`].
    pub fn update(&mut self, entity: &str, key: &Key, mut input: Record) -> Result<Option<Record>, Error> {
        let table = self.table(entity)?;
        let ttl = take_ttl(table, &mut input)?;
        let Some(old) = lookup(self.writer, &self.view, table, key)? else { return Ok(None) };
        self.normalize(table, &mut input)?;
        let names = self.names(table, &input, Some(&table.id(&old.record)))?;
        rules::check_references(self.writer, &self.view, table, &input, Some(&old.record))?;
        rules::link_partials(self.writer, &self.view, table, &mut input, Some(&old.record))?;
        let _here = InWorkspace::enter(self.view.scope.workspace());
        let deprecations = table.schema.deprecations(self.view.catalog, &input, Some(&old.record));
        let mut record = table.schema.process_update(self.view.catalog, input, &old.record)?;
        rules::tell(deprecations);
        for column in table.keys() {
            record.insert(column.field.clone(), old.record.get(&column.field).cloned().unwrap_or_default());
        }
        rules::check_not_null(table, Some(key), &record)?;
        self.check_writable("update", table, Some(key))?;
        rules::check_change(table, &old.record, &record)?;
        let expires = if ttl == Ttl::Unsaid { old.expires } else { self.expiry(ttl, None) };
        let row = Row { record, workspace: old.workspace, expires };
        let record = self.put(table, Put { row, old: Some(old) })?;
        rules::check_linked(self.writer, &self.view, table, &table.id(&record))?;
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
            Key::Id(id) => keys = table.key_fields(&valid_id(&self.view, table, id)?),
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
        rules::link_partials(self.writer, &self.view, table, &mut input, None)?;
        let _here = InWorkspace::enter(self.view.scope.workspace());
        let deprecations = table.schema.deprecations(self.view.catalog, &input, None);
        let mut record = table.schema.process_upsert(self.view.catalog, input, &keys)?;
        rules::tell(deprecations);
        record.extend(keys);
        rules::check_not_null(table, Some(key), &record)?;
        self.check_writable("create or update", table, Some(key))?;
        let expires = self.expiry(ttl, created);
        let row = match &old {
            Some(old) => {
                rules::check_change(table, &old.record, &record)?;
                Row { record, workspace: old.workspace, expires }
            }
            None => self.new_row(table, record, expires)?,
        };
        let record = self.put(table, Put { row, old })?;
        rules::check_linked(self.writer, &self.view, table, &table.id(&record))?;
        self.with_names(table, record, names)
    }

    /// Deletes a record with what cascades from it; whether there was something to delete. A workspace must be empty.
    pub fn delete(&mut self, entity: &str, key: &Key) -> Result<bool, Error> {
        let table = self.table(entity)?;
        let Some(row) = lookup(self.writer, &self.view, table, key)? else { return Ok(false) };
        rules::check_delete(self.writer, &self.view, table, &row)?;
        self.check_writable("remove", table, Some(key))?;
        self.remove(table, vec![row], Referrers::Restrict)?;
        Ok(true)
    }

    fn table(&self, entity: &str) -> Result<&'t Table, Error> {
        known(self.view.layout, entity)
    }

    fn check_writable(&self, verb: &str, table: &Table, key: Option<&Key>) -> Result<(), Error> {
        let field = match key {
            Some(Key::Name(_)) => table.endpoint.as_deref(),
            _ => None,
        };
        if self.read_only { Err(Error::without_database(verb, &table.name, field)) } else { Ok(()) }
    }

    /// The row of a record that is new, in the workspace that the transaction is about.
    fn new_row(&self, table: &Table, record: Record, expires: Option<i64>) -> Result<Row, Error> {
        let workspace = self.view.scope.workspace().filter(|_| table.per_workspace);
        if table.per_workspace && workspace.is_none() {
            let why = format!("{} are created in one workspace", table.name);
            return Err(Error::operation_unsupported(why));
        }
        Ok(Row { record, workspace, expires })
    }

    /// The names that the input of a certificate gives.
    fn names(&mut self, table: &Table, input: &Record, id: Option<&str>) -> Result<Option<Names>, Error> {
        Names::read(self.writer, &self.view, table, input, id)
    }

    /// Gives a stored certificate its names, and shows them with it.
    fn with_names(&mut self, table: &Table, mut record: Record, names: Option<Names>) -> Result<Record, Error> {
        if let Some(names) = names {
            let SniChanges { delete, insert } = names.changes(self.writer, &self.view, &table.id(&record))?;
            for key in delete {
                self.delete(SniChanges::ENTITY, &key)?;
            }
            self.insert_all(SniChanges::ENTITY, insert)?;
        }
        certificates::show_names(self.writer, &self.view, table, &mut record)?;
        Ok(record)
    }

    /// Brings ids to the form in which they are stored, and references by other unique fields to ids.
    fn normalize(&mut self, table: &Table, input: &mut Record) -> Result<(), Error> {
        self.resolve(table, input)?;
        for column in table.keys().filter(|column| column.kind == ColumnType::Uuid) {
            lower_uuid(input.get_mut(&column.field));
        }
        for foreign in &table.foreigns {
            let target = self.view.layout.at(foreign.target);
            if target.has_uuid {
                lower_uuid(input.get_mut(&foreign.field).and_then(|reference| reference.get_mut(&target.primary)));
            }
        }
        Ok(())
    }

    /// Replaces references by other unique fields, with one question for all of them.
    fn resolve(&mut self, table: &Table, input: &mut Record) -> Result<(), Error> {
        let View { catalog, layout, .. } = self.view;
        let named = |foreign: &Foreign| {
            let reference = input.get(&foreign.field).filter(|reference| reference.is_object())?;
            Some((foreign.field.clone(), reference.clone()))
        };
        let mut references: Record = table.foreigns.iter().filter_map(named).collect();
        let mut asked: Vec<(&Table, String, String)> = Vec::new();
        let mut note = |entity: &str, field: &str, value: &Value| {
            if let (Some(target), Some(value)) = (layout.table(entity), value.as_str()) {
                asked.push((target, field.to_owned(), value.to_owned()));
                // Whatever is found: the next field is asked for only when nothing is.
                return Ok(Some(Record::new()));
            }
            Ok(None)
        };
        table.schema.resolve_foreign(catalog, &mut references, &mut note)?;
        if asked.is_empty() {
            return Ok(());
        }
        let mut found = read::by_fields(self.writer, &self.view, &asked)?.into_iter();
        let mut asked = asked.iter().peekable();
        let (writer, view) = (&mut *self.writer, self.view);
        let mut find = |entity: &str, field: &str, value: &Value| {
            let (Some(target), Some(value)) = (layout.table(entity), value.as_str()) else { return Ok(None) };
            let row = match asked.next_if(|(t, f, v)| t.name == entity && f == field && v == value) {
                Some(_) => found.next().flatten(),
                None => read::by_field(writer, &view, target, field, value)?,
            };
            Ok(row.map(|row| row.record))
        };
        table.schema.resolve_foreign(catalog, input, &mut find)
    }

    /// A ttl counts from when the record says that it was created, or was changed: in whole seconds, as such times are,
    /// so that what is left of it is less than what was given.
    fn expiry(&self, ttl: Ttl, created: Option<f64>) -> Option<i64> {
        match ttl {
            Ttl::Milliseconds(ttl) => {
                let now = self.view.now / 1000 * 1000;
                Some(created.map_or(now, |seconds| (seconds * 1000.0) as i64).saturating_add(ttl))
            }
            Ttl::Unsaid | Ttl::Never => None,
        }
    }

    /// Says that more will be changed than is listed.
    pub(crate) fn unlist(&mut self) {
        self.changes.unlist();
    }

    /// `before` is the row whose place that one has taken.
    pub(crate) fn note(&mut self, operation: Operation, table: &Table, row: Row, before: Option<Row>) {
        if let Some(recorded) = &mut self.recorded {
            let before = before.as_ref().map(|row| read::publish(&self.view, table, row.clone()));
            let record = read::publish(&self.view, table, row.clone());
            recorded.push(Recorded { operation, entity: table.name.clone(), record, before });
        }
        if table.is_counter {
            // Nobody keeps counters, of which there are many.
            self.changes.push_untold();
            return;
        }
        if !table.in_snapshot {
            self.changes.push_untold();
            before.iter().chain([&row]).for_each(|row| self.changes.push_outdated(row.cached_as(table)));
            return;
        }
        let is_new = operation == Operation::Put && before.is_none();
        let before = before.map(|row| read::publish(&self.view, table, row));
        let record = read::publish(&self.view, table, row);
        self.changes.push(Change { operation, entity: table.name.clone(), record, before, is_new });
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
