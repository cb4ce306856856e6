//! The groups of consumers, as records of `acls` name them.

use sdk::{Exchange, Parsed, Record, SnapshotRef, entities};
use serde_json::Value;
use std::sync::Arc;

/// The entity whose records put consumers into groups.
pub const ACLS: &str = "acls";

/// What is kept of a record.
pub fn parse(record: &Record) -> Result<Parsed, String> {
    let group: Box<str> = record.get("group").and_then(Value::as_str).ok_or("group: missing")?.into();
    Ok(Arc::new(group))
}

/// The groups that a consumer was put into.
pub struct Held(Option<SnapshotRef<[Arc<entities::Credential>]>>);

impl Held {
    /// Those of an exchange's consumer.
    pub fn of(exchange: &Exchange) -> Held {
        let consumer = exchange.consumer.as_ref();
        Held(consumer.and_then(|consumer| exchange.directory.credentials_of(ACLS, &consumer.id)))
    }

    /// Their names.
    pub fn names(&self) -> Vec<&str> {
        let held = self.0.as_ref().map_or(&[][..], |held| held);
        held.iter().filter_map(|credential| credential.parsed::<Box<str>>()).map(|group| &**group).collect()
    }
}
