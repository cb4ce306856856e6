//! A filter with a configuration, as records ask for it. Each worker has a machine for it.

use super::filter::Filter;
use super::vm::{Vm, Wants};
use sdk::{Env, HttpClient, HttpOptions};
use serde_json::Value;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::watch;

/// It lasts as long as anything that is configured with it.
pub struct Spec {
    pub number: u64,
    pub filter: &'static Filter,
    pub config: Arc<[u8]>,
    pub client: HttpClient,
    pub wants: Wants,
}

/// How much content of a response to a filter's own request is taken.
const MAX_CONTENT: usize = 4 << 20;

/// Those that there are.
static SPECS: Mutex<Vec<Weak<Spec>>> = Mutex::new(Vec::new());
static CHANGES: LazyLock<watch::Sender<u64>> = LazyLock::new(|| watch::Sender::new(0));

impl Spec {
    /// The one for a filter and a configuration. A new one is tried out first; the error says what is wrong with it.
    pub fn of(filter: &'static Filter, config: &Value, env: &Env) -> Result<Arc<Spec>, String> {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        filter.judge(config).map_err(|error| format!("filter {}: config: {error}", filter.name))?;
        // Text is given as it is, whatever it holds; anything else as JSON.
        let config: Arc<[u8]> = match config {
            Value::Null => Arc::default(),
            Value::String(text) => text.as_bytes().into(),
            other => other.to_string().into_bytes().into(),
        };
        if let Some(known) = all().into_iter().find(|spec| std::ptr::eq(spec.filter, filter) && spec.config == config) {
            return Ok(known);
        }
        let wants = Vm::start(filter, &config, None)?.wants();
        let options =
            HttpOptions { timeout: Duration::from_secs(60), max_content: MAX_CONTENT, ..HttpOptions::default() };
        let client = HttpClient::new(env, options);
        let spec = Arc::new(Spec { number: NUMBERS.fetch_add(1, Relaxed), filter, config, client, wants });
        SPECS.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&spec));
        changed();
        Ok(spec)
    }
}

impl Drop for Spec {
    fn drop(&mut self) {
        changed();
    }
}

/// All that there are.
pub fn all() -> Vec<Arc<Spec>> {
    let mut specs = SPECS.lock().unwrap_or_else(PoisonError::into_inner);
    specs.retain(|spec| spec.strong_count() > 0);
    specs.iter().filter_map(Weak::upgrade).collect()
}

/// Tells of changes among them.
pub fn changes() -> watch::Receiver<u64> {
    CHANGES.subscribe()
}

fn changed() {
    CHANGES.send_modify(|count| *count += 1);
}
