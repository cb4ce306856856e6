//! Where accounts, challenges and certificates are kept, under the keys that Kong has for them.

use super::remote::Remote;
use sdk::entities::DEFAULT_WORKSPACE;
use sdk::redis::{Redis, RedisSettings, Value as RedisValue, cmd, from_redis_value};
use sdk::{Config, Env, Record, Records};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// `storage`.
#[derive(Clone)]
pub enum Storage {
    /// On this node, until it ends.
    Memory(Arc<Memory>),
    Database(Records),
    Redis {
        redis: Redis,
        namespace: String,
    },
    /// A Consul or a Vault.
    Remote(Arc<Remote>),
}

/// What this node keeps.
#[derive(Default)]
pub struct Memory(Mutex<BTreeMap<String, (String, Option<Instant>)>>);

/// The entity of what is kept in the database.
pub const ENTITY: &str = "acme_storage";
/// The most entries in memory: names come from clients where any domain is allowed.
const MOST: usize = 65_536;
/// The most keys that are listed of a Redis.
const LISTED: usize = 100_000;

/// Where the answer to a challenge is kept.
pub fn challenge_key(token: &str) -> String {
    format!("{token}#http-01")
}

impl Storage {
    /// As the configuration has it.
    pub fn new(config: &Config<'_>, env: &Env) -> Result<Storage, String> {
        match config.text("storage").unwrap_or("shm") {
            "shm" => Ok(Storage::Memory(env.shared())),
            "kong" => Ok(Storage::Database(env.records().clone())),
            "redis" => {
                let redis = config.section("storage_config").section("redis");
                let namespace = redis.section("extra_options").text("namespace").unwrap_or_default().to_owned();
                Ok(Storage::Redis { redis: Redis::new(env, RedisSettings::read(&redis)?), namespace })
            }
            "consul" => {
                let record = config.section("storage_config").section("consul");
                Ok(Storage::Remote(Arc::new(Remote::consul(&record, env)?)))
            }
            "vault" => {
                let record = config.section("storage_config").section("vault");
                Ok(Storage::Remote(Arc::new(Remote::vault(&record, env)?)))
            }
            other => Err(format!("config.storage: unknown '{other}'")),
        }
    }

    pub async fn find(&self, key: &str) -> Result<Option<String>, String> {
        match self {
            Storage::Memory(memory) => Ok(memory.find(key)),
            Storage::Database(records) => Ok(text(record(records, key).await?.as_ref(), "value")),
            Storage::Redis { redis, namespace } => {
                let key = format!("{namespace}{key}");
                let mut command = cmd("GET");
                command.arg(&key);
                let value = redis.send(key.as_bytes(), command).await.map_err(|e| e.to_string())?;
                from_redis_value(value).map_err(|e| e.to_string())
            }
            Storage::Remote(remote) => remote.find(key).await,
        }
    }

    /// Keeps a value, for a while or for good.
    pub async fn put(&self, key: &str, value: &str, time: Option<Duration>) -> Result<(), String> {
        match self {
            Storage::Memory(memory) => memory.put(key, value, time, true).map(drop),
            Storage::Database(records) => {
                if let Some(id) = text(record(records, key).await?.as_ref(), "id") {
                    records.delete(DEFAULT_WORKSPACE, ENTITY, &id).await.map_err(|e| e.to_string())?;
                }
                let input = entry(key, value, time);
                records.insert(DEFAULT_WORKSPACE, ENTITY, input).await.map(drop).map_err(|e| e.to_string())
            }
            Storage::Redis { .. } => self.redis_set(key, value, time, false).await.map(drop),
            Storage::Remote(remote) => remote.put(key, value, time).await,
        }
    }

    /// Keeps a value where there is none; whether there was none.
    pub async fn add(&self, key: &str, value: &str, time: Duration) -> Result<bool, String> {
        match self {
            Storage::Memory(memory) => memory.put(key, value, Some(time), false),
            Storage::Database(records) => {
                if record(records, key).await?.is_some() {
                    return Ok(false);
                }
                // Of several nodes one succeeds: keys are unique.
                let input = entry(key, value, Some(time));
                Ok(records.insert(DEFAULT_WORKSPACE, ENTITY, input).await.is_ok())
            }
            Storage::Redis { .. } => self.redis_set(key, value, Some(time), true).await,
            Storage::Remote(remote) => remote.add(key, value, time).await,
        }
    }

    pub async fn remove(&self, key: &str) -> Result<(), String> {
        match self {
            Storage::Memory(memory) => drop(memory.entries().remove(key)),
            Storage::Database(records) => {
                if let Some(id) = text(record(records, key).await?.as_ref(), "id") {
                    records.delete(DEFAULT_WORKSPACE, ENTITY, &id).await.map_err(|e| e.to_string())?;
                }
            }
            Storage::Redis { redis, namespace } => {
                let key = format!("{namespace}{key}");
                let mut command = cmd("DEL");
                command.arg(&key);
                redis.send(key.as_bytes(), command).await.map_err(|e| e.to_string())?;
            }
            Storage::Remote(remote) => remote.remove(key).await?,
        }
        Ok(())
    }

    /// The keys that begin in that way.
    pub async fn list(&self, prefix: &str) -> Result<Vec<String>, String> {
        match self {
            Storage::Memory(memory) => Ok(memory.list(prefix)),
            Storage::Database(records) => {
                let all = records.all(DEFAULT_WORKSPACE, ENTITY).await.map_err(|e| e.to_string())?;
                let keys = all.iter().filter_map(|record| text(Some(record), "key"));
                Ok(keys.filter(|key| key.starts_with(prefix)).collect())
            }
            Storage::Redis { redis, namespace } => scan(redis, namespace, prefix).await,
            Storage::Remote(remote) => remote.list(prefix).await,
        }
    }

    async fn redis_set(&self, key: &str, value: &str, time: Option<Duration>, new: bool) -> Result<bool, String> {
        let Storage::Redis { redis, namespace } = self else { return Ok(false) };
        let key = format!("{namespace}{key}");
        let mut command = cmd("SET");
        command.arg(&key).arg(value);
        if let Some(time) = time {
            command.arg("EX").arg(time.as_secs().max(1));
        }
        if new {
            command.arg("NX");
        }
        let answer = redis.send(key.as_bytes(), command).await.map_err(|e| e.to_string())?;
        Ok(answer != RedisValue::Nil)
    }
}

impl Memory {
    pub fn find(&self, key: &str) -> Option<String> {
        let entries = self.entries();
        let (value, end) = entries.get(key)?;
        end.is_none_or(|end| end > Instant::now()).then(|| value.clone())
    }

    /// Keeps a value; false when there is one and it is not to be replaced.
    pub fn put(&self, key: &str, value: &str, time: Option<Duration>, replace: bool) -> Result<bool, String> {
        let (mut entries, now) = (self.entries(), Instant::now());
        let is_over = |end: &Option<Instant>| end.is_some_and(|end| end <= now);
        if !replace && entries.get(key).is_some_and(|(_, end)| !is_over(end)) {
            return Ok(false);
        }
        if entries.len() >= MOST {
            entries.retain(|_, (_, end)| !is_over(end));
        }
        if entries.len() >= MOST {
            return Err("there is no room for more".to_owned());
        }
        entries.insert(key.to_owned(), (value.to_owned(), time.map(|time| now + time)));
        Ok(true)
    }

    fn list(&self, prefix: &str) -> Vec<String> {
        let (entries, now) = (self.entries(), Instant::now());
        let found = entries.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
        found.filter(|(_, (_, end))| end.is_none_or(|end| end > now)).map(|(key, _)| key.clone()).collect()
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, (String, Option<Instant>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn record(records: &Records, key: &str) -> Result<Option<Record>, String> {
    records.find(DEFAULT_WORKSPACE, ENTITY, "key", key).await.map_err(|e| e.to_string())
}

fn entry(key: &str, value: &str, time: Option<Duration>) -> Record {
    let mut entry = Record::new();
    entry.insert("key".to_owned(), key.into());
    entry.insert("value".to_owned(), value.into());
    if let Some(time) = time {
        entry.insert("ttl".to_owned(), json!(time.as_secs().max(1)));
    }
    entry
}

fn text(record: Option<&Record>, field: &str) -> Option<String> {
    record?.get(field).and_then(Value::as_str).map(str::to_owned)
}

async fn scan(redis: &Redis, namespace: &str, prefix: &str) -> Result<Vec<String>, String> {
    let (mut found, mut cursor) = (Vec::new(), String::from("0"));
    loop {
        let mut command = cmd("SCAN");
        command.arg(&cursor).arg("MATCH").arg(format!("{namespace}{prefix}*")).arg("COUNT").arg(100);
        let answer = redis.send(prefix.as_bytes(), command).await.map_err(|e| e.to_string())?;
        let (next, keys): (String, Vec<String>) = from_redis_value(answer).map_err(|e| e.to_string())?;
        found.extend(keys.iter().filter_map(|key| key.strip_prefix(namespace)).map(str::to_owned));
        cursor = next;
        if cursor == "0" || found.len() > LISTED {
            found.sort();
            found.dedup();
            return Ok(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::testing::{self, Kept};

    #[tokio::test]
    async fn values_are_kept_and_found() {
        for storage in [Storage::Memory(Arc::default()), Storage::Database(testing::records(Kept::default()))] {
            assert_eq!(storage.find("a:1").await, Ok(None));
            storage.put("a:1", "x", None).await.unwrap();
            storage.put("a:1", "y", None).await.unwrap();
            assert_eq!(storage.find("a:1").await.unwrap().as_deref(), Some("y"));
            assert_eq!(storage.add("a:1", "z", Duration::from_secs(9)).await, Ok(false));
            assert_eq!(storage.add("a:2", "z", Duration::from_secs(9)).await, Ok(true));
            storage.put("b:1", "z", None).await.unwrap();
            assert_eq!(storage.list("a:").await.unwrap(), ["a:1", "a:2"]);
            storage.remove("a:1").await.unwrap();
            assert_eq!(storage.find("a:1").await, Ok(None));
        }
    }

    #[test]
    fn memory_forgets_what_is_over() {
        let memory = Memory::default();
        assert_eq!(memory.put("k", "v", Some(Duration::ZERO), false), Ok(true));
        assert_eq!(memory.find("k"), None);
        assert_eq!(memory.put("k", "w", None, false), Ok(true));
        assert_eq!(memory.put("k", "x", None, false), Ok(false));
        assert_eq!(memory.find("k").as_deref(), Some("w"));
    }
}
