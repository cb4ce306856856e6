//! `consumer_groups` and `consumer_group_consumers`: consumers who have plugins in common.

use super::{decode, workspace_of};
use crate::Record;
use serde_json::Value;
use uuid::Uuid;

/// A group of consumers.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsumerGroup {
    pub id: Uuid,
    pub workspace: Uuid,
    pub name: String,
    pub tags: Vec<String>,
    pub rates: Option<GroupRates>,
}

/// By what `rate-limiting-advanced` counts the consumers of a group, in the place of what its own records say.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupRates {
    /// The size of each window in seconds, and its limit.
    pub windows: Vec<(f64, f64)>,
    pub sliding: bool,
    pub retry_after_jitter_max: f64,
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
            rates: record.get("overrides").and_then(|all| all.get("rate-limiting-advanced")).and_then(GroupRates::read),
        })
    }
}

impl GroupRates {
    fn read(value: &Value) -> Option<GroupRates> {
        let record = value.as_object()?;
        let numbers = |field: &str| Some(record.get(field)?.as_array()?.iter().filter_map(Value::as_f64));
        Some(GroupRates {
            windows: numbers("window_size")?.zip(numbers("limit")?).collect(),
            sliding: decode::string(record, "window_type").is_none_or(|window_type| window_type != "fixed"),
            retry_after_jitter_max: decode::number(record, "retry_after_jitter_max", 0.0),
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
