//! References to vaults in records, on their way from the store to the proxy: secrets take their place, and records
//! whose secrets have changed are taken into force again.

use model::{Catalog, Degradation, Effect, Record, schema};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use store::{Change, Operation};
use uuid::Uuid;
use vaults::{Reference, Secrets, shown};

/// The records that name vaults, and the vaults.
pub struct References {
    secrets: Secrets,
    catalog: Arc<Catalog>,
    /// Records of `vaults`, by id.
    vaults: BTreeMap<String, Record>,
    /// By id.
    named: BTreeMap<String, Named>,
}

/// A record that names vaults, as it is stored.
struct Named {
    entity: String,
    record: Record,
    references: BTreeSet<String>,
}

impl References {
    /// No records so far.
    pub fn new(secrets: Secrets, catalog: Arc<Catalog>) -> References {
        References { secrets, catalog, vaults: BTreeMap::new(), named: BTreeMap::new() }
    }

    /// Whether a record is to be kept back until all are there ([`References::load`]).
    pub fn concern(entity: &str, record: &Record) -> bool {
        entity == "vaults" || schema::names_vault(record)
    }

    /// Takes all records that there are, of those that concern references; those that the proxy is to have.
    pub async fn load(&mut self, records: Vec<(String, Record)>) -> Vec<Change> {
        self.vaults.clear();
        self.named.clear();
        for (entity, record) in &records {
            self.note(entity, record, false);
        }
        self.learn().await;
        let unnamed = records.into_iter().filter(|(_, record)| !self.named.contains_key(id_of(record)));
        let unnamed: Vec<Change> =
            unnamed.map(|(entity, record)| Change::new(Operation::Put, entity, record)).collect();
        self.named.values().map(|named| self.resolved(named)).chain(unnamed).collect()
    }

    /// Puts secrets into what has been committed, and adds records whose vaults are others now.
    pub async fn take(&mut self, commits: Vec<Arc<[Change]>>) -> Vec<Arc<[Change]>> {
        let concerns = |change: &Change| {
            References::concern(&change.entity, &change.record) || self.named.contains_key(id_of(&change.record))
        };
        if !commits.iter().any(|commit| commit.iter().any(concerns)) {
            return commits;
        }
        for change in commits.iter().flat_map(|commit| commit.iter()) {
            self.note(&change.entity, &change.record, change.operation == Operation::Delete);
        }
        let moved = self.learn().await;
        let resolved = |change: &Change| {
            let put = change.operation == Operation::Put;
            // Of several versions in these commits, the last one counts.
            let named = self.named.get(id_of(&change.record)).filter(|named| put && named.record == change.record);
            named.map_or_else(|| change.clone(), |named| self.resolved(named))
        };
        let mut taken: Vec<Arc<[Change]>> =
            commits.iter().map(|commit| commit.iter().map(resolved).collect()).collect();
        let follows = |named: &&Named| {
            named.references.iter().any(|text| Reference::parse(text).is_ok_and(|of| moved.contains(&of.vault)))
        };
        taken.push(self.named.values().filter(follows).map(|named| self.resolved(named)).collect());
        taken
    }

    /// Waits until secrets have changed.
    pub async fn changed(&self) {
        self.secrets.changed().await;
    }

    /// The records whose secrets have changed, with what they are now.
    pub fn renewed(&self) -> Arc<[Change]> {
        let changed = self.secrets.take_changed();
        let concerned = self.named.values().filter(|named| !named.references.is_disjoint(&changed));
        concerned.map(|named| self.resolved(named)).collect()
    }

    /// Plugins that go without a secret. Other records cannot be used then, which the proxy says itself.
    pub fn degraded(&self) -> Vec<Arc<Degradation>> {
        let plugins = self.named.iter().filter(|(_, named)| named.entity == "plugins");
        let degraded = |(id, named): (&String, &Named)| {
            let unresolved = |text: &String| {
                let why = self.secrets.value(text).err()?;
                Some(format!("{} cannot be resolved: {why}", shown(text)))
            };
            let reason = named.references.iter().find_map(unresolved)?;
            let name = named.record.get("name").and_then(Value::as_str).map(str::to_owned);
            let id = Uuid::parse_str(id).unwrap_or_default();
            Some(Arc::new(Degradation { entity: "plugins".to_owned(), id, name, effect: Effect::Limited, reason }))
        };
        plugins.filter_map(degraded).collect()
    }

    fn note(&mut self, entity: &str, record: &Record, deleted: bool) {
        let id = id_of(record);
        if entity == "vaults" {
            match deleted {
                true => drop(self.vaults.remove(id)),
                false => drop(self.vaults.insert(id.to_owned(), record.clone())),
            }
            return;
        }
        self.named.remove(id);
        if deleted || !schema::names_vault(record) {
            return;
        }
        let mut references = BTreeSet::new();
        self.replace(entity, record, &mut |text| {
            references.insert(text.to_owned());
            None
        });
        if !references.is_empty() {
            let named = Named { entity: entity.to_owned(), record: record.clone(), references };
            self.named.insert(id.to_owned(), named);
        }
    }

    /// Sees to it that all that is named is known, as far as that can be had; the prefixes of vaults that are others
    /// than before.
    async fn learn(&self) -> Vec<String> {
        let moved = self.secrets.set_vaults(self.vaults.values());
        let used: BTreeSet<String> = self.named.values().flat_map(|named| named.references.iter().cloned()).collect();
        self.secrets.retain(&used);
        self.secrets.learn(&used).await;
        moved
    }

    /// A record with secrets in the place of references. As with Kong, a plugin has an empty text where there is none;
    /// in other records the reference stays, so that they cannot be used.
    fn resolved(&self, named: &Named) -> Change {
        let plugin = named.entity == "plugins";
        let record = self.replace(&named.entity, &named.record, &mut |text| {
            let value = self.secrets.value(text).ok();
            value.or_else(|| plugin.then(String::new))
        });
        Change::new(Operation::Put, named.entity.clone(), record)
    }

    fn replace(&self, entity: &str, record: &Record, replace: &mut dyn FnMut(&str) -> Option<String>) -> Record {
        let mut record = record.clone();
        if let Some(schema) = self.catalog.entity(entity) {
            schema.replace_vault_references(&self.catalog, &mut record, replace);
        }
        record
    }
}

fn id_of(record: &Record) -> &str {
    record.get("id").and_then(Value::as_str).unwrap_or_default()
}
