//! `ip-restriction`: lets addresses in or keeps them out.

use sdk::address::{Cidr, CidrSet};
use sdk::{Answer, Config, Env, Exchange, Phases, Plugin, PluginKind, Step, entities};

/// The plugin as the gateway knows it.
pub struct IpRestriction;

struct Instance {
    /// Empty: everybody but those denied.
    allow: CidrSet,
    deny: CidrSet,
    status: u16,
    message: Option<String>,
}

impl PluginKind for IpRestriction {
    fn name(&self) -> &'static str {
        "ip-restriction"
    }

    fn priority(&self) -> i32 {
        990
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn configure(&self, plugin: &entities::Plugin, _env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        Ok(Box::new(Instance {
            allow: networks(&config.texts("allow")).map_err(|e| format!("config.allow: {e}"))?,
            deny: networks(&config.texts("deny")).map_err(|e| format!("config.deny: {e}"))?,
            status: config.integer("status").unwrap_or(403),
            message: config.text("message").map(str::to_owned),
        }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        Phases::ACCESS
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let ip = exchange.client.ip.to_canonical();
        if !self.deny.contains(ip) && (self.allow.is_empty() || self.allow.contains(ip)) {
            return Step::Next;
        }
        let message = self.message.clone().unwrap_or_else(|| format!("IP address not allowed: {ip}"));
        tracing::warn!("ip-restriction: {message}");
        Step::Answer(Answer::error(exchange, self.status, &message))
    }
}

fn networks(list: &[String]) -> Result<CidrSet, String> {
    list.iter().map(|text| Cidr::parse(text).ok_or_else(|| format!("invalid ip or cidr range: '{text}'"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::testing;
    use serde_json::{Value, json};

    /// Which of these addresses pass.
    fn passing<const N: usize>(config: Value, addresses: [&str; N]) -> [bool; N] {
        let plugin = testing::configure(&IpRestriction, config, &Env::default());
        addresses.map(|ip| {
            let mut exchange = testing::exchange("GET", "/", &[]);
            exchange.client.ip = ip.parse().unwrap();
            testing::access(&*plugin, &mut exchange).is_none()
        })
    }

    #[test]
    fn lists() {
        let allow = json!({ "allow": ["10.0.0.0/8", "192.168.1.7", "fd00::/8"] });
        let addresses = ["10.1.2.3", "192.168.1.7", "192.168.1.8", "11.0.0.1", "fd00::1", "fe80::1", "::ffff:10.0.0.1"];
        assert_eq!(passing(allow, addresses), [true, true, false, false, true, false, true]);
        assert_eq!(
            passing(json!({ "deny": ["10.0.0.0/24", "::1"] }), ["10.0.0.255", "10.0.1.0", "::1", "::2"]),
            [false, true, false, true]
        );
        assert_eq!(
            passing(json!({ "deny": ["10.0.0.5"], "allow": ["10.0.0.0/24"] }), ["10.0.0.5", "10.0.0.6", "10.0.1.6"]),
            [false, true, false]
        );
        assert_eq!(passing(json!({ "deny": ["0.0.0.0/0"] }), ["1.1.1.1", "::1"]), [false, true]);
        let nested = json!({ "deny": ["10.0.0.0/8", "10.0.0.1", "10.0.0.0/30", "11.0.0.0/8", "::/0"] });
        assert_eq!(passing(nested, ["10.255.0.1", "11.0.0.1", "12.0.0.1", "::5"]), [false, false, true, false]);
    }

    #[test]
    fn answers() {
        let answer = |config| {
            testing::access(
                &*testing::configure(&IpRestriction, config, &Env::default()),
                &mut testing::exchange("GET", "/", &[]),
            )
            .unwrap()
        };
        let default = answer(json!({ "deny": ["127.0.0.1"] }));
        assert_eq!(default.status, 403);
        assert_eq!(
            serde_json::from_slice::<Value>(&default.body).unwrap()["message"],
            "IP address not allowed: 127.0.0.1"
        );
        assert_eq!(answer(json!({ "deny": ["127.0.0.0/8"], "status": 423, "message": "closed" })).status, 423);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["300.1.1.1", "10.0.0.0/99", "hello", "1.1.1.1/", "::1/129", "1.1.1.1/x"] {
            assert!(networks(&[text.to_owned()]).is_err(), "{text}");
        }
    }
}
