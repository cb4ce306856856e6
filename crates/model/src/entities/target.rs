//! `targets`: the servers of an upstream.

use super::decode;
use crate::Record;
use uuid::Uuid;

/// A server (or a name that stands for some) with its share of the requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub id: Uuid,
    pub upstream: Uuid,
    /// `host:port` as the schema completes it (IPv6 in brackets, port 8000 when none was given).
    pub target: String,
    /// 0 to 65535; 0 takes no traffic.
    pub weight: u16,
    /// Gets requests only while no other target takes any.
    pub failover: bool,
    /// Gets requests only while no target of a lower one takes any.
    pub priority: u16,
    /// Seconds since 1970, with fraction.
    pub created_at: f64,
    pub tags: Vec<String>,
}

impl Target {
    /// The typed form of a valid record.
    pub fn from_record(record: &Record) -> Result<Target, String> {
        Ok(Target {
            id: decode::id(record)?,
            upstream: decode::foreign(record, "upstream")?.ok_or("upstream: missing")?,
            target: decode::required(record, "target")?,
            weight: decode::integer(record, "weight", 100)?,
            failover: decode::boolean(record, "failover", false),
            priority: decode::integer(record, "priority", 0)?,
            created_at: decode::number(record, "created_at", 0.0),
            tags: decode::strings(record, "tags"),
        })
    }

    /// Host (without brackets) and port.
    pub fn host_port(&self) -> (&str, u16) {
        let (host, port) = self.target.rsplit_once(':').unwrap_or((&self.target, "8000"));
        (host.trim_start_matches('[').trim_end_matches(']'), port.parse().unwrap_or(8000))
    }
}
