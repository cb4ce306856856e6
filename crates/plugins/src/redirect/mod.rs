//! `redirect`: sends clients to another place.

use sdk::{Answer, Config, Env, Exchange, Phases, Plugin, PluginKind, Step, entities};
use url::Url;

/// The plugin as the gateway knows it.
pub struct Redirect;

struct Instance {
    status: u16,
    location: Location,
}

enum Location {
    /// As the configuration has it.
    Fixed(String),
    /// The path and the query are those of the request.
    KeepPath(Url),
}

impl PluginKind for Redirect {
    fn name(&self) -> &'static str {
        "redirect"
    }

    fn priority(&self) -> i32 {
        779
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn configure(&self, plugin: &entities::Plugin, _env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let location = config.header_value("location")?.ok_or("config.location: missing")?;
        let location = if config.flag("keep_incoming_path") {
            Location::KeepPath(Url::parse(location).map_err(|e| format!("config.location: {e}"))?)
        } else {
            Location::Fixed(location.to_owned())
        };
        Ok(Box::new(Instance { status: config.integer("status_code").unwrap_or(301), location }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        Phases::ACCESS
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let answer = Answer::new(self.status, "redirecting");
        Step::Answer(match &self.location {
            Location::Fixed(location) => answer.with("Location", location.as_bytes()),
            Location::KeepPath(url) => {
                let mut url = url.clone();
                url.set_path(&exchange.path());
                url.set_query(exchange.request.query().filter(|query| !query.is_empty()));
                answer.with("Location", url.as_str().as_bytes())
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::testing;
    use serde_json::{Value, json};

    fn answer(config: Value, target: &str) -> Answer {
        let plugin = testing::configure(&Redirect, config, &Env::default());
        testing::access(&*plugin, &mut testing::exchange("GET", target, &[])).unwrap()
    }

    fn location(config: Value, target: &str) -> String {
        answer(config, target).fields.get_str("Location").unwrap().to_owned()
    }

    #[test]
    fn to_a_fixed_place() {
        let answer = answer(json!({ "status_code": 307, "location": "https://new.test/here?z=9" }), "/r?q=1");
        assert_eq!(answer.status, 307);
        assert_eq!(answer.fields.get_str("Location"), Some("https://new.test/here?z=9"));
        assert_eq!(&answer.body[..], b"redirecting");
    }

    #[test]
    fn to_the_same_path_elsewhere() {
        let keep = || json!({ "location": "https://new.test:8443/here?z=9", "keep_incoming_path": true });
        assert_eq!(location(keep(), "/r/x%20y?y=1&b=%20"), "https://new.test:8443/r/x%20y?y=1&b=%20");
        assert_eq!(location(keep(), "/r"), "https://new.test:8443/r");
        assert_eq!(location(keep(), "/r?"), "https://new.test:8443/r");
        assert_eq!(location(keep(), "//evil.test/../a%2Fb"), "https://new.test:8443/a%2Fb");
    }

    #[test]
    fn what_cannot_be_a_location() {
        for location in ["https://a.test/\r\nX-Evil: 1", "nowhere"] {
            let id = entities::Uuid::nil().to_string();
            let config = json!({ "location": location, "keep_incoming_path": true });
            let record = json!({ "id": id, "name": "redirect", "config": config });
            let plugin = entities::Plugin::from_record(record.as_object().unwrap()).unwrap();
            assert!(Redirect.configure(&plugin, &Env::default()).is_err(), "{location:?}");
        }
    }
}
