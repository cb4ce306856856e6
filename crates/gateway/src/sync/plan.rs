//! What makes a node like a file: records to create, change and remove, in an order that references allow.

use super::differences::differences;
use super::file::AUTOMATIC;
use super::state::{MEMBERSHIPS, id_of, is_configuration, reference};
use super::{Desired, Remote, State};
use model::{Catalog, Record, Schema};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use uuid::Uuid;

/// The steps from a state to another.
pub struct Plan {
    pub steps: Vec<Step>,
}

/// A change of one record.
pub struct Step {
    pub kind: Change,
    pub entity: String,
    /// What people call the record.
    pub name: String,
    /// For updates: field, what it is and what it is to be.
    pub fields: Vec<(String, Value, Value)>,
    /// The path of the record.
    path: String,
    /// What is sent: nothing for a deletion.
    record: Record,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Create,
    Update,
    Delete,
}

/// Fields that a node sets itself.
pub(super) const TIMES: [&str; 2] = ["created_at", "updated_at"];

/// Nothing is done rather than that users are locked out.
pub(super) const HASHED: &str = "basicauth_credentials: passwords that are hashed already (_transform: false) cannot \
    be set by the Admin API; have the file without them, or with the passwords";

impl Plan {
    /// The steps that make `current` what the file wants.
    pub fn new(current: &State, desired: Desired, catalog: &Catalog) -> Result<Plan, String> {
        // Ids that the file's records have there, by those which they had in the file.
        let mut ids: HashMap<String, String> = HashMap::new();
        let mut kept: HashSet<(String, String)> = HashSet::new();
        // Records of the node that are removed first: others are to have their names.
        let mut displaced: HashSet<String> = HashSet::new();
        let mut wanted: Vec<(&Schema, Record, Option<&Record>)> = Vec::new();
        let transform = desired.entities.transform;
        for (entity, declared) in desired.entities.lists {
            let Some(schema) = catalog.entity(&entity).filter(|schema| is_configuration(catalog, schema)) else {
                return Err(format!("{entity} cannot be set by the Admin API"));
            };
            let known = Known::new(schema, current.of(&entity));
            for mut declared in declared {
                let record = &mut declared.record;
                for (field, _) in schema.foreign_fields() {
                    if let Some(id) = reference(record, &field.name).and_then(|id| ids.get(id)).cloned() {
                        record.insert(field.name.clone(), json!({ "id": id }));
                    }
                }
                link_partials(record, &ids);
                // What a plugin has from partials is no part of it.
                schema.strip_partials(catalog, record);
                if !declared.dated {
                    TIMES.iter().for_each(|time| drop(record.shift_remove(*time)));
                }
                let own = id_of(record).unwrap_or_default().to_owned();
                let found = match known.find(record, declared.identified) {
                    None if !declared.identified => known.alike(catalog, record, transform, &kept)?,
                    found => found,
                };
                let id = match found.and_then(id_of) {
                    Some(id) => id.to_owned(),
                    None if declared.identified => own.clone(),
                    // Whatever is made of names would be the same in another workspace.
                    None => Uuid::new_v4().to_string(),
                };
                ids.insert(own, id.clone());
                record.insert("id".to_owned(), id.clone().into());
                keep_automatic(schema, record, found);
                displaced.extend(known.namesakes(record).map(str::to_owned));
                let key = if entity == MEMBERSHIPS { membership(record) } else { id };
                kept.insert((entity.clone(), key));
                wanted.push((schema, declared.record, found));
            }
        }
        let there = dependents_first(current, catalog);
        displace_dependents(&there, &mut displaced);
        let mut steps = Vec::new();
        for (schema, record, found) in wanted {
            let Some(found) = found.filter(|found| !goes_first(schema, found, &displaced)) else {
                if schema.name == "basicauth_credentials" && !transform && record.contains_key("password") {
                    return Err(HASHED.to_owned());
                }
                steps.push(Step::new(Change::Create, schema, &record, Vec::new()));
                continue;
            };
            let fields = differences(catalog, schema, found, &record, transform)?;
            if !fields.is_empty() {
                let record = with_what_stays(current, schema, record, found, &displaced);
                steps.push(Step::new(Change::Update, schema, &record, fields));
            }
        }
        let delete = |(schema, record): &(&Schema, &Record)| Step::new(Change::Delete, schema, record, Vec::new());
        let (first, others): (Vec<_>, Vec<_>) =
            there.into_iter().partition(|(schema, record)| goes_first(schema, record, &displaced));
        let gone = others.iter().filter(|(schema, record)| {
            let key =
                if schema.name == MEMBERSHIPS { membership(record) } else { id_of(record).unwrap_or_default().into() };
            !kept.contains(&(schema.name.clone(), key))
        });
        Ok(Plan { steps: first.iter().map(delete).chain(steps).chain(gone.map(delete)).collect() })
    }

    /// How many steps are of that kind.
    pub fn count(&self, kind: Change) -> usize {
        self.steps.iter().filter(|step| step.kind == kind).count()
    }
}

impl Step {
    fn new(kind: Change, schema: &Schema, record: &Record, fields: Vec<(String, Value, Value)>) -> Step {
        let record_sent = if kind == Change::Delete { Record::new() } else { record.clone() };
        Step {
            kind,
            entity: schema.name.clone(),
            name: called(schema, record),
            fields,
            path: path(schema, record),
            record: record_sent,
        }
    }

    /// Takes the step.
    pub async fn take(&self, remote: &Remote) -> Result<(), String> {
        let (method, path, content) = self.request();
        remote.send(method, &path, content.as_ref()).await
    }

    /// The request that takes it: method, path and content.
    pub fn request(&self) -> (&'static str, String, Option<Record>) {
        match (self.kind, self.entity == MEMBERSHIPS) {
            (Change::Delete, _) => ("DELETE", self.path.clone(), None),
            (_, true) => {
                let consumer = json!({ "consumer": reference(&self.record, "consumer") });
                let group = reference(&self.record, "consumer_group").unwrap_or_default();
                let consumer = consumer.as_object().cloned().unwrap_or_default();
                ("POST", format!("/consumer_groups/{group}/consumers"), Some(consumer))
            }
            // Targets are not made by their paths.
            (Change::Create, false) if self.entity == "targets" => {
                let collection = self.path.rsplit_once('/').map_or(self.path.as_str(), |(collection, _)| collection);
                ("POST", collection.to_owned(), Some(self.record.clone()))
            }
            _ => ("PUT", self.path.clone(), Some(self.record.clone())),
        }
    }

    /// The step with its request, as the Admin API tells it.
    pub fn describe(&self) -> Value {
        let (method, path, record) = self.request();
        let action = match self.kind {
            Change::Create => "create",
            Change::Update => "update",
            Change::Delete => "delete",
        };
        let field = |(name, is, wanted): &(String, Value, Value)| json!({ "name": name, "is": is, "wanted": wanted });
        json!({
            "action": action,
            "entity": self.entity,
            "name": self.name,
            "fields": self.fields.iter().map(field).collect::<Vec<_>>(),
            "method": method,
            "path": path,
            "record": record,
        })
    }
}

/// A record that takes the place of another, with what of that is no difference and would be reset: when it was made,
/// by which routes go, and the names of a certificate, which are records of their own.
fn with_what_stays(
    current: &State,
    schema: &Schema,
    mut record: Record,
    found: &Record,
    displaced: &HashSet<String>,
) -> Record {
    if let Some(made) = found.get("created_at").filter(|_| !record.contains_key("created_at")) {
        record.insert("created_at".to_owned(), made.clone());
    }
    if schema.name == "certificates" {
        let is_of = |sni: &&Record| reference(sni, "certificate").is_some_and(|id| Some(id) == id_of(found));
        let stays = |sni: &&Record| id_of(sni).is_some_and(|id| !displaced.contains(id));
        let snis = current.of("snis").iter().filter(is_of).filter(stays);
        let names: Vec<Value> = snis.filter_map(|sni| sni.get("name").cloned()).collect();
        record.insert("snis".to_owned(), names.into());
    }
    record
}

/// Has a plugin refer to partials by the ids that these have there.
fn link_partials(record: &mut Record, ids: &HashMap<String, String>) {
    for link in record.get_mut("partials").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(id) = link["id"].as_str().and_then(|id| ids.get(id)) {
            link["id"] = id.as_str().into();
        }
    }
}

/// The records that a node has of an entity, by what sets them apart.
struct Known<'a> {
    schema: &'a Schema,
    by_id: HashMap<&'a str, &'a Record>,
    by_name: HashMap<Vec<String>, &'a Record>,
    /// Records that nothing sets apart but their content, by what they refer to.
    nameless: HashMap<Vec<String>, Vec<&'a Record>>,
}

impl<'a> Known<'a> {
    fn new(schema: &'a Schema, records: &'a [Record]) -> Known<'a> {
        let by_id = records.iter().filter_map(|record| Some((id_of(record)?, record))).collect();
        let names = |record: &'a Record| identities(schema, record).into_iter().map(move |name| (name, record));
        let mut nameless: HashMap<_, Vec<_>> = HashMap::new();
        for record in records.iter().filter(|record| identities(schema, record).is_empty()) {
            nameless.entry(references(schema, record)).or_default().push(record);
        }
        Known { schema, by_id, by_name: records.iter().flat_map(names).collect(), nameless }
    }

    /// One with the same content, for a record without a name that is not `kept` for another one: a route without a
    /// name would be made anew each time.
    fn alike(
        &self,
        catalog: &Catalog,
        record: &Record,
        transform: bool,
        kept: &HashSet<(String, String)>,
    ) -> Result<Option<&'a Record>, String> {
        let entity = &self.schema.name;
        if entity == MEMBERSHIPS || !identities(self.schema, record).is_empty() {
            return Ok(None);
        }
        let candidates = self.nameless.get(&references(self.schema, record)).map(Vec::as_slice).unwrap_or_default();
        for candidate in candidates {
            let is_free = |id: &str| !kept.contains(&(entity.clone(), id.to_owned()));
            if id_of(candidate).is_some_and(is_free)
                && differences(catalog, self.schema, candidate, record, transform)?.is_empty()
            {
                return Ok(Some(candidate));
            }
        }
        Ok(None)
    }

    /// Others that share with a record what no two may.
    fn namesakes(&self, record: &Record) -> impl Iterator<Item = &'a str> {
        let id = id_of(record).map(str::to_owned);
        let others = identities(self.schema, record).into_iter().filter_map(|name| self.by_name.get(&name).copied());
        others.filter_map(id_of).filter(move |other| Some(*other) != id.as_deref())
    }

    fn find(&self, record: &Record, identified: bool) -> Option<&'a Record> {
        if identified {
            return self.by_id.get(id_of(record)?).copied();
        }
        identities(self.schema, record).iter().find_map(|name| self.by_name.get(name)).copied()
    }
}

/// The ids of what a record refers to.
fn references(schema: &Schema, record: &Record) -> Vec<String> {
    schema.foreign_fields().map(|(field, _)| reference(record, &field.name).unwrap_or_default().to_owned()).collect()
}

/// All records of a node, each behind those that refer to it.
fn dependents_first<'a>(current: &'a State, catalog: &'a Catalog) -> Vec<(&'a Schema, &'a Record)> {
    let schemas: Vec<&Schema> =
        catalog.entities().map(Arc::as_ref).filter(|schema| is_configuration(catalog, schema)).collect();
    let of = |schema: &'a Schema| current.of(&schema.name).iter().map(move |record| (schema, record));
    schemas.into_iter().rev().flat_map(of).collect()
}

/// Whether a record is removed before anything is made: it is displaced, or refers to what is.
fn goes_first(schema: &Schema, record: &Record, displaced: &HashSet<String>) -> bool {
    let is_displaced = |id: Option<&str>| id.is_some_and(|id| displaced.contains(id));
    is_displaced(id_of(record))
        || schema.foreign_fields().any(|(field, _)| is_displaced(reference(record, &field.name)))
}

/// Adds what refers to displaced records, and to that in turn.
fn displace_dependents(there: &[(&Schema, &Record)], displaced: &mut HashSet<String>) {
    // Nearly always it is empty.
    while !displaced.is_empty() {
        let before = displaced.len();
        for (schema, record) in there {
            if goes_first(schema, record, displaced) {
                displaced.extend(id_of(record).map(str::to_owned));
            }
        }
        if displaced.len() == before {
            return;
        }
    }
}

/// Puts in the place of [`AUTOMATIC`] what the record there has, or something new.
fn keep_automatic(schema: &Schema, record: &mut Record, found: Option<&Record>) {
    let Some(Value::Object(config)) = record.get_mut("config").filter(|_| schema.name == "plugins") else { return };
    for (name, value) in config.iter_mut().filter(|(_, value)| *value == AUTOMATIC) {
        let present = found.and_then(|found| found.get("config")?.get(name)).filter(|value| !value.is_null());
        *value = present.cloned().unwrap_or_else(|| Uuid::new_v4().simple().to_string().into());
    }
}

/// What no two records of an entity share, each with what tells the kinds of it apart.
pub(super) fn identities(schema: &Schema, record: &Record) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    let together = |fields: &[&str]| -> Option<Vec<String>> {
        let value = |field: &&str| match record.get(*field) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Object(_)) => reference(record, field).map(str::to_owned),
            _ => None,
        };
        let values: Vec<String> = fields.iter().map(|field| value(field).unwrap_or_default()).collect();
        let named = values.iter().any(|value| !value.is_empty());
        named.then(|| [vec![fields.join(" ")], values].concat())
    };
    let names: Vec<&str> = schema.endpoint_key().into_iter().chain(schema.unique_fields().map(|f| &*f.name)).collect();
    for name in names {
        let field = schema.field(name);
        // A name that is unique among those that belong together only.
        let owner = schema.foreign_fields().map(|(field, _)| &*field.name).next();
        match (field.is_some_and(|field| field.unique), owner) {
            (true, _) if record.get(name).is_some_and(Value::is_string) => all.extend(together(&[name])),
            (false, Some(owner)) if schema.name == "targets" => all.extend(together(&[owner, name])),
            _ => {}
        }
    }
    let key: Vec<&str> = schema.cache_key().iter().map(String::as_str).collect();
    if key.len() > 1 {
        all.extend(together(&key));
    }
    if ["certificates", "ca_certificates"].contains(&schema.name.as_str()) {
        all.extend(together(&["cert"]));
    }
    all
}

/// The path of a record: under what it belongs to, where only that has one for writing.
fn path(schema: &Schema, record: &Record) -> String {
    let id = id_of(record).unwrap_or_default();
    if schema.name == MEMBERSHIPS {
        let [group, consumer] =
            ["consumer_group", "consumer"].map(|field| reference(record, field).unwrap_or_default());
        return format!("/consumer_groups/{group}/consumers/{consumer}");
    }
    let owner = schema.foreign_fields().find_map(|(field, entity)| {
        let credential = entity == "consumers" && schema.name != "plugins";
        (credential || schema.name == "targets").then_some((entity, reference(record, &field.name)?))
    });
    match owner {
        Some((entity, owner)) => format!("/{entity}/{owner}/{}/{id}", schema.nested_name()),
        None => format!("/{}/{id}", schema.path_name()),
    }
}

fn membership(record: &Record) -> String {
    let [group, consumer] = ["consumer_group", "consumer"].map(|field| reference(record, field).unwrap_or_default());
    format!("{group} {consumer}")
}

/// What people call a record. Keys of credentials are secrets.
fn called(schema: &Schema, record: &Record) -> String {
    let secret = schema.foreign_fields().any(|(_, entity)| entity == "consumers") && schema.name != "plugins";
    let named = ["name", "username", "target"].iter().find_map(|name| record.get(*name)?.as_str());
    let named = named.or_else(|| record.get(schema.endpoint_key().filter(|_| !secret)?)?.as_str());
    match named.filter(|_| !secret) {
        Some(name) if schema.name == "plugins" => match scope(schema, record) {
            Some(scope) => format!("{name} ({scope})"),
            None => format!("{name} (global)"),
        },
        Some(name) => name.to_owned(),
        None => id_of(record).map_or_else(|| membership(record), str::to_owned),
    }
}

fn scope(schema: &Schema, record: &Record) -> Option<String> {
    let of = |field: &str| Some(format!("{field} {}", reference(record, field)?));
    let scopes: Vec<String> = schema.foreign_fields().filter_map(|(field, _)| of(&field.name)).collect();
    (!scopes.is_empty()).then(|| scopes.join(", "))
}
