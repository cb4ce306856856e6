//! `rate-limiting-advanced` and `service-protection`: how many requests may come in windows of any length, fixed ones
//! or such that slide with the time. The former counts callers, the latter all requests for a service.

mod redis;
mod rule;

use crate::limits::{Counters, Key, Who};
use redis::RedisRates;
use rule::{Rate, Rule};
use sdk::{Answer, Config, Env, Exchange, Function, Phases, Plugin, PluginKind, Step, entities};
use serde_json::Value;
use std::sync::Arc;

/// The plugin as the gateway knows it.
pub struct RateLimitingAdvanced;

/// The same for services.
pub struct ServiceProtection;

struct Instance {
    counters: Arc<Counters>,
    redis: Option<RedisRates>,
    degraded: Option<String>,
    rules: Vec<Rule>,
    /// Counters belong to it; plugins with the same one share them.
    namespace: String,
    identifiers: Vec<Identifier>,
    /// Refused requests count too.
    penalty: bool,
    hide_headers: bool,
    /// Up to so many seconds are added to what refused callers are told to wait.
    jitter: f64,
    error_code: u16,
    error_message: String,
}

/// By what callers are told apart.
enum Identifier {
    Consumer,
    Credential,
    Address,
    Service,
    ConsumerGroup,
    Header(String),
    Path(String),
}

impl PluginKind for RateLimitingAdvanced {
    fn name(&self) -> &'static str {
        "rate-limiting-advanced"
    }

    fn priority(&self) -> i32 {
        910
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        FUNCTIONS
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let several = config.texts("compound_identifier");
        let names =
            if several.is_empty() { vec![config.text("identifier").unwrap_or("consumer").to_owned()] } else { several };
        let identifiers = names.iter().map(|name| Identifier::read(name, &config)).collect::<Result<_, _>>()?;
        let groups = config
            .flag("enforce_consumer_groups")
            .then(|| "enforce_consumer_groups has no effect: give a consumer group a plugin of its own".to_owned());
        let instance = Instance::configure(&config, env, identifiers)?;
        Ok(Box::new(Instance { degraded: instance.degraded.or(groups), ..instance }))
    }
}

impl PluginKind for ServiceProtection {
    fn name(&self) -> &'static str {
        "service-protection"
    }

    fn priority(&self) -> i32 {
        901
    }

    fn schema(&self) -> &'static str {
        include_str!("service_protection.json")
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        FUNCTIONS
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        Ok(Box::new(Instance::configure(&config, env, vec![Identifier::Service])?))
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
        match &self.redis {
            Some(redis) => Step::Wait(Box::pin(self.ask(redis, exchange, caller))),
            None => {
                let rates = self.count(&caller, exchange.timing.started_unix_ms);
                self.decide(exchange, &rates)
            }
        }
    }
}

impl Instance {
    fn configure(config: &Config<'_>, env: &Env, identifiers: Vec<Identifier>) -> Result<Instance, String> {
        let strategy = config.text("strategy").unwrap_or("local");
        // Below zero, nodes do not tell each other.
        let alone = config.number("sync_rate").is_some_and(|rate| rate < 0.0);
        let namespace = config.text("namespace").unwrap_or_default().to_owned();
        let redis = match strategy {
            "redis" if !alone => Some(RedisRates::new(env, &config.section("redis"))?),
            _ => None,
        };
        let degraded =
            (strategy == "cluster" && !alone).then(|| "strategy 'cluster' counts on this node only".to_owned());
        Ok(Instance {
            counters: env.shared(),
            redis,
            degraded,
            rules: Rule::read(config)?,
            namespace,
            identifiers,
            penalty: !config.flag("disable_penalty"),
            hide_headers: config.flag("hide_client_headers"),
            jitter: config.number("retry_after_jitter_max").unwrap_or(0.0).max(0.0),
            error_code: config.integer("error_code").unwrap_or(429),
            error_message: config.text("error_message").unwrap_or("API rate limit exceeded").to_owned(),
        })
    }

    /// Whose requests this one is counted with; the client's address when there is no better name.
    fn caller(&self, exchange: &Exchange) -> Vec<u8> {
        let names: Vec<_> = self.identifiers.iter().map(|identifier| identifier.of(exchange)).collect();
        names.join(&b':')
    }

    async fn ask(&self, redis: &RedisRates, exchange: &mut Exchange, caller: Vec<u8>) -> Step<'static> {
        let now_ms = exchange.timing.started_unix_ms;
        let rates = match redis.count(&self.namespace, &caller, &self.rules, self.penalty, now_ms).await {
            Ok(rates) => rates,
            // As Kong: until it is back, each node counts by itself.
            Err(error) => {
                tracing::error!("rate-limiting-advanced: counting on this node only: {error}");
                self.count(&caller, now_ms)
            }
        };
        self.decide(exchange, &rates)
    }

    /// Counts a request on this node: the rates up to now, the last one that of the rule that refuses it, if any does.
    fn count(&self, caller: &[u8], now_ms: u64) -> Vec<Rate> {
        let now = now_ms / 1_000;
        let mut rates = Vec::with_capacity(self.rules.len());
        let mut refused = false;
        let keys: Vec<_> = self.rules.iter().map(|rule| self.key(rule, caller)).collect();
        for (at, (rule, key)) in self.rules.iter().zip(&keys).enumerate() {
            let span = rule.span(now_ms);
            let ceiling = (!self.penalty).then_some(rule.limit);
            let slide = self.counters.slide(key, u32::from(!refused), span, now, ceiling);
            let exceeded = if self.penalty { slide.rate > rule.limit } else { !slide.added };
            if !refused && exceeded {
                refused = true;
                if !self.penalty {
                    for (rule, key) in self.rules.iter().zip(&keys).take(at) {
                        self.counters.slide_back(key, 1, rule.span(now_ms));
                    }
                }
                rates.push(Rate { used: slide.rate, refuses: true });
            } else {
                rates.push(Rate { used: slide.rate, refuses: false });
            }
        }
        rates
    }

    fn key(&self, rule: &Rule, caller: &[u8]) -> Key {
        let size = rule.size.to_string();
        let parts = [b"rate\0", self.namespace.as_bytes(), b"\0", size.as_bytes(), b"\0", caller];
        Key { route: entities::Uuid::nil(), service: entities::Uuid::nil(), who: Who::of(&parts.concat()) }
    }

    fn decide(&self, exchange: &mut Exchange, rates: &[Rate]) -> Step<'static> {
        let refused = rates.iter().any(|rate| rate.refuses);
        if !self.hide_headers {
            self.tell(exchange, rates, refused);
        }
        if refused { Step::Answer(Answer::error(exchange, self.error_code, &self.error_message)) } else { Step::Next }
    }

    /// Two header lines per rule, and a summary of that with the least left (the longer of two).
    fn tell(&self, exchange: &mut Exchange, rates: &[Rate], refused: bool) {
        let now_ms = exchange.timing.started_unix_ms;
        let mut summary: Option<(&Rule, f64, u64)> = None;
        for (rule, rate) in self.rules.iter().zip(rates) {
            let remaining = (rule.limit - rate.used).floor().max(0.0);
            let (limit_name, remaining_name) = rule.headers();
            exchange.reply.set(&limit_name, rule.limit.to_string().as_bytes());
            exchange.reply.set(&remaining_name, remaining.to_string().as_bytes());
            let least = |(other, least, _): (&Rule, f64, u64)| {
                remaining < least || remaining == least && rule.size > other.size
            };
            if rate.refuses || !refused && summary.is_none_or(least) {
                summary = Some((rule, remaining, rule.reset(now_ms, rate.used)));
            }
        }
        let Some((rule, remaining, reset)) = summary else { return };
        exchange.reply.set("RateLimit-Limit", rule.limit.to_string().as_bytes());
        exchange.reply.set("RateLimit-Remaining", remaining.to_string().as_bytes());
        exchange.reply.set("RateLimit-Reset", reset.to_string().as_bytes());
        if refused {
            let wait = reset + (self.jitter * rule::fraction(exchange)) as u64;
            exchange.reply.set("Retry-After", wait.to_string().as_bytes());
        }
    }
}

impl Identifier {
    fn read(name: &str, config: &Config<'_>) -> Result<Identifier, String> {
        let need = |field: &str| config.text(field).ok_or_else(|| format!("config.{field}: missing"));
        Ok(match name {
            "consumer" => Identifier::Consumer,
            "credential" => Identifier::Credential,
            "ip" => Identifier::Address,
            "service" => Identifier::Service,
            "consumer-group" => Identifier::ConsumerGroup,
            "header" => Identifier::Header(need("header_name")?.to_owned()),
            "path" => Identifier::Path(need("path")?.to_owned()),
            other => return Err(format!("config.identifier: unknown '{other}'")),
        })
    }

    fn of(&self, exchange: &Exchange) -> Vec<u8> {
        let id = |id: entities::Uuid| id.to_string().into_bytes();
        let named = match self {
            Identifier::Consumer => crate::limits::id_of_caller(exchange, true).map(id),
            Identifier::Credential => crate::limits::id_of_caller(exchange, false).map(id),
            Identifier::Service => exchange.service.as_ref().map(|service| id(service.id)),
            Identifier::ConsumerGroup => exchange.consumer_groups().first().map(|group| id(group.id)),
            Identifier::Header(name) => exchange.request.fields.get(name).map(<[u8]>::to_vec),
            Identifier::Path(path) => (exchange.path() == **path).then(|| path.clone().into_bytes()),
            Identifier::Address => None,
        };
        named.unwrap_or_else(|| exchange.client.ip.to_string().into_bytes())
    }
}

const FUNCTIONS: &[(&str, Function)] = &[("rate_limiting_advanced", Function::Validator(check_config))];

/// The check that both schemas name: windows have limits, and nodes that count together say how often they tell.
fn check_config(config: &Value) -> Result<(), String> {
    let list = |field: &str| config.get(field).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let (sizes, limits) = (list("window_size"), list("limit"));
    if sizes.len() != limits.len() {
        return Err("You must provide the same number of windows and limits".to_owned());
    }
    if sizes.iter().chain(limits).any(|number| number.as_f64().is_none_or(|number| number <= 0.0)) {
        return Err("size/limit values must be greater than 0".to_owned());
    }
    if sizes.iter().any(|size| size.as_f64().is_some_and(|size| size < 1.0)) {
        return Err("window_size: a window has one second or more".to_owned());
    }
    let sync_rate = config.get("sync_rate").and_then(Value::as_f64);
    match (config.get("strategy").and_then(Value::as_str), sync_rate) {
        (None | Some("local"), Some(rate)) if rate > -1.0 => {
            Err("sync_rate cannot be configured when using a local strategy".to_owned())
        }
        (Some("redis" | "cluster"), None) => Err("sync_rate is required if not using a local strategy".to_owned()),
        (_, Some(rate)) if rate > 0.0 && rate < 0.02 => {
            Err("Config option sync_rate must not be between 0 and 0.02".to_owned())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
