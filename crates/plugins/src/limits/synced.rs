//! Counts that are kept here and told to a Redis every now and then (`sync_rate`): requests seldom wait, and nodes know
//! of each other's with some delay.

use super::{Ceiling, Usage, Window};
use sdk::Env;
use sdk::redis::{Redis, RedisError, RedisScript, RedisSettings, from_redis_value};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// For each key an amount and the seconds that it is kept: adds them, and answers what there is then.
const ADD: &str = "\
local counts = {}
for at, key in ipairs(KEYS) do
  counts[at] = redis.call('INCRBY', key, ARGV[2 * at - 1])
  if redis.call('TTL', key) < 0 then redis.call('EXPIRE', key, ARGV[2 * at]) end
end
return counts";

/// Keys that are told at once.
const BATCH: usize = 500;

/// The counters that this node shares with a Redis.
pub struct Synced {
    entries: papaya::HashMap<Vec<u8>, Arc<Entry>, foldhash::quality::RandomState>,
    /// What the keys take in memory.
    octets: AtomicUsize,
    redis: Redis,
    add: RedisScript,
}

struct Entry {
    window: Window,
    until: u32,
    /// What the Redis had when it was asked last.
    known: AtomicI64,
    /// What it has not been told yet.
    untold: AtomicI64,
}

/// The counters of a node, by where and how often they are told. They outlive changes of the configuration.
#[derive(Default)]
struct Registry(Mutex<Vec<(RedisSettings, Duration, Weak<Synced>)>>);

impl Synced {
    /// What keys and entries may take in memory, in octets; beyond that, each request asks the Redis.
    const MEMORY: usize = 64 << 20;

    /// The counters with that Redis that are told so often.
    pub fn of(env: &Env, settings: RedisSettings, redis: &Redis, period: Duration) -> Arc<Synced> {
        let registry: Arc<Registry> = env.shared();
        let mut known = registry.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(_, _, synced)| synced.strong_count() > 0);
        let same = known.iter().find(|(of, every, _)| *of == settings && *every == period);
        if let Some(synced) = same.and_then(|(_, _, synced)| synced.upgrade()) {
            return synced;
        }
        let synced = Arc::new(Synced {
            entries: papaya::HashMap::default(),
            octets: AtomicUsize::new(0),
            redis: redis.clone(),
            add: RedisScript::new(ADD),
        });
        known.push((settings, period, Arc::downgrade(&synced)));
        let (told, stopping) = (Arc::downgrade(&synced), env.tasks().stopping());
        env.tasks().spawn("counters for Redis", async move {
            loop {
                let ended = stopping.run_until_cancelled(tokio::time::sleep(period)).await.is_none();
                let Some(synced) = told.upgrade() else { break };
                synced.tell(now()).await;
                if ended {
                    break;
                }
            }
        });
        synced
    }

    /// Counts here; `None` when not all keys are known.
    pub fn take(&self, keys: &[Vec<u8>], amount: u32, limits: &[Ceiling]) -> Option<Usage> {
        let entries = self.entries.pin();
        let mut usage = Usage::default();
        let mut found = Vec::with_capacity(keys.len());
        for (key, (window, limit)) in keys.iter().zip(limits) {
            let entry = entries.get(key)?;
            let used = u32::try_from((entry.known.load(SeqCst) + entry.untold.load(SeqCst)).max(0));
            let used = used.unwrap_or(u32::MAX);
            usage.used[*window as usize] = used;
            if used >= *limit {
                usage.refused_by = usage.refused_by.or(Some(*window));
            }
            found.push((entry, *window, *limit));
        }
        if usage.refused_by.is_none() {
            for (at, (entry, window, limit)) in found.iter().enumerate() {
                let before = entry.untold.fetch_add(i64::from(amount), SeqCst) + entry.known.load(SeqCst);
                if before >= i64::from(*limit) {
                    // Somebody else was faster.
                    usage.refused_by = Some(*window);
                    for (entry, _, _) in &found[..=at] {
                        entry.untold.fetch_sub(i64::from(amount), SeqCst);
                    }
                    break;
                }
            }
        }
        Some(usage)
    }

    /// Takes over what the Redis knows of keys, those that are here already aside.
    pub fn learn(&self, keys: &[Vec<u8>], counts: &[i64], limits: &[Ceiling], now: u64) {
        let entries = self.entries.pin();
        for ((key, count), (window, _)) in keys.iter().zip(counts).zip(limits) {
            if self.octets.load(SeqCst) >= Synced::MEMORY {
                return;
            }
            let (until, known) = (window.until(now), AtomicI64::new(*count));
            let entry = Entry { window: *window, until, known, untold: AtomicI64::new(0) };
            if entries.try_insert(key.clone(), Arc::new(entry)).is_ok() {
                self.octets.fetch_add(size(key), SeqCst);
            }
        }
    }

    /// Tells the Redis what was counted here, and learns what others have. What nobody has used since, or whose window
    /// is over, is forgotten; what cannot be told is kept for the next time.
    pub async fn tell(&self, now: u64) {
        let mut untold = Vec::new();
        {
            let entries = self.entries.pin();
            for (key, entry) in &entries {
                match entry.untold.load(SeqCst) {
                    0 => {
                        // A request that counts just now is lost: that much may be off between two rounds anyway.
                        entries.remove(key);
                        self.octets.fetch_sub(size(key), SeqCst);
                    }
                    amount => untold.push((key.clone(), Arc::clone(entry), amount)),
                }
            }
        }
        for batch in untold.chunks(BATCH) {
            if let Err(error) = self.tell_some(batch).await {
                tracing::error!("rate-limiting: failed to tell Redis of counters: {error}");
                self.forget_what_is_over(now);
                return;
            }
        }
    }

    async fn tell_some(&self, batch: &[(Vec<u8>, Arc<Entry>, i64)]) -> Result<(), RedisError> {
        let mut arguments = Vec::with_capacity(batch.len() * 2);
        for (_, entry, amount) in batch {
            arguments.extend([amount.to_string(), entry.window.longest().to_string()]);
        }
        let keys: Vec<_> = batch.iter().map(|(key, _, _)| key.clone()).collect();
        let counts: Vec<i64> = from_redis_value(self.redis.run(&self.add, &keys, &arguments).await?)?;
        for ((_, entry, amount), count) in batch.iter().zip(counts) {
            entry.known.store(count, SeqCst);
            entry.untold.fetch_sub(*amount, SeqCst);
        }
        Ok(())
    }

    fn forget_what_is_over(&self, now: u64) {
        let entries = self.entries.pin();
        for (key, entry) in &entries {
            if u64::from(entry.until) <= now {
                entries.remove(key);
                self.octets.fetch_sub(size(key), SeqCst);
            }
        }
    }
}

fn size(key: &[u8]) -> usize {
    key.len() + size_of::<Entry>() + 96
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
