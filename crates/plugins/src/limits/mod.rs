//! Counting what callers use, for the plugins that limit it: on this node, in the database, or in a Redis.
//!
//! Counts go up by windows that begin with the second, minute, hour, day, month or year. Where nodes share them, their
//! names are Kong's, so that Kong's nodes and ours count together.

mod counters;
mod database;
mod redis;
mod synced;
mod window;

pub use counters::{Counters, Key, Span, Usage, Who};
pub use window::Window;

use database::DatabaseCounters;
use redis::RedisCounters;
use sdk::redis::RedisSettings;
use sdk::{Config, Env, Exchange, Tasks, entities::Uuid};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// What is counted together, by the names that nodes have for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// What keys begin with, such as `ratelimit`.
    pub prefix: &'static str,
    /// The route and the service that the plugin is configured on (nil: none).
    pub route: Uuid,
    pub service: Uuid,
    /// The caller.
    pub identifier: Vec<u8>,
    /// Which of several things that are limited.
    pub name: Option<String>,
}

/// A kind of window, and the most in it.
pub type Ceiling = (Window, u32);

/// Counters that nodes share.
#[derive(Clone)]
pub struct SharedCounters {
    kind: Kind,
    tasks: Tasks,
}

#[derive(Clone)]
enum Kind {
    Redis(Arc<RedisCounters>),
    Database(DatabaseCounters),
}

impl SharedCounters {
    /// Those of the policy of a configuration; `None`: it counts on each node by itself.
    pub fn configure(config: &Config<'_>, env: &Env) -> Result<Option<SharedCounters>, String> {
        let kind = match config.text("policy").unwrap_or("local") {
            "local" => return Ok(None),
            "cluster" if env.records().read_only().is_some() => return Ok(None),
            "cluster" => Kind::Database(DatabaseCounters::new(env)),
            "redis" => {
                let settings = RedisSettings::read(&config.section("redis"))?;
                let period = config.number("sync_rate").filter(|rate| *rate > 0.0);
                let period = period.and_then(|rate| Duration::try_from_secs_f64(rate).ok());
                Kind::Redis(Arc::new(RedisCounters::new(env, settings, period)))
            }
            other => return Err(format!("config.policy: unknown '{other}'")),
        };
        Ok(Some(SharedCounters { kind, tasks: env.tasks().clone() }))
    }

    /// What there is; and `amount` is added, unless a window is full. `now`: seconds since 1970.
    pub async fn take(&self, what: &Subject, amount: u32, limits: &[Ceiling], now: u64) -> Result<Usage, String> {
        match &self.kind {
            Kind::Redis(counters) => counters.take(what, amount, limits, now).await.map_err(|e| e.to_string()),
            Kind::Database(counters) => counters.take(what, amount, limits, now).await.map_err(|e| e.to_string()),
        }
    }

    /// Adds beside requests: a failure is only logged.
    pub fn add_later(&self, what: Subject, amount: u32, limits: Vec<Ceiling>, now: u64) {
        let counters = self.clone();
        self.tasks.spawn("counting", async move {
            if let Err(error) = counters.take(&what, amount, &limits, now).await {
                tracing::error!("{}: failed to increment a counter: {error}", what.prefix);
            }
        });
    }
}

/// Why a configuration with that policy counts on this node only, where it does.
pub fn counts_alone(config: &Config<'_>, env: &Env) -> Option<String> {
    let why = (config.text("policy") == Some("cluster")).then(|| env.records().read_only())??;
    Some(format!("policy 'cluster' counts on this node only: {why}"))
}

/// The first pair of a window and a longer one that has a lower limit, which no configuration may have.
pub fn contradiction(limits: &Value) -> Option<((Window, f64), (Window, f64))> {
    let limit = |window: Window| Some((window, limits.get(window.name())?.as_f64()?));
    let limits: Vec<_> = Window::ALL.into_iter().filter_map(limit).collect();
    limits.iter().enumerate().find_map(|(at, lower)| {
        let higher = limits[at + 1..].iter().find(|higher| higher.1 < lower.1)?;
        Some((*lower, *higher))
    })
}

/// Who is counted where a plugin counts by consumers or credentials: the consumer or the credential, else the address.
pub fn id_of_caller(exchange: &Exchange, by_consumer: bool) -> Option<Uuid> {
    let consumer = exchange.consumer.as_ref().map(|consumer| consumer.id).filter(|_| by_consumer);
    // A credential that code has made without an id is nobody's in particular.
    let credential = || exchange.credential.as_ref().map(|credential| credential.id).filter(|id| !id.is_nil());
    consumer.or_else(credential)
}
