//! A client of Redis for plugins: one connection per server and settings, shared by all plugins of the node and used by
//! many requests at a time. Everything runs on the control runtime; a worker awaits the outcome, and every wait ends.

mod cluster;
mod connection;
mod error;
mod script;
mod sentinel;
mod settings;

pub use self::error::RedisError;
pub use self::script::RedisScript;
pub use self::settings::RedisSettings;
pub use ::redis::{Cmd, Value, cmd, from_redis_value};

use self::cluster::Cluster;
use self::connection::{Connection, Terms};
use self::sentinel::Sentinel;
use crate::{Env, Tasks};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::time::timeout;

/// How long deleting many keys may take.
const CLEARING: Duration = Duration::from_secs(60);

/// A client with some settings. Clones, and clients with the same settings, share connections.
#[derive(Clone)]
pub struct Redis {
    client: Arc<Client>,
    tasks: Tasks,
}

/// The clients of a node that are in use.
#[derive(Default)]
struct Clients(Mutex<Vec<Weak<Client>>>);

struct Client {
    settings: Arc<RedisSettings>,
    servers: Servers,
}

/// Where keys are.
enum Servers {
    One(Connection),
    Sentinel(Sentinel),
    Cluster(Cluster),
}

impl Redis {
    /// A client; it connects when it is needed.
    pub fn new(env: &Env, settings: RedisSettings) -> Redis {
        let clients: Arc<Clients> = env.shared();
        let mut known = clients.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|client| client.strong_count() > 0);
        let same = known.iter().filter_map(Weak::upgrade).find(|client| *client.settings == settings);
        let client = same.unwrap_or_else(|| {
            let client = Arc::new(Client::new(env, settings));
            known.push(Arc::downgrade(&client));
            client
        });
        Redis { client, tasks: env.tasks().clone() }
    }

    /// What a command that concerns `key` comes to. May be awaited by a worker.
    pub async fn send(&self, key: &[u8], command: Cmd) -> Result<Value, RedisError> {
        let (client, key) = (Arc::clone(&self.client), key.to_vec());
        self.call(async move { client.send(&key, &command).await }).await
    }

    /// What a script comes to. In a cluster, all keys must be in the slot of the first.
    pub async fn run(&self, script: &RedisScript, keys: &[Vec<u8>], arguments: &[String]) -> Result<Value, RedisError> {
        let client = Arc::clone(&self.client);
        let key = keys.first().cloned().unwrap_or_default();
        let by_digest = script.by_digest(keys, arguments);
        let by_code = script.by_code(keys, arguments);
        self.call(async move {
            match client.send(&key, &by_digest).await {
                Err(RedisError::Server { code, .. }) if code == "NOSCRIPT" => client.send(&key, &by_code).await,
                outcome => outcome,
            }
        })
        .await
    }

    /// Deletes all keys that begin with a prefix (which has none of the marks of Redis' patterns), on all servers. Keys
    /// that are written meanwhile may stay.
    pub async fn clear(&self, prefix: &str) -> Result<(), RedisError> {
        let (client, prefix) = (Arc::clone(&self.client), prefix.to_owned());
        let work = async move {
            let outcome = timeout(CLEARING, client.clear(&prefix)).await.unwrap_or(Err(RedisError::TimedOut));
            outcome.map(|()| Value::Okay)
        };
        self.call(work).await.map(drop)
    }

    /// Whether only keys with the same hash tag are sure to be on one server.
    pub fn is_cluster(&self) -> bool {
        matches!(self.client.servers, Servers::Cluster(_))
    }

    async fn call(
        &self,
        work: impl Future<Output = Result<Value, RedisError>> + Send + 'static,
    ) -> Result<Value, RedisError> {
        self.tasks.call("a command to Redis", work).await.unwrap_or(Err(RedisError::Stopped))
    }
}

impl Client {
    fn new(env: &Env, settings: RedisSettings) -> Client {
        let settings = Arc::new(settings);
        let terms =
            Terms { network: env.network().clone(), tasks: env.tasks().clone(), settings: Arc::clone(&settings) };
        let servers = if settings.sentinel.is_some() {
            Servers::Sentinel(Sentinel::new(terms))
        } else if !settings.cluster.is_empty() {
            Servers::Cluster(Cluster::new(terms))
        } else {
            let server = (settings.host.clone(), settings.port);
            Servers::One(Connection::new(&terms, &server))
        };
        Client { settings, servers }
    }

    async fn send(&self, key: &[u8], command: &Cmd) -> Result<Value, RedisError> {
        let outcome = match &self.servers {
            // Its waits have limits of their own.
            Servers::One(connection) => return connection.send(command).await,
            Servers::Sentinel(sentinel) => timeout(self.limit(), sentinel.send(command)).await,
            Servers::Cluster(cluster) => timeout(self.limit(), cluster.send(key, command)).await,
        };
        outcome.unwrap_or(Err(RedisError::TimedOut))
    }

    async fn clear(&self, prefix: &str) -> Result<(), RedisError> {
        match &self.servers {
            Servers::One(connection) => connection.clear(prefix, false).await,
            Servers::Sentinel(sentinel) => sentinel.connection().await?.clear(prefix, false).await,
            Servers::Cluster(cluster) => {
                for connection in cluster.all().await? {
                    connection.clear(prefix, true).await?;
                }
                Ok(())
            }
        }
    }

    /// For finding the server and for the command: as long as two of each, since the first may be gone.
    fn limit(&self) -> Duration {
        2 * (self.settings.connect_timeout + self.settings.timeout)
    }
}

#[cfg(test)]
mod tests;
