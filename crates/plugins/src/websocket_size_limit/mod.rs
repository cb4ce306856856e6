//! `websocket-size-limit`: how large the messages of WebSockets may be.

use sdk::{Config, Env, Exchange, Phases, Plugin, PluginKind, Step, WebSocketLimits, entities};

/// The plugin as the gateway knows it.
pub struct WebsocketSizeLimit;

struct Instance(WebSocketLimits);

impl PluginKind for WebsocketSizeLimit {
    fn name(&self) -> &'static str {
        "websocket-size-limit"
    }

    fn priority(&self) -> i32 {
        1003
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn configure(&self, plugin: &entities::Plugin, _env: &Env) -> Result<Box<dyn Plugin>, String> {
        let (config, usual) = (Config::new(&plugin.config), WebSocketLimits::default());
        let octets = |field: &str, usual: usize| config.integer(field).unwrap_or(usual);
        Ok(Box::new(Instance(WebSocketLimits {
            client: octets("client_max_payload", usual.client),
            service: octets("upstream_max_payload", usual.service),
        })))
    }
}

impl Plugin for Instance {
    // It sees no message: whoever reads them obeys the limits, before a message is there.
    fn phases(&self) -> Phases {
        Phases::ACCESS.and(Phases::WS_CLIENT_FRAME).and(Phases::WS_UPSTREAM_FRAME)
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        exchange.put(self.0);
        Step::Next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::testing;
    use serde_json::json;

    #[test]
    fn what_is_not_set_is_as_ever() {
        let plugin = testing::configure(&WebsocketSizeLimit, json!({ "client_max_payload": 5 }), &Env::default());
        let mut exchange = testing::exchange("GET", "/", &[]);
        assert!(testing::access(&*plugin, &mut exchange).is_none());
        assert_eq!(exchange.take(), Some(WebSocketLimits { client: 5, service: 16 << 20 }));
    }
}
