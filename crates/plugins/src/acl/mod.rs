//! `acl`: lets callers of some groups in, or keeps them out.

use crate::groups::{ACLS, Held, parse};
use sdk::{
    Answer, Config, CredentialEntity, CredentialKey, Env, Exchange, Fields, Phases, Plugin, PluginKind, Step, entities,
};
use std::collections::HashSet;

/// The plugin as the gateway knows it.
pub struct Acl;

/// The lines by which services learn a caller's groups.
const CONSUMER_GROUPS: &str = "X-Consumer-Groups";
const AUTHENTICATED_GROUPS: &str = "X-Authenticated-Groups";

struct Instance {
    groups: HashSet<String>,
    /// The groups are those that are kept out.
    denies: bool,
    hide: bool,
    /// Groups that were learnt elsewhere go before those of a consumer, even of one who has shown a credential.
    prefers_authenticated: bool,
    /// The consumer groups that a caller is in count too.
    includes_consumer_groups: bool,
}

impl PluginKind for Acl {
    fn name(&self) -> &'static str {
        "acl"
    }

    fn priority(&self) -> i32 {
        950
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn credentials(&self) -> &'static [CredentialEntity] {
        &[CredentialEntity {
            schema: include_str!("acls.json"),
            entity: ACLS,
            key: CredentialKey::Consumer,
            parse: Some(parse),
        }]
    }

    fn configure(&self, plugin: &entities::Plugin, _env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let denied = config.texts("deny");
        let denies = !denied.is_empty();
        let groups = if denies { denied } else { config.texts("allow") };
        Ok(Box::new(Instance {
            groups: groups.into_iter().collect(),
            denies,
            hide: config.flag("hide_groups_header"),
            prefers_authenticated: config.flag("always_use_authenticated_groups"),
            includes_consumer_groups: config.flag("include_consumer_groups"),
        }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        Phases::ACCESS
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        // What the client itself says under these names is not for the service.
        exchange.request.fields.remove(CONSUMER_GROUPS);
        exchange.request.fields.remove(AUTHENTICATED_GROUPS);
        let authenticated = exchange
            .authenticated_groups
            .as_deref()
            .filter(|_| exchange.consumer.is_none() || exchange.credential.is_none() || self.prefers_authenticated);
        let consumer_groups = if self.includes_consumer_groups { exchange.consumer_groups() } else { Vec::new() };
        let held;
        let (line, mut groups): (_, Vec<&str>) = match (authenticated, &exchange.consumer) {
            (Some(groups), _) => (AUTHENTICATED_GROUPS, groups.iter().map(String::as_str).collect()),
            (None, Some(_)) => {
                held = Held::of(exchange);
                (CONSUMER_GROUPS, held.names())
            }
            (None, None) if !consumer_groups.is_empty() => (CONSUMER_GROUPS, Vec::new()),
            (None, None) => return refuse(exchange),
        };
        groups.extend(consumer_groups.iter().map(|group| group.name.as_str()));
        if groups.is_empty() && !self.denies {
            // Who is said to be in no group is known, other than of whom nothing is said.
            return if authenticated.is_some() { forbid(exchange) } else { refuse(exchange) };
        }
        if groups.iter().any(|group| self.groups.contains(*group)) == self.denies {
            return forbid(exchange);
        }
        if !self.hide {
            let groups = groups.join(", ");
            if Fields::is_valid_value(groups.as_bytes()) {
                exchange.request.fields.set(line, groups.as_bytes());
            }
        }
        Step::Next
    }
}

/// Turns away a caller of whom no group is known.
fn refuse(exchange: &Exchange) -> Step<'static> {
    if exchange.credential.is_some() {
        forbid(exchange)
    } else {
        Step::Answer(Answer::error(exchange, 401, "Unauthorized"))
    }
}

fn forbid(exchange: &Exchange) -> Step<'static> {
    Step::Answer(Answer::error(exchange, 403, "You cannot consume this service"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::testing::{self, Entries};
    use serde_json::{Value, json};

    fn configure(config: Value) -> Box<dyn Plugin> {
        testing::configure(&Acl, config, &Env::default())
    }

    /// A request of a consumer in these groups, who has shown a credential.
    fn known(groups: &[&str]) -> Exchange {
        let mut entries = Entries::default();
        let ada = entries.consumer("ada", None);
        for group in groups {
            entries.credential_of(&Acl.credentials()[0], "", &ada, json!({ "group": group }));
        }
        let credential = entries.credential("keyauth_credentials", "k", &ada);
        let mut exchange = testing::exchange_with("GET", "/", &[], entries.into());
        exchange.authenticate(Some(ada), Some(credential));
        exchange
    }

    /// The same of an anonymous consumer.
    fn anonymous(groups: &[&str]) -> Exchange {
        let mut exchange = known(groups);
        exchange.credential = None;
        exchange
    }

    /// The status of the answer, 200 when the request went on.
    fn status(config: Value, mut exchange: Exchange) -> u16 {
        testing::access(&*configure(config), &mut exchange).map_or(200, |answer| answer.status)
    }

    /// What the service learns of groups that are let in.
    fn told(config: Value, mut exchange: Exchange, line: &str) -> Option<String> {
        assert!(testing::access(&*configure(config), &mut exchange).is_none());
        exchange.request.fields.get_str(line).map(str::to_owned)
    }

    #[test]
    fn groups_are_let_in() {
        let allow = || json!({ "allow": ["admin", "ops"] });
        assert_eq!(status(allow(), known(&["dev", "ops"])), 200);
        assert_eq!(status(allow(), known(&["dev"])), 403);
        assert_eq!(status(allow(), known(&[])), 403);
        assert_eq!(status(allow(), anonymous(&["admin"])), 200);
        assert_eq!(status(allow(), anonymous(&["dev"])), 403);
        assert_eq!(status(allow(), anonymous(&[])), 401);
        assert_eq!(status(allow(), testing::exchange("GET", "/", &[])), 401);
    }

    #[test]
    fn consumer_groups_count_where_the_configuration_says_so() {
        let gold = || {
            let mut entries = Entries::default();
            let ada = entries.consumer("ada", None);
            entries.credential_of(&Acl.credentials()[0], "", &ada, json!({ "group": "dev" }));
            entries.consumer_group("gold", &ada);
            let mut exchange = testing::exchange_with("GET", "/", &[], entries.into());
            exchange.consumer = Some(ada);
            exchange
        };
        let including = |list: &str| json!({ list: ["gold"], "include_consumer_groups": true });
        assert_eq!(status(json!({ "allow": ["gold"] }), gold()), 403);
        assert_eq!(status(including("allow"), gold()), 200);
        assert_eq!(status(including("deny"), gold()), 403);
        assert_eq!(told(including("allow"), gold(), CONSUMER_GROUPS), Some("dev, gold".to_owned()));
    }

    #[test]
    fn groups_are_kept_out() {
        let deny = || json!({ "deny": ["admin"] });
        assert_eq!(status(deny(), known(&["dev", "admin"])), 403);
        assert_eq!(status(deny(), known(&["dev"])), 200);
        assert_eq!(status(deny(), known(&[])), 200);
        assert_eq!(status(deny(), testing::exchange("GET", "/", &[])), 401);
    }

    #[test]
    fn the_service_learns_the_groups() {
        let allow = || json!({ "allow": ["a"] });
        assert_eq!(told(allow(), known(&["a", "b"]), CONSUMER_GROUPS), Some("a, b".to_owned()));
        let hiding = json!({ "allow": ["a"], "hide_groups_header": true });
        assert_eq!(told(hiding, known(&["a"]), CONSUMER_GROUPS), None);
        assert_eq!(told(allow(), known(&["a", "x\r\nX-Evil: 1"]), CONSUMER_GROUPS), None);
        let mut forged = known(&[]);
        forged.request.fields.append(CONSUMER_GROUPS, b"admin");
        assert_eq!(told(json!({ "deny": ["a"] }), forged, CONSUMER_GROUPS), Some(String::new()));
    }

    #[test]
    fn groups_that_were_learnt_elsewhere() {
        let with = |mut exchange: Exchange| {
            exchange.authenticated_groups = Some(vec!["staff".to_owned()]);
            exchange
        };
        let staff = || json!({ "allow": ["staff"] });
        let always = || json!({ "allow": ["staff"], "always_use_authenticated_groups": true });
        assert_eq!(status(staff(), with(testing::exchange("GET", "/", &[]))), 200);
        assert_eq!(status(staff(), with(anonymous(&["dev"]))), 200);
        assert_eq!(status(staff(), with(known(&["dev"]))), 403);
        assert_eq!(status(always(), with(known(&["dev"]))), 200);
        assert_eq!(status(always(), known(&["staff"])), 200);
        let mut of_none = testing::exchange("GET", "/", &[]);
        of_none.authenticated_groups = Some(Vec::new());
        assert_eq!(status(staff(), of_none), 403);
        assert_eq!(told(always(), with(known(&["dev"])), AUTHENTICATED_GROUPS), Some("staff".to_owned()));
    }
}
