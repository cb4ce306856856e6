//! What all log plugins write: the entry of an exchange.

use sdk::log::{self, LogValue};
use sdk::{Config, Env, Exchange, Function, Phases, QueueSettings, Script};
use std::sync::Arc;
use std::time::Duration;

/// The entries of an instance.
pub struct LogEntries {
    /// Code by the member that its value becomes (`custom_fields_by_lua`).
    custom_fields: Vec<(String, Arc<dyn Script>)>,
    degraded: Option<String>,
}

impl LogEntries {
    /// What a plugin that writes entries takes part in and needs.
    pub const PHASES: Phases = Phases::LOG.and(Phases::KEEPS_LINES);

    /// What the schemas of such plugins name: code that cannot be read is refused when it is written.
    pub const IS_CODE: (&str, Function) = ("lua_code", Function::Validator(sdk::scripts::is_code));

    /// As the configuration wants them.
    pub fn of(config: Config<'_>, env: &Env) -> Result<LogEntries, String> {
        let mut entries = LogEntries { custom_fields: Vec::new(), degraded: None };
        for (member, code) in config.section("custom_fields_by_lua").pairs() {
            let Some(scripts) = env.scripts() else {
                entries.degraded = Some("custom_fields_by_lua has no effect: this program has no Lua".to_owned());
                break;
            };
            let script = scripts.load(code.as_str().unwrap_or_default());
            let script = script.map_err(|error| format!("config.custom_fields_by_lua.{member}: {error}"))?;
            entries.custom_fields.push((member.to_owned(), script));
        }
        Ok(entries)
    }

    /// A queue for plugins whose configuration has none: what has come meanwhile goes together and at once, and what
    /// fails is lost, as in Kong.
    pub fn queue_settings() -> QueueSettings {
        QueueSettings {
            max_batch_size: 100,
            max_coalescing_delay: Duration::ZERO,
            max_retry_time: None,
            ..QueueSettings::default()
        }
    }

    /// What is missing in them.
    pub fn degraded(&self) -> Option<String> {
        self.degraded.clone()
    }

    /// The entry of an exchange that is over, as JSON text. Fields of the configuration are in the entries of log
    /// plugins that come later, too, as in Kong.
    pub fn write(&self, exchange: &mut Exchange) -> Vec<u8> {
        for (member, script) in &self.custom_fields {
            match script.value(exchange) {
                Ok(value) => {
                    let value = LogValue {
                        value: Some(value).filter(|value| !value.is_null()),
                        ..LogValue::set(member, false.into())
                    };
                    exchange.log_values.push(value);
                }
                Err(error) => tracing::error!(member, "custom_fields_by_lua: {error}"),
            }
        }
        log::serialize(exchange)
    }
}
