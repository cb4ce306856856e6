//! Lines of the node's own access logs on their way to an OTLP server, each a log record with the line as its body.

use super::delivery::Delivery;
use super::encode;
use sdk::{Env, Queue, QueueSettings};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Sends lines to one server, in batches; while it is away they wait, up to a limit.
#[derive(Debug)]
pub struct OtlpLines(Queue);

/// Lines in a batch.
const BATCH: usize = 1000;
/// Lines that wait, and their octets.
const LINES: usize = 100_000;
const OCTETS: usize = 16 << 20;

impl OtlpLines {
    /// To that URL.
    pub fn open(endpoint: &str, env: &Env) -> Result<OtlpLines, String> {
        let delivery = Delivery::of_lines(endpoint, env)?;
        let settings = QueueSettings {
            max_batch_size: BATCH,
            max_coalescing_delay: Duration::from_secs(1),
            max_entries: LINES,
            max_bytes: Some(OCTETS),
            ..QueueSettings::default()
        };
        let key = format!("lines {}", delivery.key());
        Ok(OtlpLines(Queue::named(env, "the access log over OTLP", &key, settings, || Arc::new(delivery))))
    }

    /// Takes lines, each with its end. Never waits.
    pub fn put(&self, lines: &[u8]) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        for line in lines.split(|octet| *octet == b'\n').filter(|line| !line.is_empty()) {
            self.0.put(encode::line_record(now, &String::from_utf8_lossy(line)));
        }
    }
}
