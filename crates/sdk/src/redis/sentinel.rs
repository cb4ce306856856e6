//! A server that Redis Sentinel names: the master of a group, or one of its replicas.

use super::connection::{Connection, Terms};
use super::settings::{Address, SentinelSettings};
use super::{Cmd, RedisError, Value, cmd, from_redis_value};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Mutex;

/// The server in force, asked for when it is not known or does not do any more.
pub struct Sentinel {
    terms: Terms,
    current: Mutex<Option<Arc<Connection>>>,
}

impl Sentinel {
    /// The server is not known yet.
    pub fn new(terms: Terms) -> Sentinel {
        Sentinel { terms, current: Mutex::default() }
    }

    /// Sends a command to the server in force.
    pub async fn send(&self, command: &Cmd) -> Result<Value, RedisError> {
        let connection = self.connection().await?;
        let outcome = connection.send(command).await;
        let replaced = |error: &RedisError| error.is_of_connection() || error.code() == Some("READONLY");
        if outcome.as_ref().is_err_and(replaced) {
            let mut current = self.current.lock().await;
            if current.as_ref().is_some_and(|known| Arc::ptr_eq(known, &connection)) {
                *current = None;
            }
        }
        outcome
    }

    /// The connection to the server in force.
    pub async fn connection(&self) -> Result<Arc<Connection>, RedisError> {
        let mut current = self.current.lock().await;
        if let Some(connection) = &*current {
            return Ok(Arc::clone(connection));
        }
        let connection = Arc::new(Connection::new(&self.terms, &self.find().await?));
        *current = Some(Arc::clone(&connection));
        Ok(connection)
    }

    async fn find(&self) -> Result<Address, RedisError> {
        let mut last = RedisError::Connect("no Sentinel is named".to_owned());
        let Some(settings) = &self.terms.settings.sentinel else { return Err(last) };
        for node in &settings.nodes {
            let connection = Connection::to_sentinel(&self.terms, node, settings.login.as_ref());
            match ask(&connection, settings).await {
                Ok(address) => return Ok(address),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

async fn ask(sentinel: &Connection, settings: &SentinelSettings) -> Result<Address, RedisError> {
    let question = |about: &str| {
        let mut command = cmd("SENTINEL");
        command.arg(about).arg(&settings.master);
        command
    };
    let unknown = || RedisError::Connect(format!("the Sentinel knows no server for '{}'", settings.master));
    if !settings.replica {
        let answer = sentinel.send(&question("get-master-addr-by-name")).await?;
        let address: Option<Address> = from_redis_value(answer)?;
        return address.ok_or_else(unknown);
    }
    let replicas: Vec<HashMap<String, String>> = from_redis_value(sentinel.send(&question("replicas")).await?)?;
    let usable = |replica: &&HashMap<String, String>| {
        replica.get("flags").is_some_and(|flags| !flags.contains("down") && !flags.contains("disconnected"))
    };
    let address = replicas.iter().find(usable).and_then(|replica| {
        let port = replica.get("port")?.parse().ok()?;
        Some((replica.get("ip")?.clone(), port))
    });
    address.ok_or_else(unknown)
}
