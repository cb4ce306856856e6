//! `route-by-header`: chooses the upstream by header lines of the request.

use sdk::{Config, Env, Exchange, Phases, Plugin, PluginKind, Step, entities};
use serde_json::Value;
use std::sync::Arc;

/// The plugin as the gateway knows it.
pub struct RouteByHeader;

struct Instance {
    rules: Vec<Rule>,
}

/// Where requests go that have all these lines.
struct Rule {
    upstream: Arc<str>,
    condition: Vec<(String, String)>,
}

impl PluginKind for RouteByHeader {
    fn name(&self) -> &'static str {
        "route-by-header"
    }

    fn priority(&self) -> i32 {
        850
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn configure(&self, plugin: &entities::Plugin, _env: &Env) -> Result<Box<dyn Plugin>, String> {
        let rules = Config::new(&plugin.config).list("rules").iter().map(Rule::read).collect::<Option<_>>();
        Ok(Box::new(Instance { rules: rules.ok_or("config.rules: incomplete")? }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        Phases::ACCESS
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        if let Some(rule) = self.rules.iter().find(|rule| rule.holds(exchange)) {
            exchange.upstream.host = Some(Arc::clone(&rule.upstream));
        }
        Step::Next
    }
}

impl Rule {
    fn read(rule: &Value) -> Option<Rule> {
        let condition = rule.get("condition")?.as_object()?.iter();
        let condition: Option<Vec<_>> =
            condition.map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect();
        let condition = condition.filter(|condition| !condition.is_empty())?;
        Some(Rule { upstream: rule.get("upstream_name")?.as_str()?.into(), condition })
    }

    fn holds(&self, exchange: &Exchange) -> bool {
        let fields = &exchange.request.fields;
        self.condition.iter().all(|(name, value)| fields.get(name) == Some(value.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::testing;
    use serde_json::json;

    fn upstream(lines: &[(&str, &str)]) -> Option<Arc<str>> {
        let rules = json!([
            { "upstream_name": "both", "condition": { "region": "us", "tier": "gold" } },
            { "upstream_name": "one", "condition": { "Region": "us" } }
        ]);
        let plugin = testing::configure(&RouteByHeader, json!({ "rules": rules }), &Env::default());
        let mut exchange = testing::exchange("GET", "/", lines);
        assert!(testing::access(&*plugin, &mut exchange).is_none());
        exchange.upstream.host
    }

    #[test]
    fn the_first_rule_decides_of_which_all_lines_are_there() {
        assert_eq!(upstream(&[("Region", "us"), ("tier", "gold")]).as_deref(), Some("both"));
        assert_eq!(upstream(&[("region", "us")]).as_deref(), Some("one"));
    }

    #[test]
    fn without_them_the_service_decides() {
        assert_eq!(upstream(&[]), None);
        assert_eq!(upstream(&[("region", "eu"), ("tier", "gold")]), None);
    }
}
