//! Attempts to log in that have failed, by user names: who has failed too often has to wait, longer each time.

use papaya::HashMap;
use sdk::redis::{Redis, RedisError, RedisScript, RedisSettings, from_redis_value};
use sdk::{Addition, Config, Counter, Env, Question, Records, entities::Uuid};
use std::sync::Arc;
use std::time::Duration;

/// Where failures are counted.
pub struct Attempts {
    place: Place,
    here: Arc<LocalAttempts>,
}

enum Place {
    Node,
    Redis(Box<RedisAttempts>),
    Database(Records),
}

/// What a node counts. It outlives changes of the configuration.
#[derive(Default)]
struct LocalAttempts(HashMap<Question, Failures>);

/// How often a user has failed, and until when that counts, in Unix seconds.
#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    until: u64,
}

struct RedisAttempts {
    redis: Redis,
    look: RedisScript,
    add: RedisScript,
}

/// So many failures are free.
const FREE: u32 = 3;
/// The longest wait, in seconds.
const LONGEST: u64 = 3600;
/// So many users are remembered on a node, with some 100 octets each.
const MOST: usize = 100_000;

/// Answers how often a user has failed, and for how many seconds that counts.
const LOOK: &str = "return { tonumber(redis.call('GET', KEYS[1]) or 0), redis.call('TTL', KEYS[1]) }";
/// Adds a failure; the argument is the longest wait. Answers the same.
const ADD: &str = "\
local count = redis.call('INCR', KEYS[1])
local wait = math.min(2 ^ math.min(count, 30), tonumber(ARGV[1]))
redis.call('EXPIRE', KEYS[1], wait)
return { count, wait }";

/// The entity of the counters that nodes keep in the database.
const ENTITY: &str = "ratelimiting_metrics";

impl Attempts {
    /// As `brute_force_protection` says, and why not quite so; `None`: nobody waits.
    pub fn configure(config: &Config<'_>, env: &Env) -> Result<Option<(Attempts, Option<String>)>, String> {
        let (mut degraded, records) = (None, env.records());
        let place = match config.text("strategy") {
            Some("memory") => Place::Node,
            Some("redis") => {
                let redis = Redis::new(env, RedisSettings::read(&config.section("redis"))?);
                let (look, add) = (RedisScript::new(LOOK), RedisScript::new(ADD));
                Place::Redis(Box::new(RedisAttempts { redis, look, add }))
            }
            Some("cluster") => match records.read_only() {
                None => Place::Database(records.clone()),
                Some(why) => {
                    degraded = Some(format!("brute_force_protection counts on this node only: {why}"));
                    Place::Node
                }
            },
            _ => return Ok(None),
        };
        Ok(Some((Attempts { place, here: env.shared() }, degraded)))
    }

    /// For how many seconds a user has to wait; `None`: not at all. An attempt meanwhile is a failed one whatever its
    /// password, so that nobody learns whether that is right.
    pub async fn wait(&self, workspace: Uuid, username: &[u8], now: u64) -> Option<u64> {
        let count = match &self.place {
            Place::Node => Ok(self.here.count(workspace, username, now)),
            Place::Redis(redis) => {
                let found = redis.run(&redis.look, workspace, username).await;
                found.map(|(count, _)| count).map_err(|error| error.to_string())
            }
            Place::Database(records) => count(records, workspace, username).await,
        };
        let count = count.unwrap_or_else(|error| {
            self.tell(&error);
            self.here.count(workspace, username, now)
        });
        if count < FREE { None } else { Some(self.add(workspace, username, now).await) }
    }

    /// Counts a failure: for how many seconds it counts.
    pub async fn add(&self, workspace: Uuid, username: &[u8], now: u64) -> u64 {
        let added = match &self.place {
            Place::Node => Ok(self.here.add(workspace, username, now)),
            Place::Redis(redis) => {
                let found = redis.run(&redis.add, workspace, username).await;
                found.map(|(_, left)| left).map_err(|error| error.to_string())
            }
            Place::Database(records) => add(records, workspace, username).await,
        };
        added.unwrap_or_else(|error| {
            self.tell(&error);
            self.here.add(workspace, username, now)
        })
    }

    /// As Kong: while others cannot be asked, this node counts by itself.
    fn tell(&self, error: &str) {
        tracing::error!("basic-auth: failed attempts are counted on this node only: {error}");
    }
}

impl LocalAttempts {
    fn count(&self, workspace: Uuid, username: &[u8], now: u64) -> u32 {
        let failures = self.0.pin().get(&question(workspace, username)).copied();
        failures.filter(|known| known.until > now).map_or(0, |known| known.count)
    }

    fn add(&self, workspace: Uuid, username: &[u8], now: u64) -> u64 {
        let all = self.0.pin();
        if all.len() >= MOST {
            all.retain(|_, known| known.until > now);
            // Whoever fills the table with names fails once with most of them.
            if all.len() >= MOST {
                all.retain(|_, known| known.count >= FREE);
            }
            if all.len() >= MOST {
                all.clear();
            }
        }
        let one_more = |known: Option<&Failures>| {
            let count = known.filter(|known| known.until > now).map_or(0, |known| known.count).saturating_add(1);
            Failures { count, until: now + wait(count) }
        };
        let key = question(workspace, username);
        all.update_or_insert(key, |known| one_more(Some(known)), one_more(None)).until - now
    }
}

impl RedisAttempts {
    async fn run(&self, script: &RedisScript, workspace: Uuid, username: &[u8]) -> Result<(u32, u64), RedisError> {
        let key = format!("basic-auth:failures:{workspace}:{}", username.escape_ascii()).into_bytes();
        let answer: Vec<i64> = from_redis_value(self.redis.run(script, &[key], &[LONGEST.to_string()]).await?)?;
        match answer[..] {
            [count, left] => Ok((count.try_into().unwrap_or(0), left.try_into().unwrap_or(0))),
            _ => Err(RedisError::Unexpected("no count of failures".to_owned())),
        }
    }
}

async fn count(records: &Records, workspace: Uuid, username: &[u8]) -> Result<u32, String> {
    let counts = records.counts(vec![counter(workspace, username)]).await.map_err(|error| error.to_string())?;
    Ok(counts.first().map_or(0, |count| u32::try_from(*count).unwrap_or(0)))
}

async fn add(records: &Records, workspace: Uuid, username: &[u8]) -> Result<u64, String> {
    let wait = wait(count(records, workspace, username).await?.saturating_add(1));
    let addition = Addition { counter: counter(workspace, username), amount: 1, kept: Duration::from_secs(wait) };
    records.add(vec![addition]).await.map_err(|error| error.to_string())?;
    Ok(wait)
}

fn counter(workspace: Uuid, username: &[u8]) -> Counter {
    Counter {
        entity: ENTITY,
        identifier: username.escape_ascii().to_string(),
        period: "basic_auth_failures".to_owned(),
        began: 0,
        service: workspace,
        route: Uuid::nil(),
    }
}

/// How long so many failures count, in seconds.
fn wait(count: u32) -> u64 {
    (1_u64 << count.min(30)).min(LONGEST)
}

fn question(workspace: Uuid, username: &[u8]) -> Question {
    Question::of(&[b"basic-auth failures", workspace.as_bytes(), username])
}
