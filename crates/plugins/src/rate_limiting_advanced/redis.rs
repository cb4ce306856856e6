//! Rates that nodes share in a Redis: for each window a hash by its start, its size and the namespace, with a field for
//! each caller, as Kong names them.

use super::rule::{Rate, Rule};
use sdk::redis::{Redis, RedisError, RedisScript, RedisSettings, from_redis_value};
use sdk::{Config, Env};

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

/// A Redis that counts.
pub struct RedisRates {
    redis: Redis,
    count: RedisScript,
}

impl RedisRates {
    /// Rates in the Redis of that record.
    pub fn new(env: &Env, record: &Config<'_>) -> Result<RedisRates, String> {
        Ok(RedisRates { redis: Redis::new(env, RedisSettings::read(record)?), count: RedisScript::new(COUNT) })
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
        // Callers may be octets that are no text.
        let field = caller.escape_ascii().to_string();
        let mut arguments = vec![field, u8::from(penalty).to_string()];
        for rule in rules {
            let before_ms = now_ms.saturating_sub((rule.size * 1_000.0) as u64);
            keys.extend([now_ms, before_ms].map(|time| self.key(rule.start(time), rule, namespace)));
            let kept = (2.0 * rule.size).ceil() as u64;
            arguments.extend([rule.limit.to_string(), rule.span(now_ms).weight.to_string(), kept.to_string()]);
        }
        let answer: Vec<i64> = from_redis_value(self.redis.run(&self.count, &keys, &arguments).await?)?;
        let (full, counts) = answer.split_first().ok_or_else(|| RedisError::Unexpected("nothing".to_owned()))?;
        let rates = rules.iter().zip(counts.chunks_exact(2)).enumerate().map(|(at, (rule, counts))| Rate {
            used: counts[0] as f64 + counts[1] as f64 * rule.span(now_ms).weight,
            refuses: usize::try_from(*full).is_ok_and(|full| full == at + 1),
        });
        Ok(rates.collect())
    }

    fn key(&self, start: u64, rule: &Rule, namespace: &str) -> Vec<u8> {
        // A cluster keeps together what has the same text in braces.
        if self.redis.is_cluster() {
            format!("{start}:{}:{{{namespace}}}", rule.size).into_bytes()
        } else {
            format!("{start}:{}:{namespace}", rule.size).into_bytes()
        }
    }
}
