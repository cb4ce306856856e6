//! Filters in WebAssembly, by the interface proxy-wasm, as `filter_chains` name them.

mod chain;
mod engine;
mod filter;
mod host;
mod spec;
#[cfg(all(test, feature = "wasm-tests"))]
mod tests;
mod vm;
mod workers;

pub use filter::{Filter, Judge, load};
pub use host::{limit_shared, metrics_text};

use chain::Chain;
use sdk::{Env, LocalBoxFuture, Plugin, PluginKind, entities};
use serde_json::Value;
use spec::Spec;
use std::sync::{Arc, OnceLock};

/// A node, as filters see it.
#[derive(Clone, Debug, Default)]
pub struct Node {
    pub id: String,
    /// `kong.configuration`: the settings by name.
    pub configuration: Value,
}

static NODE: OnceLock<Node> = OnceLock::new();

/// Says what node this is, once, before any worker runs.
pub fn surround(node: Node) {
    // Another node in this process, which only tests have, goes by the first one's.
    let _ = NODE.set(node);
}

fn node() -> Option<&'static Node> {
    NODE.get()
}

/// What runs the filters of chains: to the proxy, a plugin whose configuration is a list of filters. Chains of services
/// and chains of routes are kinds of their own, for a request may have one of each.
pub struct FilterChains {
    name: &'static str,
    priority: i32,
    filters: &'static [&'static Filter],
}

impl FilterChains {
    /// The kinds for these filters: services' act before routes', and both after all plugins.
    pub fn kinds(filters: &'static [&'static Filter]) -> [FilterChains; 2] {
        let kind = |name, priority| FilterChains { name, priority, filters };
        [kind(sdk::FILTERS_OF_SERVICE, i32::MIN + 1), kind(sdk::FILTERS_OF_ROUTE, i32::MIN)]
    }

    fn spec(&self, filter: &Value, env: &Env) -> Result<Arc<Spec>, String> {
        let name = filter["name"].as_str().unwrap_or_default();
        let known = self.filters.iter().find(|known| known.name == name);
        let known = known.ok_or_else(|| format!("filter {name} is not enabled or not installed"))?;
        Spec::of(known, &filter["config"], env)
    }
}

impl PluginKind for FilterChains {
    fn name(&self) -> &'static str {
        self.name
    }

    fn priority(&self) -> i32 {
        self.priority
    }

    fn schema(&self) -> &'static str {
        r#"{"fields": [{"config": {"type": "record", "fields": [
            {"filters": {"type": "array", "elements": {"type": "any"}}}
        ]}}]}"#
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let filters = plugin.config.get("filters").and_then(Value::as_array).into_iter().flatten();
        let enabled = filters.filter(|filter| filter["enabled"] != Value::Bool(false));
        let specs: Vec<Arc<Spec>> = enabled.map(|filter| self.spec(filter, env)).collect::<Result<_, _>>()?;
        Ok(Box::new(Chain::new(specs)))
    }

    fn start_worker(&self, _index: usize) {
        workers::start();
    }

    fn end_worker(&self) -> LocalBoxFuture<'static, ()> {
        workers::end();
        Box::pin(std::future::ready(()))
    }
}
