//! `services`: where requests go, and how.

use super::{Protocol, decode, workspace_of};
use crate::Record;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// An upstream service (or the name of an upstream whose targets provide it).
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    pub id: Uuid,
    pub name: Option<String>,
    /// Seconds since 1970, as `updated_at`.
    pub created_at: i64,
    pub updated_at: i64,
    pub workspace: Uuid,
    pub protocol: Protocol,
    /// Shared, since every request to the service names it.
    pub host: Arc<str>,
    pub port: u16,
    pub path: Option<String>,
    /// Further tries after the first one has failed.
    pub retries: u16,
    pub connect_timeout: Duration,
    pub write_timeout: Duration,
    pub read_timeout: Duration,
    pub client_certificate: Option<Uuid>,
    pub tls_verify: Option<bool>,
    pub tls_verify_depth: Option<u8>,
    pub ca_certificates: Vec<Uuid>,
    /// Names that its certificate may be for in place of its host.
    pub tls_sans: AlternativeNames,
    /// Whether requests that are no calls of gRPC go to it over HTTP/2, too.
    pub http2: bool,
    pub enabled: bool,
    pub tags: Vec<String>,
}

/// What a certificate may be for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AlternativeNames {
    pub dns: Vec<String>,
    pub uris: Vec<String>,
}

impl AlternativeNames {
    pub fn is_empty(&self) -> bool {
        self.dns.is_empty() && self.uris.is_empty()
    }
}

impl Service {
    /// The typed form of a valid record.
    pub fn from_record(record: &Record) -> Result<Service, String> {
        let millis = |field: &str| decode::integer::<u64>(record, field, 60_000).map(Duration::from_millis);
        Ok(Service {
            id: decode::id(record)?,
            name: decode::string(record, "name"),
            created_at: decode::integer(record, "created_at", 0)?,
            updated_at: decode::integer(record, "updated_at", 0)?,
            workspace: workspace_of(record),
            protocol: Protocol::parse(&decode::required(record, "protocol")?)?,
            host: Arc::from(decode::required(record, "host")?),
            port: decode::integer(record, "port", 80)?,
            path: decode::string(record, "path"),
            retries: decode::integer(record, "retries", 5)?,
            connect_timeout: millis("connect_timeout")?,
            write_timeout: millis("write_timeout")?,
            read_timeout: millis("read_timeout")?,
            client_certificate: decode::foreign(record, "client_certificate")?,
            tls_verify: record.get("tls_verify").and_then(serde_json::Value::as_bool),
            tls_verify_depth: match record.get("tls_verify_depth") {
                None | Some(serde_json::Value::Null) => None,
                Some(_) => Some(decode::integer(record, "tls_verify_depth", 1)?),
            },
            ca_certificates: decode::strings(record, "ca_certificates")
                .iter()
                .map(|id| Uuid::parse_str(id).map_err(|e| format!("ca_certificates: {e}")))
                .collect::<Result<Vec<_>, _>>()?,
            tls_sans: decode::record(record, "tls_sans").map_or_else(AlternativeNames::default, |names| {
                AlternativeNames { dns: decode::strings(names, "dnsnames"), uris: decode::strings(names, "uris") }
            }),
            http2: decode::boolean(record, "http2", false),
            enabled: decode::boolean(record, "enabled", true),
            tags: decode::strings(record, "tags"),
        })
    }
}
