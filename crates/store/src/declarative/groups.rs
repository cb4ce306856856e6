//! Consumer groups as Kong's tools write them: who is in which group stands with the consumer, or with the group.

use model::Record;
use serde_json::{Value, json};
use std::collections::HashSet;

const PLUGINS: &str = "plugins";
/// Plugins of groups, as a list of their own.
const GROUP_PLUGINS: &str = "consumer_group_plugins";
const MEMBERSHIPS: &str = "consumer_group_consumers";

/// An entity, its fields by which others may refer to an entry, and the field of a membership that does.
struct Side {
    entity: &'static str,
    names: [&'static str; 2],
    reference: &'static str,
}

const CONSUMER: Side = Side { entity: "consumers", names: ["username", "id"], reference: "consumer" };
const GROUP: Side = Side { entity: "consumer_groups", names: ["name", "id"], reference: "consumer_group" };

/// Makes entries of the entities that there are of them.
pub fn spread(document: &mut Record) {
    let mut memberships = take_memberships(document, &CONSUMER, "groups", &GROUP);
    // Both may say it.
    let both = |membership: &Value| [CONSUMER, GROUP].map(|side| membership[side.reference].to_string());
    let mut said: HashSet<[String; 2]> = memberships.iter().map(both).collect();
    let of_groups = take_memberships(document, &GROUP, "consumers", &CONSUMER).into_iter();
    memberships.extend(of_groups.filter(|membership| said.insert(both(membership))));
    append(document, MEMBERSHIPS, memberships);
    if let Some(Value::Array(plugins)) = document.get(GROUP_PLUGINS).cloned() {
        document.shift_remove(GROUP_PLUGINS);
        append(document, PLUGINS, plugins);
    }
}

/// Takes out of the entries of one side what lists those of the other side that each is together with. A list of
/// anything else stays, and is an unknown field.
fn take_memberships(document: &mut Record, side: &Side, list: &str, other: &Side) -> Vec<Value> {
    let mut memberships = Vec::new();
    let entries = document.get_mut(side.entity).and_then(Value::as_array_mut).into_iter().flatten();
    for entry in entries.filter_map(Value::as_object_mut) {
        let Some(own) = side.names.iter().find_map(|name| named(entry.get(*name)?)) else { continue };
        let Some(Value::Array(others)) = entry.get(list) else { continue };
        let of = |listed: &Value| other.names.iter().find_map(|name| named(listed.get(*name)?));
        if let Some(others) = others.iter().map(of).collect::<Option<Vec<Value>>>() {
            entry.shift_remove(list);
            memberships.extend(others.into_iter().map(|name| json!({ side.reference: own, other.reference: name })));
        }
    }
    memberships
}

fn named(name: &Value) -> Option<Value> {
    Some(name).filter(|name| name.is_string()).cloned()
}

fn append(document: &mut Record, list: &str, entries: Vec<Value>) {
    if entries.is_empty() {
        return;
    }
    if let Value::Array(list) = document.entry(list).or_insert_with(|| json!([])) {
        list.extend(entries);
    }
}
