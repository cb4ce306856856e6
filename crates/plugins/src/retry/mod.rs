//! `retry`: which requests are tried again when a service fails, how often, and how many of all. Our own; Kong has
//! `retries` of services only, for failures without a response.

use sdk::{Config, Env, Exchange, Phases, Plugin, PluginKind, RetryBudget, RetryPolicy, Step, entities};
use std::sync::Arc;

/// The plugin as the gateway knows it.
pub struct Retry;

struct Instance {
    /// Requests with other methods are tried as without the plugin.
    methods: Vec<String>,
    policy: Arc<RetryPolicy>,
}

impl PluginKind for Retry {
    fn name(&self) -> &'static str {
        "retry"
    }

    fn priority(&self) -> i32 {
        401
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn configure(&self, plugin: &entities::Plugin, _env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let (failures, budget) = (config.texts("failures"), config.section("budget"));
        let fails = |name: &str| failures.iter().any(|failure| failure == name);
        let policy = RetryPolicy {
            retries: config.integer("retries").unwrap_or(2),
            statuses: config.list("statuses").iter().filter_map(|v| v.as_u64()?.try_into().ok()).collect(),
            errors: fails("error"),
            timeouts: fails("timeout"),
            budget: RetryBudget::new(
                budget.number("percentage").unwrap_or(20.0) / 100.0,
                budget.integer("minimum").unwrap_or(10),
            ),
        };
        Ok(Box::new(Instance { methods: config.texts("methods"), policy: Arc::new(policy) }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        Phases::ACCESS
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let method = exchange.upstream.method.as_deref().unwrap_or(exchange.request.method.as_str());
        if self.methods.iter().any(|listed| listed == method) {
            self.policy.budget.request(exchange.timing.started);
            exchange.upstream.retries = Some(Arc::clone(&self.policy));
        }
        Step::Next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::testing;
    use serde_json::json;

    #[test]
    fn methods_decide() {
        let config = json!({
            "retries": 3, "statuses": [503], "failures": ["error"], "methods": ["GET", "POST"],
            "budget": { "percentage": 10, "minimum": 1 }
        });
        let plugin = testing::configure(&Retry, config, &Env::default());
        let policy = |method: &str| {
            let mut exchange = testing::exchange(method, "/", &[]);
            assert!(testing::access(&*plugin, &mut exchange).is_none());
            exchange.upstream.retries
        };
        let of_post = policy("POST").unwrap();
        assert_eq!(of_post.retries, 3);
        assert_eq!(of_post.statuses, [503]);
        assert!(of_post.errors);
        assert!(!of_post.timeouts);
        assert!(policy("PUT").is_none());
    }
}
