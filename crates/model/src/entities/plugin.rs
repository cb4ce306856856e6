//! `plugins`: configured instances of plugins and where they apply.

use super::{Protocols, decode, workspace_of};
use crate::Record;
use uuid::Uuid;

/// A configured plugin. All four scopes empty: it is global in its workspace.
#[derive(Clone, Debug, PartialEq)]
pub struct Plugin {
    pub id: Uuid,
    pub workspace: Uuid,
    pub name: String,
    pub instance_name: Option<String>,
    pub route: Option<Uuid>,
    pub service: Option<Uuid>,
    pub consumer: Option<Uuid>,
    pub consumer_group: Option<Uuid>,
    pub protocols: Protocols,
    pub enabled: bool,
    pub ordering: Ordering,
    /// An expression on the requests on which alone it acts.
    pub condition: Option<String>,
    /// Complete, as the plugin's schema made it.
    pub config: Record,
    pub tags: Vec<String>,
}

/// Plugins before and after which one is to act in the access phase, whatever their priorities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ordering {
    pub before: Vec<String>,
    pub after: Vec<String>,
}

impl Plugin {
    /// The typed form of a valid record.
    pub fn from_record(record: &Record) -> Result<Plugin, String> {
        Ok(Plugin {
            id: decode::id(record)?,
            workspace: workspace_of(record),
            name: decode::required(record, "name")?,
            instance_name: decode::string(record, "instance_name"),
            route: decode::foreign(record, "route")?,
            service: decode::foreign(record, "service")?,
            consumer: decode::foreign(record, "consumer")?,
            consumer_group: decode::foreign(record, "consumer_group")?,
            protocols: Protocols::from_record(record)?,
            enabled: decode::boolean(record, "enabled", true),
            ordering: Ordering::from_record(record),
            condition: decode::string(record, "condition"),
            config: decode::record(record, "config").cloned().unwrap_or_default(),
            tags: decode::strings(record, "tags"),
        })
    }
}

impl Ordering {
    fn from_record(record: &Record) -> Ordering {
        let ordering = decode::record(record, "ordering");
        let named = |field: &str| {
            let part = ordering.and_then(|ordering| decode::record(ordering, field));
            part.map_or_else(Vec::new, |part| decode::strings(part, "access"))
        };
        Ordering { before: named("before"), after: named("after") }
    }

    /// Whether the plugin acts where its priority says.
    pub fn is_empty(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }
}
