//! `rate-limiting-advanced` and `service-protection`: how many requests may come in windows of any length, fixed ones
//! or such that slide with the time. The former counts callers, the latter all requests for a service.

mod identifier;
mod instance;
mod ledger;
mod rule;
mod synced;
mod throttle;

use identifier::Identifier;
use instance::Instance;
use sdk::{Config, Env, Function, Plugin, PluginKind, entities};
use serde_json::Value;

/// The plugin as the gateway knows it.
pub struct RateLimitingAdvanced;

/// The same for services.
pub struct ServiceProtection;

impl PluginKind for RateLimitingAdvanced {
    fn name(&self) -> &'static str {
        "rate-limiting-advanced"
    }

    fn priority(&self) -> i32 {
        910
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        FUNCTIONS
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let several = config.texts("compound_identifier");
        let names =
            if several.is_empty() { vec![config.text("identifier").unwrap_or("consumer").to_owned()] } else { several };
        let identifiers = names.iter().map(|name| Identifier::read(name, &config)).collect::<Result<_, _>>()?;
        let mut instance = Instance::configure(&config, env, identifiers)?;
        if config.flag("enforce_consumer_groups") {
            instance.groups = config.texts("consumer_groups");
            let none = || "enforce_consumer_groups has no effect: consumer_groups names none".to_owned();
            let none = instance.groups.is_empty().then(none);
            instance.degraded = instance.degraded.or(none);
        }
        Ok(Box::new(instance))
    }
}

impl PluginKind for ServiceProtection {
    fn name(&self) -> &'static str {
        "service-protection"
    }

    fn priority(&self) -> i32 {
        901
    }

    fn schema(&self) -> &'static str {
        include_str!("service_protection.json")
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        FUNCTIONS
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        Ok(Box::new(Instance::configure(&config, env, vec![Identifier::Service])?))
    }
}

const FUNCTIONS: &[(&str, Function)] = &[("rate_limiting_advanced", Function::Validator(check_config))];

/// The check that both schemas name: windows have limits, and nodes that count together say how often they tell.
fn check_config(config: &Value) -> Result<(), String> {
    let list = |field: &str| config.get(field).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let (sizes, limits) = (list("window_size"), list("limit"));
    if sizes.len() != limits.len() {
        return Err("You must provide the same number of windows and limits".to_owned());
    }
    if sizes.iter().chain(limits).any(|number| number.as_f64().is_none_or(|number| number <= 0.0)) {
        return Err("size/limit values must be greater than 0".to_owned());
    }
    if sizes.iter().any(|size| size.as_f64().is_some_and(|size| size < 1.0)) {
        return Err("window_size: a window has one second or more".to_owned());
    }
    let sync_rate = config.get("sync_rate").and_then(Value::as_f64);
    match (config.get("strategy").and_then(Value::as_str), sync_rate) {
        (None | Some("local"), Some(rate)) if rate > -1.0 => {
            Err("sync_rate cannot be configured when using a local strategy".to_owned())
        }
        (Some("redis" | "cluster"), None) => Err("sync_rate is required if not using a local strategy".to_owned()),
        (_, Some(rate)) if rate > 0.0 && rate < 0.02 => {
            Err("Config option sync_rate must not be between 0 and 0.02".to_owned())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
