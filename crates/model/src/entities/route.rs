//! `routes`: which requests go to which service.

use super::decode;
use crate::Record;
use serde_json::Value;
use uuid::Uuid;

/// A protocol that services and routes speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Protocol {
    Http = 1,
    Https = 2,
    Grpc = 4,
    Grpcs = 8,
    Tcp = 16,
    Tls = 32,
    TlsPassthrough = 64,
    Udp = 128,
}

impl Protocol {
    /// The protocol by Kong's name for it.
    pub fn parse(text: &str) -> Result<Protocol, String> {
        Ok(match text {
            "http" => Protocol::Http,
            "https" => Protocol::Https,
            "grpc" => Protocol::Grpc,
            "grpcs" => Protocol::Grpcs,
            "tcp" => Protocol::Tcp,
            "tls" => Protocol::Tls,
            "tls_passthrough" => Protocol::TlsPassthrough,
            "udp" => Protocol::Udp,
            other => return Err(format!("protocol: unknown '{other}'")),
        })
    }

    /// Kong's name for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Http => "http",
            Protocol::Https => "https",
            Protocol::Grpc => "grpc",
            Protocol::Grpcs => "grpcs",
            Protocol::Tcp => "tcp",
            Protocol::Tls => "tls",
            Protocol::TlsPassthrough => "tls_passthrough",
            Protocol::Udp => "udp",
        }
    }
}

/// A set of protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Protocols(u8);

impl Protocols {
    /// All there are.
    pub const ALL: Protocols = Protocols(0xff);

    /// Whether the set has that protocol.
    pub fn contains(self, protocol: Protocol) -> bool {
        self.0 & protocol as u8 != 0
    }

    /// The set with that protocol added.
    pub fn with(self, protocol: Protocol) -> Protocols {
        Protocols(self.0 | protocol as u8)
    }

    /// Whether the sets share a protocol.
    pub fn intersects(self, other: Protocols) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn from_record(record: &Record) -> Result<Protocols, String> {
        decode::strings(record, "protocols")
            .iter()
            .try_fold(Protocols::default(), |set, p| Ok(set.with(Protocol::parse(p)?)))
    }
}

/// How the path of the service and the rest of the request's path are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathHandling {
    V0,
    V1,
}

/// An address that a stream route accepts: a CIDR block, a port, or both.
#[derive(Clone, Debug, PartialEq)]
pub struct Address {
    pub ip: Option<String>,
    pub port: Option<u16>,
}

/// Rules by which requests are matched, and what is done to them on the way to the service.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    pub id: Uuid,
    pub name: Option<String>,
    /// Seconds since 1970; older routes win among equals.
    pub created_at: i64,
    pub service: Option<Uuid>,
    pub protocols: Protocols,
    pub methods: Vec<String>,
    pub hosts: Vec<String>,
    /// `/prefix` or `~/regex`.
    pub paths: Vec<String>,
    /// Lower-cased names with the accepted values.
    pub headers: Vec<(String, Vec<String>)>,
    pub snis: Vec<String>,
    pub sources: Vec<Address>,
    pub destinations: Vec<Address>,
    pub regex_priority: i64,
    pub strip_path: bool,
    pub preserve_host: bool,
    pub path_handling: PathHandling,
    pub https_redirect_status_code: u16,
    pub request_buffering: bool,
    pub response_buffering: bool,
    /// Only with `router_flavor = expressions`.
    pub expression: Option<String>,
    pub priority: u64,
    pub tags: Vec<String>,
}

impl Route {
    /// The typed form of a valid record.
    pub fn from_record(record: &Record) -> Result<Route, String> {
        let headers = decode::record(record, "headers").map_or_else(Vec::new, |map| {
            map.iter()
                .map(|(name, values)| {
                    let values = values
                        .as_array()
                        .map_or_else(Vec::new, |v| v.iter().filter_map(Value::as_str).map(str::to_owned).collect());
                    (name.to_ascii_lowercase(), values)
                })
                .collect()
        });
        Ok(Route {
            id: decode::id(record)?,
            name: decode::string(record, "name"),
            created_at: decode::integer(record, "created_at", 0)?,
            service: decode::foreign(record, "service")?,
            protocols: Protocols::from_record(record)?,
            methods: decode::strings(record, "methods"),
            hosts: decode::strings(record, "hosts"),
            paths: decode::strings(record, "paths"),
            headers,
            snis: decode::strings(record, "snis"),
            sources: addresses(record, "sources")?,
            destinations: addresses(record, "destinations")?,
            regex_priority: decode::integer(record, "regex_priority", 0)?,
            strip_path: decode::boolean(record, "strip_path", true),
            preserve_host: decode::boolean(record, "preserve_host", false),
            path_handling: if decode::string(record, "path_handling").as_deref() == Some("v1") {
                PathHandling::V1
            } else {
                PathHandling::V0
            },
            https_redirect_status_code: decode::integer(record, "https_redirect_status_code", 426)?,
            request_buffering: decode::boolean(record, "request_buffering", true),
            response_buffering: decode::boolean(record, "response_buffering", true),
            expression: decode::string(record, "expression"),
            priority: decode::integer(record, "priority", 0)?,
            tags: decode::strings(record, "tags"),
        })
    }
}

fn addresses(record: &Record, field: &str) -> Result<Vec<Address>, String> {
    let Some(list) = record.get(field).and_then(Value::as_array) else { return Ok(Vec::new()) };
    list.iter()
        .filter_map(Value::as_object)
        .map(|a| {
            let port = match a.get("port") {
                None | Some(Value::Null) => None,
                Some(_) => Some(decode::integer(a, "port", 0)?),
            };
            Ok(Address { ip: decode::string(a, "ip"), port })
        })
        .collect()
}
