//! Responses in a Redis: one key for each, which expires when the response is dropped.
//!
//! A value begins with a line of numbers (layout, status, when it was stored, for how many seconds it may be used);
//! then come the header lines, an empty line, and the content. Header lines have no line breaks in them.

use super::VERSION;
use super::key::{Digest, to_hex};
use super::store::CachedResponse;
use sdk::redis::{Redis, RedisError, RedisSettings, Value, cmd};
use sdk::{Bytes, Config, Env, Fields, MemoryBudget, Tasks};
use std::time::Duration;

/// The responses of one kind of plugin in one Redis.
pub struct RedisStore {
    redis: Redis,
    /// The name of the plugin, with which keys begin.
    plugin: &'static str,
    tasks: Tasks,
    memory: MemoryBudget,
}

impl RedisStore {
    /// The largest response that is kept, in octets.
    pub const LARGEST: usize = 16 << 20;

    /// Those in the Redis of that record, for a plugin of that name.
    pub fn new(plugin: &'static str, record: &Config<'_>, env: &Env) -> Result<RedisStore, String> {
        let redis = Redis::new(env, RedisSettings::read(record)?);
        Ok(RedisStore { redis, plugin, tasks: env.tasks().clone(), memory: env.memory().clone() })
    }

    /// The response of that key. What is no response of ours, or has no room in memory, counts as none.
    pub async fn get(&self, key: &Digest) -> Result<Option<CachedResponse>, RedisError> {
        let name = self.name(key);
        // What others may have put there is not read beyond that.
        let mut command = cmd("GETRANGE");
        command.arg(&name).arg(0).arg(RedisStore::LARGEST);
        let octets = match self.redis.send(&name, command).await? {
            Value::BulkString(octets) if octets.is_empty() => return Ok(None),
            Value::BulkString(octets) => octets,
            Value::Nil => return Ok(None),
            other => return Err(RedisError::Unexpected(format!("{other:?} in place of a response"))),
        };
        let Ok(octets) = self.memory.hold(octets) else {
            tracing::warn!("{}: there is no memory to hold a response from Redis", self.plugin);
            return Ok(None);
        };
        Ok(decode(octets))
    }

    /// Stores what begins with [`head`], beside requests: a failure is only logged.
    pub fn put(&self, key: &Digest, value: Bytes, kept: Duration) {
        // On its way it is there twice more.
        let Some(lease) = self.memory.try_take(2 * value.len()) else {
            tracing::warn!("{}: there is no memory to send a response to Redis, it is not stored", self.plugin);
            return;
        };
        let (redis, plugin, name) = (self.redis.clone(), self.plugin, self.name(key));
        self.tasks.spawn("storing a response in Redis", async move {
            let mut command = cmd("SET");
            command.arg(&name).arg(&value[..]).arg("PX").arg(kept.as_millis().max(1) as u64);
            drop(value);
            if let Err(error) = redis.send(&name, command).await {
                tracing::error!("{plugin}: a response is not stored: {error}");
            }
            drop(lease);
        });
    }

    /// Drops a response; says whether it was there.
    pub async fn remove(&self, key: &Digest) -> Result<bool, RedisError> {
        let name = self.name(key);
        let mut command = cmd("DEL");
        command.arg(&name);
        Ok(self.redis.send(&name, command).await? == Value::Int(1))
    }

    /// Drops everything.
    pub async fn clear(&self) -> Result<(), RedisError> {
        self.redis.clear(&format!("{}:", self.plugin)).await
    }

    fn name(&self, key: &Digest) -> Vec<u8> {
        format!("{}:{}", self.plugin, to_hex(key)).into_bytes()
    }
}

/// What a stored response begins with.
pub fn head(entry: &CachedResponse) -> Vec<u8> {
    let mut head = format!("{VERSION} {} {} {}\n", entry.status, entry.stored_at, entry.ttl).into_bytes();
    for (name, value) in entry.fields.iter() {
        for part in [name.as_bytes(), b":", value, b"\n"] {
            head.extend_from_slice(part);
        }
    }
    head.push(b'\n');
    head
}

fn decode(octets: Bytes) -> Option<CachedResponse> {
    let mut at = 0;
    let mut line = || {
        let rest = octets.get(at..)?;
        let line = &rest[..rest.iter().position(|&octet| octet == b'\n')?];
        at += line.len() + 1;
        Some(line)
    };
    let mut numbers = std::str::from_utf8(line()?).ok()?.split(' ').map(str::parse::<u64>);
    let mut number = || numbers.next()?.ok();
    if number()? != u64::from(VERSION) {
        return None;
    }
    let (status, stored_at, ttl) = (u16::try_from(number()?).ok()?, number()?, number()?);
    let mut fields = Fields::new();
    loop {
        match line()? {
            [] => break,
            line => {
                let colon = line.iter().position(|&octet| octet == b':')?;
                fields.append(std::str::from_utf8(&line[..colon]).ok()?, &line[colon + 1..]);
            }
        }
    }
    // Redis drops it when it is time.
    let (body, drop_at_ms) = (octets.slice(at..), u64::MAX);
    Some(CachedResponse { status, fields, body, stored_at, ttl, drop_at_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let mut fields: Fields = [("Content-Type", "text/plain"), ("X-A", ""), ("X-A", "b:c")].into_iter().collect();
        fields.append("X-B", b"\xe9");
        let body = Bytes::from_static(b"a\n\nb");
        let entry = CachedResponse { status: 201, fields, body: body.clone(), stored_at: 7, ttl: 30, drop_at_ms: 1 };
        let stored = [&head(&entry)[..], &body].concat();
        let back = decode(stored.into()).unwrap();
        assert_eq!(back.status, 201);
        assert_eq!(back.stored_at, 7);
        assert_eq!(back.ttl, 30);
        assert_eq!(back.body, body);
        assert_eq!(back.fields.iter().collect::<Vec<_>>(), entry.fields.iter().collect::<Vec<_>>());
    }

    #[test]
    fn what_is_no_response_is_none() {
        for text in ["", "1", "1 200 7 30\n", "2 200 7 30\n\n", "1 x 7 30\n\n", "1 70000 7 30\n\n", "1 200 7 30\nX\n\n"]
        {
            assert!(decode(Bytes::from_static(text.as_bytes())).is_none(), "{text}");
        }
    }
}
