//! `response-ratelimiting`: limits what callers use, by what services say in a header of their responses.
//!
//! Counts on this node. The policies `cluster` and `redis` are accepted and count here too.

mod usage;
mod window;

use aws_lc_rs::digest::{Context, SHA256};
use sdk::{
    Answer, Bytes, Config, Env, Exchange, Function, Known, Phases, Plugin, PluginKind, Source, Step, entities,
    field_value,
};
use serde_json::Value;
use std::sync::Arc;
use usage::{Counts, Key, Usage};
use window::Window;

/// The plugin as the gateway knows it.
pub struct ResponseRateLimiting;

struct Instance {
    usage: Arc<Usage>,
    /// The policy, where it asks for counters that nodes share.
    shared_policy: Option<&'static str>,
    limits: Vec<Limit>,
    /// The header in which services say what was used.
    header: String,
    limit_by: LimitBy,
    route: entities::Uuid,
    service: entities::Uuid,
    blocks: bool,
    hide_headers: bool,
}

/// What is limited under one name.
struct Limit {
    name: String,
    windows: Vec<(Window, f64)>,
    /// For each window, the most in it.
    ceilings: Vec<(Window, u32)>,
    /// The line by which the service learns what is left.
    upstream_line: String,
}

#[derive(Clone, Copy)]
enum LimitBy {
    Consumer,
    Credential,
    Address,
}

/// What an exchange keeps from one phase to the next.
struct Counting {
    /// By which each limit is counted.
    keys: Vec<Key>,
    /// The response is refused.
    refused: bool,
}

impl PluginKind for ResponseRateLimiting {
    fn name(&self) -> &'static str {
        "response-ratelimiting"
    }

    fn priority(&self) -> i32 {
        900
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        &[("response_ratelimiting_windows", Function::Validator(check_windows))]
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let limits = plugin.config.get("limits").and_then(Value::as_object).ok_or("config.limits: missing")?;
        Ok(Box::new(Instance {
            usage: env.shared(),
            shared_policy: ["cluster", "redis"].into_iter().find(|policy| config.text("policy") == Some(policy)),
            limits: limits.iter().map(|(name, windows)| Limit::new(name, windows)).collect(),
            header: config.text("header_name").unwrap_or("x-kong-limit").to_owned(),
            limit_by: match config.text("limit_by").unwrap_or("consumer") {
                "consumer" => LimitBy::Consumer,
                "credential" => LimitBy::Credential,
                "ip" => LimitBy::Address,
                other => return Err(format!("config.limit_by: unknown '{other}'")),
            },
            route: plugin.route.unwrap_or_default(),
            service: plugin.service.unwrap_or_default(),
            blocks: config.flag("block_on_first_violation"),
            hide_headers: config.flag("hide_client_headers"),
        }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        Phases::ACCESS.and(Phases::HEADER_FILTER).and(Phases::BODY_FILTER)
    }

    fn degraded(&self) -> Option<String> {
        Some(format!("policy '{}' counts on this node only", self.shared_policy?))
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let now = now(exchange);
        let keys: Vec<Key> = self.limits.iter().map(|limit| self.key(exchange, limit)).collect();
        for (limit, key) in self.limits.iter().zip(&keys) {
            let remaining = limit.least_remaining(&self.usage.of(key), now);
            if self.blocks && remaining <= 0.0 {
                let message = format!("API rate limit exceeded for '{}'", limit.name);
                return Step::Answer(Answer::error(exchange, 429, &message));
            }
            exchange.request.fields.set(&limit.upstream_line, remaining.to_string().as_bytes());
        }
        exchange.put(Counting { keys, refused: false });
        Step::Next
    }

    fn header_filter(&self, exchange: &mut Exchange) {
        let Some(mut counting) = exchange.take::<Counting>() else { return };
        let now = now(exchange);
        let from_service = exchange.source == Source::Service;
        for (limit, key) in self.limits.iter().zip(&counting.keys) {
            let used = if from_service { self.used(exchange, &limit.name) } else { 0 };
            let counted = match used {
                0 => Ok(self.usage.of(key)),
                amount => self.usage.add(*key, amount, &limit.ceilings, now),
            };
            counting.refused |= counted.is_err();
            if !self.hide_headers {
                let (Ok(before) | Err(before)) = counted;
                limit.tell(exchange, &before, used, now);
            }
        }
        exchange.response.fields.remove(&self.header);
        if counting.refused {
            exchange.response.status = 429;
            exchange.response.reason.clear();
            exchange.response.fields.remove_known(Known::ContentLength);
            exchange.response.fields.remove("Content-Encoding");
        }
        exchange.put(counting);
    }

    fn body_filter(&self, exchange: &mut Exchange, piece: Bytes, _last: bool) -> Bytes {
        let refused = exchange.state::<Counting>().is_some_and(|counting| counting.refused);
        if refused { Bytes::new() } else { piece }
    }
}

impl Instance {
    /// Under what a limit is counted for the caller; by the client's address when there is no better name.
    fn key(&self, exchange: &Exchange, limit: &Limit) -> Key {
        let consumer = || exchange.consumer.as_ref().map(|consumer| consumer.id);
        let credential = || exchange.credential.as_ref().map(|credential| credential.id);
        let id = match self.limit_by {
            LimitBy::Consumer => consumer().or_else(credential),
            LimitBy::Credential => credential(),
            LimitBy::Address => None,
        };
        let caller = id.map_or_else(|| exchange.client.ip.to_string(), |id| id.to_string());
        let mut context = Context::new(&SHA256);
        for part in [self.route.as_bytes(), self.service.as_bytes(), caller.as_bytes(), b" ", limit.name.as_bytes()] {
            context.update(part);
        }
        let mut key = Key::default();
        key.copy_from_slice(context.finish().as_ref());
        key
    }

    /// What the service says was used of a limit: `name=amount` in a list. Of several amounts the last holds.
    fn used(&self, exchange: &Exchange, name: &str) -> u32 {
        let lines = exchange.response.fields.get_all(&self.header);
        let amounts = lines.flat_map(field_value::list).filter_map(|member| {
            let (found, amount) = field_value::pair(member)?;
            (found == name.as_bytes()).then(|| std::str::from_utf8(amount).ok()?.parse().ok()).flatten()
        });
        amounts.last().unwrap_or(0)
    }
}

impl Limit {
    fn new(name: &str, windows: &Value) -> Limit {
        let limit = |window: Window| Some((window, windows.get(window.name())?.as_f64()?));
        let windows: Vec<_> = Window::ALL.into_iter().filter_map(limit).collect();
        Limit {
            name: name.to_owned(),
            // A fraction that is left still admits one, as in Kong. The cast saturates.
            ceilings: windows.iter().map(|(window, limit)| (*window, limit.ceil() as u32)).collect(),
            windows,
            upstream_line: format!("X-RateLimit-Remaining-{name}"),
        }
    }

    /// What is left of the window with the least.
    fn least_remaining(&self, counts: &Counts, now: u64) -> f64 {
        let remaining = self.windows.iter().map(|(window, limit)| limit - f64::from(counts.used(*window, now)));
        remaining.fold(f64::INFINITY, f64::min)
    }

    /// Two header lines per window.
    fn tell(&self, exchange: &mut Exchange, before: &Counts, used: u32, now: u64) {
        let fields = &mut exchange.response.fields;
        for (window, limit) in &self.windows {
            let left = limit - f64::from(before.used(*window, now)) - f64::from(used);
            let (name, window) = (&self.name, window.name());
            fields.set(&format!("X-RateLimit-Limit-{name}-{window}"), limit.to_string().as_bytes());
            fields.set(&format!("X-RateLimit-Remaining-{name}-{window}"), left.max(0.0).to_string().as_bytes());
        }
    }
}

/// Seconds since 1970.
fn now(exchange: &Exchange) -> u64 {
    exchange.timing.started_unix_ms / 1_000
}

/// The check that the schema names: longer windows have no lower limits.
fn check_windows(windows: &Value) -> Result<(), String> {
    let limits: Vec<_> = Window::ALL
        .into_iter()
        .filter_map(|window| Some((window.name(), windows.get(window.name())?.as_f64()?)))
        .collect();
    for (at, (lower, low)) in limits.iter().enumerate() {
        if let Some((upper, high)) = limits[at + 1..].iter().find(|(_, high)| high < low) {
            return Err(format!(
                "the limit for {upper}({high:.1}) cannot be lower than the limit for {lower}({low:.1})"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
