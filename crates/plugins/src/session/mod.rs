//! `session`: callers whom another plugin has recognised need not show their credentials again for a while.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sdk::session::{self, Attributes, Origin, Remember, Session, SetCookie, Storage};
use sdk::{
    Answer, Args, Config, Content, Env, Exchange, Fields, Filtered, Function, Phases, Plugin, PluginKind, Records,
    SnapshotRef, Step, entities,
};
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock};

/// The plugin as the gateway knows it.
pub struct SessionPlugin;

struct Instance {
    sessions: Arc<session::Sessions>,
    /// Where sessions are kept, if not in cookies.
    records: Option<Records>,
    request_lines: Vec<String>,
    response_lines: Vec<String>,
    logout_methods: Vec<String>,
    logout_query_arg: Option<String>,
    logout_post_arg: Option<String>,
    reads_body: bool,
}

/// What an exchange has of a session until its response begins.
#[derive(Default)]
struct Held {
    /// By which the caller was recognised.
    session: Option<Session>,
    cookies: Vec<SetCookie>,
    lines: Vec<(&'static str, String)>,
}

/// What a session says of a caller.
struct Caller {
    consumer: entities::Uuid,
    credential: Option<entities::Uuid>,
    groups: Option<Vec<String>>,
}

/// The schema, with a secret that this process alone knows for configurations without one.
static SCHEMA: LazyLock<String> =
    LazyLock::new(|| include_str!("schema.json").replace("{secret}", &random_secret().unwrap_or_default()));

impl PluginKind for SessionPlugin {
    fn name(&self) -> &'static str {
        "session"
    }

    fn priority(&self) -> i32 {
        1900
    }

    fn schema(&self) -> &'static str {
        &SCHEMA
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        &[
            ("session_cookie_lifetime", Function::Expand(|value| renamed("rolling_timeout", value))),
            ("session_cookie_idletime", Function::Expand(idling_timeout)),
            ("session_cookie_renew", Function::Expand(|_| None)),
            ("session_cookie_discard", Function::Expand(|value| renamed("stale_ttl", value))),
            ("session_cookie_samesite", Function::Expand(same_site)),
            ("session_cookie_httponly", Function::Expand(|value| renamed("cookie_http_only", value))),
            ("session_cookie_persistent", Function::Expand(|value| renamed("remember", value))),
        ]
    }

    fn entities(&self) -> &'static [&'static str] {
        &[include_str!("sessions.json"), include_str!("session_metadatas.json")]
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let secret = config.text("secret").filter(|secret| !secret.is_empty()).ok_or("config.secret is missing")?;
        let records = (config.text("storage") == Some("kong")).then(|| env.records().clone());
        let part =
            |field: &str, default: &str| config.header_value(field).map(|text| text.unwrap_or(default).to_owned());
        let seconds = |field: &str, default| config.integer::<u64>(field).unwrap_or(default);
        let remember = Remember {
            cookie_name: part("remember_cookie_name", "remember")?,
            rolling_timeout: seconds("remember_rolling_timeout", 604_800),
            absolute_timeout: seconds("remember_absolute_timeout", 2_592_000),
        };
        let options = session::Options {
            audience: config.text("audience").unwrap_or("default").to_owned(),
            storage: records.clone().map(Storage::Records),
            cookie_name: part("cookie_name", "session")?,
            attributes: Attributes {
                domain: config.header_value("cookie_domain")?.map(str::to_owned),
                path: part("cookie_path", "/")?,
                same_site: part("cookie_same_site", "Strict")?,
                secure: config.flag("cookie_secure"),
                http_only: config.flag("cookie_http_only"),
            },
            idling_timeout: seconds("idling_timeout", 900),
            rolling_timeout: seconds("rolling_timeout", 3600),
            absolute_timeout: seconds("absolute_timeout", 86_400),
            stale_ttl: seconds("stale_ttl", 10),
            remember: config.flag("remember").then_some(remember),
            store_metadata: config.flag("store_metadata"),
            hash_subject: config.flag("hash_subject"),
            bind: config.texts("bind"),
        };
        Ok(Box::new(Instance {
            sessions: Arc::new(session::Sessions::new(secret, options)),
            records,
            request_lines: config.texts("request_headers"),
            response_lines: config.texts("response_headers"),
            logout_methods: config.texts("logout_methods"),
            logout_query_arg: config.text("logout_query_arg").map(str::to_owned),
            logout_post_arg: config.text("logout_post_arg").map(str::to_owned),
            reads_body: config.flag("read_body_for_logout"),
        }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        // A client that follows at once must find its session, unlike in Kong, which stores it some time later.
        let filter = if self.records.is_some() { Phases::HEADER_FILTER_WAITS } else { Phases::HEADER_FILTER };
        let phases = Phases::ACCESS.and(filter);
        if self.reads_body { phases.and(Phases::READS_BODY) } else { phases }
    }

    fn degraded(&self) -> Option<String> {
        let why = self.records.as_ref()?.read_only()?;
        Some(format!("no session can be kept: {why}"))
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        if !self.sessions.may_open(&exchange.request.fields) {
            return Step::Next;
        }
        Step::Wait(Box::pin(async move { self.recognise(exchange).await }))
    }

    fn header_filter(&self, exchange: &mut Exchange) {
        self.begin_response(exchange);
    }

    fn header_filter_waiting<'a>(&'a self, exchange: &'a mut Exchange) -> Filtered<'a, ()> {
        match self.begin_response(exchange).and_then(|mut session| session.take_writes()) {
            None => Filtered::Done(()),
            // What cannot be kept is logged, and the response goes on, as in Kong.
            Some(writes) => Filtered::Wait(Box::pin(async move {
                writes.await;
                Ok(())
            })),
        }
    }
}

impl Instance {
    /// Finds the caller by the session that the request has.
    async fn recognise(&self, exchange: &mut Exchange) -> Step<'static> {
        let mut session = self.sessions.open(&exchange.request.fields, Origin::of(exchange), now(exchange)).await;
        if !session.is_open() {
            return Step::Next;
        }
        let logout = self.is_logout(exchange);
        let caller = if logout { None } else { Caller::of(&session) };
        let consumer = caller.as_ref().and_then(|caller| exchange.find_consumer(&caller.consumer));
        let done = if consumer.is_some() { session.refresh() } else { session.logout() };
        if let Err(error) = done {
            tracing::warn!("session: {error}");
        }
        if let Some(writes) = session.take_writes() {
            writes.await;
        }
        let mut held = Held { cookies: session.take_cookies(), ..Held::default() };
        if let (Some(caller), Some(consumer)) = (caller, consumer) {
            self.tell(exchange, &session, &mut held);
            caller.authenticate(exchange, consumer);
            held.session = Some(session);
        }
        exchange.put(held);
        if logout { Step::Answer(Answer::new(200, "")) } else { Step::Next }
    }

    /// Tells the client of its session; gives back the one that was opened for that, whose records are still to be
    /// written.
    fn begin_response(&self, exchange: &mut Exchange) -> Option<Session> {
        let mut held = exchange.take::<Held>().unwrap_or_default();
        let opened = self.remember(exchange, &mut held);
        session::apply_cookies(&held.cookies, &mut exchange.response.fields);
        for (name, value) in held.lines {
            set(&mut exchange.response.fields, name, &value);
        }
        opened
    }

    /// Opens a session for a caller whom another plugin has recognised, unless the session that there is says the
    /// same.
    fn remember(&self, exchange: &mut Exchange, held: &mut Held) -> Option<Session> {
        let (consumer, credential) = (exchange.consumer.as_ref()?, exchange.credential.as_ref()?);
        let known = held.session.as_ref().and_then(Caller::of);
        let is_same = |caller: Caller| caller.consumer == consumer.id && caller.credential == Some(credential.id);
        if known.is_some_and(is_same) {
            return None;
        }
        let mut data = vec![json!(consumer.id.to_string()), json!(credential.id.to_string())];
        data.extend(exchange.authenticated_groups.as_ref().map(|groups| json!(groups)));
        let id = || consumer.id.to_string();
        let subject = consumer.username.clone().or_else(|| consumer.custom_id.clone()).unwrap_or_else(id);
        let mut session =
            held.session.take().unwrap_or_else(|| self.sessions.create(Origin::of(exchange), now(exchange)));
        session.set_data(Value::Array(data));
        session.set_subject(Some(subject));
        if let Err(error) = session.save() {
            tracing::error!("session: the session cannot be saved: {error}");
            return None;
        }
        for cookie in session.take_cookies() {
            held.cookies.retain(|other| other.name != cookie.name);
            held.cookies.push(cookie);
        }
        held.lines.extend(self.response_lines.iter().filter_map(|name| session.property(name)));
        Some(session)
    }

    /// Tells service and client what they are to know of the session.
    fn tell(&self, exchange: &mut Exchange, session: &Session, held: &mut Held) {
        for (name, value) in self.request_lines.iter().filter_map(|name| session.property(name)) {
            set(&mut exchange.request.fields, name, &value);
        }
        held.lines.extend(self.response_lines.iter().filter_map(|name| session.property(name)));
    }

    /// Whether the request is there to end the session.
    fn is_logout(&self, exchange: &Exchange) -> bool {
        let method = exchange.request.method.as_str();
        if !self.logout_methods.iter().any(|logout| logout == method) {
            return false;
        }
        let query = exchange.request.query().unwrap_or_default();
        if self.logout_query_arg.as_ref().is_some_and(|name| Args::find(query, name).next().is_some()) {
            return true;
        }
        // In a body that is too large to be looked at nobody can ask for it.
        let name = self.logout_post_arg.as_ref().filter(|_| self.reads_body && method != "GET");
        name.is_some_and(|name| Content::of(exchange).is_some_and(|content| !content.get_all(name).is_empty()))
    }
}

impl Caller {
    fn of(session: &Session) -> Option<Caller> {
        let data = session.data();
        let id = |at: usize| data.get(at)?.as_str()?.parse().ok();
        let text = |group: &Value| group.as_str().map(str::to_owned);
        let groups = data.get(2).and_then(Value::as_array).map(|all| all.iter().filter_map(text).collect());
        Some(Caller { consumer: id(0)?, credential: id(1), groups })
    }

    fn authenticate(self, exchange: &mut Exchange, consumer: SnapshotRef<entities::Consumer>) {
        const GROUPS: &str = "X-Authenticated-Groups";
        let credential = self.credential.map(|id| {
            SnapshotRef::from(entities::Credential {
                id,
                workspace: consumer.workspace,
                consumer: Some(consumer.id),
                expiry: None,
                key: Box::default(),
                parsed: None,
            })
        });
        exchange.authenticate(Some(consumer), credential);
        exchange.request.fields.remove(GROUPS);
        if let Some(groups) = self.groups {
            set(&mut exchange.request.fields, GROUPS, &groups.join(", "));
            exchange.authenticated_groups = Some(groups);
        }
    }
}

fn now(exchange: &Exchange) -> u64 {
    exchange.timing.started_unix_ms / 1000
}

fn set(fields: &mut Fields, name: &str, value: &str) {
    if Fields::is_valid_value(value.as_bytes()) {
        fields.set(name, value.as_bytes());
    }
}

/// Text of 256 random bits.
fn random_secret() -> Option<String> {
    let mut octets = [0; 32];
    aws_lc_rs::rand::fill(&mut octets).ok()?;
    Some(STANDARD.encode(octets).replace(['/', '+', '='], "0"))
}

/// The present name of a setting that had another one.
fn renamed(name: &str, value: &Value) -> Option<sdk::Record> {
    Some(sdk::Record::from_iter([(name.to_owned(), value.clone())]))
}

fn idling_timeout(value: &Value) -> Option<sdk::Record> {
    let value = if value.is_null() { json!(0) } else { value.clone() };
    renamed("idling_timeout", &value)
}

fn same_site(value: &Value) -> Option<sdk::Record> {
    let value = if value == "off" { json!("Lax") } else { value.clone() };
    renamed("cookie_same_site", &value)
}

#[cfg(test)]
mod tests;
