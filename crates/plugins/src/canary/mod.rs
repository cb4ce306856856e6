//! `canary`: sends a share of the requests, or some callers, to a new version of a service.

#[cfg(test)]
mod tests;

use crate::groups::Held;
use flate2::Crc;
use sdk::{Config, Env, Exchange, Phases, Plugin, PluginKind, Step, entities};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// The plugin as the gateway knows it.
pub struct Canary;

struct Instance {
    choice: Choice,
    /// The line by which clients choose for themselves.
    chosen_by: Option<String>,
    host: Option<Arc<str>>,
    port: Option<u16>,
    path: Option<String>,
    /// Whether the usual service is asked while no target of `host` is healthy.
    fallback: bool,
    /// The release would begin anew with the node.
    begins_anew: bool,
}

/// Who goes to the new version.
enum Choice {
    /// Callers in one of these groups, or in none of them.
    Groups { groups: Vec<String>, inside: bool },
    /// The first ones of so many buckets, in which callers are.
    Buckets { hash: Hash, header: Option<String>, steps: u32, share: Share },
}

#[derive(Clone, Copy, PartialEq)]
enum Hash {
    Consumer,
    Address,
    Header,
    Nothing,
}

/// How many of the buckets.
enum Share {
    /// Of one.
    Fixed(f64),
    /// Growing to all, in seconds since 1970.
    Growing { start: f64, duration: f64 },
}

impl PluginKind for Canary {
    fn name(&self) -> &'static str {
        "canary"
    }

    fn priority(&self) -> i32 {
        20
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn configure(&self, plugin: &entities::Plugin, _env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let choice = Choice::read(&config);
        let path = config.text("upstream_uri").map(path).transpose()?;
        let growing = matches!(choice, Choice::Buckets { share: Share::Growing { .. }, .. });
        Ok(Box::new(Instance {
            choice,
            chosen_by: config.text("canary_by_header_name").map(str::to_owned),
            host: config.text("upstream_host").map(Arc::from),
            port: config.integer("upstream_port"),
            path,
            fallback: config.flag("upstream_fallback"),
            begins_anew: growing && !config.is_set("start"),
        }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        Phases::ACCESS
    }

    fn degraded(&self) -> Option<String> {
        self.begins_anew.then(|| "without start and percentage, the release begins anew when a node starts".to_owned())
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        if self.is_chosen(exchange) && !self.falls_back(exchange) {
            if let Some(host) = &self.host {
                exchange.upstream.host = Some(Arc::clone(host));
            }
            if let Some(port) = self.port {
                exchange.upstream.port = port;
            }
            if let Some(path) = &self.path {
                exchange.upstream.path.clone_from(path);
            }
        }
        Step::Next
    }
}

impl Instance {
    fn is_chosen(&self, exchange: &Exchange) -> bool {
        let line = self.chosen_by.as_ref().and_then(|name| exchange.request.fields.get(name));
        match line {
            Some(b"always") => true,
            Some(b"never") => false,
            _ => self.choice.takes(exchange),
        }
    }

    fn falls_back(&self, exchange: &Exchange) -> bool {
        let Some(host) = self.host.as_ref().filter(|_| self.fallback) else { return false };
        !exchange.directory.upstream_is_available(&exchange.workspace(), host)
    }
}

impl Choice {
    fn read(config: &Config<'_>) -> Choice {
        let hash = match config.text("hash") {
            Some(hash @ ("allow" | "deny")) => {
                return Choice::Groups { groups: config.texts("groups"), inside: hash == "allow" };
            }
            Some("ip") => Hash::Address,
            Some("header") => Hash::Header,
            Some("none") => Hash::Nothing,
            _ => Hash::Consumer,
        };
        let share = match config.number("percentage") {
            Some(percentage) => Share::Fixed(percentage / 100.0),
            None => Share::Growing {
                start: config.number("start").unwrap_or_else(now),
                duration: config.number("duration").unwrap_or(3600.0),
            },
        };
        let steps = config.number("steps").map_or(1000, |steps| steps as u32).max(1);
        Choice::Buckets { hash, header: config.text("hash_header").map(str::to_owned), steps, share }
    }

    fn takes(&self, exchange: &Exchange) -> bool {
        match self {
            Choice::Groups { groups, inside } => {
                let held = Held::of(exchange);
                let learnt = exchange.authenticated_groups.iter().flatten().map(String::as_str);
                held.names().into_iter().chain(learnt).any(|group| groups.iter().any(|own| own == group)) == *inside
            }
            Choice::Buckets { hash, header, steps, share } => {
                let bucket = hash.of(header.as_deref(), exchange) % steps;
                bucket < share.buckets(*steps, exchange.timing.started_unix_ms as f64 / 1_000.0)
            }
        }
    }
}

impl Hash {
    /// Where it cannot be told apart by what was asked for: by the consumer, the address, and then not at all.
    fn of(self, header: Option<&str>, exchange: &Exchange) -> u32 {
        let line = header.filter(|_| self == Hash::Header).and_then(|name| exchange.request.fields.get(name));
        match (self, line, &exchange.consumer) {
            // Each request has an id of its own.
            (Hash::Nothing, ..) => checksum(&exchange.id),
            (_, Some(line), _) => checksum(line),
            (Hash::Consumer | Hash::Header, None, Some(consumer)) => checksum(consumer.id.to_string().as_bytes()),
            _ => checksum(exchange.client.ip.to_string().as_bytes()),
        }
    }
}

impl Share {
    fn buckets(&self, steps: u32, now: f64) -> u32 {
        let share = match self {
            Share::Fixed(share) => *share,
            Share::Growing { start, duration } => (now - start) / duration,
        };
        (share.clamp(0.0, 1.0) * f64::from(steps)) as u32
    }
}

fn checksum(octets: &[u8]) -> u32 {
    let mut sum = Crc::new();
    sum.update(octets);
    sum.sum()
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// A path as it can be sent.
fn path(text: &str) -> Result<String, String> {
    let slash = if text.starts_with('/') { "" } else { "/" };
    match text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#')) {
        true => Ok(format!("{slash}{text}")),
        false => Err(format!("config.upstream_uri: '{}' is not a path", text.escape_debug())),
    }
}
