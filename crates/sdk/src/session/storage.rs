//! Where the content of sessions is kept that is not in cookies.

use crate::redis::{Redis, Value as RedisValue, cmd};
use crate::{Record, Records};
use model::entities::DEFAULT_WORKSPACE;
use serde_json::{Value, json};
use std::fmt;

/// What holds the content of sessions.
#[derive(Clone)]
pub enum Storage {
    /// Records of the entity `sessions`.
    Records(Records),
    /// Keys that begin with that prefix and the name of the cookie.
    Redis(Redis, String),
}

/// What is to be done with stored content; names are those of cookies.
pub(super) enum Write {
    Put { name: String, key: String, data: String, ttl: u64, former: Option<Former>, metadata: Vec<(String, String)> },
    Remove { name: String, key: String },
}

/// The content that another one takes the place of.
pub(super) struct Former {
    pub key: String,
    /// How long it can still be used.
    pub kept: u64,
}

const SESSIONS: &str = "sessions";
const METADATA: &str = "session_metadatas";

impl Storage {
    /// The encrypted content of a session.
    pub(super) async fn find(&self, name: &str, key: &str) -> Option<Vec<u8>> {
        let found = match self {
            Storage::Records(records) => {
                let found = records.find(DEFAULT_WORKSPACE, SESSIONS, "session_id", key).await;
                found.map(|record| Some(record?.get("data")?.as_str()?.to_owned())).map_err(|error| error.to_string())
            }
            Storage::Redis(redis, prefix) => {
                let found = send(redis, "GET", &key_of(prefix, name, key), &[]).await;
                found.map(|value| crate::redis::from_redis_value(value).ok())
            }
        };
        let found = found.inspect_err(|error| tracing::error!("a session cannot be read: {error}")).ok()??;
        let data: Value = serde_json::from_str(&found).ok()?;
        Some(data.get(0)?.as_str()?.as_bytes().to_vec())
    }

    /// Does what a session asks for. `now` in Unix seconds.
    pub(super) async fn write(&self, write: Write, now: u64) -> Result<(), String> {
        match self {
            Storage::Records(records) => in_records(records, write, now).await.map_err(|error| error.to_string()),
            Storage::Redis(redis, prefix) => in_redis(redis, prefix, write).await,
        }
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Storage::Records(records) => records.fmt(f),
            Storage::Redis(_, prefix) => write!(f, "Redis({prefix})"),
        }
    }
}

async fn in_records(records: &Records, write: Write, now: u64) -> Result<(), crate::RecordsError> {
    let workspace = DEFAULT_WORKSPACE;
    match write {
        Write::Put { key, data, ttl, former, metadata, .. } => {
            let input = json!({ "session_id": key, "data": data, "expires": now + ttl, "ttl": ttl });
            let added = records.insert(workspace, SESSIONS, object(input)).await?;
            for (audience, subject) in metadata {
                let of = json!({ "id": added.get("id") });
                let input = json!({ "sid": key, "session": of, "audience": audience, "subject": subject });
                if let Err(error) = records.insert(workspace, METADATA, object(input)).await {
                    // As in Kong: who looks for a subject must find all of its sessions.
                    records.delete(workspace, SESSIONS, id_of(&added)).await?;
                    return Err(error);
                }
            }
            let Some(Former { key, kept }) = former else { return Ok(()) };
            match records.find(workspace, SESSIONS, "session_id", &key).await? {
                Some(old) if kept == 0 => drop(records.delete(workspace, SESSIONS, id_of(&old)).await?),
                Some(old) => {
                    let change = object(json!({ "expires": now + kept, "ttl": kept }));
                    records.update(workspace, SESSIONS, id_of(&old), change).await?;
                }
                None => {}
            }
        }
        Write::Remove { key, .. } => {
            if let Some(old) = records.find(workspace, SESSIONS, "session_id", &key).await? {
                records.delete(workspace, SESSIONS, id_of(&old)).await?;
            }
        }
    }
    Ok(())
}

/// As lua-resty-session does it, so that it finds what is written here.
async fn in_redis(redis: &Redis, prefix: &str, write: Write) -> Result<(), String> {
    match write {
        Write::Put { name, key, data, ttl, former, .. } => {
            send(redis, "SET", &key_of(prefix, &name, &key), &[&data, "EX", &ttl.to_string()]).await?;
            let Some(Former { key, kept }) = former else { return Ok(()) };
            let old = key_of(prefix, &name, &key);
            if kept == 0 {
                send(redis, "UNLINK", &old, &[]).await?;
                return Ok(());
            }
            // What is about to go anyhow stays no longer than it would.
            let left = send(redis, "TTL", &old, &[]).await?;
            if matches!(left, RedisValue::Int(left) if left > i64::try_from(kept).unwrap_or(i64::MAX)) {
                send(redis, "EXPIRE", &old, &[&kept.to_string()]).await?;
            }
        }
        Write::Remove { name, key } => drop(send(redis, "UNLINK", &key_of(prefix, &name, &key), &[]).await?),
    }
    Ok(())
}

async fn send(redis: &Redis, command: &str, key: &str, arguments: &[&str]) -> Result<RedisValue, String> {
    let mut command = cmd(command);
    command.arg(key).arg(arguments);
    redis.send(key.as_bytes(), command).await.map_err(|error| error.to_string())
}

fn key_of(prefix: &str, name: &str, key: &str) -> String {
    format!("{prefix}:{name}:{key}")
}

fn object(value: Value) -> Record {
    match value {
        Value::Object(record) => record,
        _ => Record::new(),
    }
}

fn id_of(record: &Record) -> &str {
    record.get("id").and_then(Value::as_str).unwrap_or_default()
}
