//! Code in configurations, which a run time that the gateway brings along runs for plugins.

use crate::Exchange;
use serde_json::Value;
use std::sync::Arc;

/// A run time.
pub trait Scripts: Send + Sync {
    /// Code that can be run; the error is why it cannot. Called when an instance is configured.
    fn load(&self, code: &str) -> Result<Arc<dyn Script>, String>;
}

/// Code that has been loaded.
pub trait Script: Send + Sync {
    /// What it makes of an exchange that is over. Called on the workers.
    fn value(&self, exchange: &mut Exchange) -> Result<Value, String>;

    /// Calls the function that it returns, with these values: what that returns, within the limits of code. It may look
    /// at the exchange, and edit it. Called on the workers.
    fn call(&self, exchange: &mut Exchange, arguments: &[Value]) -> Result<Vec<Value>, String>;
}
