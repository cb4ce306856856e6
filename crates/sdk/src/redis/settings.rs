//! The record by which plugins' configurations name a Redis, in the shape of Kong 3.10 and, with Sentinel and Cluster,
//! of the plugins that Kong sells.

use crate::{Config, ServerTls};
use std::fmt;
use std::time::Duration;

/// A host and a port.
pub(super) type Address = (String, u16);

/// How a Redis is reached.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisSettings {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) database: i64,
    pub(super) login: Option<Login>,
    pub(super) tls: Option<ServerTls>,
    pub(super) connect_timeout: Duration,
    /// For a command, from the first octet sent to the answer.
    pub(super) timeout: Duration,
    pub(super) sentinel: Option<SentinelSettings>,
    /// Nodes of a cluster, of which any one knows the others.
    pub(super) cluster: Vec<Address>,
    pub(super) max_redirections: usize,
}

/// By which a server lets clients in.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Login {
    pub username: Option<String>,
    pub password: String,
}

/// Who knows which server is the master at the moment.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct SentinelSettings {
    pub nodes: Vec<Address>,
    pub master: String,
    pub replica: bool,
    pub login: Option<Login>,
}

const DEFAULT_TIMEOUT_MS: u64 = 2_000;
const DEFAULT_PORT: u16 = 6379;

impl RedisSettings {
    /// Reads the record; the error names the field.
    pub fn read(config: &Config<'_>) -> Result<RedisSettings, String> {
        let milliseconds = |field: &str| config.integer::<u64>(field).map(Duration::from_millis);
        let default = milliseconds("timeout").unwrap_or(Duration::from_millis(DEFAULT_TIMEOUT_MS));
        let host = config.text("host");
        let sentinel = sentinel(config);
        let cluster = addresses(config, "cluster_nodes", "ip");
        if host.is_none() && sentinel.is_none() && cluster.is_empty() {
            return Err("config.redis.host: missing".to_owned());
        }
        Ok(RedisSettings {
            host: host.unwrap_or_default().to_owned(),
            port: config.integer("port").unwrap_or(DEFAULT_PORT),
            database: config.integer("database").unwrap_or(0),
            login: login(config, "username", "password"),
            tls: config.flag("ssl").then(|| ServerTls {
                name: config.text("server_name").map(str::to_owned),
                verify: config.flag("ssl_verify"),
            }),
            connect_timeout: milliseconds("connect_timeout").unwrap_or(default),
            timeout: match (milliseconds("send_timeout"), milliseconds("read_timeout")) {
                (None, None) => default,
                (send, read) => send.unwrap_or_default() + read.unwrap_or_default(),
            },
            sentinel,
            cluster,
            max_redirections: config.integer("cluster_max_redirections").unwrap_or(5),
        })
    }
}

/// As Kong: without a password there is nothing to show.
fn login(config: &Config<'_>, username: &str, password: &str) -> Option<Login> {
    let present = |field: &str| config.text(field).filter(|text| !text.is_empty()).map(str::to_owned);
    Some(Login { username: present(username), password: present(password)? })
}

fn sentinel(config: &Config<'_>) -> Option<SentinelSettings> {
    Some(SentinelSettings {
        nodes: addresses(config, "sentinel_nodes", "host"),
        master: config.text("sentinel_master")?.to_owned(),
        replica: config.text("sentinel_role") == Some("slave"),
        login: login(config, "sentinel_username", "sentinel_password"),
    })
}

fn addresses(config: &Config<'_>, field: &str, host: &str) -> Vec<Address> {
    let address = |node: &serde_json::Value| {
        let node = Config::new(node.as_object()?);
        Some((node.text(host)?.to_owned(), node.integer("port").unwrap_or(DEFAULT_PORT)))
    };
    config.list(field).iter().filter_map(address).collect()
}

impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSettings")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Record;
    use serde_json::{Value, json};

    fn read(record: Value) -> Result<RedisSettings, String> {
        let Value::Object(record) = record else { unreachable!() };
        let record: Record = record;
        RedisSettings::read(&Config::new(&record))
    }

    #[test]
    fn one_time_limit_stands_for_all() {
        let settings = read(json!({ "host": "a", "timeout": 100, "password": "", "ssl": false })).unwrap();
        assert_eq!(settings.port, 6379);
        assert_eq!(settings.connect_timeout, Duration::from_millis(100));
        assert_eq!(settings.timeout, Duration::from_millis(100));
        assert!(settings.login.is_none());
        assert!(settings.tls.is_none());
    }

    #[test]
    fn limits_may_be_told_apart() {
        let record = json!({ "host": "a", "connect_timeout": 1, "send_timeout": 2, "read_timeout": 3 });
        let settings = read(record).unwrap();
        assert_eq!(settings.connect_timeout, Duration::from_millis(1));
        assert_eq!(settings.timeout, Duration::from_millis(5));
    }

    #[test]
    fn a_server_must_be_named() {
        assert_eq!(read(json!({ "port": 1 })).unwrap_err(), "config.redis.host: missing");
        let cluster = read(json!({ "cluster_nodes": [{ "ip": "a", "port": 7000 }] })).unwrap();
        assert_eq!(cluster.cluster, [("a".to_owned(), 7000)]);
    }

    #[test]
    fn secrets_are_not_shown() {
        let settings = read(json!({ "host": "a", "username": "u", "password": "hush" })).unwrap();
        assert!(!format!("{settings:?}").contains("hush"));
    }
}
