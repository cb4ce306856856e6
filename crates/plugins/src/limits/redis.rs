//! Counters in a Redis: all windows of a caller in one script, so that nobody else counts in between.

use super::synced::Synced;
use super::{Ceiling, Subject, Usage, Window};
use sdk::Env;
use sdk::redis::{Redis, RedisError, RedisScript, RedisSettings, from_redis_value};
use std::sync::Arc;
use std::time::Duration;

/// For each key a limit and the seconds that it is kept; before them the amount. Adds it to all keys, or to none when
/// one has reached its limit; answers the number of that one (0: none) and what there was before.
const TAKE: &str = "\
local amount, full, counts = tonumber(ARGV[1]), 0, {}
for at, key in ipairs(KEYS) do
  counts[at] = tonumber(redis.call('GET', key) or 0)
  if full == 0 and counts[at] >= tonumber(ARGV[2 * at]) then full = at end
end
if full == 0 and amount > 0 then
  for at, key in ipairs(KEYS) do
    if redis.call('INCRBY', key, amount) == amount then redis.call('EXPIRE', key, ARGV[2 * at + 1]) end
  end
end
table.insert(counts, 1, full)
return counts";

/// A Redis that counts.
pub struct RedisCounters {
    redis: Redis,
    take: RedisScript,
    /// With a `sync_rate`, requests are counted here and told to the Redis every now and then.
    synced: Option<Arc<Synced>>,
}

impl RedisCounters {
    /// Counters there; with a period, they are told only so often.
    pub fn new(env: &Env, settings: RedisSettings, period: Option<Duration>) -> RedisCounters {
        let redis = Redis::new(env, settings.clone());
        let synced = period.map(|period| Synced::of(env, settings, &redis, period));
        RedisCounters { redis, take: RedisScript::new(TAKE), synced }
    }

    /// See [`super::SharedCounters::take`].
    pub async fn take(&self, what: &Subject, amount: u32, limits: &[Ceiling], now: u64) -> Result<Usage, RedisError> {
        let keys: Vec<_> = limits.iter().map(|(window, _)| key(what, *window, now)).collect();
        if let Some(synced) = &self.synced {
            if let Some(usage) = synced.take(&keys, amount, limits) {
                return Ok(usage);
            }
            let (_, counts) = self.ask(&keys, 0, limits).await?;
            synced.learn(&keys, &counts, limits, now);
            if let Some(usage) = synced.take(&keys, amount, limits) {
                return Ok(usage);
            }
        }
        let (full, counts) = self.ask(&keys, amount, limits).await?;
        let mut usage = Usage { refused_by: full, ..Usage::default() };
        for ((window, _), count) in limits.iter().zip(counts) {
            usage.used[*window as usize] = u32::try_from(count.max(0)).unwrap_or(u32::MAX);
        }
        Ok(usage)
    }

    /// The window that is full, and what there is in each of them.
    async fn ask(
        &self,
        keys: &[Vec<u8>],
        amount: u32,
        limits: &[Ceiling],
    ) -> Result<(Option<Window>, Vec<i64>), RedisError> {
        let mut arguments = vec![amount.to_string()];
        for (window, limit) in limits {
            arguments.extend([limit.to_string(), window.longest().to_string()]);
        }
        let mut counts: Vec<i64> = from_redis_value(self.redis.run(&self.take, keys, &arguments).await?)?;
        if counts.len() != keys.len() + 1 {
            return Err(RedisError::Unexpected("another number of counters".to_owned()));
        }
        let full = usize::try_from(counts.remove(0) - 1).ok().and_then(|at| limits.get(at));
        Ok((full.map(|(window, _)| *window), counts))
    }
}

/// Kong's name for a counter.
fn key(what: &Subject, window: Window, now: u64) -> Vec<u8> {
    let mut key = format!("{}:{}:{}:", what.prefix, what.route, what.service).into_bytes();
    key.extend_from_slice(&what.identifier);
    key.extend_from_slice(format!(":{}:", window.start(now) * 1_000).as_bytes());
    if let Some(name) = &what.name {
        key.extend_from_slice(format!("{name}:").as_bytes());
    }
    key.extend_from_slice(window.name().as_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::Config;
    use sdk::entities::Uuid;
    use sdk::testing::RedisServer;
    use serde_json::json;

    /// 2024-02-29 12:00:30.
    const NOW: u64 = 1_709_208_030;

    fn subject() -> Subject {
        Subject {
            prefix: "ratelimit",
            route: Uuid::from_u128(1),
            service: Uuid::nil(),
            identifier: b"10.0.0.1".to_vec(),
            name: None,
        }
    }

    /// The counters of another node each time.
    fn counters(server: &RedisServer, period: Option<Duration>) -> RedisCounters {
        let record = server.record(json!({}));
        let settings = RedisSettings::read(&Config::new(record.as_object().unwrap())).unwrap();
        RedisCounters::new(&Env::default(), settings, period)
    }

    #[tokio::test]
    async fn keys_are_kongs() {
        let server = RedisServer::start();
        let limits = [(Window::Minute, 5), (Window::Year, 9)];
        counters(&server, None).take(&subject(), 1, &limits, NOW).await.unwrap();
        let id = "00000000-0000-0000-0000-00000000000";
        assert_eq!(
            server.keys(),
            [
                format!("ratelimit:{id}1:{id}0:10.0.0.1:1704067200000:year"),
                format!("ratelimit:{id}1:{id}0:10.0.0.1:1709208000000:minute"),
            ]
        );
        let named = Subject { prefix: "response-ratelimit", name: Some("video".to_owned()), ..subject() };
        counters(&server, None).take(&named, 1, &limits[..1], NOW).await.unwrap();
        let key = format!("response-ratelimit:{id}1:{id}0:10.0.0.1:1709208000000:video:minute");
        assert!(server.keys().contains(&key), "{:?}", server.keys());
        assert_eq!(server.text(&["TTL", &key]), "60");
    }

    #[tokio::test]
    async fn a_full_window_refuses_and_leaves_the_others_alone() {
        let server = RedisServer::start();
        let counters = counters(&server, None);
        let limits = [(Window::Minute, 2), (Window::Hour, 10)];
        for before in 0..2 {
            let usage = counters.take(&subject(), 1, &limits, NOW).await.unwrap();
            assert_eq!(usage, Usage { used: [0, before, before, 0, 0, 0], refused_by: None });
        }
        let refused = Usage { used: [0, 2, 2, 0, 0, 0], refused_by: Some(Window::Minute) };
        assert_eq!(counters.take(&subject(), 1, &limits, NOW).await, Ok(refused));
        assert_eq!(counters.take(&subject(), 1, &limits, NOW).await, Ok(refused));
    }

    #[tokio::test]
    async fn two_nodes_let_exactly_the_limit_through() {
        let server = RedisServer::start();
        let nodes = [counters(&server, None), counters(&server, None)];
        let limits = [(Window::Minute, 20)];
        let subject = subject();
        let takes = (0..200).map(|n| nodes[n % 2].take(&subject, 1, &limits, NOW));
        let taken = futures_util::future::join_all(takes).await;
        let through = taken.iter().filter(|usage| usage.as_ref().unwrap().refused_by.is_none()).count();
        assert_eq!(through, 20);
    }

    #[tokio::test]
    async fn counts_are_told_every_now_and_then() {
        let server = RedisServer::start();
        let (one, other) = (counters(&server, Some(Duration::MAX)), counters(&server, None));
        let limits = [(Window::Minute, 5)];
        other.take(&subject(), 2, &limits, NOW).await.unwrap();
        for before in 2..5 {
            let usage = one.take(&subject(), 1, &limits, NOW).await.unwrap();
            assert_eq!(usage.used[1], before);
            assert_eq!(usage.refused_by, None);
        }
        assert_eq!(one.take(&subject(), 1, &limits, NOW).await.unwrap().refused_by, Some(Window::Minute));
        assert_eq!(other.take(&subject(), 0, &limits, NOW).await.unwrap().used[1], 2);
        one.synced.as_ref().unwrap().tell(NOW).await;
        assert_eq!(other.take(&subject(), 0, &limits, NOW).await.unwrap().used[1], 5);
    }
}
