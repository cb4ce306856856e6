//! `response-ratelimiting`: limits what callers use, by what services say in a header of their responses.
//!
//! Counts on this node, in the database, or in a Redis.

use crate::limits::{self, Counters, Key, SharedCounters, Subject, Usage, Who, Window};
use sdk::{
    Answer, Bytes, Config, Env, Exchange, Function, Known, Phases, Plugin, PluginKind, Source, Step, entities,
    field_value,
};
use serde_json::Value;
use std::net::IpAddr;
use std::sync::Arc;

/// The plugin as the gateway knows it.
pub struct ResponseRateLimiting;

struct Instance {
    counters: Arc<Counters>,
    /// In place of those, where nodes count together.
    shared: Option<SharedCounters>,
    degraded: Option<String>,
    /// Requests go on when nobody can say what was counted.
    fault_tolerant: bool,
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

/// A consumer or a credential, else an address.
#[derive(Clone, Copy)]
enum Caller {
    Id(entities::Uuid),
    Address(IpAddr),
}

/// What an exchange keeps from one phase to the next.
struct Counting {
    caller: Caller,
    /// What was used of each limit, where nodes count together.
    found: Vec<Usage>,
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
            counters: env.shared(),
            shared: SharedCounters::configure(&config, env)?,
            degraded: limits::counts_alone(&config, env),
            fault_tolerant: config.flag("fault_tolerant"),
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
        self.degraded.clone()
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let now = now(exchange);
        if let Some(shared) = &self.shared {
            return Step::Wait(Box::pin(self.ask(shared, exchange, now)));
        }
        let caller = self.caller(exchange);
        let found = self
            .limits
            .iter()
            .map(|limit| self.counters.peek(&self.key(caller, limit), &limit.ceilings, now))
            .collect();
        self.decide(exchange, caller, found)
    }

    fn header_filter(&self, exchange: &mut Exchange) {
        let Some(mut counting) = exchange.take::<Counting>() else { return };
        let now = now(exchange);
        let from_service = exchange.source == Source::Service;
        let known = |(limit, found): (&Limit, &Usage)| {
            let used = if from_service { self.used(exchange, &limit.name) } else { 0 };
            let usage = match &self.shared {
                None => self.counters.peek(&self.key(counting.caller, limit), &limit.ceilings, now),
                Some(_) => *found,
            };
            (used, usage)
        };
        let mut all: Vec<_> = self.limits.iter().zip(&counting.found).map(known).collect();
        // What is refused was not used, of no limit.
        let is_over =
            |(limit, (used, usage)): (&Limit, &(u32, Usage))| *used > 0 && limit.least_remaining(usage) <= 0.0;
        counting.refused = self.limits.iter().zip(&all).any(is_over);
        for (limit, (used, usage)) in self.limits.iter().zip(&mut all).filter(|(_, (used, _))| *used > 0) {
            match &self.shared {
                _ if counting.refused => {}
                None => {
                    // Others may have been faster.
                    *usage = self.counters.take(&self.key(counting.caller, limit), *used, &limit.ceilings, now);
                    counting.refused = usage.refused_by.is_some();
                }
                Some(shared) => {
                    shared.add_later(self.subject(counting.caller, limit), *used, limit.unlimited(), now);
                }
            }
        }
        if !self.hide_headers {
            let told = self.limits.iter().zip(&all);
            told.for_each(|(limit, (used, usage))| limit.tell(exchange, usage, *used));
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
    async fn ask(&self, shared: &SharedCounters, exchange: &mut Exchange, now: u64) -> Step<'static> {
        let caller = self.caller(exchange);
        let mut found = Vec::with_capacity(self.limits.len());
        for limit in &self.limits {
            match shared.take(&self.subject(caller, limit), 0, &limit.ceilings, now).await {
                Ok(usage) => found.push(usage),
                Err(error) if self.fault_tolerant => {
                    tracing::error!("response-ratelimiting: failed to get usage: {error}");
                    return Step::Next;
                }
                Err(error) => {
                    tracing::error!("response-ratelimiting: {error}");
                    return Step::Answer(Answer::unexpected(exchange));
                }
            }
        }
        self.decide(exchange, caller, found)
    }

    /// Refuses a request that is to be refused before, and tells the service what is left.
    fn decide(&self, exchange: &mut Exchange, caller: Caller, found: Vec<Usage>) -> Step<'static> {
        for (limit, usage) in self.limits.iter().zip(&found) {
            let remaining = limit.least_remaining(usage);
            if self.blocks && remaining <= 0.0 {
                let message = format!("API rate limit exceeded for '{}'", limit.name);
                return Step::Answer(Answer::error(exchange, 429, &message));
            }
            exchange.request.fields.set(&limit.upstream_line, remaining.to_string().as_bytes());
        }
        exchange.put(Counting { caller, found, refused: false });
        Step::Next
    }

    /// Whose use this is counted with; by the client's address when there is no better name.
    fn caller(&self, exchange: &Exchange) -> Caller {
        let id = match self.limit_by {
            LimitBy::Consumer => limits::id_of_caller(exchange, true),
            LimitBy::Credential => limits::id_of_caller(exchange, false),
            LimitBy::Address => None,
        };
        id.map_or(Caller::Address(exchange.client.ip), Caller::Id)
    }

    /// Under what a limit is counted for the caller on this node.
    fn key(&self, caller: Caller, limit: &Limit) -> Key {
        // No caller has a zero octet in its name.
        let who = Who::of(&[b"use\0", limit.name.as_bytes(), b"\0", &caller.text()].concat());
        Key { route: self.route, service: self.service, who }
    }

    /// The same for all nodes.
    fn subject(&self, caller: Caller, limit: &Limit) -> Subject {
        Subject {
            prefix: "response-ratelimit",
            route: self.route,
            service: self.service,
            identifier: caller.text(),
            name: Some(limit.name.clone()),
        }
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

impl Caller {
    fn text(self) -> Vec<u8> {
        match self {
            Caller::Id(id) => id.to_string().into_bytes(),
            Caller::Address(ip) => ip.to_string().into_bytes(),
        }
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
    fn least_remaining(&self, usage: &Usage) -> f64 {
        let remaining = self.windows.iter().map(|(window, limit)| limit - f64::from(usage.used[*window as usize]));
        remaining.fold(f64::INFINITY, f64::min)
    }

    /// Its windows, for counting what has been let through.
    fn unlimited(&self) -> Vec<(Window, u32)> {
        self.windows.iter().map(|(window, _)| (*window, u32::MAX)).collect()
    }

    /// Two header lines per window.
    fn tell(&self, exchange: &mut Exchange, usage: &Usage, used: u32) {
        let fields = &mut exchange.response.fields;
        for (window, limit) in &self.windows {
            let left = limit - f64::from(usage.used[*window as usize]) - f64::from(used);
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
    let Some(((lower, low), (upper, high))) = limits::contradiction(windows) else { return Ok(()) };
    let (lower, upper) = (lower.name(), upper.name());
    Err(format!("the limit for {upper}({high:.1}) cannot be lower than the limit for {lower}({low:.1})"))
}

#[cfg(test)]
mod tests;
