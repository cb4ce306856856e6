//! `proxy-cache` and `proxy-cache-advanced`: keep responses of services, in memory or in a Redis, and answer from
//! there.

mod admin;
mod control;
mod instance;
mod key;
mod redis;
mod storage;
mod store;

use instance::Instance;
use sdk::{
    AdminAnswer, AdminEndpoint, AdminRequest, BoxFuture, Config, Env, Function, Plugin, PluginKind, Record, entities,
};
use serde_json::Value;
pub use storage::declare_dictionary;
use storage::{DEFAULT_DICTIONARY, Storage};

/// The plugin as the gateway knows it.
pub struct ProxyCache;

/// The form of it that Kong sells: consumer groups tell requests apart, and what becomes of requests while the Redis is
/// away can be chosen.
pub struct ProxyCacheAdvanced;

/// The layout of stored responses, as Kong numbers it.
const VERSION: u32 = 1;

impl PluginKind for ProxyCache {
    fn name(&self) -> &'static str {
        "proxy-cache"
    }

    fn priority(&self) -> i32 {
        100
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        FUNCTIONS
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let storage = Storage::configure(plugin, self.name(), env)?;
        let mut instance = Instance::new(&Config::new(&plugin.config), storage, env);
        instance.bypass_on_error = true;
        Ok(Box::new(instance))
    }

    fn endpoints(&self) -> &'static [AdminEndpoint] {
        admin::ENDPOINTS
    }

    fn admin(&self, request: AdminRequest, env: &Env) -> BoxFuture<'static, AdminAnswer> {
        let env = env.clone();
        Box::pin(async move { admin::answer(&request, admin::CHANNEL, &env).await })
    }

    fn channel(&self) -> Option<&'static str> {
        Some(admin::CHANNEL)
    }

    fn hear(&self, data: &str, instances: &[entities::Plugin], env: &Env) {
        admin::hear(data, instances, env);
    }
}

impl PluginKind for ProxyCacheAdvanced {
    fn name(&self) -> &'static str {
        "proxy-cache-advanced"
    }

    fn priority(&self) -> i32 {
        100
    }

    fn schema(&self) -> &'static str {
        include_str!("advanced.json")
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        FUNCTIONS
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let storage = Storage::configure(plugin, self.name(), env)?;
        let mut instance = Instance::new(&Config::new(&plugin.config), storage, env);
        instance.vary.groups = true;
        Ok(Box::new(instance))
    }

    fn endpoints(&self) -> &'static [AdminEndpoint] {
        admin::ADVANCED_ENDPOINTS
    }

    fn admin(&self, request: AdminRequest, env: &Env) -> BoxFuture<'static, AdminAnswer> {
        let env = env.clone();
        Box::pin(async move { admin::answer(&request, admin::ADVANCED_CHANNEL, &env).await })
    }

    fn channel(&self) -> Option<&'static str> {
        Some(admin::ADVANCED_CHANNEL)
    }

    fn hear(&self, data: &str, instances: &[entities::Plugin], env: &Env) {
        admin::hear(data, instances, env);
    }
}

const FUNCTIONS: &[(&str, Function)] = &[("proxy_cache_dictionary", Function::Check(dictionary_exists))];

/// The check that the schemas name.
fn dictionary_exists(record: &Record) -> Result<(), String> {
    let config = record.get("config").and_then(Value::as_object);
    let name =
        config.and_then(|c| Config::new(c).section("memory").text("dictionary_name")).unwrap_or(DEFAULT_DICTIONARY);
    if storage::is_dictionary(name) { Ok(()) } else { Err(format!("missing shared dict '{name}'")) }
}

#[cfg(test)]
mod tests;
