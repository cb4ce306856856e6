//! `oauth2-introspection`: callers whose access tokens another authorization server knows (RFC 7662).

use sdk::entities::{self, Consumer, Credential, Uuid};
use sdk::{
    Anonymous, Answer, AnswerCache, Args, Config, Content, Env, Exchange, Fields, HttpClient, HttpOptions, HttpRequest,
    Phases, Plugin, PluginKind, Question, Record, Records, SnapshotRef, Step, Url,
};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use url::form_urlencoded::Serializer;

/// The plugin as the gateway knows it.
pub struct Oauth2Introspection;

struct Instance {
    url: Url,
    client: HttpClient,
    lines: Fields,
    hint: Option<String>,
    ttl: Duration,
    tells_request: bool,
    hide: bool,
    on_preflight: bool,
    by_client_id: bool,
    forwarded: Vec<String>,
    anonymous: Anonymous,
    records: Records,
    cache: Arc<AnswerCache>,
}

/// Members of an answer that the service is told in any case, and the lines that have them.
const TOLD: [(&str, &str); 10] = [
    ("scope", "X-Credential-Scope"),
    ("client_id", "X-Credential-Client-ID"),
    ("username", "X-Credential-Username"),
    ("token_type", "X-Credential-Token-Type"),
    ("exp", "X-Credential-Exp"),
    ("iat", "X-Credential-Iat"),
    ("nbf", "X-Credential-Nbf"),
    ("sub", "X-Credential-Sub"),
    ("aud", "X-Credential-Aud"),
    ("iss", "X-Credential-Iss"),
];

impl PluginKind for Oauth2Introspection {
    fn name(&self) -> &'static str {
        "oauth2-introspection"
    }

    fn priority(&self) -> i32 {
        1700
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let url = config.text("introspection_url").ok_or("config.introspection_url is missing")?;
        let milliseconds = |field: &str, usual| Duration::from_millis(config.integer(field).unwrap_or(usual));
        let authorization = config.header_value("authorization_value")?.unwrap_or_default();
        let mut lines: Fields = [
            ("Accept", "application/json"),
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Authorization", authorization),
        ]
        .into_iter()
        .collect();
        for (name, value) in config.section("custom_introspection_headers").pairs() {
            let value = value.as_str().unwrap_or_default();
            if !Fields::is_valid_name(name.as_bytes()) || !Fields::is_valid_value(value.as_bytes()) {
                return Err(format!("config.custom_introspection_headers: '{name}' is no header"));
            }
            lines.set(name, value.as_bytes());
        }
        let options = HttpOptions {
            timeout: milliseconds("timeout", 10_000),
            keepalive: milliseconds("keepalive", 60_000),
            max_content: 64 << 10,
            ..HttpOptions::default()
        };
        Ok(Box::new(Instance {
            url: Url::parse(url).map_err(|why| format!("config.introspection_url: {why}"))?,
            client: HttpClient::new(env, options),
            lines,
            hint: config.text("token_type_hint").map(str::to_owned),
            ttl: Duration::from_secs_f64(config.number("ttl").unwrap_or(30.0).clamp(0.0, 1e9)),
            tells_request: config.flag("introspect_request"),
            hide: config.flag("hide_credentials"),
            on_preflight: config.flag("run_on_preflight"),
            by_client_id: config.text("consumer_by") == Some("client_id"),
            forwarded: config.texts("custom_claims_forward"),
            anonymous: Anonymous::new(self.name(), &config),
            records: env.records().clone(),
            cache: env.shared(),
        }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        Phases::ACCESS.and(Phases::READS_BODY)
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let preflight = exchange.request.method.as_str() == "OPTIONS" && !self.on_preflight;
        if preflight || self.anonymous.is_settled(exchange) {
            return Step::Next;
        }
        let Some(token) = self.take_token(exchange) else {
            return self.refuse(exchange, "invalid_request", "The access token is missing");
        };
        Step::Wait(Box::pin(async move {
            let done = match self.known(exchange, &token).await {
                Ok(Some(known)) => self.admit(exchange, &known).await,
                Ok(None) => {
                    let words = "The access token is invalid or has expired";
                    return self.refuse(exchange, "invalid_token", words);
                }
                Err(error) => Err(error),
            };
            match done {
                Ok(()) => Step::Next,
                Err(error) => {
                    tracing::error!(request_id = exchange.id_str(), "oauth2-introspection: {error}");
                    Step::Answer(Answer::error(exchange, 500, "An unexpected error occurred"))
                }
            }
        }))
    }
}

impl Instance {
    /// What is known of a token; `None`: it is not good.
    async fn known(&self, exchange: &Exchange, token: &str) -> Result<Option<Record>, String> {
        let (path, method) = (exchange.path(), exchange.request.method.as_str());
        let request: [&str; 2] = if self.tells_request { [&path, method] } else { ["", ""] };
        let url = self.url.uri().to_string();
        let parts = ["oauth2-introspection", &url, token, request[0], request[1]];
        let question = Question::of(&parts.map(str::as_bytes));
        let is_live = |known: &Record| known.get("exp").and_then(Value::as_f64).is_none_or(|end| end > now());
        let is_good = |known: &Record| known.get("active") == Some(&Value::Bool(true)) && is_live(known);
        if let Some(Value::Object(known)) = self.cache.find(&question) {
            return Ok(Some(known).filter(is_good));
        }
        let mut form = Serializer::new(String::new());
        form.append_pair("token", token);
        form.extend_pairs(self.hint.iter().map(|hint| ("token_type_hint", hint)));
        let mut fields = self.lines.clone();
        if self.tells_request {
            fields.set("X-Request-Path", path.as_bytes());
            fields.set("X-Request-Http-Method", method.as_bytes());
        }
        let (url, content) = (self.url.clone(), form.finish().into());
        let asked = self.client.send(HttpRequest { method: "POST".to_owned(), url, fields, content }).await;
        let response = asked.map_err(|error| error.to_string())?;
        if response.status != 200 {
            return Err(format!("introspection was answered {}", response.status));
        }
        let known: Record = match serde_json::from_slice(&response.content) {
            Ok(Value::Object(known)) => known,
            _ => return Err("the answer is no JSON object".to_owned()),
        };
        self.cache.put(question, Value::Object(known.clone()), self.ttl);
        Ok(Some(known).filter(is_good))
    }

    /// Lets a caller pass, and tells the service of it.
    async fn admit(&self, exchange: &mut Exchange, known: &Record) -> Result<(), String> {
        let text = |name: &str| known.get(name).and_then(text_of);
        let consumer = self.consumer(exchange, &text).await?;
        let key = text("client_id").or_else(|| text("sub")).or_else(|| text("username")).unwrap_or_default();
        // The same for each of a caller's requests, so that limits can go by it.
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{}|{key}", self.url.uri()).as_bytes());
        let (workspace, owner) = (exchange.workspace(), consumer.as_ref().map(|consumer| consumer.id));
        let credential =
            Credential { id, workspace, consumer: owner, expiry: None, key: key.as_str().into(), parsed: None };
        exchange.authenticate(consumer, Some(SnapshotRef::from(credential)));
        exchange.identify(&key);
        let fields = &mut exchange.request.fields;
        let mut tell = |line: &str, value: Option<String>| {
            fields.remove(line);
            if let Some(value) = value.filter(|value| Fields::is_valid_value(value.as_bytes())) {
                fields.set(line, value.as_bytes());
            }
        };
        TOLD.iter().for_each(|(name, line)| tell(line, text(name)));
        for name in self.forwarded.iter().filter(|name| Fields::is_valid_name(name.as_bytes())) {
            tell(&format!("X-Credential-{name}"), text(name));
        }
        Ok(())
    }

    /// The consumer whom the answer names, if there is one.
    async fn consumer(
        &self,
        exchange: &Exchange,
        text: &impl Fn(&str) -> Option<String>,
    ) -> Result<Option<SnapshotRef<Consumer>>, String> {
        if !self.by_client_id {
            return Ok(text("username").and_then(|name| exchange.find_consumer_by_username(&name)));
        }
        let Some(client_id) = text("client_id") else { return Ok(None) };
        let asked = self.records.find(exchange.workspace(), "consumers", "custom_id", &client_id).await;
        let record = asked.map_err(|error| error.to_string())?;
        let id = record.as_ref().and_then(|record| record.get("id")?.as_str()?.parse().ok());
        Ok(id.and_then(|id| exchange.find_consumer(&id)))
    }

    /// The token of a request, which goes no further if that is wanted.
    fn take_token(&self, exchange: &mut Exchange) -> Option<String> {
        const TOKEN: &str = "access_token";
        let line = exchange.request.fields.get_str("Authorization").and_then(|line| {
            let (scheme, token) = line.trim().split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
        });
        let one = |mut values: Vec<Option<Vec<u8>>>| {
            let value = values.pop().filter(|_| values.is_empty())??;
            String::from_utf8(value).ok()
        };
        let query = Args::parse(exchange.request.query().unwrap_or_default());
        let in_query = || one(query.get_all(TOKEN).map(|value| value.map(Into::into)).collect());
        let content = Content::of(exchange);
        let in_content = || one(content.as_ref()?.get_all(TOKEN));
        let token = line.or_else(in_query).or_else(in_content).filter(|token| !token.is_empty());
        if self.hide {
            exchange.request.fields.remove("Authorization");
            if let Some(query) = exchange.upstream.query.take() {
                exchange.upstream.query = Some(Args::without(&query, TOKEN)).filter(|rest| !rest.is_empty());
            }
            if let Some(mut content) = content
                && content.remove(TOKEN)
            {
                exchange.body = content.encode().into();
            }
        }
        token
    }

    fn refuse(&self, exchange: &mut Exchange, error: &str, words: &str) -> Step<'static> {
        self.anonymous.or_refuse(exchange, |_| {
            let body = json!({ "error": error, "error_description": words });
            let challenge = match error {
                "invalid_token" => {
                    format!("Bearer realm=\"service\" error=\"{error}\" error_description=\"{words}\"")
                }
                _ => "Bearer realm=\"service\"".to_owned(),
            };
            Answer::json(401, &body).with("WWW-Authenticate", challenge.as_bytes())
        })
    }
}

/// Unix seconds.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(list) => Some(list.iter().filter_map(text_of).collect::<Vec<_>>().join(" ")),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests;
