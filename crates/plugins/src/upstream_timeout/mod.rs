//! `upstream-timeout`: how long services may take, for some requests other than their records say.

use sdk::{Config, Env, Exchange, Phases, Plugin, PluginKind, Step, Timeouts, entities};
use std::time::Duration;

/// The plugin as the gateway knows it.
pub struct UpstreamTimeout;

struct Instance {
    connect: Option<Duration>,
    send: Option<Duration>,
    read: Option<Duration>,
}

impl PluginKind for UpstreamTimeout {
    fn name(&self) -> &'static str {
        "upstream-timeout"
    }

    fn priority(&self) -> i32 {
        400
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn configure(&self, plugin: &entities::Plugin, _env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        // No time at all is no limit that could be kept.
        let limit = |field: &str| config.integer(field).filter(|ms| *ms > 0).map(Duration::from_millis);
        Ok(Box::new(Instance {
            connect: limit("connect_timeout"),
            send: limit("send_timeout"),
            read: limit("read_timeout"),
        }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        Phases::ACCESS
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let usual = exchange.timeouts();
        exchange.upstream.timeouts = Some(Timeouts {
            connect: self.connect.unwrap_or(usual.connect),
            write: self.send.unwrap_or(usual.write),
            read: self.read.unwrap_or(usual.read),
        });
        Step::Next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::testing;
    use serde_json::{Value, json};

    fn timeouts(config: Value) -> Timeouts {
        let plugin = testing::configure(&UpstreamTimeout, config, &Env::default());
        let mut exchange = testing::exchange("GET", "/", &[]);
        let service = json!({ "connect_timeout": 1_000, "read_timeout": 2_000, "write_timeout": 3_000 });
        exchange.service = Some(testing::service(service));
        assert!(testing::access(&*plugin, &mut exchange).is_none());
        exchange.timeouts()
    }

    #[test]
    fn what_is_set_takes_the_place_of_the_services() {
        let ms = Duration::from_millis;
        let all = timeouts(json!({ "connect_timeout": 1, "read_timeout": 2, "send_timeout": 3 }));
        assert_eq!(all, Timeouts { connect: ms(1), read: ms(2), write: ms(3) });
        let read = timeouts(json!({ "read_timeout": 5, "send_timeout": 0 }));
        assert_eq!(read, Timeouts { connect: ms(1_000), read: ms(5), write: ms(3_000) });
    }
}
