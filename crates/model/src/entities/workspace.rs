//! Workspaces: which one a record belongs to.

use crate::Record;
use serde_json::Value;
use uuid::{Uuid, uuid};

/// The default workspace, by the id that it has on every node: what belongs to no other is in it.
pub const DEFAULT_WORKSPACE: Uuid = uuid!("0dc6f45b-8f8d-40d2-a504-473544ee190b");

/// The workspace that a record belongs to, as the feed of the store tells it.
pub fn workspace_of(record: &Record) -> Uuid {
    let id = record.get("ws_id").and_then(Value::as_str).and_then(|id| Uuid::parse_str(id).ok());
    id.unwrap_or(DEFAULT_WORKSPACE)
}
