//! `routes`: which requests go to which service.

use super::{decode, workspace_of};
use crate::Record;
use serde_json::Value;
use uuid::Uuid;

/// A protocol that services and routes speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Protocol {
    Http = 1,
    Https = 2,
    Grpc = 4,
    Grpcs = 8,
    Tcp = 16,
    Tls = 32,
    TlsPassthrough = 64,
    Udp = 128,
    Ws = 256,
    Wss = 512,
}

impl Protocol {
    /// All of them, by name.
    pub const ALL: [Protocol; 10] = [
        Protocol::Grpc,
        Protocol::Grpcs,
        Protocol::Http,
        Protocol::Https,
        Protocol::Tcp,
        Protocol::Tls,
        Protocol::TlsPassthrough,
        Protocol::Udp,
        Protocol::Ws,
        Protocol::Wss,
    ];

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
            "ws" => Protocol::Ws,
            "wss" => Protocol::Wss,
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
            Protocol::Ws => "ws",
            Protocol::Wss => "wss",
        }
    }
}

/// A set of protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Protocols(u16);

impl Protocols {
    /// All there are.
    pub const ALL: Protocols = Protocols(0x3ff);
    /// Those of requests: http, https, grpc, grpcs, and ws and wss, which begin as such.
    pub const REQUESTS: Protocols = Protocols(0x30f);
    /// Those of WebSocket: ws and wss.
    pub const WEBSOCKETS: Protocols = Protocols(0x300);
    /// Those of streams: tcp, tls, tls_passthrough and udp.
    pub const STREAMS: Protocols = Protocols(0xf0);

    /// Whether the set has that protocol.
    pub fn contains(self, protocol: Protocol) -> bool {
        self.0 & protocol as u16 != 0
    }

    /// The set with that protocol added.
    pub fn with(self, protocol: Protocol) -> Protocols {
        Protocols(self.0 | protocol as u16)
    }

    /// Whether the sets share a protocol.
    pub fn intersects(self, other: Protocols) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether there are some, and all of them are those of streams.
    pub fn are_of_streams(self) -> bool {
        self.intersects(Protocols::STREAMS) && !self.intersects(Protocols::REQUESTS)
    }

    pub(super) fn from_record(record: &Record) -> Result<Protocols, String> {
        decode::strings(record, "protocols")
            .iter()
            .try_fold(Protocols::default(), |set, protocol| Ok(set.with(Protocol::parse(protocol)?)))
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

impl Address {
    /// Any address and port.
    const ANY: Address = Address { ip: None, port: None };
}

/// Rules by which requests are matched, and what is done to them on the way to the service.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    pub id: Uuid,
    pub name: Option<String>,
    /// Seconds since 1970; older routes win among equals.
    pub created_at: i64,
    pub updated_at: i64,
    pub workspace: Uuid,
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
        let (route, defect) = Route::possible(record);
        defect.map_or(Ok(route), Err)
    }

    /// The typed form of a record, and what is wrong with it. Where it cannot be read, the route matches whatever it
    /// might, before others.
    pub fn possible(record: &Record) -> (Route, Option<String>) {
        let mut defects = Defects::default();
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
        let route = Route {
            id: defects.or(decode::id(record), Uuid::nil()),
            name: decode::string(record, "name"),
            created_at: defects.or(decode::integer(record, "created_at", 0), i64::MIN),
            updated_at: defects.or(decode::integer(record, "updated_at", 0), 0),
            workspace: workspace_of(record),
            service: defects.or(decode::foreign(record, "service"), None),
            protocols: defects.or(Protocols::from_record(record), Protocols::ALL),
            methods: decode::strings(record, "methods"),
            hosts: decode::strings(record, "hosts"),
            paths: decode::strings(record, "paths"),
            headers,
            snis: decode::strings(record, "snis"),
            sources: defects.or(addresses(record, "sources"), vec![Address::ANY]),
            destinations: defects.or(addresses(record, "destinations"), vec![Address::ANY]),
            regex_priority: defects.or(decode::integer(record, "regex_priority", 0), i64::MAX),
            strip_path: decode::boolean(record, "strip_path", true),
            preserve_host: decode::boolean(record, "preserve_host", false),
            path_handling: if decode::string(record, "path_handling").as_deref() == Some("v1") {
                PathHandling::V1
            } else {
                PathHandling::V0
            },
            https_redirect_status_code: defects.or(decode::integer(record, "https_redirect_status_code", 426), 426),
            request_buffering: decode::boolean(record, "request_buffering", true),
            response_buffering: decode::boolean(record, "response_buffering", true),
            expression: decode::string(record, "expression"),
            priority: defects.or(decode::integer(record, "priority", 0), u64::MAX),
            tags: decode::strings(record, "tags"),
        };
        (route, defects.first)
    }

    /// Whether both are for the same requests, which go to the same service.
    pub fn covers_same(&self, other: &Route) -> bool {
        self.service == other.service
            && self.protocols == other.protocols
            && self.methods == other.methods
            && self.hosts == other.hosts
            && self.paths == other.paths
            && self.headers == other.headers
            && self.snis == other.snis
            && self.sources == other.sources
            && self.destinations == other.destinations
            && self.regex_priority == other.regex_priority
            && self.expression == other.expression
            && self.priority == other.priority
    }
}

/// What is wrong with a record; the first of it is told.
#[derive(Default)]
struct Defects {
    first: Option<String>,
}

impl Defects {
    /// What was read, else `instead`.
    fn or<T>(&mut self, read: Result<T, String>, instead: T) -> T {
        read.unwrap_or_else(|defect| {
            self.first.get_or_insert(defect);
            instead
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
