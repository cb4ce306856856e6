//! The records that a node has.

use super::Remote;
use model::{Catalog, Record, Schema};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Records by entity.
#[derive(Default)]
pub struct State(BTreeMap<String, Vec<Record>>);

/// Where the consumers of groups stand, which have no collection of their own.
pub(super) const MEMBERSHIPS: &str = "consumer_group_consumers";

impl State {
    /// What a node has: all of it, or what has all of these tags.
    pub async fn fetch(remote: &Remote, catalog: &Catalog, tags: &[String]) -> Result<State, String> {
        remote.check().await?;
        let mut state = State::default();
        for schema in catalog.entities().filter(|schema| is_configuration(catalog, schema)) {
            let tags = if schema.field("tags").is_some() { tags } else { &[] };
            let records = if schema.name == "targets" {
                state.fetch_inside(remote, "upstreams", "targets", tags).await?
            } else if schema.name == MEMBERSHIPS {
                state.fetch_memberships(remote).await?
            } else {
                remote.list(&format!("/{}", schema.path_name()), tags).await?
            };
            state.0.insert(schema.name.clone(), records);
        }
        Ok(state)
    }

    /// These, of which only those count that have all of the tags.
    pub fn new(records: Vec<(String, Vec<Record>)>, tags: &[String]) -> State {
        let has = |record: &Record, tag: &String| {
            let own = record.get("tags").and_then(Value::as_array);
            own.is_some_and(|own| own.iter().any(|one| one.as_str() == Some(tag.as_str())))
        };
        // What cannot have tags is not asked for any.
        let selected = |record: &Record| !record.contains_key("tags") || tags.iter().all(|tag| has(record, tag));
        let kept = |(entity, records): (String, Vec<Record>)| (entity, records.into_iter().filter(selected).collect());
        State(records.into_iter().map(kept).collect())
    }

    /// The entities of such records.
    pub fn entities(catalog: &Catalog) -> Vec<String> {
        catalog
            .entities()
            .filter(|schema| is_configuration(catalog, schema))
            .map(|schema| schema.name.clone())
            .collect()
    }

    /// Those of an entity.
    pub fn of(&self, entity: &str) -> &[Record] {
        self.0.get(entity).map(Vec::as_slice).unwrap_or_default()
    }

    /// Records that are listed with what they belong to.
    async fn fetch_inside(
        &self,
        remote: &Remote,
        outer: &str,
        inner: &str,
        tags: &[String],
    ) -> Result<Vec<Record>, String> {
        let mut records = Vec::new();
        for id in self.of(outer).iter().filter_map(id_of) {
            records.extend(remote.list(&format!("/{outer}/{id}/{inner}"), tags).await?);
        }
        Ok(records)
    }

    async fn fetch_memberships(&self, remote: &Remote) -> Result<Vec<Record>, String> {
        let mut records = Vec::new();
        for group in self.of("consumer_groups").iter().filter_map(id_of) {
            for consumer in remote.list(&format!("/consumer_groups/{group}/consumers"), &[]).await? {
                if let Some(consumer) = id_of(&consumer) {
                    let fields = [("consumer_group", group), ("consumer", consumer)];
                    records.push(fields.into_iter().map(|(name, id)| (name.to_owned(), json!({ "id": id }))).collect());
                }
            }
        }
        Ok(records)
    }
}

/// Whether an entity is what operators configure, and not what a node keeps for itself or for requests.
pub(super) fn is_configuration(catalog: &Catalog, schema: &Schema) -> bool {
    const OTHERS: [&str; 4] = ["workspaces", "parameters", "tags", "clustering_data_planes"];
    // Where no filters are run, the Admin API knows nothing of their chains.
    if schema.name == "filter_chains" && catalog.filters().is_none() {
        return false;
    }
    let listed = schema.generate_admin_api() || ["targets", MEMBERSHIPS].contains(&schema.name.as_str());
    listed && schema.db_export() && schema.in_snapshot() && !OTHERS.contains(&schema.name.as_str())
}

/// The id of a record.
pub(super) fn id_of(record: &Record) -> Option<&str> {
    record.get("id").and_then(Value::as_str)
}

/// The id that a reference holds.
pub(super) fn reference<'r>(record: &'r Record, field: &str) -> Option<&'r str> {
    record.get(field)?.get("id")?.as_str()
}
