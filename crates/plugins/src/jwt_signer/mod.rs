//! `jwt-signer`: verifies one or two tokens of a request, or asks who knows them, and gives the service tokens that are
//! signed here in their place.

mod admin;
mod claims;
mod key_sets;
mod settings;

use claims::Refusal;
use key_sets::Access;
use sdk::entities::{self, Consumer, Credential, Uuid};
use sdk::jose::Token;
use sdk::{
    AdminAnswer, AdminEndpoint, AdminRequest, Answer, AnswerCache, BoxFuture, Config, Env, Exchange, Fields,
    HttpRequest, Phases, Plugin, PluginKind, Question, Record, Records, SnapshotRef, Step,
};
use serde_json::{Value, json};
use settings::{Introspection, Rules, Signing, TokenSettings};
use std::sync::Arc;
use std::time::Duration;

/// The plugin as the gateway knows it.
pub struct JwtSigner;

struct Instance {
    /// The access token, then the channel token.
    tokens: [TokenSettings; 2],
    /// Whether tokens may be signed by a secret that is shared with their issuer.
    takes_secrets: bool,
    realm: Option<String>,
    keys: Access,
    records: Records,
    cache: Arc<AnswerCache>,
}

/// How long an answer is kept that does not say how long it is good, and any other one at most.
const KEPT: Duration = Duration::from_secs(60);
const KEPT_MOST: f64 = 300.0;

impl PluginKind for JwtSigner {
    fn name(&self) -> &'static str {
        "jwt-signer"
    }

    fn priority(&self) -> i32 {
        1020
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn entities(&self) -> &'static [&'static str] {
        &[include_str!("jwt_signer_jwks.json")]
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        Ok(Box::new(Instance {
            tokens: [
                TokenSettings::read("access_token", &config, env)?,
                TokenSettings::read("channel_token", &config, env)?,
            ],
            takes_secrets: config.flag("enable_hs_signatures"),
            realm: config.header_value("realm")?.map(str::to_owned),
            keys: Access::new(env),
            records: env.records().clone(),
            cache: env.shared(),
        }))
    }

    fn endpoints(&self) -> &'static [AdminEndpoint] {
        admin::ENDPOINTS
    }

    fn admin(&self, request: AdminRequest, env: &Env) -> BoxFuture<'static, AdminAnswer> {
        let env = env.clone();
        Box::pin(async move { admin::answer(&request, &env).await })
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        Phases::ACCESS
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        Step::Wait(Box::pin(async move {
            match self.serve(exchange).await {
                Ok(()) => Step::Next,
                Err(refusal) => Step::Answer(self.refuse(exchange, &refusal)),
            }
        }))
    }
}

impl Instance {
    async fn serve(&self, exchange: &mut Exchange) -> Result<(), Refusal> {
        // What clients send is looked at before anything is changed: both tokens may come in one line.
        let come: Vec<_> = self.tokens.iter().map(|settings| taken(exchange, settings)).collect();
        let mut lines = Fields::new();
        let mut dropped = Vec::new();
        for (settings, token) in self.tokens.iter().zip(come) {
            let Some(header) = &settings.header else { continue };
            dropped.push(header.as_str());
            dropped.extend(settings.original_header.as_deref());
            dropped.extend(settings.signing.as_ref().map(|signing| signing.header.as_str()));
            let Some(token) = token else {
                if settings.optional {
                    continue;
                }
                return Err(Refusal::Unauthorized(format!("the {} is missing", settings.name)));
            };
            let (claims, rules) = self.known(settings, &token).await?;
            claims::check(&claims, rules)?;
            self.identify(exchange, &claims, rules).await?;
            if let Some(signing) = &settings.signing {
                let signed = self.sign(signing, &claims).await?;
                let value =
                    signing.scheme.as_ref().map_or_else(|| signed.clone(), |scheme| format!("{scheme} {signed}"));
                lines.set(&signing.header, value.as_bytes());
            }
            if let Some(original) = &settings.original_header {
                lines.set(original, token.as_bytes());
            }
        }
        let fields = &mut exchange.request.fields;
        for name in dropped {
            fields.remove(name);
        }
        lines.iter().for_each(|(name, value)| fields.set(name, value));
        Ok(())
    }

    /// What a token says, and what is asked of it: by itself where it is a signed one, else by who knows it.
    async fn known<'s>(&self, settings: &'s TokenSettings, text: &str) -> Result<(Record, &'s Rules), Refusal> {
        if text.split('.').count() == 3 {
            return Ok((self.verified(settings, text, settings.verify_signature).await?, &settings.rules));
        }
        let Some(introspection) = &settings.introspection else {
            return Err(Refusal::Unauthorized(format!("the {} is no JWT", settings.name)));
        };
        let answer = self.introspect(introspection, text).await?;
        let Some(inner) = claims::find(&answer, &introspection.jwt_claim) else {
            return Ok((answer, &introspection.rules));
        };
        let inner =
            inner.as_str().ok_or_else(|| Refusal::Unauthorized("the token of the answer is no text".to_owned()))?;
        Ok((self.verified(settings, inner, !introspection.trust).await?, &introspection.rules))
    }

    /// The claims of a signed token.
    async fn verified(&self, settings: &TokenSettings, text: &str, verify: bool) -> Result<Record, Refusal> {
        let malformed = |why| Refusal::Unauthorized(format!("the {} is malformed: {why}", settings.name));
        let token = Token::parse(text.as_bytes()).map_err(malformed)?;
        if !verify {
            return Ok(token.claims);
        }
        if token.algorithm.is_symmetric() && !self.takes_secrets {
            return Err(Refusal::Unauthorized("tokens signed by shared secrets are not taken".to_owned()));
        }
        let Some(jwks) = &settings.jwks else {
            return Err(Refusal::Unauthorized(format!("there are no keys for the {}", settings.name)));
        };
        match self.keys.has_signed(jwks, &token, self.takes_secrets).await {
            Ok(true) => Ok(token.claims),
            Ok(false) => Err(Refusal::Unauthorized("the signature is not good".to_owned())),
            Err(error) => Err(Refusal::Trouble(error)),
        }
    }

    /// What the authorization server says of a token (RFC 7662).
    async fn introspect(&self, by: &Introspection, token: &str) -> Result<Record, Refusal> {
        let (url, authorization) = (by.url.uri().to_string(), by.authorization.as_deref().unwrap_or_default());
        let parts = ["jwt-signer", &url, authorization, &by.form, token];
        let question = Question::of(&parts.map(str::as_bytes));
        let known = by.cache.then(|| self.cache.find(&question)).flatten();
        let answer = match known {
            Some(answer) => answer,
            None => {
                let mut form = url::form_urlencoded::Serializer::new(String::new());
                form.append_pair("token", token);
                let mut content = form.finish();
                if !by.form.is_empty() {
                    content = format!("{content}&{}", by.form);
                }
                let mut fields: Fields =
                    [("Accept", "application/json"), ("Content-Type", "application/x-www-form-urlencoded")]
                        .into_iter()
                        .collect();
                by.authorization.iter().for_each(|value| fields.set("Authorization", value.as_bytes()));
                let (url, method, content) = (by.url.clone(), "POST".to_owned(), content.into());
                let asked = by.client.send(HttpRequest { method, url, fields, content }).await;
                let response = asked.map_err(|error| Refusal::Trouble(format!("introspection: {error}")))?;
                if response.status != 200 {
                    return Err(Refusal::Trouble(format!("introspection was answered {}", response.status)));
                }
                let answer: Value = serde_json::from_slice(&response.content)
                    .map_err(|_| Refusal::Trouble("the answer of introspection is no JSON".to_owned()))?;
                if by.cache {
                    let rest =
                        answer.get("exp").and_then(Value::as_f64).map(|end| (end - claims::now()).min(KEPT_MOST));
                    let time = rest.map_or(KEPT, |rest| Duration::from_secs_f64(rest.max(0.0)));
                    self.cache.put(question, answer.clone(), time);
                }
                answer
            }
        };
        match answer {
            Value::Object(answer) if answer.get("active") == Some(&Value::Bool(true)) => Ok(answer),
            _ => Err(Refusal::Unauthorized("the token is not active".to_owned())),
        }
    }

    /// Has the consumer of a request be the one whom the claims name, unless it has one already.
    async fn identify(&self, exchange: &mut Exchange, claims: &Record, rules: &Rules) -> Result<(), Refusal> {
        if rules.consumer_claim.is_empty() || exchange.consumer.is_some() {
            return Ok(());
        }
        let name = claims::find(claims, &rules.consumer_claim).and_then(claims::name);
        let found = match &name {
            Some(name) => self.consumer(exchange, name, &rules.consumer_by).await?,
            None => None,
        };
        let (Some(name), Some(consumer)) = (name, found) else {
            return Err(Refusal::Forbidden("the caller is no consumer".to_owned()));
        };
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("jwt-signer|{name}").as_bytes());
        let (workspace, owner) = (exchange.workspace(), Some(consumer.id));
        let credential =
            Credential { id, workspace, consumer: owner, expiry: None, key: name.as_str().into(), parsed: None };
        exchange.authenticate(Some(consumer), Some(SnapshotRef::from(credential)));
        exchange.identify(&name);
        Ok(())
    }

    async fn consumer(
        &self,
        exchange: &Exchange,
        name: &str,
        by: &[String],
    ) -> Result<Option<SnapshotRef<Consumer>>, Refusal> {
        for by in by {
            let found = match by.as_str() {
                "id" => Uuid::parse_str(name).ok().and_then(|id| exchange.find_consumer(&id)),
                "username" => exchange.find_consumer_by_username(name),
                _ => {
                    let asked = self.records.find(exchange.workspace(), "consumers", "custom_id", name).await;
                    let record = asked.map_err(|error| Refusal::Trouble(error.to_string()))?;
                    let id = record.as_ref().and_then(|record| record.get("id")?.as_str()?.parse().ok());
                    id.and_then(|id| exchange.find_consumer(&id))
                }
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    async fn sign(&self, signing: &Signing, claims: &Record) -> Result<String, Refusal> {
        let key = self.keys.signing_key(&signing.keys, signing.algorithm).await.map_err(Refusal::Trouble)?;
        let signed = key.sign(&claims::issued(claims, signing));
        signed.ok_or_else(|| Refusal::Trouble("a token cannot be signed".to_owned()))
    }

    fn refuse(&self, exchange: &Exchange, refusal: &Refusal) -> Answer {
        let host = exchange.host();
        let realm = self.realm.as_deref().unwrap_or(&host);
        let (status, message, error, why) = match refusal {
            Refusal::Unauthorized(why) => (401, "Unauthorized", "invalid_token", why),
            Refusal::Forbidden(why) => (403, "Forbidden", "insufficient_scope", why),
            Refusal::Trouble(why) => {
                tracing::error!(request_id = exchange.id_str(), "jwt-signer: {why}");
                let body = json!({ "message": "An unexpected error occurred" });
                return Answer::json(500, &body).with("WWW-Authenticate", challenge(realm, None).as_bytes());
            }
        };
        tracing::info!(request_id = exchange.id_str(), "jwt-signer: {why}");
        let body = json!({ "message": message });
        Answer::json(status, &body).with("WWW-Authenticate", challenge(realm, Some(error)).as_bytes())
    }
}

fn challenge(realm: &str, error: Option<&str>) -> String {
    let realm = realm.replace(['"', '\\'], "");
    let error = error.map(|error| format!(", error=\"{error}\"")).unwrap_or_default();
    format!("Bearer realm=\"{realm}\"{error}")
}

/// The token of a request.
fn taken(exchange: &Exchange, settings: &TokenSettings) -> Option<String> {
    let line = exchange.request.fields.get_str(settings.header.as_ref()?)?.trim();
    let bare = line.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let token = bare.map_or(line, |(_, token)| token.trim());
    (!token.is_empty()).then(|| token.to_owned())
}

#[cfg(test)]
mod tests;
