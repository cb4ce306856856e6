//! What events of Kong nodes name: they tell each other which keys of their caches are stale.

use crate::backend::{By, Wanted};
use crate::layout::{Layout, Lookup, Table};
use std::collections::BTreeSet;
use uuid::Uuid;

/// A record that has changed, by what it is found by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// The table's place in the layout.
    pub table: usize,
    /// The place of what it is found by in the table's `lookups`; `None`: the primary key.
    lookup: Option<usize>,
    workspace: Option<Uuid>,
    value: String,
}

/// What Kong says beside the keys of records, and the entities of which one must have been named then.
const COMPANIONS: [(&str, &[&str]); 5] = [
    ("router:version", &["routes", "services"]),
    ("plugins_iterator:version", &["plugins"]),
    ("filter_chains:version", &["filter_chains", "plugins", "routes", "services"]),
    ("balancer:targets", &["targets"]),
    ("balancer:upstreams", &["upstreams"]),
];

/// How many records are read one by one; more are read with all others.
const MOST: usize = 1000;

impl Named {
    pub fn id(table: &Table, id: &str) -> Named {
        Named { table: table.index, lookup: None, workspace: None, value: id.to_owned() }
    }

    pub fn wanted<'w>(&'w self, layout: &'w Layout) -> Wanted<'w> {
        let table = layout.at(self.table);
        let by = match self.lookup {
            None => By::Id(&self.value),
            Some(place) => By::Value { lookup: &table.lookups[place], workspace: self.workspace, value: &self.value },
        };
        Wanted { table, by }
    }
}

/// The records that events name, by channel and data, what is referred to before what refers to it. `None`: they say
/// no more than that something has changed.
pub fn named<'e>(layout: &Layout, events: impl Iterator<Item = (&'e str, &'e str)>) -> Option<Vec<Named>> {
    let mut found = BTreeSet::new();
    let mut companions = Vec::new();
    for (channel, data) in events {
        let companion = COMPANIONS.iter().find(|(said, _)| *said == channel || *said == data);
        match companion {
            Some((_, entities)) => companions.push(*entities),
            None => found.extend(one(layout, data)?),
        }
    }
    let has = |entity: &&str| found.iter().any(|named| layout.at(named.table).name == *entity);
    let explained = companions.iter().all(|entities| entities.iter().any(has));
    (explained && found.len() <= MOST).then(|| found.into_iter().collect())
}

/// Whether a key is that of a record that is in snapshots.
pub fn is_of_record_in_snapshot(layout: &Layout, data: &str) -> bool {
    let entity = data.split_once(':').and_then(|(entity, _)| layout.table(entity));
    data.ends_with(":version") || entity.is_some_and(|table| table.in_snapshot)
}

/// The record that a key is of, if it is of one that concerns nodes; `None`: nobody knows.
fn one(layout: &Layout, data: &str) -> Option<Option<Named>> {
    let (entity, rest) = data.split_once(':')?;
    let Some(table) = layout.table(entity).filter(|table| table.in_snapshot) else { return Some(None) };
    if let Some(place) = table.lookups.iter().position(Lookup::is_composite) {
        // The column holds the same key, but of keys.
        let value = if table.name == "keys" { data.rsplit_once("::::")?.0 } else { data };
        return Some(Some(Named { table: table.index, lookup: Some(place), workspace: None, value: value.to_owned() }));
    }
    let Some((value, workspace)) = rest.rsplit_once(":::::") else {
        // An SNI or a pattern for it, which is named in the usual form as well.
        return (entity == "snis").then_some(None);
    };
    if table.has_uuid && value.parse::<Uuid>().is_ok() {
        return Some(Some(Named::id(table, value)));
    }
    match table.schema.cache_key() {
        [field] if *field != table.primary => {
            let place = table.lookups.iter().position(|lookup| lookup.fields == [field.as_str()])?;
            let workspace = workspace.parse().ok();
            if table.lookups[place].per_workspace && workspace.is_none() {
                return None;
            }
            Some(Some(Named { table: table.index, lookup: Some(place), workspace, value: value.to_owned() }))
        }
        // A consumer by its name, which is named by its id as well.
        [] if entity == "consumers" => Some(None),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scope::DEFAULT_ID;
    use model::Catalog;

    const ID: &str = "7d1f7a5c-5fd9-4b7c-8a8d-2b4c8b8c0001";

    fn names(events: &[(&str, String)]) -> Option<Vec<(String, String)>> {
        let layout = Layout::new(&Catalog::core()).unwrap();
        let named = named(&layout, events.iter().map(|(channel, data)| (*channel, data.as_str())))?;
        Some(named.iter().map(|named| (layout.at(named.table).name.clone(), named.value.clone())).collect())
    }

    fn cached(data: &str) -> (&'static str, String) {
        ("invalidations", data.replace("WS", &DEFAULT_ID.to_string()).replace("ID", ID))
    }

    fn found(entity: &str, value: &str) -> (String, String) {
        let (_, value) = cached(value);
        (entity.to_owned(), value)
    }

    #[test]
    fn records_are_named_by_their_keys() {
        let plugin = "plugins:cors::ID::::WS";
        let events = [
            cached(plugin),
            cached("plugins_iterator:version"),
            cached("services:ID:::::WS"),
            cached("consumers:ID:::::WS"),
            cached("consumers:name:::::WS"),
            cached("keys:a:b:ID::::WS"),
            cached("router:version"),
        ];
        let expected =
            [found("services", "ID"), found("consumers", "ID"), found("plugins", plugin), found("keys", "keys:a:b:ID")];
        let mut named = names(&events).unwrap();
        let mut expected = expected.to_vec();
        named.sort();
        expected.sort();
        assert_eq!(named, expected);
    }

    #[test]
    fn targets_are_named_with_what_their_balancer_is_told() {
        let target = "targets:ID:[::1]:80::::WS";
        let events = [("balancer:targets", format!("create:{ID}")), cached(target)];
        assert_eq!(names(&events), Some(vec![found("targets", target)]));
        assert_eq!(names(&events[..1]), None);
    }

    #[test]
    fn names_of_certificates_are_named_in_the_usual_form_too() {
        assert_eq!(names(&[cached("snis:*.b.test")]), Some(vec![]));
    }

    #[test]
    fn what_concerns_no_snapshot_is_left_out() {
        assert_eq!(names(&[cached("rbac_users:ID:::::WS"), cached("unheard:ID:::::WS")]), Some(vec![]));
    }

    #[test]
    fn what_names_nothing_may_be_anything() {
        assert_eq!(names(&[cached("router:version")]), None);
        assert_eq!(names(&[cached("services:name:::::WS")]), None);
        assert_eq!(names(&[cached("nothing")]), None);
    }
}
