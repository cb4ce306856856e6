//! What filters in WebAssembly tell others on the node, where it runs any.

use std::sync::OnceLock;

static METRICS: OnceLock<fn() -> String> = OnceLock::new();

/// Says how to have what filters count, as Prometheus reads it.
pub fn provide_metrics(text: fn() -> String) {
    // The first one stays: they are all the same.
    let _ = METRICS.set(text);
}

/// What filters have counted; `None`: the node runs no filters.
pub fn metrics() -> Option<String> {
    METRICS.get().map(|text| text())
}

/// Whether the node runs filters.
pub fn are_run() -> bool {
    METRICS.get().is_some()
}
