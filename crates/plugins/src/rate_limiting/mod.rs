//! `rate-limiting`: how many requests a caller may make in a second, a minute and so on.
//!
//! Counts on this node, in the database, or in a Redis.

use crate::limits::{self, Counters, Key, SharedCounters, Subject, Usage, Who, Window};
use sdk::{Answer, Config, Env, Exchange, Fields, Function, Known, Phases, Plugin, PluginKind, Step, entities};
use serde_json::Value;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The plugin as the gateway knows it.
pub struct RateLimiting;

struct Instance {
    counters: Arc<Counters>,
    /// In place of those, where nodes count together.
    shared: Option<SharedCounters>,
    degraded: Option<String>,
    /// Requests go on when nobody can say what was counted.
    fault_tolerant: bool,
    limits: Vec<Limit>,
    /// For each limit, the window and the most requests in it.
    ceilings: Vec<(Window, u32)>,
    limit_by: LimitBy,
    route: entities::Uuid,
    service: entities::Uuid,
    hide_headers: bool,
    /// Tells it from other instances.
    number: u64,
    error_code: u16,
    error_message: String,
}

struct Limit {
    window: Window,
    limit: f64,
    /// As headers show it.
    text: String,
}

enum LimitBy {
    Consumer,
    Credential,
    Address,
    Service,
    Header(String),
    Path(String),
}

static NUMBERS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The lines that this thread has told last, and which instance's they are: from one response to the next little of
    /// them changes.
    static TOLD: RefCell<(Option<u64>, Fields)> = RefCell::default();
}

impl PluginKind for RateLimiting {
    fn name(&self) -> &'static str {
        "rate-limiting"
    }

    fn priority(&self) -> i32 {
        910
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        &[("rate_limiting", Function::Validator(check_config))]
    }

    fn entities(&self) -> &'static [&'static str] {
        &[include_str!("ratelimiting_metrics.json")]
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let limit = |window: &Window| {
            let limit = config.number(window.name())?;
            Some(Limit { window: *window, limit, text: limit.to_string() })
        };
        let limits: Vec<_> = Window::ALL.iter().filter_map(limit).collect();
        let need = |field: &str| config.text(field).ok_or_else(|| format!("config.{field}: missing"));
        Ok(Box::new(Instance {
            counters: env.shared(),
            shared: SharedCounters::configure(&config, env)?,
            degraded: limits::counts_alone(&config, env),
            fault_tolerant: config.flag("fault_tolerant"),
            // A fraction of a request left still admits one, as in Kong. The cast saturates.
            ceilings: limits.iter().map(|l| (l.window, l.limit.ceil() as u32)).collect(),
            limits,
            limit_by: match config.text("limit_by").unwrap_or("consumer") {
                "consumer" => LimitBy::Consumer,
                "credential" => LimitBy::Credential,
                "ip" => LimitBy::Address,
                "service" => LimitBy::Service,
                "header" => LimitBy::Header(need("header_name")?.to_owned()),
                "path" => LimitBy::Path(need("path")?.to_owned()),
                other => return Err(format!("config.limit_by: unknown '{other}'")),
            },
            route: plugin.route.unwrap_or_default(),
            service: plugin.service.unwrap_or_default(),
            hide_headers: config.flag("hide_client_headers"),
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            error_code: config.integer("error_code").unwrap_or(429),
            error_message: config.text("error_message").unwrap_or("API rate limit exceeded").to_owned(),
        }))
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
        let now = exchange.timing.started_unix_ms / 1_000;
        if let Some(shared) = &self.shared {
            return Step::Wait(Box::pin(self.ask(shared, exchange, now)));
        }
        let key = Key { route: self.route, service: self.service, who: self.caller(exchange) };
        let usage = self.counters.take(&key, 1, &self.ceilings, now);
        self.decide(exchange, &usage, now)
    }
}

impl Instance {
    async fn ask(&self, shared: &SharedCounters, exchange: &mut Exchange, now: u64) -> Step<'static> {
        let what = Subject {
            prefix: "ratelimit",
            route: self.route,
            service: self.service,
            identifier: self.identifier(exchange),
            name: None,
        };
        match shared.take(&what, 1, &self.ceilings, now).await {
            Ok(usage) => self.decide(exchange, &usage, now),
            Err(error) if self.fault_tolerant => {
                tracing::error!("rate-limiting: failed to get usage: {error}");
                Step::Next
            }
            Err(error) => {
                tracing::error!("rate-limiting: {error}");
                Step::Answer(Answer::unexpected(exchange))
            }
        }
    }

    fn decide(&self, exchange: &mut Exchange, usage: &Usage, now: u64) -> Step<'static> {
        if !self.hide_headers {
            self.tell(exchange, usage, now);
        }
        match usage.refused_by {
            None => Step::Next,
            Some(_) => Step::Answer(Answer::error(exchange, self.error_code, &self.error_message)),
        }
    }

    /// Whose requests this one is counted with; the client's address when there is no better name.
    fn caller(&self, exchange: &Exchange) -> Who {
        let named = match &self.limit_by {
            LimitBy::Consumer => limits::id_of_caller(exchange, true).map(Who::Id),
            LimitBy::Credential => limits::id_of_caller(exchange, false).map(Who::Id),
            LimitBy::Service => exchange.service.as_ref().map(|s| Who::Id(s.id)),
            LimitBy::Header(name) => exchange.request.fields.get(name).map(Who::of),
            LimitBy::Path(path) => (exchange.path() == **path).then(|| Who::of(path.as_bytes())),
            LimitBy::Address => None,
        };
        named.unwrap_or(Who::Address(exchange.client.ip))
    }

    /// The same as other nodes write it.
    fn identifier(&self, exchange: &Exchange) -> Vec<u8> {
        let id = |id: entities::Uuid| id.to_string().into_bytes();
        let named = match &self.limit_by {
            LimitBy::Consumer => limits::id_of_caller(exchange, true).map(id),
            LimitBy::Credential => limits::id_of_caller(exchange, false).map(id),
            LimitBy::Service => exchange.service.as_ref().map(|service| id(service.id)),
            LimitBy::Header(name) => exchange.request.fields.get(name).map(<[u8]>::to_vec),
            LimitBy::Path(path) => (exchange.path() == **path).then(|| path.clone().into_bytes()),
            LimitBy::Address => None,
        };
        named.unwrap_or_else(|| exchange.client.ip.to_string().into_bytes())
    }

    /// Two header lines per window, and a summary of the one with the least left (the longer of two).
    fn tell(&self, exchange: &mut Exchange, usage: &Usage, now: u64) {
        let mut summary: Option<(&Limit, f64)> = None;
        for limit in &self.limits {
            let remaining = limit.remaining(usage);
            if summary.is_none_or(|(_, least)| remaining <= least) {
                summary = Some((limit, remaining));
            }
        }
        let Some((limit, remaining)) = summary else { return };
        let reset = f64::from(limit.window.reset(now));
        TOLD.with_borrow_mut(|(number, lines)| {
            let is_told = *number == Some(self.number) && self.tell_anew(lines, usage, limit, remaining, reset);
            if !is_told {
                *number = Some(self.number);
                self.tell_all(lines, usage, limit, remaining, reset);
            }
            exchange.reply.replace_all(lines);
        });
        if usage.refused_by.is_some() {
            written(reset, |text| exchange.reply.set("Retry-After", text));
        }
    }

    /// Makes the lines, in an order on which [`Instance::tell_anew`] relies.
    fn tell_all(&self, lines: &mut Fields, usage: &Usage, least: &Limit, remaining: f64, reset: f64) {
        lines.clear();
        for limit in &self.limits {
            let (limit_name, remaining_name) = limit.window.headers();
            lines.append(limit_name, limit.text.as_bytes());
            written(limit.remaining(usage), |text| lines.append(remaining_name, text));
        }
        lines.append_known(Known::RateLimitLimit, least.text.as_bytes());
        written(remaining, |text| lines.append_known(Known::RateLimitRemaining, text));
        written(reset, |text| lines.append_known(Known::RateLimitReset, text));
    }

    /// Puts other numbers into lines of this instance; false where they do not fit.
    fn tell_anew(&self, lines: &mut Fields, usage: &Usage, least: &Limit, remaining: f64, reset: f64) -> bool {
        let summary = 2 * self.limits.len();
        self.limits
            .iter()
            .enumerate()
            .all(|(at, limit)| written(limit.remaining(usage), |text| lines.overwrite_at(2 * at + 1, text)))
            && lines.overwrite_at(summary, least.text.as_bytes())
            && written(remaining, |text| lines.overwrite_at(summary + 1, text))
            && written(reset, |text| lines.overwrite_at(summary + 2, text))
    }
}

impl Limit {
    /// How many requests are left in its window after this one.
    fn remaining(&self, usage: &Usage) -> f64 {
        let counts_here = usage.refused_by.is_none_or(|stop| stop == self.window);
        (self.limit - f64::from(usage.used[self.window as usize]) - f64::from(u8::from(counts_here))).max(0.0)
    }
}

/// The check that the schema names: longer windows have no lower limits, and `sync_rate` is for redis.
fn check_config(config: &Value) -> Result<(), String> {
    if let Some(((lower, low), (upper, high))) = limits::contradiction(config) {
        let (lower, upper) = (lower.name(), upper.name());
        return Err(format!("The limit for {upper}({high:.1}) cannot be lower than the limit for {lower}({low:.1})"));
    }
    let sync_rate = config.get("sync_rate").and_then(Value::as_f64).unwrap_or(-1.0);
    let redis = config.get("policy").and_then(Value::as_str) == Some("redis");
    if sync_rate != -1.0 && !redis {
        Err("sync_rate can only be used with the redis policy".to_owned())
    } else if sync_rate != -1.0 && sync_rate < 0.02 {
        Err("sync_rate must be greater than 0.02, or -1 to disable".to_owned())
    } else {
        Ok(())
    }
}

/// A number as header lines show it.
fn written<T>(number: f64, set: impl FnOnce(&[u8]) -> T) -> T {
    let whole = number as i64;
    if whole as f64 == number {
        set(itoa::Buffer::new().format(whole).as_bytes())
    } else {
        set(number.to_string().as_bytes())
    }
}

#[cfg(test)]
mod tests;
