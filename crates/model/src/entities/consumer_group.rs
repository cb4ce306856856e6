//! `consumer_groups` and `consumer_group_consumers`: consumers who have plugins in common.

use super::{decode, workspace_of};
use crate::Record;
use uuid::Uuid;

/// A group of consumers.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsumerGroup {
    pub id: Uuid,
    pub workspace: Uuid,
    pub name: String,
    pub tags: Vec<String>,
}

/// That a consumer is in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerGroupConsumer {
    pub consumer_group: Uuid,
    pub consumer: Uuid,
}

impl ConsumerGroup {
    /// The typed form of a valid record.
    pub fn from_record(record: &Record) -> Result<ConsumerGroup, String> {
        Ok(ConsumerGroup {
            id: decode::id(record)?,
            workspace: workspace_of(record),
            name: decode::required(record, "name")?,
            tags: decode::strings(record, "tags"),
        })
    }
}

impl ConsumerGroupConsumer {
    /// The typed form of a valid record.
    pub fn from_record(record: &Record) -> Result<ConsumerGroupConsumer, String> {
        let required = |field: &str| decode::foreign(record, field)?.ok_or_else(|| format!("{field}: missing"));
        Ok(ConsumerGroupConsumer { consumer_group: required("consumer_group")?, consumer: required("consumer")? })
    }
}
