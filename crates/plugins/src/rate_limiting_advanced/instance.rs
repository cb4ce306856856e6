//! An instance: counts requests, and refuses those that are too many.

use super::identifier::Identifier;
use super::ledger::{Account, Ledger, RedisLedger};
use super::rule::{self, Rate, Rule, Terms};
use super::synced::SyncedRates;
use super::throttle::Throttle;
use crate::limits::{Counters, Key, Who};
use sdk::redis::RedisSettings;
use sdk::{Answer, Config, Env, Exchange, Phases, Plugin, Records, Step, Tasks, entities};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// A configured `rate-limiting-advanced` or `service-protection`.
pub struct Instance {
    pub degraded: Option<String>,
    counters: Arc<Counters>,
    sharing: Sharing,
    throttle: Option<Throttle>,
    tasks: Tasks,
    terms: Terms,
    /// The names or ids of groups whose consumers may have terms of their own; the first that does counts.
    pub groups: Vec<String>,
    /// Counters belong to it; plugins with the same one share them.
    namespace: String,
    identifiers: Vec<Identifier>,
    /// Refused requests count too.
    penalty: bool,
    hide_headers: bool,
    error_code: u16,
    error_message: String,
}

/// How nodes count together.
enum Sharing {
    Nothing,
    /// The Redis counts each request.
    Redis(RedisLedger),
    /// The database is asked before each request and told afterwards.
    Database(Records),
    /// They tell each other every now and then.
    Synced(Arc<SyncedRates>),
}

impl Instance {
    /// An instance that tells callers apart by that.
    pub fn configure(config: &Config<'_>, env: &Env, identifiers: Vec<Identifier>) -> Result<Instance, String> {
        let (sharing, degraded) = Sharing::configure(config, env)?;
        Ok(Instance {
            degraded,
            counters: env.shared(),
            sharing,
            throttle: Throttle::read(config, env),
            tasks: env.tasks().clone(),
            terms: Terms::read(config)?,
            groups: Vec::new(),
            namespace: config.text("namespace").unwrap_or_default().to_owned(),
            identifiers,
            penalty: !config.flag("disable_penalty"),
            hide_headers: config.flag("hide_client_headers"),
            error_code: config.integer("error_code").unwrap_or(429),
            error_message: config.text("error_message").unwrap_or("API rate limit exceeded").to_owned(),
        })
    }

    /// Whose requests this one is counted with.
    fn caller(&self, exchange: &Exchange) -> Vec<u8> {
        let names: Vec<_> = self.identifiers.iter().map(|identifier| identifier.of(exchange)).collect();
        names.join(&b':')
    }

    /// What the caller may do: what its groups say, or what all may.
    fn terms(&self, exchange: &Exchange) -> Cow<'_, Terms> {
        if self.groups.is_empty() {
            return Cow::Borrowed(&self.terms);
        }
        let of_caller = exchange.consumer_groups();
        let rates = self.groups.iter().find_map(|named| {
            let group = of_caller.iter().find(|group| group.name == *named || group.id.to_string() == *named);
            group.and_then(|group| group.rates.as_ref())
        });
        rates.map_or(Cow::Borrowed(&self.terms), |rates| Cow::Owned(Terms::of(rates)))
    }

    /// Counts a request that has to wait for it, or for there to be room.
    async fn limit(
        &self,
        exchange: &mut Exchange,
        terms: Cow<'_, Terms>,
        caller: Vec<u8>,
        counted: Option<Vec<Rate>>,
    ) -> Step<'static> {
        let rules = &terms.rules;
        let mut now_ms = now_ms(exchange);
        let mut rates = match counted {
            Some(rates) => rates,
            None => self.ask(rules, &caller, now_ms).await,
        };
        if refused(&rates)
            && let Some(throttle) = &self.throttle
            && let Some(_place) = throttle.enter(&self.namespace, &caller, now_ms / 1_000)
        {
            for _ in 0..throttle.retries {
                let waited = self.tasks.call("a throttled request", tokio::time::sleep(throttle.interval)).await;
                if waited.is_none() {
                    break;
                }
                now_ms = self::now_ms(exchange);
                rates = self.ask(rules, &caller, now_ms).await;
                if !refused(&rates) {
                    break;
                }
            }
        }
        self.decide(exchange, &terms, &rates, now_ms)
    }

    /// Counts a request wherever that is to be done. As Kong: while others cannot be asked, this node counts by itself.
    async fn ask(&self, rules: &[Rule], caller: &[u8], now_ms: u64) -> Vec<Rate> {
        match &self.sharing {
            Sharing::Nothing | Sharing::Synced(_) => {}
            Sharing::Redis(ledger) => match ledger.count(&self.namespace, caller, rules, self.penalty, now_ms).await {
                Ok(rates) => return rates,
                Err(error) => tracing::error!("rate-limiting-advanced: counting on this node only: {error}"),
            },
            Sharing::Database(records) => {
                if let Err(error) = self.learn(records, rules, caller, now_ms).await {
                    tracing::error!("rate-limiting-advanced: counting on this node only: {error}");
                }
            }
        }
        self.count(rules, caller, now_ms)
    }

    /// Takes over what the database knows of a caller, where that is more than this node does.
    async fn learn(&self, records: &Records, rules: &[Rule], caller: &[u8], now_ms: u64) -> Result<(), String> {
        let windows = |rule: &Rule| {
            let before_ms = now_ms.saturating_sub((rule.size * 1_000.0) as u64);
            [now_ms, before_ms].map(|at| (rule.span(at), Account::of(&self.namespace, rule, caller, at)))
        };
        let windows: Vec<_> = rules.iter().flat_map(windows).collect();
        let postings: Vec<_> = windows.iter().map(|(_, account)| (account.clone(), 0)).collect();
        let totals = Ledger::Database(records.clone()).post(&postings).await?;
        for (at, ((span, _), total)) in windows.iter().zip(totals).enumerate() {
            let key = self.key(&rules[at / 2], caller);
            self.counters.raise(&key, u32::try_from(total).unwrap_or(0), *span, now_ms / 1_000);
        }
        Ok(())
    }

    /// Counts a request on this node: the rates up to now. The first rule that refuses it ends it for those after.
    fn count(&self, rules: &[Rule], caller: &[u8], now_ms: u64) -> Vec<Rate> {
        let now = now_ms / 1_000;
        let mut rates = Vec::with_capacity(rules.len());
        let mut refused = None;
        let keys: Vec<_> = rules.iter().map(|rule| self.key(rule, caller)).collect();
        for (at, (rule, key)) in rules.iter().zip(&keys).enumerate() {
            let span = rule.span(now_ms);
            let ceiling = (!self.penalty).then_some(rule.limit);
            let slide = self.counters.slide(key, u32::from(refused.is_none()), span, now, ceiling);
            let exceeded = if self.penalty { slide.rate > rule.limit } else { !slide.added };
            let refuses = refused.is_none() && exceeded;
            if refuses {
                refused = Some(at);
            }
            rates.push(Rate { used: slide.rate, refuses });
        }
        let counted = match refused {
            None => rules.len(),
            Some(at) if self.penalty => at + 1,
            Some(at) => {
                for (rule, key) in rules.iter().zip(&keys).take(at) {
                    self.counters.slide_back(key, 1, rule.span(now_ms));
                }
                0
            }
        };
        self.tell_others(rules, &keys[..counted], caller, now_ms);
        rates
    }

    /// Has the other nodes know of a request that was counted here under the first rules.
    fn tell_others(&self, rules: &[Rule], keys: &[Key], caller: &[u8], now_ms: u64) {
        let accounts = rules.iter().map(|rule| Account::of(&self.namespace, rule, caller, now_ms));
        match &self.sharing {
            Sharing::Nothing | Sharing::Redis(_) => {}
            Sharing::Synced(synced) => {
                for ((key, rule), account) in keys.iter().zip(rules).zip(accounts) {
                    synced.note(account, key, rule.span(now_ms));
                }
            }
            Sharing::Database(records) => {
                let postings: Vec<_> = accounts.take(keys.len()).map(|account| (account, 1)).collect();
                let ledger = Ledger::Database(records.clone());
                self.tasks.spawn("counting in the database", async move {
                    if let Err(error) = ledger.post(&postings).await {
                        tracing::error!("rate-limiting-advanced: a request is not counted in the database: {error}");
                    }
                });
            }
        }
    }

    fn key(&self, rule: &Rule, caller: &[u8]) -> Key {
        let size = rule.size.to_string();
        let parts = [b"rate\0", self.namespace.as_bytes(), b"\0", size.as_bytes(), b"\0", caller];
        Key { route: entities::Uuid::nil(), service: entities::Uuid::nil(), who: Who::of(&parts.concat()) }
    }

    fn decide(&self, exchange: &mut Exchange, terms: &Terms, rates: &[Rate], now_ms: u64) -> Step<'static> {
        let refused = refused(rates);
        if !self.hide_headers {
            tell(exchange, terms, rates, refused, now_ms);
        }
        if refused { Step::Answer(Answer::error(exchange, self.error_code, &self.error_message)) } else { Step::Next }
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        Phases::ACCESS
    }

    fn degraded(&self) -> Option<String> {
        self.degraded.clone()
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let caller = self.caller(exchange);
        let terms = self.terms(exchange);
        if matches!(self.sharing, Sharing::Redis(_) | Sharing::Database(_)) {
            return Step::Wait(Box::pin(self.limit(exchange, terms, caller, None)));
        }
        let now_ms = exchange.timing.started_unix_ms;
        let rates = self.count(&terms.rules, &caller, now_ms);
        if refused(&rates) && self.throttle.is_some() {
            return Step::Wait(Box::pin(self.limit(exchange, terms, caller, Some(rates))));
        }
        self.decide(exchange, &terms, &rates, now_ms)
    }
}

impl Sharing {
    /// How a configuration has nodes count together, and why they do not where they cannot.
    fn configure(config: &Config<'_>, env: &Env) -> Result<(Sharing, Option<String>), String> {
        let rate = config.number("sync_rate").unwrap_or(-1.0);
        // Below zero, nodes do not tell each other.
        if rate < 0.0 {
            return Ok((Sharing::Nothing, None));
        }
        let period = Duration::try_from_secs_f64(rate).unwrap_or(Duration::MAX);
        let sharing = match config.text("strategy") {
            Some("redis") => {
                let record = config.section("redis");
                let ledger = RedisLedger::new(env, &record)?;
                if period.is_zero() {
                    Sharing::Redis(ledger)
                } else {
                    let place = Some(RedisSettings::read(&record)?);
                    Sharing::Synced(SyncedRates::of(env, place, period, Ledger::Redis(ledger)))
                }
            }
            Some("cluster") => {
                if let Some(why) = env.records().read_only() {
                    let alone = format!("strategy 'cluster' counts on this node only: {why}");
                    return Ok((Sharing::Nothing, Some(alone)));
                }
                let records = env.records().clone();
                if period.is_zero() {
                    Sharing::Database(records)
                } else {
                    Sharing::Synced(SyncedRates::of(env, None, period, Ledger::Database(records)))
                }
            }
            _ => Sharing::Nothing,
        };
        Ok((sharing, None))
    }
}

/// Two header lines per rule, and a summary of that with the least left (the longer of two).
fn tell(exchange: &mut Exchange, terms: &Terms, rates: &[Rate], refused: bool, now_ms: u64) {
    let mut summary: Option<(&Rule, f64, u64)> = None;
    for (rule, rate) in terms.rules.iter().zip(rates) {
        let remaining = (rule.limit - rate.used).floor().max(0.0);
        let (limit_name, remaining_name) = rule.headers();
        exchange.reply.set(&limit_name, rule.limit.to_string().as_bytes());
        exchange.reply.set(&remaining_name, remaining.to_string().as_bytes());
        let least =
            |(other, least, _): (&Rule, f64, u64)| remaining < least || remaining == least && rule.size > other.size;
        if rate.refuses || !refused && summary.is_none_or(least) {
            summary = Some((rule, remaining, rule.reset(now_ms, rate.used)));
        }
    }
    let Some((rule, remaining, reset)) = summary else { return };
    exchange.reply.set("RateLimit-Limit", rule.limit.to_string().as_bytes());
    exchange.reply.set("RateLimit-Remaining", remaining.to_string().as_bytes());
    exchange.reply.set("RateLimit-Reset", reset.to_string().as_bytes());
    if refused {
        let wait = reset + (terms.jitter * rule::fraction(exchange)) as u64;
        exchange.reply.set("Retry-After", wait.to_string().as_bytes());
    }
}

fn refused(rates: &[Rate]) -> bool {
    rates.iter().any(|rate| rate.refuses)
}

fn now_ms(exchange: &Exchange) -> u64 {
    exchange.timing.started_unix_ms + exchange.timing.started.elapsed().as_millis() as u64
}
