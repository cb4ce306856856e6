//! What nodes share of their counts: in a Redis, for each window a hash by its start, its size and the namespace with a
//! field for each caller, as Kong names them; or in the database, as counters.

use super::rule::{Rate, Rule};
use sdk::redis::{Redis, RedisError, RedisScript, RedisSettings, from_redis_value};
use sdk::{Addition, Config, Counter, Env, Records, entities::Uuid};
use std::time::Duration;

/// Keys are the hashes of each rule's window and of the one before; arguments the field, whether refused requests count
/// (1), and for each rule its limit, the weight of the window before and how long a hash is kept. Counts a request,
/// and answers the number of the rule that refuses it (0: none) and both counts of each.
const COUNT: &str = "\
local field, penalty, full, counts = ARGV[1], ARGV[2] == '1', 0, {}
for at = 1, #KEYS, 2 do
  local rule = (at + 1) / 2
  counts[at] = tonumber(redis.call('HGET', KEYS[at], field) or 0)
  counts[at + 1] = tonumber(redis.call('HGET', KEYS[at + 1], field) or 0)
  local rate = counts[at] + counts[at + 1] * tonumber(ARGV[3 * rule + 1])
  if full == 0 and rate + 1 > tonumber(ARGV[3 * rule]) then full = rule end
end
for at = 1, #KEYS, 2 do
  local rule = (at + 1) / 2
  if full == 0 or penalty and rule <= full then
    counts[at] = redis.call('HINCRBY', KEYS[at], field, 1)
    redis.call('EXPIRE', KEYS[at], ARGV[3 * rule + 2])
  end
end
table.insert(counts, 1, full)
return counts";

/// The key is the hash of a window; arguments are how long it is kept, and pairs of a field and what is added to it.
/// Answers what there is then.
const POST: &str = "\
local totals = {}
for at = 2, #ARGV, 2 do
  local amount = tonumber(ARGV[at + 1])
  if amount == 0 then
    totals[at / 2] = tonumber(redis.call('HGET', KEYS[1], ARGV[at]) or 0)
  else
    totals[at / 2] = redis.call('HINCRBY', KEYS[1], ARGV[at], amount)
    redis.call('EXPIRE', KEYS[1], ARGV[1])
  end
end
return totals";

/// The entity of the counters that nodes keep in the database.
const ENTITY: &str = "ratelimiting_metrics";

/// Where nodes share counts.
pub enum Ledger {
    Redis(RedisLedger),
    Database(Records),
}

/// A Redis that counts.
pub struct RedisLedger {
    redis: Redis,
    count: RedisScript,
    post: RedisScript,
}

/// A caller's requests in one window, by the names that all nodes have for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Account {
    pub namespace: String,
    /// In seconds, as a text: sizes may have fractions.
    pub size: String,
    /// When the window began, in seconds since 1970.
    pub start: u64,
    /// How long it is kept, in seconds.
    pub kept: u64,
    pub caller: String,
}

impl Account {
    /// The account of a caller under a rule, at a time in milliseconds since 1970.
    pub fn of(namespace: &str, rule: &Rule, caller: &[u8], now_ms: u64) -> Account {
        Account {
            namespace: namespace.to_owned(),
            size: rule.size.to_string(),
            start: rule.start(now_ms),
            kept: (2.0 * rule.size).ceil() as u64,
            // Callers may be octets that are no text.
            caller: caller.escape_ascii().to_string(),
        }
    }

    fn counter(&self) -> Counter {
        Counter {
            entity: ENTITY,
            identifier: format!("{}:{}", self.namespace, self.caller),
            period: format!("window_{}", self.size),
            began: (self.start * 1_000) as i64,
            service: Uuid::nil(),
            route: Uuid::nil(),
        }
    }
}

impl Ledger {
    /// Adds to accounts, and says what is in each of them then.
    pub async fn post(&self, postings: &[(Account, i64)]) -> Result<Vec<i64>, String> {
        match self {
            Ledger::Redis(ledger) => ledger.post(postings).await.map_err(|error| error.to_string()),
            Ledger::Database(records) => {
                let addition = |(account, amount): &(Account, i64)| Addition {
                    counter: account.counter(),
                    amount: *amount,
                    kept: Duration::from_secs(account.kept),
                };
                let additions: Vec<_> = postings.iter().filter(|(_, amount)| *amount > 0).map(addition).collect();
                if !additions.is_empty() {
                    records.add(additions).await.map_err(|error| error.to_string())?;
                }
                let counters = postings.iter().map(|(account, _)| account.counter()).collect();
                records.counts(counters).await.map_err(|error| error.to_string())
            }
        }
    }
}

impl RedisLedger {
    /// The Redis of that record.
    pub fn new(env: &Env, record: &Config<'_>) -> Result<RedisLedger, String> {
        let redis = Redis::new(env, RedisSettings::read(record)?);
        Ok(RedisLedger { redis, count: RedisScript::new(COUNT), post: RedisScript::new(POST) })
    }

    /// Counts a request for all rules at once.
    pub async fn count(
        &self,
        namespace: &str,
        caller: &[u8],
        rules: &[Rule],
        penalty: bool,
        now_ms: u64,
    ) -> Result<Vec<Rate>, RedisError> {
        let mut keys = Vec::with_capacity(rules.len() * 2);
        let mut arguments = vec![caller.escape_ascii().to_string(), u8::from(penalty).to_string()];
        for rule in rules {
            let account = Account::of(namespace, rule, caller, now_ms);
            let before = rule.start(now_ms.saturating_sub((rule.size * 1_000.0) as u64));
            keys.extend([self.key(&account), self.key(&Account { start: before, ..account.clone() })]);
            arguments.extend([rule.limit.to_string(), rule.span(now_ms).weight.to_string(), account.kept.to_string()]);
        }
        let answer: Vec<i64> = from_redis_value(self.redis.run(&self.count, &keys, &arguments).await?)?;
        let (full, counts) = answer.split_first().ok_or_else(|| RedisError::Unexpected("nothing".to_owned()))?;
        let rates = rules.iter().zip(counts.chunks_exact(2)).enumerate().map(|(at, (rule, counts))| Rate {
            used: counts[0] as f64 + counts[1] as f64 * rule.span(now_ms).weight,
            refuses: usize::try_from(*full).is_ok_and(|full| full == at + 1),
        });
        Ok(rates.collect())
    }

    async fn post(&self, postings: &[(Account, i64)]) -> Result<Vec<i64>, RedisError> {
        let mut totals = vec![0; postings.len()];
        let mut order: Vec<usize> = (0..postings.len()).collect();
        // A script has one hash: what nodes of a cluster keep may be anywhere.
        let key = |at: &usize| self.key(&postings[*at].0);
        order.sort_by_cached_key(key);
        for same in order.chunk_by(|a, b| key(a) == key(b)) {
            let mut arguments = vec![postings[same[0]].0.kept.to_string()];
            for at in same {
                arguments.extend([postings[*at].0.caller.clone(), postings[*at].1.to_string()]);
            }
            let answer = self.redis.run(&self.post, &[key(&same[0])], &arguments).await?;
            for (at, total) in same.iter().zip(from_redis_value::<Vec<i64>>(answer)?) {
                totals[*at] = total;
            }
        }
        Ok(totals)
    }

    fn key(&self, account: &Account) -> Vec<u8> {
        let Account { namespace, size, start, .. } = account;
        // A cluster keeps together what has the same text in braces.
        if self.redis.is_cluster() {
            format!("{start}:{size}:{{{namespace}}}").into_bytes()
        } else {
            format!("{start}:{size}:{namespace}").into_bytes()
        }
    }
}
