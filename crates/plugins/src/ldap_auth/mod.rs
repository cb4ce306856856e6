//! `ldap-auth`: callers show the name and password that an LDAP server has of them. `ldap-auth-advanced` beside it: it
//! looks for their entries, and takes groups and consumers from there.

mod advanced;

use advanced::{Advanced, check};
use sdk::entities::{self, Credential, Uuid};
use sdk::{
    Anonymous, Answer, AnswerCache, Config, Env, Exchange, Function, Known, LdapEntry, LdapServer, LdapUser, Phases,
    Plugin, PluginKind, Question, Server, ServerTls, SnapshotRef, Step, Tasks, challenge, decode_base64,
};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// The plugin as the gateway knows it.
pub struct LdapAuth;

/// The one that Kong sells.
pub struct LdapAuthAdvanced;

struct Instance {
    plugin: &'static str,
    server: LdapServer,
    /// What answers are told apart by, beside name and password.
    source: [String; 5],
    base_dn: String,
    attribute: String,
    scheme: String,
    cache_ttl: Duration,
    hide: bool,
    anonymous: Anonymous,
    challenge: String,
    answers: Arc<AnswerCache>,
    tasks: Tasks,
    advanced: Option<Advanced>,
}

/// A name and a password.
struct Shown {
    username: String,
    password: Vec<u8>,
}

/// The lines that may hold them, in the order in which they are looked at.
const LINES: [Known; 2] = [Known::ProxyAuthorization, Known::Authorization];

impl PluginKind for LdapAuth {
    fn name(&self) -> &'static str {
        "ldap-auth"
    }

    fn priority(&self) -> i32 {
        1200
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        Ok(Box::new(Instance::new(self.name(), &Config::new(&plugin.config), env, None)?))
    }
}

impl PluginKind for LdapAuthAdvanced {
    fn name(&self) -> &'static str {
        "ldap-auth-advanced"
    }

    fn priority(&self) -> i32 {
        1200
    }

    fn schema(&self) -> &'static str {
        include_str!("schema_advanced.json")
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        &[("ldap_auth_advanced_config", Function::Validator(check))]
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let advanced = Advanced::new(&config, env);
        Ok(Box::new(Instance::new(self.name(), &config, env, Some(advanced))?))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        Phases::ACCESS
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        if self.anonymous.is_settled(exchange) {
            return Step::Next;
        }
        let lines = LINES.iter().filter_map(|line| exchange.request.fields.known(*line));
        let shown: Vec<Shown> = lines.filter_map(|line| Shown::parse(line, &self.scheme)).collect();
        if shown.is_empty() {
            return self.refuse(exchange);
        }
        Step::Wait(Box::pin(async move {
            for shown in shown {
                match self.find(&shown).await {
                    Ok(Some(entry)) => return self.admit(exchange, &shown.username, &entry).await,
                    Ok(None) => {}
                    Err(error) => return self.fail(exchange, &error),
                }
            }
            self.refuse(exchange)
        }))
    }
}

impl Instance {
    fn new(
        plugin: &'static str,
        config: &Config<'_>,
        env: &Env,
        advanced: Option<Advanced>,
    ) -> Result<Instance, String> {
        let text = |field: &str| {
            let text = config.text(field).map(str::to_owned);
            text.ok_or_else(|| format!("config.{field} is missing"))
        };
        let milliseconds = |field: &str, usual| Duration::from_millis(config.integer(field).unwrap_or(usual));
        let (host, port) = (text("ldap_host")?, config.integer("ldap_port").unwrap_or(389));
        let (base_dn, attribute) = (text("base_dn")?, text("attribute")?);
        let start_tls = config.flag("start_tls");
        let secured = start_tls || config.flag("ldaps");
        let tls = secured.then(|| ServerTls { name: None, verify: config.flag("verify_ldap_host") });
        let wanted = advanced.as_ref().map(Advanced::source).unwrap_or_default();
        let source = [host.to_lowercase(), port.to_string(), base_dn.clone(), attribute.clone(), wanted];
        let scheme = config.header_value("header_type")?.unwrap_or("ldap").to_owned();
        // Kong writes its own scheme in capitals.
        let told = if scheme == "ldap" { "LDAP" } else { &scheme };
        let (limit, keepalive) = (milliseconds("timeout", 10_000), milliseconds("keepalive", 60_000));
        Ok(Instance {
            plugin,
            server: LdapServer::new(env.network().clone(), Server { host, port, tls }, start_tls, limit, keepalive),
            source,
            base_dn,
            attribute,
            cache_ttl: Duration::from_secs_f64(config.number("cache_ttl").unwrap_or(60.0).clamp(0.0, 1e9)),
            hide: config.flag("hide_credentials"),
            anonymous: Anonymous::new(plugin, config),
            challenge: challenge(told, config)?,
            answers: env.shared(),
            tasks: env.tasks().clone(),
            scheme,
            advanced,
        })
    }

    /// The caller's entry, as the server has it or has had it a moment ago.
    async fn find(&self, shown: &Shown) -> Result<Option<LdapEntry>, String> {
        let [host, port, base_dn, attribute, wanted] = self.source.each_ref().map(String::as_bytes);
        let (username, password) = (shown.username.as_bytes(), shown.password.as_slice());
        let plugin = self.plugin.as_bytes();
        let question = Question::of(&[plugin, host, port, base_dn, attribute, wanted, username, password]);
        if let Some(answer) = self.answers.find(&question) {
            return Ok(read(&answer));
        }
        let user = LdapUser {
            name: shown.username.clone(),
            password: shown.password.clone(),
            base: self.base_dn.clone(),
            attribute: self.attribute.clone(),
            searcher: self.advanced.as_ref().and_then(|advanced| advanced.searcher.clone()),
            wanted: self.advanced.as_ref().and_then(Advanced::wanted),
        };
        let server = self.server.clone();
        let asked = self.tasks.call("ldap-auth", async move { server.find(&user).await });
        let entry = asked.await.ok_or("the node ends")?.map_err(|error| error.to_string())?;
        self.answers.put(question, entry.as_ref().map_or(Value::Null, written), self.cache_ttl);
        Ok(entry)
    }

    /// Lets a caller pass.
    async fn admit(&self, exchange: &mut Exchange, username: &str, entry: &LdapEntry) -> Step<'static> {
        let mut consumer = None;
        if let Some(advanced) = &self.advanced {
            let groups = advanced.groups(entry);
            if !advanced.suffice(&groups) {
                return Step::Answer(Answer::error(exchange, 403, "You cannot consume this service"));
            }
            consumer = match advanced.consumer(exchange, username).await {
                Ok(Some(consumer)) => Some(consumer),
                Ok(None) if advanced.consumer_optional => None,
                Ok(None) => return self.refuse(exchange),
                Err(error) => return self.fail(exchange, &error),
            };
            advanced.tell(exchange, groups);
        }
        if self.hide {
            for line in LINES {
                exchange.request.fields.remove_known(line);
            }
        }
        // The same for each of a user's requests, so that limits can go by it.
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{}:{username}", self.source.join(":")).as_bytes());
        let (workspace, owner) = (exchange.workspace(), consumer.as_ref().map(|consumer| consumer.id));
        let credential =
            Credential { id, workspace, consumer: owner, expiry: None, key: username.into(), parsed: None };
        exchange.authenticate(consumer, Some(SnapshotRef::from(credential)));
        exchange.identify(username);
        Step::Next
    }

    fn refuse(&self, exchange: &mut Exchange) -> Step<'static> {
        self.anonymous.or_refuse(exchange, |exchange| {
            Answer::error(exchange, 401, "Unauthorized").with("WWW-Authenticate", self.challenge.as_bytes())
        })
    }

    fn fail(&self, exchange: &Exchange, error: &str) -> Step<'static> {
        tracing::error!(request_id = exchange.id_str(), "{}: {error}", self.plugin);
        Step::Answer(Answer::error(exchange, 500, "An unexpected error occurred"))
    }
}

impl Shown {
    /// The content of a line with that scheme. An empty password is none: servers take anybody with one.
    fn parse(line: &[u8], scheme: &str) -> Option<Shown> {
        let line = line.trim_ascii_start();
        let (start, rest) = line.split_at_checked(scheme.len())?;
        if !start.eq_ignore_ascii_case(scheme.as_bytes()) || !rest.first()?.is_ascii_whitespace() {
            return None;
        }
        let decoded = decode_base64(rest.trim_ascii())?;
        let colon = decoded.iter().position(|&b| b == b':')?;
        let password = decoded[colon + 1..].to_vec();
        let username = String::from_utf8(decoded[..colon].to_vec()).ok()?;
        (!password.is_empty()).then_some(Shown { username, password })
    }
}

/// An entry as the cache keeps it: its values alone.
fn written(entry: &LdapEntry) -> Value {
    json!({ "dn": entry.dn, "attributes": entry.attributes })
}

fn read(answer: &Value) -> Option<LdapEntry> {
    let dn = answer.get("dn")?.as_str()?.to_owned();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let attribute = |pair: &Value| {
        let values = pair.get(1)?.as_array()?.iter().filter_map(text).collect();
        Some((text(pair.get(0)?)?, values))
    };
    let attributes = answer.get("attributes")?.as_array()?.iter().filter_map(attribute).collect();
    Some(LdapEntry { dn, attributes })
}

#[cfg(test)]
mod tests;
