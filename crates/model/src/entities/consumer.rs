//! `consumers`: who calls, and the credentials by which plugins know them.

use super::decode;
use crate::Record;
use uuid::Uuid;

/// Somebody who uses services.
#[derive(Clone, Debug, PartialEq)]
pub struct Consumer {
    pub id: Uuid,
    pub username: Option<String>,
    pub custom_id: Option<String>,
    pub tags: Vec<String>,
}

impl Consumer {
    /// The typed form of a valid record.
    pub fn from_record(record: &Record) -> Result<Consumer, String> {
        Ok(Consumer {
            id: decode::id(record)?,
            username: decode::string(record, "username"),
            custom_id: decode::string(record, "custom_id"),
            tags: decode::strings(record, "tags"),
        })
    }
}

/// A credential of any kind: its owner, and the record for the plugin that understands it.
#[derive(Clone, Debug, PartialEq)]
pub struct Credential {
    pub id: Uuid,
    pub consumer: Option<Uuid>,
    pub record: Record,
}

impl Credential {
    /// The typed form of a valid record of a credential entity.
    pub fn from_record(record: &Record) -> Result<Credential, String> {
        Ok(Credential {
            id: decode::id(record)?,
            consumer: decode::foreign(record, "consumer")?,
            record: record.clone(),
        })
    }
}
