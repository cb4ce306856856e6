//! `bot-detection`: keeps crawlers and programs out by what they call themselves.

mod known;

use regex::bytes::{Regex, RegexSet, RegexSetBuilder};
use sdk::{Answer, Config, Env, Exchange, Phases, Plugin, PluginKind, Step, entities};

/// The plugin as the gateway knows it.
pub struct BotDetection;

struct Instance {
    allow: RegexSet,
    deny: RegexSet,
    bots: &'static Regex,
}

impl PluginKind for BotDetection {
    fn name(&self) -> &'static str {
        "bot-detection"
    }

    fn priority(&self) -> i32 {
        2500
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn configure(&self, plugin: &entities::Plugin, _env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let set = |field: &str| expressions(&config.texts(field)).map_err(|e| format!("config.{field}: {e}"));
        Ok(Box::new(Instance { allow: set("allow")?, deny: set("deny")?, bots: known::bots()? }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        Phases::ACCESS
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let mut lines = exchange.request.fields.get_all("User-Agent");
        match (lines.next(), lines.next()) {
            (None, _) => Step::Next,
            (Some(agent), None) if self.lets_in(agent) => Step::Next,
            (Some(_), None) => Step::Answer(Answer::error(exchange, 403, &Answer::status_message(403))),
            (Some(_), Some(_)) => Step::Answer(Answer::error(exchange, 400, "Only one User-Agent header allowed")),
        }
    }
}

impl Instance {
    fn lets_in(&self, agent: &[u8]) -> bool {
        let agent = agent.trim_ascii();
        self.allow.is_match(agent) || !(self.deny.is_match(agent) || self.bots.is_match(agent))
    }
}

/// Expressions over octets, as Kong's are: what is no UTF-8 must not be a hiding place. Those that speak of characters
/// beyond that are read in the usual way.
fn expressions(list: &[String]) -> Result<RegexSet, String> {
    let octets = RegexSetBuilder::new(list).unicode(false).build();
    octets.or_else(|_| RegexSet::new(list)).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::testing;
    use serde_json::{Value, json};

    /// The status of the answer to a program of that name, 200 when it is let in.
    fn status(config: Value, agent: &[u8]) -> u16 {
        let plugin = testing::configure(&BotDetection, config, &Env::default());
        let mut exchange = testing::exchange("GET", "/", &[]);
        exchange.request.fields.append("User-Agent", agent);
        testing::access(&*plugin, &mut exchange).map_or(200, |answer| answer.status)
    }

    #[test]
    fn own_expressions_go_before_what_is_known() {
        let config = || json!({ "allow": ["Googlebot", "good"], "deny": ["curl.*", "good-bad", "^evil"] });
        for (agent, expected) in [
            (&b"Googlebot/2.1"[..], 200),
            (b"curl/8.0", 403),
            (b"good-bad", 200),
            (b"Twitterbot/1.0", 403),
            (b"  evil", 403),
            (b"hello", 200),
            (b"", 200),
        ] {
            assert_eq!(status(config(), agent), expected, "{}", agent.escape_ascii());
        }
    }

    #[test]
    fn octets_that_are_no_text_hide_nothing() {
        assert_eq!(status(json!({ "deny": ["bad.*robot"] }), b"bad \xff robot"), 403);
        assert_eq!(status(json!({ "deny": [r"\p{Greek}+"] }), "αβγ".as_bytes()), 403);
    }

    #[test]
    fn one_line_says_who_it_is() {
        let plugin = testing::configure(&BotDetection, json!({}), &Env::default());
        let ask = |lines: &[(&str, &str)]| {
            testing::access(&*plugin, &mut testing::exchange("GET", "/", lines)).map(|answer| answer.status)
        };
        assert_eq!(ask(&[]), None);
        assert_eq!(ask(&[("User-Agent", "a"), ("User-Agent", "b")]), Some(400));
    }
}
