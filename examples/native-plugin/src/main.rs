//! A gateway with a plugin of its own: `server-timing` tells clients where the time went.

use sdk::{Config, Env, Exchange, Phases, Plugin, PluginKind, entities};
use std::process::ExitCode;

/// The plugin as the gateway knows it before anybody has configured it.
struct ServerTiming;

/// One use of it, made when the configuration changes and shared by all workers.
struct Instance {
    name: String,
}

const SCHEMA: &str = r#"{
    "name": "server-timing",
    "fields": [
        { "consumer": { "type": "foreign", "reference": "consumers", "eq": null } },
        { "protocols": { "type": "set", "required": true, "default": ["http", "https"],
            "elements": { "type": "string", "one_of": ["http", "https"] } } },
        { "config": { "type": "record", "required": true, "fields": [
            { "name": { "type": "string", "required": true, "default": "gateway", "match": "^%w+$",
                "description": "What the gateway is called." } }
        ] } }
    ]
}"#;

impl PluginKind for ServerTiming {
    fn name(&self) -> &'static str {
        "server-timing"
    }

    /// Where it stands among the others: higher ones come first in every phase.
    fn priority(&self) -> i32 {
        1
    }

    fn schema(&self) -> &'static str {
        SCHEMA
    }

    fn configure(&self, plugin: &entities::Plugin, _env: &Env) -> Result<Box<dyn Plugin>, String> {
        let name = Config::new(&plugin.config).text("name").unwrap_or_default().to_owned();
        Ok(Box::new(Instance { name }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        Phases::HEADER_FILTER
    }

    fn header_filter(&self, exchange: &mut Exchange) {
        let took = exchange.timing.started.elapsed().as_secs_f64() * 1e3;
        let line = format!("{};dur={took:.1}", self.name);
        exchange.response.fields.append("Server-Timing", line.as_bytes());
    }
}

fn main() -> ExitCode {
    gateway::run(&[&ServerTiming])
}
