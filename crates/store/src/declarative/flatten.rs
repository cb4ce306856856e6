//! From a document to records: every entry is checked and has an id, references are keys, and nothing stands inside of
//! anything else any more.

use super::format::{Format, Kind};
use super::ids::{Around, Ids};
use super::rejection::{Fault, Faults, Rejection};
use crate::read::is_uuid;
use crate::rules;
use model::Record;
use model::declarative::{already_declared, entries, entry, invalid_reference};
use model::schema::References;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};

/// All records of a file, by entity; those that are referred to come before those that refer to them.
pub struct Entities {
    pub lists: Vec<(String, Vec<Declared>)>,
    /// Whether fields are still to be derived from others (`_transform`).
    pub transform: bool,
}

/// A record of a file, with the fields that its schema gives it.
pub struct Declared {
    pub record: Record,
    /// Whether the file says when it was created.
    pub dated: bool,
    /// Whether the file gives its id.
    pub identified: bool,
}

/// One entry of a file.
pub struct Entry<'d> {
    /// The place of its entity.
    pub kind: usize,
    /// Its place in its list.
    pub place: usize,
    /// What the file says.
    pub raw: &'d Record,
    /// The entry around it and the field that refers to that.
    pub around: Option<(usize, &'d str)>,
    /// Its own, or the one that is made of what it says.
    pub id: String,
    /// What has become of it.
    record: Record,
}

/// The entries of a file while it is read.
struct Reading<'d> {
    format: &'d Format<'d>,
    ids: Ids,
    entries: Vec<Entry<'d>>,
    faults: Faults,
}

/// Where entries are found.
struct Index {
    /// By entity: entries by the names and by the ids that others may refer to.
    by_name: Vec<HashMap<String, usize>>,
    by_id: Vec<HashMap<String, usize>>,
}

impl Entities {
    /// The records of a document of the newest version, or everything that is wrong with it.
    pub fn read(format: &Format<'_>, document: &Record) -> Result<Entities, Rejection> {
        let ids = Ids::new(format);
        let mut reading = Reading { format, ids, entries: Vec::new(), faults: Faults::default() };
        reading.find_entries(document);
        reading.check();
        let index = reading.index();
        reading.check_again(&index);
        if reading.faults.is_empty() {
            reading.find_duplicates();
            reading.resolve(&index);
        }
        if reading.faults.is_empty() {
            reading.check_unique();
        }
        let Reading { entries, faults, .. } = reading;
        if !faults.is_empty() {
            return Err(Rejection::new(format, &entries, faults));
        }
        let mut lists: Vec<(String, Vec<Declared>)> =
            format.kinds.iter().map(|kind| (kind.schema.name.clone(), Vec::new())).collect();
        for Entry { kind, raw, record, .. } in entries {
            let dated = raw.get("created_at").is_some_and(|created| !created.is_null());
            let primary = format.kinds[kind].primary();
            let identified = primary.and_then(|primary| raw.get(primary)).is_some_and(|id| !id.is_null());
            lists[kind].1.push(Declared { record, dated, identified });
        }
        lists.retain(|(_, records)| !records.is_empty());
        let transform = document.get("_transform").and_then(Value::as_bool).unwrap_or(true);
        Ok(Entities { lists, transform })
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.lists.iter().map(|(_, records)| records.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }
}

impl<'d> Reading<'d> {
    fn find_entries(&mut self, document: &'d Record) {
        let mut head = Record::new();
        for (name, value) in document {
            match self.format.kind(name) {
                Some(kind) => {
                    if let Err(error) = self.find_list(kind, value, None) {
                        self.faults.head.insert(name.clone(), error);
                    }
                }
                None => drop(head.insert(name.clone(), value.clone())),
            }
        }
        if let Err(errors) = self.format.head.check(head) {
            self.faults.head.extend(errors);
        }
    }

    /// Takes in the entries of a list; the error is about the list itself, or items that are no entries.
    fn find_list(&mut self, kind: usize, list: &'d Value, around: Option<(usize, &'d str)>) -> Result<(), Value> {
        let mut errors = Vec::new();
        for (place, item) in entries(list)?.iter().enumerate() {
            match entry(item) {
                Ok(raw) => self.find_entry(kind, place, raw, around),
                Err(error) => {
                    errors.resize(place, Value::Null);
                    errors.push(error);
                }
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(Value::Array(errors)) }
    }

    fn find_entry(&mut self, kind: usize, place: usize, raw: &'d Record, around: Option<(usize, &'d str)>) {
        let format = self.format;
        let given = format.kinds[kind].primary().and_then(|primary| raw.get(primary)).filter(|id| !id.is_null());
        let id = match given {
            Some(Value::String(id)) if is_uuid(id) => id.to_ascii_lowercase(),
            Some(Value::String(id)) => id.clone(),
            _ => {
                let around = around.map(|(outer, field)| Around { field, id: &self.entries[outer].id });
                self.ids.id(format, kind, &own_fields(format, kind, raw), around)
            }
        };
        let index = self.entries.len();
        self.entries.push(Entry { kind, place, raw, around, id, record: Record::new() });
        for (name, value) in raw {
            let fault = match format.inside(kind, name) {
                Some((inner, field)) => self.find_list(inner, value, Some((index, field))).err(),
                None => format.head.check_remark(name, value).and_then(Result::err),
            };
            if let Some(error) = fault {
                self.faults.add_field(index, name, error);
            }
        }
    }

    /// Makes records of all entries; of partials first, since plugins are checked with what they have from these.
    fn check(&mut self) {
        let format = self.format;
        let partials = format.kind("partials");
        let (first, rest): (Vec<_>, Vec<_>) =
            (0..self.entries.len()).partition(|&index| Some(self.entries[index].kind) == partials);
        for index in first.into_iter().chain(rest) {
            let entry = &self.entries[index];
            let references = if entry.around.is_some() { References::Parent } else { References::Names };
            let schema = format.kinds[entry.kind].schema;
            let mut own = self.own(index);
            rules::tell(schema.deprecations(format.catalog, &own, None));
            let linked = self.link_partials(index, &mut own);
            match linked.and_then(|()| schema.process_declared(format.catalog, own, references)) {
                Ok(record) => self.entries[index].record = record,
                Err(errors) => self.faults.add(index, Fault::Fields(errors)),
            }
        }
    }

    /// What is right may depend on what an entry belongs to: those that have failed are looked at again with all
    /// references in place. Entries inside of others may refer to more than those after all, if all is well so.
    fn check_again(&mut self, index: &Index) {
        let format = self.format;
        for (at, first) in self.faults.take_fields() {
            let entry = &self.entries[at];
            let kind = &format.kinds[entry.kind];
            let mut own = self.own(at);
            for &(field, to) in &kind.references {
                let found = match own.get(field) {
                    None | Some(Value::Null) => entry.around.filter(|(_, own)| *own == field).map(|(outer, _)| outer),
                    Some(Value::String(text)) => index.find(to, text),
                    Some(_) => None,
                };
                if let Some(found) = found {
                    own.insert(field.to_owned(), self.key(found));
                }
            }
            let linked = self.link_partials(at, &mut own);
            match linked.and_then(|()| kind.schema.process_declared(format.catalog, own, References::Resolved)) {
                Ok(record) => self.entries[at].record = record,
                Err(errors) => self.faults.add(at, Fault::Fields(with_nulls(errors, &first))),
            }
        }
    }

    /// Lays the partials that an entry refers to into its fields; the error is about these.
    fn link_partials(&self, at: usize, own: &mut Record) -> Result<(), Record> {
        let format = self.format;
        let Some(kind) = format.kind("partials").filter(|_| own.contains_key("partials")) else { return Ok(()) };
        let mut find = |field: &str, value: &str| {
            let is = |entry: &&Entry<'d>| {
                let given = if field == "id" { Some(entry.id.as_str()) } else { self.name(entry) };
                entry.kind == kind && given == Some(value)
            };
            Ok(self.entries.iter().find(is).map(|entry| entry.record.clone()))
        };
        let schema = format.kinds[self.entries[at].kind].schema;
        let linked = schema.link_partials(format.catalog, own, None, &mut find);
        linked.map_err(|error| error.fields.as_object().cloned().unwrap_or_default())
    }

    fn index(&self) -> Index {
        let kinds = self.format.kinds.len();
        let mut index = Index { by_name: vec![HashMap::new(); kinds], by_id: vec![HashMap::new(); kinds] };
        for (at, entry) in self.entries.iter().enumerate() {
            if let Some(name) = self.name(entry) {
                index.by_name[entry.kind].entry(name.to_owned()).or_insert(at);
            }
            index.by_id[entry.kind].entry(entry.id.clone()).or_insert(at);
        }
        index
    }

    /// Entries with the name or the id of another.
    fn find_duplicates(&mut self) {
        let kinds = self.format.kinds.len();
        let mut names: Vec<HashSet<&str>> = vec![HashSet::new(); kinds];
        let mut ids: Vec<HashSet<&str>> = vec![HashSet::new(); kinds];
        let mut faults = Vec::new();
        for (at, entry) in self.entries.iter().enumerate() {
            let kind = &self.format.kinds[entry.kind];
            let name = self.name(entry).filter(|name| !names[entry.kind].insert(name));
            let id = Some(entry.id.as_str()).filter(|id| !ids[entry.kind].insert(id));
            let words = |field: &str, value: &str| already_declared(&kind.schema.name, field, value);
            if let Some(name) = name {
                faults.push((at, words(kind.name_field().unwrap_or_default(), name)));
            } else if let Some(id) = id {
                faults.push((at, words("primary key", id)));
            }
        }
        for (at, words) in faults {
            self.faults.add(at, Fault::Entity(words));
        }
    }

    /// Makes keys of references.
    fn resolve(&mut self, index: &Index) {
        let format = self.format;
        for at in 0..self.entries.len() {
            for &(field, to) in &format.kinds[self.entries[at].kind].references {
                let entry = &self.entries[at];
                let found = match (entry.around, entry.record.get(field)) {
                    (Some((outer, own)), given) if own == field => {
                        let id = given.and_then(|given| given.get("id")).and_then(Value::as_str);
                        Some(outer).filter(|&outer| id.is_none_or(|id| self.entries[outer].id == id))
                    }
                    (_, None | Some(Value::Null)) => continue,
                    (_, Some(Value::String(text))) => index.find(to, text),
                    (_, Some(key)) => key.get("id").and_then(Value::as_str).and_then(|id| index.find(to, id)),
                };
                match found {
                    Some(found) => {
                        let key = self.key(found);
                        self.entries[at].record.insert(field.to_owned(), key);
                    }
                    None => {
                        let value = entry.record.get(field).unwrap_or(&Value::Null);
                        let words = invalid_reference(field, value, &format.kinds[to].schema.name);
                        let fault = Fault::Reference { of: self.called(at), field: field.to_owned(), words };
                        self.faults.add(at, fault);
                    }
                }
            }
        }
    }

    /// Values that only one record may have, beside names and ids.
    fn check_unique(&mut self) {
        let kinds = &self.format.kinds;
        let sets: Vec<Vec<Vec<&str>>> = kinds.iter().map(unique_fields).collect();
        let mut seen: Vec<Vec<HashSet<String>>> = sets.iter().map(|sets| vec![HashSet::new(); sets.len()]).collect();
        let mut faults = Vec::new();
        for (at, entry) in self.entries.iter().enumerate() {
            for (n, fields) in sets[entry.kind].iter().enumerate() {
                let given = |field: &&&str| entry.record.contains_key(**field);
                let fields: Vec<&str> = fields.iter().filter(given).copied().collect();
                let Some(value) = unique_value(&entry.record, &fields) else { continue };
                if !seen[entry.kind][n].insert(value.clone()) {
                    let entity = &kinds[entry.kind].schema.name;
                    let words = already_declared(entity, &fields.join(", "), &value);
                    faults.push((at, Fault::Value { of: self.called(at), words }));
                }
            }
        }
        for (at, fault) in faults {
            self.faults.add(at, fault);
        }
    }

    /// The fields of an entry that are the record's, with its id.
    fn own(&self, at: usize) -> Record {
        let Entry { kind, raw, id, .. } = &self.entries[at];
        let mut own = own_fields(self.format, *kind, raw);
        if let Some(primary) = self.format.kinds[*kind].primary()
            && self.format.kinds[*kind].schema.field(primary).is_some_and(|field| field.is_uuid())
            && own.get(primary).is_none_or(|given| given.is_null() || given.is_string())
        {
            own.insert(primary.to_owned(), id.as_str().into());
        }
        own
    }

    /// The name by which others may refer to an entry.
    fn name(&self, entry: &Entry<'d>) -> Option<&'d str> {
        entry.raw.get(self.format.kinds[entry.kind].name_field()?)?.as_str()
    }

    /// What an entry is called in errors that are not told by its place.
    fn called(&self, at: usize) -> String {
        let entry = &self.entries[at];
        self.name(entry).unwrap_or(&entry.id).to_owned()
    }

    /// The key of an entry, as references hold it.
    fn key(&self, at: usize) -> Value {
        json!({ "id": self.entries[at].id })
    }
}

impl Index {
    fn find(&self, kind: usize, text: &str) -> Option<usize> {
        let id = || self.by_id[kind].get(text).or_else(|| self.by_id[kind].get(&text.to_ascii_lowercase()));
        self.by_name[kind].get(text).or_else(id).copied()
    }
}

fn own_fields(format: &Format<'_>, kind: usize, raw: &Record) -> Record {
    let own = |name: &str| format.inside(kind, name).is_none() && !["_comment", "_ignore"].contains(&name);
    raw.iter().filter(|(name, _)| own(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Sets of fields that no two records have the same of.
fn unique_fields<'c>(kind: &Kind<'c>) -> Vec<Vec<&'c str>> {
    let primary = kind.primary();
    let alone = |name: &&str| Some(*name) != primary && Some(*name) != kind.name_field();
    let schema = kind.schema;
    let single = schema.unique_fields().map(|field| field.name.as_str()).filter(alone).map(|name| vec![name]);
    let together = Some(schema.cache_key()).filter(|fields| fields.len() > 1);
    single.chain(together.map(|fields| fields.iter().map(String::as_str).collect())).collect()
}

/// What a record has of them. A single field that is null is like no other; of several fields, null is like null.
fn unique_value(record: &Record, fields: &[&str]) -> Option<String> {
    let value = |field: &&str| match record.get(*field) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(reference) => reference.get("id").and_then(Value::as_str).map(str::to_owned),
        None => None,
    };
    match fields {
        [field] => value(field),
        fields => {
            let values: Vec<String> = fields.iter().map(|field| value(field).unwrap_or_default()).collect();
            (!values.iter().all(String::is_empty)).then(|| values.join(", "))
        }
    }
}

/// Errors of the second look, and of the first one what must not be given at all.
fn with_nulls(mut second: Record, first: &Record) -> Record {
    for (field, error) in first.iter().filter(|(_, error)| *error == "value must be null") {
        second.entry(field).or_insert_with(|| error.clone());
    }
    second
}
