//! `upstreams`: how requests are spread over targets, and how targets are checked.

use super::{decode, workspace_of};
use crate::Record;
use std::time::Duration;
use uuid::Uuid;

/// How a target is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    RoundRobin,
    ConsistentHashing,
    LeastConnections,
    Latency,
    StickySessions,
}

impl Algorithm {
    /// Kong's name for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::RoundRobin => "round-robin",
            Algorithm::ConsistentHashing => "consistent-hashing",
            Algorithm::LeastConnections => "least-connections",
            Algorithm::Latency => "latency",
            Algorithm::StickySessions => "sticky-sessions",
        }
    }
}

/// What is hashed, for `consistent-hashing`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashOn {
    None,
    Consumer,
    Ip,
    Header(String),
    Cookie,
    Path,
    QueryArg(String),
    UriCapture(String),
}

/// The protocol of a health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckKind {
    Tcp,
    Http,
    Https,
    Grpc,
    Grpcs,
}

/// Checks by requests of our own. An interval of zero switches that half off.
#[derive(Clone, Debug, PartialEq)]
pub struct ActiveChecks {
    pub kind: CheckKind,
    pub timeout: Duration,
    pub concurrency: usize,
    pub http_path: String,
    pub https_sni: Option<String>,
    pub https_verify_certificate: bool,
    pub headers: Vec<(String, Vec<String>)>,
    pub healthy_interval: Duration,
    pub healthy_statuses: Vec<u16>,
    pub successes: u8,
    pub unhealthy_interval: Duration,
    pub unhealthy_statuses: Vec<u16>,
    pub http_failures: u8,
    pub tcp_failures: u8,
    pub timeouts: u8,
}

/// Checks by the outcome of proxied requests (the circuit breaker). A threshold of zero is off.
#[derive(Clone, Debug, PartialEq)]
pub struct PassiveChecks {
    pub kind: CheckKind,
    pub healthy_statuses: Vec<u16>,
    pub successes: u8,
    pub unhealthy_statuses: Vec<u16>,
    pub http_failures: u8,
    pub tcp_failures: u8,
    pub timeouts: u8,
}

/// The health checks of an upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct Healthchecks {
    pub active: ActiveChecks,
    pub passive: PassiveChecks,
    /// Percent of the weight that must be available, or the whole upstream counts as unhealthy.
    pub threshold: f64,
}

/// A virtual host name whose requests are spread over targets.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    pub id: Uuid,
    pub workspace: Uuid,
    pub name: String,
    pub algorithm: Algorithm,
    pub hash_on: HashOn,
    pub hash_fallback: HashOn,
    pub hash_on_cookie: Option<String>,
    pub hash_on_cookie_path: String,
    pub slots: u32,
    pub healthchecks: Healthchecks,
    pub host_header: Option<String>,
    pub client_certificate: Option<Uuid>,
    pub use_srv_name: bool,
    /// By which clients stay with a target, for `sticky-sessions`.
    pub sticky_sessions_cookie: Option<String>,
    pub sticky_sessions_cookie_path: String,
    /// How long a target that begins, or comes back, takes to get to its share.
    pub slow_start: Option<Duration>,
    /// The most requests at a time of an address; 0: no limit.
    pub max_connections: u32,
    /// The most requests that wait while all addresses have as many as they may.
    pub max_pending_requests: u32,
    /// After which a target that requests have found unhealthy gets one to try.
    pub recovery_time: Option<Duration>,
    pub tags: Vec<String>,
}

impl Upstream {
    /// The typed form of a valid record.
    pub fn from_record(record: &Record) -> Result<Upstream, String> {
        let empty = Record::new();
        let checks = decode::record(record, "healthchecks").unwrap_or(&empty);
        Ok(Upstream {
            id: decode::id(record)?,
            workspace: workspace_of(record),
            name: decode::required(record, "name")?,
            algorithm: match decode::string(record, "algorithm").as_deref() {
                Some("consistent-hashing") => Algorithm::ConsistentHashing,
                Some("least-connections") => Algorithm::LeastConnections,
                Some("latency") => Algorithm::Latency,
                Some("sticky-sessions") => Algorithm::StickySessions,
                _ => Algorithm::RoundRobin,
            },
            hash_on: hash_on(record, "hash_on"),
            hash_fallback: hash_on(record, "hash_fallback"),
            hash_on_cookie: decode::string(record, "hash_on_cookie"),
            hash_on_cookie_path: decode::string(record, "hash_on_cookie_path").unwrap_or_else(|| "/".to_owned()),
            slots: decode::integer(record, "slots", 10_000)?,
            healthchecks: Healthchecks {
                active: active(decode::record(checks, "active").unwrap_or(&empty))?,
                passive: passive(decode::record(checks, "passive").unwrap_or(&empty))?,
                threshold: decode::number(checks, "threshold", 0.0),
            },
            host_header: decode::string(record, "host_header"),
            client_certificate: decode::foreign(record, "client_certificate")?,
            use_srv_name: decode::boolean(record, "use_srv_name", false),
            sticky_sessions_cookie: decode::string(record, "sticky_sessions_cookie"),
            sticky_sessions_cookie_path: decode::string(record, "sticky_sessions_cookie_path")
                .unwrap_or_else(|| "/".to_owned()),
            slow_start: seconds_of(record, "slow_start"),
            max_connections: decode::integer(record, "max_connections", 0)?,
            max_pending_requests: decode::integer(record, "max_pending_requests", 0)?,
            recovery_time: seconds_of(record, "recovery_time"),
            tags: decode::strings(record, "tags"),
        })
    }
}

/// A time that may not be set; zero is none.
fn seconds_of(record: &Record, field: &str) -> Option<Duration> {
    let seconds = decode::number(record, field, 0.0).clamp(0.0, 65_535.0);
    (seconds > 0.0).then(|| Duration::from_secs_f64(seconds))
}

fn hash_on(record: &Record, field: &str) -> HashOn {
    let argument = |what: &str| decode::string(record, &format!("{field}_{what}")).unwrap_or_default();
    match decode::string(record, field).as_deref() {
        Some("consumer") => HashOn::Consumer,
        Some("ip") => HashOn::Ip,
        Some("header") => HashOn::Header(argument("header")),
        Some("cookie") => HashOn::Cookie,
        Some("path") => HashOn::Path,
        Some("query_arg") => HashOn::QueryArg(argument("query_arg")),
        Some("uri_capture") => HashOn::UriCapture(argument("uri_capture")),
        _ => HashOn::None,
    }
}

fn kind(record: &Record) -> CheckKind {
    match decode::string(record, "type").as_deref() {
        Some("tcp") => CheckKind::Tcp,
        Some("https") => CheckKind::Https,
        Some("grpc") => CheckKind::Grpc,
        Some("grpcs") => CheckKind::Grpcs,
        _ => CheckKind::Http,
    }
}

fn active(record: &Record) -> Result<ActiveChecks, String> {
    let empty = Record::new();
    let healthy = decode::record(record, "healthy").unwrap_or(&empty);
    let unhealthy = decode::record(record, "unhealthy").unwrap_or(&empty);
    let seconds = |r: &Record, field: &str, default: f64| {
        Duration::from_secs_f64(decode::number(r, field, default).clamp(0.0, 65_535.0))
    };
    let headers = decode::record(record, "headers")
        .map_or_else(Vec::new, |map| map.keys().map(|name| (name.clone(), decode::strings(map, name))).collect());
    Ok(ActiveChecks {
        kind: kind(record),
        timeout: seconds(record, "timeout", 1.0),
        concurrency: decode::integer(record, "concurrency", 10usize)?,
        http_path: decode::string(record, "http_path").unwrap_or_else(|| "/".to_owned()),
        https_sni: decode::string(record, "https_sni"),
        https_verify_certificate: decode::boolean(record, "https_verify_certificate", true),
        headers,
        healthy_interval: seconds(healthy, "interval", 0.0),
        healthy_statuses: decode::integers(healthy, "http_statuses"),
        successes: decode::integer(healthy, "successes", 0)?,
        unhealthy_interval: seconds(unhealthy, "interval", 0.0),
        unhealthy_statuses: decode::integers(unhealthy, "http_statuses"),
        http_failures: decode::integer(unhealthy, "http_failures", 0)?,
        tcp_failures: decode::integer(unhealthy, "tcp_failures", 0)?,
        timeouts: decode::integer(unhealthy, "timeouts", 0)?,
    })
}

fn passive(record: &Record) -> Result<PassiveChecks, String> {
    let empty = Record::new();
    let healthy = decode::record(record, "healthy").unwrap_or(&empty);
    let unhealthy = decode::record(record, "unhealthy").unwrap_or(&empty);
    Ok(PassiveChecks {
        kind: kind(record),
        healthy_statuses: decode::integers(healthy, "http_statuses"),
        successes: decode::integer(healthy, "successes", 0)?,
        unhealthy_statuses: decode::integers(unhealthy, "http_statuses"),
        http_failures: decode::integer(unhealthy, "http_failures", 0)?,
        tcp_failures: decode::integer(unhealthy, "tcp_failures", 0)?,
        timeouts: decode::integer(unhealthy, "timeouts", 0)?,
    })
}
