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
    /// Complete, as the plugin's schema made it.
    pub config: Record,
    pub tags: Vec<String>,
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
            config: decode::record(record, "config").cloned().unwrap_or_default(),
            tags: decode::strings(record, "tags"),
        })
    }
}
