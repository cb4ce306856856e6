//! What all log plugins write: the entry of an exchange.

use sdk::{Config, Exchange, Phases, QueueSettings, log};
use std::time::Duration;

/// The entries of an instance.
pub struct LogEntries {
    has_custom_fields: bool,
}

impl LogEntries {
    /// What a plugin that writes entries takes part in and needs.
    pub const PHASES: Phases = Phases::LOG.and(Phases::KEEPS_LINES);

    /// As the configuration wants them.
    pub fn of(config: Config<'_>) -> LogEntries {
        LogEntries { has_custom_fields: config.section("custom_fields_by_lua").pairs().next().is_some() }
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
        self.has_custom_fields.then(|| "custom_fields_by_lua has no effect: Lua is not there yet".to_owned())
    }

    /// The entry of an exchange that is over, as JSON text.
    pub fn write(&self, exchange: &Exchange) -> Vec<u8> {
        log::serialize(exchange)
    }
}
