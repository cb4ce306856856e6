//! Code in configurations, which a run time that the gateway brings along runs for plugins.

use crate::Exchange;
use serde_json::Value;
use std::sync::{Arc, OnceLock};

/// A run time.
pub trait Scripts: Send + Sync {
    /// Code that can be run; the error is why it cannot. Called when an instance is configured.
    fn load(&self, code: &str) -> Result<Arc<dyn Script>, String>;
}

/// Code that has been loaded.
pub trait Script: Send + Sync {
    /// What it makes of an exchange that is over. Called on the workers.
    fn value(&self, exchange: &mut Exchange) -> Result<Value, String>;

    /// Calls the function that it returns, with these values (null is nothing, `nil` in Lua): what that returns, within
    /// the limits of code. It may look at the exchange, and edit it. Called on the workers.
    fn call(&self, exchange: &mut Exchange, arguments: &[Value]) -> Result<Vec<Value>, String>;

    /// Calls the function that it returns: the text that comes of it, in octets, within the limits of code. Called on
    /// the workers.
    fn text(&self, exchange: &mut Exchange) -> Result<Vec<u8>, String>;

    /// Whether it may look at the content of requests.
    fn reads_content(&self) -> bool;
}

static READER: OnceLock<fn(&str) -> Result<(), String>> = OnceLock::new();

/// Says what reads code of configurations in this process, before records are checked: schemas ask it by
/// [`is_code`], for they know no instance of anything.
pub fn provide(reader: fn(&str) -> Result<(), String>) {
    READER.get_or_init(|| reader);
}

/// Whether the run time can read code; `None` without one.
pub fn read(code: &str) -> Option<Result<(), String>> {
    READER.get().map(|reader| reader(code))
}

/// The check of code in a schema. Without a run time it is what makes the instance that refuses code.
pub fn is_code(value: &Value) -> Result<(), String> {
    let read = value.as_str().and_then(read).unwrap_or(Ok(()));
    read.map_err(|error| format!("Error parsing function: {error}"))
}
