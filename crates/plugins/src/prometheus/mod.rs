//! `prometheus`: counts requests and what they took, and shows that and the state of the node on `/metrics`.

mod exporter;
mod series;

use exporter::{Exporter, Shown};
use sdk::{
    AdminAnswer, AdminEndpoint, AdminRequest, BoxFuture, Config, Env, Exchange, Phases, Plugin, PluginKind, entities,
};
use series::Wanted;
use std::sync::Arc;

/// The plugin as the gateway knows it.
pub struct Prometheus;

struct Instance {
    exporter: Arc<Exporter>,
    wanted: Wanted,
    shows: Shown,
    /// What is asked for and never counted.
    idle: Vec<&'static str>,
}

impl PluginKind for Prometheus {
    fn name(&self) -> &'static str {
        "prometheus"
    }

    fn priority(&self) -> i32 {
        13
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn endpoints(&self) -> &'static [AdminEndpoint] {
        &[AdminEndpoint {
            path: "/metrics",
            methods: &["GET"],
            on_admin: true,
            on_status: true,
            with_instances: false,
            in_workspaces: false,
        }]
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let exporter = env.shared::<Exporter>();
        let shows = Shown { upstreams: config.flag("upstream_health_metrics"), filters: config.flag("wasm_metrics") };
        exporter.enter(env, shows);
        Ok(Box::new(Instance {
            exporter,
            wanted: Wanted {
                status: config.flag("status_code_metrics"),
                latency: config.flag("latency_metrics"),
                bandwidth: config.flag("bandwidth_metrics"),
                consumer: config.flag("per_consumer"),
            },
            shows,
            idle: ["ai_metrics", "wasm_metrics"]
                .into_iter()
                .filter(|field| config.flag(field) && !(*field == "wasm_metrics" && sdk::filters::are_run()))
                .collect(),
        }))
    }

    fn admin(&self, _request: AdminRequest, env: &Env) -> BoxFuture<'static, AdminAnswer> {
        let env = env.clone();
        Box::pin(async move { AdminAnswer::text(200, env.shared::<Exporter>().text(&env).await) })
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        if self.wanted.anything() { Phases::LOG } else { Phases::NONE }
    }

    fn degraded(&self) -> Option<String> {
        (!self.idle.is_empty()).then(|| format!("nothing is counted for {}", self.idle.join(" and ")))
    }

    fn log(&self, exchange: &mut Exchange) {
        self.exporter.count(exchange, self.wanted);
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.exporter.leave(self.shows);
    }
}

#[cfg(test)]
mod tests;
