//! `ldap-auth`: callers show the name and password that an LDAP server has of them.

mod message;
mod server;

use sdk::entities::{self, Credential, Uuid};
use sdk::{
    Anonymous, Answer, AnswerCache, Config, Env, Exchange, Known, Phases, Plugin, PluginKind, Question, Server,
    ServerTls, SnapshotRef, Step, Tasks, challenge, decode_base64,
};
use serde_json::Value;
use server::LdapServer;
use std::sync::Arc;
use std::time::Duration;

/// The plugin as the gateway knows it.
pub struct LdapAuth;

struct Instance {
    server: LdapServer,
    /// What answers are told apart by, beside name and password.
    source: [String; 4],
    base_dn: String,
    attribute: String,
    scheme: String,
    cache_ttl: Duration,
    hide: bool,
    anonymous: Anonymous,
    challenge: String,
    answers: Arc<AnswerCache>,
    tasks: Tasks,
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
        let config = Config::new(&plugin.config);
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
        let source = [host.to_lowercase(), port.to_string(), base_dn.clone(), attribute.clone()];
        let scheme = config.header_value("header_type")?.unwrap_or("ldap").to_owned();
        // Kong writes its own scheme in capitals.
        let told = if scheme == "ldap" { "LDAP" } else { &scheme };
        let (limit, keepalive) = (milliseconds("timeout", 10_000), milliseconds("keepalive", 60_000));
        Ok(Box::new(Instance {
            server: LdapServer::new(env.network().clone(), Server { host, port, tls }, start_tls, limit, keepalive),
            source,
            base_dn,
            attribute,
            cache_ttl: Duration::from_secs_f64(config.number("cache_ttl").unwrap_or(60.0).clamp(0.0, 1e9)),
            hide: config.flag("hide_credentials"),
            anonymous: Anonymous::new(self.name(), &config),
            challenge: challenge(told, &config)?,
            answers: env.shared(),
            tasks: env.tasks().clone(),
            scheme,
        }))
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
                match self.knows(&shown).await {
                    Ok(true) => return self.admit(exchange, &shown.username),
                    Ok(false) => {}
                    Err(error) => {
                        tracing::error!(request_id = exchange.id_str(), "ldap-auth: {error}");
                        return Step::Answer(Answer::error(exchange, 500, "An unexpected error occurred"));
                    }
                }
            }
            self.refuse(exchange)
        }))
    }
}

impl Instance {
    /// Whether the server knows the caller, or has said so a moment ago.
    async fn knows(&self, shown: &Shown) -> Result<bool, String> {
        let [host, port, base_dn, attribute] = self.source.each_ref().map(String::as_bytes);
        let (username, password) = (shown.username.as_bytes(), shown.password.as_slice());
        let question = Question::of(&[b"ldap-auth", host, port, base_dn, attribute, username, password]);
        if let Some(Value::Bool(answer)) = self.answers.find(&question) {
            return Ok(answer);
        }
        let (server, password) = (self.server.clone(), shown.password.clone());
        let dn = format!("{}={},{}", self.attribute, escaped(&shown.username), self.base_dn);
        let asked = self.tasks.call("ldap-auth", async move { server.knows(&dn, &password).await });
        let answer = asked.await.ok_or("the node ends")?.map_err(|error| error.to_string())?;
        self.answers.put(question, Value::Bool(answer), self.cache_ttl);
        Ok(answer)
    }

    /// Lets a caller pass, who is no consumer.
    fn admit(&self, exchange: &mut Exchange, username: &str) -> Step<'static> {
        if self.hide {
            for line in LINES {
                exchange.request.fields.remove_known(line);
            }
        }
        // The same for each of a user's requests, so that limits can go by it.
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{}:{username}", self.source.join(":")).as_bytes());
        let workspace = exchange.workspace();
        let credential = Credential { id, workspace, consumer: None, expiry: None, key: username.into(), parsed: None };
        exchange.authenticate(None, Some(SnapshotRef::from(credential)));
        exchange.identify(username);
        Step::Next
    }

    fn refuse(&self, exchange: &mut Exchange) -> Step<'static> {
        self.anonymous.or_refuse(exchange, |exchange| {
            Answer::error(exchange, 401, "Unauthorized").with("WWW-Authenticate", self.challenge.as_bytes())
        })
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

/// A value within a distinguished name (RFC 4514), so that a name cannot say where it is looked for. (Kong takes it as
/// it comes.)
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (at, c) in value.chars().enumerate() {
        let at_the_edge = (at == 0 && matches!(c, ' ' | '#')) || (at == last && c == ' ');
        match c {
            '\0' => text.push_str("\\00"),
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=' => text.extend(['\\', c]),
            _ if at_the_edge => text.extend(['\\', c]),
            _ => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests;
