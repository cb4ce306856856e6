//! A node's configuration as a file: records stand inside of what they belong to, without what a node adds itself.

use super::State;
use super::plan::identities;
use super::state::{MEMBERSHIPS, id_of, is_configuration, reference};
use model::{Catalog, Record, Schema};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use store::declarative::yaml;

/// What is written while a file is made.
struct Dump<'a> {
    state: &'a State,
    catalog: &'a Catalog,
    /// Whether entries keep their ids although they have names.
    with_ids: bool,
    /// Names by which others refer to records, by entity and id.
    names: HashMap<(&'a str, &'a str), &'a str>,
    /// Entries by the entity and the id of what they stand in, and by their own entity.
    inside: BTreeMap<(String, String), BTreeMap<String, Vec<Value>>>,
    /// Records to which others refer by their ids.
    needed: HashSet<String>,
}

/// The text of a file with all records of a state. `tags` are those by which it was selected.
pub fn dump(state: &State, catalog: &Catalog, workspace: Option<&str>, tags: &[String], with_ids: bool) -> String {
    let mut names = HashMap::new();
    for schema in catalog.entities() {
        let Some(key) = schema.endpoint_key().filter(|key| schema.field(key).is_some_and(|field| field.unique)) else {
            continue;
        };
        for record in state.of(&schema.name) {
            if let (Some(id), Some(name)) = (id_of(record), record.get(key).and_then(Value::as_str)) {
                names.insert((schema.name.as_str(), id), name);
            }
        }
    }
    let mut dump = Dump { state, catalog, with_ids, names, inside: BTreeMap::new(), needed: HashSet::new() };
    let mut file = Record::new();
    file.insert("_format_version".to_owned(), "3.0".into());
    if let Some(workspace) = workspace {
        file.insert("_workspace".to_owned(), workspace.into());
    }
    if !tags.is_empty() {
        file.insert("_info".to_owned(), json!({ "select_tags": tags }));
    }
    if !state.of("basicauth_credentials").is_empty() {
        // Their passwords are hashed, and must not be hashed once more.
        file.insert("_transform".to_owned(), false.into());
    }
    // Whatever stands inside of others comes before those.
    let schemas: Vec<&Schema> =
        catalog.entities().map(Arc::as_ref).filter(|schema| is_configuration(catalog, schema)).collect();
    let mut lists = BTreeMap::new();
    for schema in schemas.iter().rev() {
        lists.insert(schema.name.as_str(), dump.entries(schema, tags));
    }
    for schema in schemas {
        match lists.remove(schema.name.as_str()) {
            Some(entries) if !entries.is_empty() => drop(file.insert(schema.name.clone(), entries.into())),
            _ => {}
        }
    }
    let mut text = String::new();
    yaml::write(&mut text, &Value::Object(file), 0);
    text
}

impl Dump<'_> {
    /// The entries of an entity that stand in no other.
    fn entries(&mut self, schema: &Schema, tags: &[String]) -> Vec<Value> {
        let mut top = Vec::new();
        for record in self.state.of(&schema.name) {
            if schema.name == MEMBERSHIPS {
                self.keep_membership(record);
                continue;
            }
            let mut entry = record.clone();
            entry.retain(|name, value| {
                !value.is_null() && !["created_at", "updated_at", "ws_id"].contains(&name.as_str())
            });
            if let Some(Value::Array(own)) = entry.get_mut("tags") {
                own.retain(|tag| !tags.iter().any(|selected| tag == selected.as_str()));
                if own.is_empty() {
                    entry.shift_remove("tags");
                }
            }
            let id = id_of(record).unwrap_or_default();
            let named = self.names.contains_key(&(schema.name.as_str(), id));
            // Without one, what has no name would be another record each time, and groups list consumers without a
            // name by theirs; decK wants those of certificates.
            let is_needed = schema.name == "consumers"
                || self.needed.contains(id)
                || ["certificates", "ca_certificates"].contains(&schema.name.as_str())
                || identities(schema, record).is_empty();
            if !self.with_ids && (named || !is_needed) {
                entry.shift_remove("id");
            }
            let owner = self.owner(schema, record);
            for (field, entity) in schema.foreign_fields() {
                let Some(to) = reference(record, &field.name) else { continue };
                if owner.as_ref().is_some_and(|(name, _)| *name == field.name) {
                    entry.shift_remove(&field.name);
                } else {
                    // A text in files of any tool.
                    let shown = self.names.get(&(entity, to)).copied().unwrap_or_else(|| {
                        self.needed.insert(to.to_owned());
                        to
                    });
                    entry.insert(field.name.clone(), shown.into());
                }
            }
            if schema.name == "plugins" {
                self.name_partials(&mut entry);
            }
            if let Some(inner) = self.inside.remove(&(schema.name.clone(), id.to_owned())) {
                entry.extend(inner.into_iter().map(|(name, entries)| (name, entries.into())));
            }
            match owner {
                Some((field, to)) => {
                    let entity =
                        schema.foreign_fields().find(|(f, _)| f.name == field).map_or("", |(_, entity)| entity);
                    let key = (entity.to_owned(), to);
                    self.inside.entry(key).or_default().entry(schema.name.clone()).or_default().push(entry.into());
                }
                None => top.push(entry.into()),
            }
        }
        top
    }

    /// The field by which a record belongs to the one that it stands in: the only reference that it has, to a record
    /// that is there.
    fn owner(&self, schema: &Schema, record: &Record) -> Option<(String, String)> {
        let mut set = schema.foreign_fields().filter_map(|(field, entity)| {
            let id = reference(record, &field.name)?;
            Some((field.name.clone(), entity, id.to_owned()))
        });
        let (field, entity, id) = set.next().filter(|_| set.next().is_none())?;
        let stands_inside = self.catalog.entity(entity)?.field(&schema.name).is_none_or(|field| field.transient);
        let there = self.state.of(entity).iter().any(|outer| id_of(outer) == Some(&id));
        (stands_inside && there).then_some((field, id))
    }

    /// Has a plugin refer to partials by their names.
    fn name_partials(&self, plugin: &mut Record) {
        let links = plugin.get_mut("partials").and_then(Value::as_array_mut).into_iter().flatten();
        for link in links.filter_map(Value::as_object_mut) {
            let name = id_of(link).and_then(|id| self.names.get(&("partials", id))).copied();
            if let Some(name) = name {
                link.shift_remove("id");
                link.insert("name".to_owned(), name.into());
            }
        }
    }

    fn keep_membership(&mut self, record: &Record) {
        let (Some(group), Some(consumer)) = (reference(record, "consumer_group"), reference(record, "consumer")) else {
            return;
        };
        if let Some(name) = self.names.get(&("consumer_groups", group)) {
            let key = ("consumers".to_owned(), consumer.to_owned());
            let groups = self.inside.entry(key).or_default().entry("groups".to_owned()).or_default();
            groups.push(json!({ "name": name }));
        }
    }
}
