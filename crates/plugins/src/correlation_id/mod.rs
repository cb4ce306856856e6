//! `correlation-id`: gives every request an identifier that the service, and the client if wanted, gets to see.

use sdk::log::LogValue;
use sdk::{Config, Env, Exchange, Fields, Phases, Plugin, PluginKind, Step, entities};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The plugin as the gateway knows it.
pub struct CorrelationId;

struct Instance {
    header: String,
    generator: Generator,
    echo: bool,
}

enum Generator {
    Uuid,
    /// One identifier for the node and a number that grows.
    Counter(Arc<Counter>),
    /// Our address, the process, the connection, the request on it and the time: where the request came in.
    Tracker,
}

struct Counter {
    /// What all its identifiers begin with.
    prefix: String,
    next: AtomicU64,
}

impl PluginKind for CorrelationId {
    fn name(&self) -> &'static str {
        "correlation-id"
    }

    fn priority(&self) -> i32 {
        100_001
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let header = config.text("header_name").unwrap_or("Kong-Request-ID").to_owned();
        if !Fields::is_valid_name(header.as_bytes()) {
            return Err(format!("config.header_name: '{header}' is not a header name"));
        }
        let generator = match config.text("generator").unwrap_or("uuid#counter") {
            "uuid" => Generator::Uuid,
            "tracker" => Generator::Tracker,
            _ => Generator::Counter(env.shared()),
        };
        Ok(Box::new(Instance { header, generator, echo: config.flag("echo_downstream") }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        if self.echo { Phases::ACCESS.and(Phases::HEADER_FILTER) } else { Phases::ACCESS }
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let id = match exchange.request.fields.get(&self.header).filter(|id| !id.is_empty()) {
            Some(id) => String::from_utf8_lossy(id).into_owned(),
            None => {
                let id = self.generator.make(exchange);
                exchange.request.fields.set(&self.header, id.as_bytes());
                id
            }
        };
        exchange.log_values.push(LogValue::set("correlation_id", id.into()));
        Step::Next
    }

    fn header_filter(&self, exchange: &mut Exchange) {
        let Exchange { request, response, .. } = exchange;
        match request.fields.get(&self.header).filter(|id| !id.is_empty()) {
            Some(id) => response.fields.set(&self.header, id),
            // Without a route there was no access phase.
            None => {
                let id = self.generator.make(exchange);
                exchange.response.fields.set(&self.header, id.as_bytes());
            }
        }
    }
}

impl Generator {
    fn make(&self, exchange: &Exchange) -> String {
        match self {
            Generator::Uuid => entities::Uuid::new_v4().to_string(),
            Generator::Counter(counter) => [&counter.prefix, itoa::Buffer::new().format(counter.next())].concat(),
            Generator::Tracker => {
                let (client, now) = (&exchange.client, exchange.timing.started_unix_ms);
                let (address, port, process) = (client.local_ip, client.local_port, std::process::id());
                format!(
                    "{address}-{port}-{process}-{}-{}-{}.{:03}",
                    client.connection,
                    client.request,
                    now / 1_000,
                    now % 1_000
                )
            }
        }
    }
}

impl Counter {
    fn next(&self) -> u64 {
        self.next.fetch_add(1, Relaxed) + 1
    }
}

impl Default for Counter {
    fn default() -> Counter {
        Counter { prefix: format!("{}#", entities::Uuid::new_v4()), next: AtomicU64::new(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::testing;
    use serde_json::{Value, json};

    fn run(plugin: &dyn Plugin, lines: &[(&str, &str)]) -> (String, Option<String>) {
        let mut exchange = testing::exchange("GET", "/", lines);
        testing::access(plugin, &mut exchange);
        if plugin.phases().has(Phases::HEADER_FILTER) {
            plugin.header_filter(&mut exchange);
        }
        let text = |fields: &Fields| fields.get_str("x-id").map(str::to_owned);
        (text(&exchange.request.fields).unwrap(), text(&exchange.response.fields))
    }

    fn plugin(config: Value) -> Box<dyn Plugin> {
        testing::configure(&CorrelationId, config, &Env::default())
    }

    #[test]
    fn generators() {
        let counter = plugin(json!({ "header_name": "X-Id", "generator": "uuid#counter" }));
        let (first, second) = (run(&*counter, &[]), run(&*counter, &[("x-id", "")]));
        assert_eq!(first.0.split_once('#').unwrap().1, "1");
        assert_eq!(first.1, None);
        assert_eq!(second.0, first.0.replace("#1", "#2"));
        let uuid = plugin(json!({ "header_name": "X-Id", "generator": "uuid" }));
        assert!(entities::Uuid::parse_str(&run(&*uuid, &[]).0).is_ok());
        let tracker = plugin(json!({ "header_name": "X-Id", "generator": "tracker" }));
        assert_eq!(run(&*tracker, &[]).0.split('-').count(), 6);
    }

    #[test]
    fn the_clients_identifier_is_kept_and_echoed() {
        let plugin = plugin(json!({ "header_name": "X-Id", "generator": "uuid", "echo_downstream": true }));
        let (sent, echoed) = run(&*plugin, &[("x-id", "mine")]);
        assert_eq!(sent, "mine");
        assert_eq!(echoed.as_deref(), Some("mine"));
        let mut exchange = testing::exchange("GET", "/", &[("x-id", "mine")]);
        testing::access(&*plugin, &mut exchange);
        assert_eq!(exchange.log_values, [LogValue::set("correlation_id", "mine".into())]);
        let mut exchange = testing::exchange("GET", "/", &[]);
        plugin.header_filter(&mut exchange);
        assert!(exchange.response.fields.contains("x-id"), "requests without a route get one too");
    }
}
