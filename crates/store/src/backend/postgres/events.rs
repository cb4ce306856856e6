//! What a write tells other nodes: Kong nodes by rows of `cluster_events`, as they tell each other; our own by a
//! notification, which says what has changed.

use super::session::Question;
use crate::backend::Write;
use crate::backend::cells::Cell;
use crate::feed::Changes;
use crate::layout::foreign_id;
use crate::{Change, Operation};
use model::Record;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;
use uuid::Uuid;

/// The keys that Kong nodes forget because of a transaction: by channel, and the event's data.
#[derive(Debug, Default)]
pub struct Events {
    told: BTreeSet<(Cow<'static, str>, String)>,
}

/// A node among others on one database.
#[derive(Clone, Debug)]
pub struct Neighbour {
    /// The id of this node.
    pub node: Uuid,
    /// How often it is looked whether Kong nodes have written (`db_update_frequency`).
    pub frequency: Duration,
    /// How long a write takes to reach all replicas (`db_update_propagation`).
    pub propagation: Duration,
}

/// The channel on which our own nodes tell each other.
pub const CHANNEL: &str = "bascule";

/// What one notification can hold, with some room.
const PAYLOAD: usize = 7900;

/// How long Kong nodes have time to see an event.
const KEPT: Duration = Duration::from_secs(3600);

/// More keys than these are not told one by one: only that routes and plugins are others.
const MOST: usize = 4096;

/// Kong's channels, of its two caches and its balancer.
pub const CACHE: &str = "invalidations";
pub const CORE_CACHE: &str = "invalidations_kong_core_db_cache";
pub const TARGETS: &str = "balancer:targets";
pub const UPSTREAMS: &str = "balancer:upstreams";

/// Entities that Kong keeps in its core cache.
const CORE: [&str; 11] = [
    "ca_certificates",
    "certificates",
    "key_sets",
    "keys",
    "plugins",
    "routes",
    "services",
    "snis",
    "targets",
    "upstreams",
    "vaults",
];

impl Events {
    /// What is about no record.
    pub fn of(channel: Cow<'static, str>, data: String) -> Events {
        Events { told: BTreeSet::from([(channel, data)]) }
    }

    /// Notes what a write means to Kong nodes.
    pub fn note(&mut self, write: &Write<'_>) {
        let (table, new, old) = match *write {
            Write::Put { table, row, old } => (table, Some(row), old),
            Write::Remove { table, row } => (table, None, Some(row)),
        };
        if !table.in_snapshot {
            new.into_iter().chain(old).for_each(|row| self.tell(CACHE, row.cached_as(table)));
            return;
        }
        let operation = match (new, old) {
            (None, _) => "delete",
            (_, None) => "create",
            _ => "update",
        };
        let channel = if CORE.contains(&table.name.as_str()) { CORE_CACHE } else { CACHE };
        for row in new.into_iter().chain(old) {
            self.tell(channel, row.cached_as(table));
            let text = |field: &str| row.record.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
            match table.name.as_str() {
                "routes" => self.tell(CORE_CACHE, "router:version".to_owned()),
                "services" if operation == "update" => self.tell(CORE_CACHE, "router:version".to_owned()),
                "plugins" => self.tell(CORE_CACHE, "plugins_iterator:version".to_owned()),
                "filter_chains" => self.tell(CORE_CACHE, "filter_chains:version".to_owned()),
                "snis" => {
                    for name in wildcards(&text("name")) {
                        self.tell(CORE_CACHE, format!("snis:{name}"));
                    }
                }
                "consumers" if !text("username").is_empty() => {
                    let workspace = row.workspace.map(|id| id.to_string()).unwrap_or_default();
                    self.tell(CACHE, format!("consumers:{}:::::{workspace}", text("username")));
                }
                "targets" => {
                    let upstream = row.record.get("upstream").and_then(foreign_id).unwrap_or_default();
                    self.tell(TARGETS, format!("{operation}:{upstream}"));
                }
                "upstreams" => {
                    let workspace = row.workspace.map(|id| id.to_string()).unwrap_or_default();
                    self.tell(UPSTREAMS, format!("{operation}:{workspace}:{}:{}", table.id(&row.record), text("name")));
                }
                _ => {}
            }
        }
    }

    fn tell(&mut self, channel: &'static str, data: String) {
        let version = data.ends_with(":version");
        if version || self.told.len() < MOST {
            self.told.insert((Cow::Borrowed(channel), data));
        }
    }

    /// What is asked after the transaction, so that whoever looks for events up to a moment has not missed those of
    /// a transaction that began before it and ended after it.
    pub fn question(&self, neighbour: &Neighbour) -> Option<Question> {
        if self.told.is_empty() {
            return None;
        }
        let sql = "INSERT INTO cluster_events (id, node_id, at, nbf, expire_at, channel, data) \
                   SELECT e.id, $1, CURRENT_TIMESTAMP(3), CURRENT_TIMESTAMP(3) + $2 * INTERVAL '1 second', \
                   CURRENT_TIMESTAMP(3) + $3 * INTERVAL '1 second', e.channel, e.data \
                   FROM unnest($4, $5, $6) e (id, channel, data)";
        let propagation = neighbour.propagation.as_secs_f64();
        let kept = KEPT.max(neighbour.propagation * 10);
        let cells = vec![
            Cell::Uuid(neighbour.node),
            if propagation > 0.0 { Cell::Real(propagation) } else { Cell::Null },
            Cell::Real(kept.as_secs_f64()),
            Cell::Uuids(self.told.iter().map(|_| Uuid::new_v4()).collect()),
            Cell::Texts(self.told.iter().map(|(channel, _)| channel.to_string()).collect()),
            Cell::Texts(self.told.iter().map(|(_, data)| data.clone()).collect()),
        ];
        Some((sql.to_owned(), cells))
    }
}

/// The names under which Kong looks for an SNI: its own, and those with a wildcard for its first or last label.
fn wildcards(name: &str) -> Vec<String> {
    let mut names = vec![name.to_owned()];
    if name.contains('*') {
        return names;
    }
    if let Some((_, rest)) = name.split_once('.')
        && rest.contains('.')
    {
        names.push(format!("*.{rest}"));
    }
    if let Some((rest, _)) = name.rsplit_once('.') {
        names.push(format!("{rest}.*"));
    }
    names
}

/// What one of our own nodes tells the others.
#[derive(Debug, PartialEq)]
pub struct Notice {
    pub node: Uuid,
    pub schema: String,
    /// Entity, id, and the record as it was if it is gone. `None`: everything may have changed.
    pub changed: Option<Vec<(String, String, Option<Record>)>>,
}

impl Notice {
    pub fn new(neighbour: &Neighbour, schema: &str, changes: &Changes) -> Notice {
        let changed = |change: &Change| {
            let primary = if change.entity == "parameters" { "key" } else { "id" };
            let id = change.record.get(primary).and_then(Value::as_str).unwrap_or_default().to_owned();
            let gone = (change.operation == Operation::Delete).then(|| change.record.clone());
            (change.entity.clone(), id, gone)
        };
        let changed = changes.listed().map(|changes| changes.iter().map(changed).collect());
        Notice { node: neighbour.node, schema: schema.to_owned(), changed }
    }

    /// What is asked within the transaction: the server tells the others when it is committed.
    pub fn question(&self) -> Question {
        let node = self.node.to_string();
        let text = |changed: &Value| json!({"node": node, "schema": self.schema, "changed": changed}).to_string();
        let whole = text(&json!(self.changed));
        let payload = if whole.len() <= PAYLOAD { whole } else { text(&Value::Null) };
        ("SELECT pg_notify($1, $2)".to_owned(), vec![Cell::Text(CHANNEL.to_owned()), Cell::Text(payload)])
    }

    /// `None`: it is not one of ours.
    pub fn parse(payload: &str) -> Option<Notice> {
        let mut payload: Value = serde_json::from_str(payload).ok()?;
        let node = payload["node"].as_str()?.parse().ok()?;
        let schema = payload["schema"].as_str()?.to_owned();
        let one = |changed: &mut Value| {
            let gone = changed.get_mut(2).map(Value::take);
            let gone = if let Some(Value::Object(record)) = gone { Some(record) } else { None };
            Some((changed[0].as_str()?.to_owned(), changed[1].as_str()?.to_owned(), gone))
        };
        let changed = match payload["changed"].as_array_mut() {
            Some(all) => Some(all.iter_mut().map(one).collect::<Option<Vec<_>>>()?),
            None => None,
        };
        Some(Notice { node, schema, changed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Row;
    use crate::layout::Layout;
    use model::Catalog;

    fn told(entity: &str, old: Option<Value>, new: Option<Value>) -> Vec<String> {
        let layout = Layout::new(&Catalog::core()).unwrap();
        let table = layout.table(entity).unwrap();
        let row = |record: Value| Row {
            record: record.as_object().unwrap().clone(),
            workspace: Some(crate::scope::DEFAULT_ID),
            expires: None,
        };
        let (old, new) = (old.map(row), new.map(row));
        let mut events = Events::default();
        events.note(&match (&old, &new) {
            (old, Some(row)) => Write::Put { table, row, old: old.as_ref() },
            (Some(row), None) => Write::Remove { table, row },
            (None, None) => return Vec::new(),
        });
        events.told.iter().map(|(channel, data)| format!("{channel} {data}")).collect()
    }

    #[test]
    fn kong_nodes_are_told_by_its_keys() {
        let ws = crate::scope::DEFAULT_ID;
        assert_eq!(
            told("routes", None, Some(json!({"id": "r"}))),
            [format!("{CORE_CACHE} router:version"), format!("{CORE_CACHE} routes:r:::::{ws}"),]
        );
        assert_eq!(told("services", None, Some(json!({"id": "s"}))), [format!("{CORE_CACHE} services:s:::::{ws}")]);
        assert_eq!(
            told("targets", Some(json!({"id": "t", "target": "a:1", "upstream": {"id": "u"}})), None),
            ["balancer:targets delete:u".to_owned(), format!("{CORE_CACHE} targets:u:a:1::::{ws}"),]
        );
        assert_eq!(
            told("upstreams", None, Some(json!({"id": "u", "name": "n"}))),
            [format!("balancer:upstreams create:{ws}:u:n"), format!("{CORE_CACHE} upstreams:u:::::{ws}"),]
        );
        let (old, new) = (json!({"id": "c", "username": "a"}), json!({"id": "c", "username": "b"}));
        assert_eq!(
            told("consumers", Some(old), Some(new)),
            [
                format!("{CACHE} consumers:a:::::{ws}"),
                format!("{CACHE} consumers:b:::::{ws}"),
                format!("{CACHE} consumers:c:::::{ws}"),
            ]
        );
        let plugin = json!({"id": "p", "name": "cors", "service": {"id": "s"}, "route": null, "consumer": null});
        assert_eq!(
            told("plugins", None, Some(plugin)),
            [format!("{CORE_CACHE} plugins:cors::s:::{ws}"), format!("{CORE_CACHE} plugins_iterator:version"),]
        );
    }

    #[test]
    fn names_of_certificates_have_wildcards() {
        assert_eq!(wildcards("a.b.test"), ["a.b.test", "*.b.test", "a.b.*"]);
        assert_eq!(wildcards("b.test"), ["b.test", "b.*"]);
        assert_eq!(wildcards("*.b.test"), ["*.b.test"]);
        assert_eq!(wildcards("localhost"), ["localhost"]);
    }

    #[test]
    fn notices_say_what_has_changed_or_that_all_may_have() {
        let neighbour = Neighbour { node: Uuid::nil(), frequency: Duration::from_secs(5), propagation: Duration::ZERO };
        let notice = |count: usize| {
            let mut changes = Changes::default();
            for n in 0..count {
                let record = json!({"id": format!("{n}"), "name": "s"}).as_object().unwrap().clone();
                let operation = if n == 0 { Operation::Delete } else { Operation::Put };
                changes.push(Change::new(operation, "services".to_owned(), record));
            }
            Notice::new(&neighbour, "public", &changes)
        };
        let payload = |notice: &Notice| match notice.question().1.pop() {
            Some(Cell::Text(payload)) => payload,
            other => panic!("{other:?}"),
        };
        let two = notice(2);
        assert_eq!(Notice::parse(&payload(&two)).unwrap(), two);
        let many = payload(&notice(1000));
        assert!(many.len() < 8000);
        assert_eq!(Notice::parse(&many).unwrap().changed, None);
        assert_eq!(Notice::parse("{}"), None);
    }
}
