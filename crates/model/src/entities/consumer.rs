//! `consumers`: who calls, and the credentials by which plugins know them.

use super::{decode, workspace_of};
use crate::Record;
use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use uuid::Uuid;

/// Somebody who uses services.
#[derive(Clone, Debug, PartialEq)]
pub struct Consumer {
    pub id: Uuid,
    pub workspace: Uuid,
    pub username: Option<String>,
    pub custom_id: Option<String>,
    /// Seconds since 1970, as `updated_at`.
    pub created_at: i64,
    pub updated_at: i64,
    pub tags: Box<[String]>,
}

impl Consumer {
    /// The typed form of a valid record.
    pub fn from_record(record: &Record) -> Result<Consumer, String> {
        Ok(Consumer {
            id: decode::id(record)?,
            workspace: workspace_of(record),
            username: decode::string(record, "username"),
            custom_id: decode::string(record, "custom_id"),
            created_at: decode::integer(record, "created_at", 0)?,
            updated_at: decode::integer(record, "updated_at", 0)?,
            tags: decode::strings(record, "tags").into(),
        })
    }
}

/// A credential of any kind: its owner, and what the plugin that understands it needs. Small, for there may be a
/// million of them.
#[derive(Clone)]
pub struct Credential {
    pub id: Uuid,
    pub workspace: Uuid,
    pub consumer: Option<Uuid>,
    /// When it ends, if it does.
    pub expiry: Option<Box<Expiry>>,
    /// By what it is found; empty where that is the consumer.
    pub key: Box<str>,
    /// What the plugin has made of the record.
    pub parsed: Option<Arc<dyn Any + Send + Sync>>,
}

/// The end of a credential. It comes by whichever clock comes to it first, so that a step of the system's clock cannot
/// put it off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    system: SystemTime,
    steady: Instant,
}

impl Credential {
    /// The typed form of a valid record of a credential entity, whose `ttl` is what remains of its time now; found by
    /// the field `key`, else by its consumer.
    pub fn from_record(record: &Record, key: Option<&str>) -> Result<Credential, String> {
        let key = match key {
            Some(field) => decode::string(record, field).ok_or_else(|| format!("{field}: missing"))?,
            None => String::new(),
        };
        let ttl = record.get("ttl").and_then(serde_json::Value::as_u64);
        Ok(Credential {
            id: decode::id(record)?,
            workspace: workspace_of(record),
            consumer: decode::foreign(record, "consumer")?,
            expiry: ttl.map(|seconds| Box::new(Expiry::after(Duration::from_secs(seconds)))),
            key: key.into(),
            parsed: None,
        })
    }

    /// What the plugin has made of the record, when it is of that type.
    pub fn parsed<T: Any>(&self) -> Option<&T> {
        self.parsed.as_ref()?.downcast_ref()
    }

    /// Whether it has ended. Costs a look at the clocks only where there is an end.
    pub fn is_over(&self) -> bool {
        self.expiry.as_ref().is_some_and(|expiry| expiry.is_over(SystemTime::now(), Instant::now()))
    }
}

/// Without the key, which is a secret of some kinds.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("id", &self.id).field("consumer", &self.consumer).finish_non_exhaustive()
    }
}

impl Expiry {
    /// After that time from now.
    pub fn after(time: Duration) -> Expiry {
        Expiry::since(SystemTime::now(), Instant::now(), time)
    }

    fn since(system: SystemTime, steady: Instant, time: Duration) -> Expiry {
        // The schema allows some years; what no clock can show is over at once.
        Expiry {
            system: system.checked_add(time).unwrap_or(system),
            steady: steady.checked_add(time).unwrap_or(steady),
        }
    }

    fn is_over(&self, system: SystemTime, steady: Instant) -> bool {
        system >= self.system || steady >= self.steady
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_clock_step_puts_an_end_off() {
        let (system, steady) = (SystemTime::now(), Instant::now());
        let seconds = Duration::from_secs;
        let expiry = Expiry::since(system, steady, seconds(10));
        assert!(!expiry.is_over(system + seconds(9), steady + seconds(9)));
        assert!(expiry.is_over(system + seconds(10), steady + seconds(10)));
        assert!(expiry.is_over(system - seconds(3_600), steady + seconds(10)), "the clock was put back");
        assert!(expiry.is_over(system + seconds(10), steady), "the machine slept");
    }

    #[test]
    fn records_say_what_remains() {
        let id = Uuid::from_u128(1).to_string();
        let credential = |ttl: serde_json::Value| {
            let record = serde_json::json!({ "id": id, "key": "k", "ttl": ttl });
            Credential::from_record(record.as_object().unwrap(), Some("key")).unwrap()
        };
        assert!(!credential(serde_json::Value::Null).is_over());
        assert!(!credential(60.into()).is_over());
        assert!(credential(0.into()).is_over());
    }
}
