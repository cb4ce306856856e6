//! What a queue is bounded by, and how it retries.

use crate::Config;
use std::time::Duration;

/// Kong's parameters of a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueSettings {
    pub max_batch_size: usize,
    /// How long a batch may wait for more, from its first entry.
    pub max_coalescing_delay: Duration,
    pub max_entries: usize,
    /// Octets of all entries; `None`: the node's memory budget alone counts.
    pub max_bytes: Option<usize>,
    pub initial_retry_delay: Duration,
    pub max_retry_delay: Duration,
    /// How long after its first failure a batch is tried again; `None`: not at all.
    pub max_retry_time: Option<Duration>,
    /// Entries are delivered one by one and side by side, up to [`Queue::MOST_AT_ONCE`].
    pub concurrent: bool,
}

impl QueueSettings {
    /// The parameters of a plugin's configuration: its `queue`, and the older ones that stand for some of them. The
    /// older ones count where they are not what was their default.
    pub fn of(config: Config<'_>) -> QueueSettings {
        let queue = config.section("queue");
        let usual = QueueSettings::default();
        let seconds = |field: &str, usual| queue.number(field).map_or(usual, duration);
        let mut settings = QueueSettings {
            max_batch_size: queue.integer("max_batch_size").unwrap_or(usual.max_batch_size),
            max_coalescing_delay: seconds("max_coalescing_delay", usual.max_coalescing_delay),
            max_entries: queue.integer("max_entries").unwrap_or(usual.max_entries),
            max_bytes: queue.integer("max_bytes"),
            initial_retry_delay: seconds("initial_retry_delay", usual.initial_retry_delay),
            max_retry_delay: seconds("max_retry_delay", usual.max_retry_delay),
            max_retry_time: match queue.number("max_retry_time") {
                Some(seconds) if seconds < 0.0 => None,
                Some(seconds) => Some(duration(seconds)),
                None => usual.max_retry_time,
            },
            concurrent: queue.number("concurrency_limit") == Some(-1.0),
        };
        for (older, default) in [("queue_size", 1), ("batch_span_count", 200)] {
            if let Some(size) = config.integer(older).filter(|size| *size != default) {
                settings.max_batch_size = size;
            }
        }
        for (older, default) in [("flush_timeout", 2.0), ("batch_flush_delay", 3.0)] {
            if let Some(seconds) = config.number(older).filter(|seconds| *seconds != default) {
                settings.max_coalescing_delay = duration(seconds);
            }
        }
        settings.max_batch_size = settings.max_batch_size.max(1);
        settings.max_entries = settings.max_entries.max(1);
        settings
    }
}

impl Default for QueueSettings {
    fn default() -> QueueSettings {
        QueueSettings {
            max_batch_size: 1,
            max_coalescing_delay: Duration::from_secs(1),
            max_entries: 10_000,
            max_bytes: None,
            initial_retry_delay: Duration::from_millis(10),
            max_retry_delay: Duration::from_secs(60),
            max_retry_time: Some(Duration::from_secs(60)),
            concurrent: false,
        }
    }
}

/// Seconds, within what timers can do.
fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.clamp(0.0, 1e9)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn of(config: Value) -> QueueSettings {
        QueueSettings::of(Config::new(config.as_object().unwrap()))
    }

    #[test]
    fn parameters_are_read_with_kongs_defaults() {
        assert_eq!(of(json!({})), QueueSettings::default());
        let queue = json!({
            "max_batch_size": 7, "max_coalescing_delay": 0.5, "max_entries": 20, "max_bytes": 100, "max_retry_time": -1,
            "initial_retry_delay": 0.25, "max_retry_delay": 3, "concurrency_limit": -1
        });
        let read = QueueSettings {
            max_batch_size: 7,
            max_coalescing_delay: Duration::from_millis(500),
            max_entries: 20,
            max_bytes: Some(100),
            initial_retry_delay: Duration::from_millis(250),
            max_retry_delay: Duration::from_secs(3),
            max_retry_time: None,
            concurrent: true,
        };
        assert_eq!(of(json!({ "queue": queue })), read);
    }

    #[test]
    fn older_parameters_count_where_they_are_not_the_old_defaults() {
        let older = of(json!({ "queue": { "max_batch_size": 3 }, "queue_size": 5, "flush_timeout": 0.5 }));
        assert_eq!(older.max_batch_size, 5);
        assert_eq!(older.max_coalescing_delay, Duration::from_millis(500));
        let unchanged = json!({ "queue": { "max_batch_size": 3 }, "queue_size": 1, "flush_timeout": 2 });
        assert_eq!(of(unchanged), QueueSettings { max_batch_size: 3, ..QueueSettings::default() });
        let spans = of(json!({ "batch_span_count": 10, "batch_flush_delay": 1 }));
        assert_eq!(spans.max_batch_size, 10);
        assert_eq!(spans.max_coalescing_delay, Duration::from_secs(1));
    }
}
