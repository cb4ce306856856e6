//! Tokens of other issuers, or such that lack something, are exchanged for those of the issuer (RFC 8693).

use super::Instance;
use super::claims::{Claims, check_times};
use super::issuer::{Issuer, Issuers, Source};
use super::provider::{Failure, now};
use super::settings::discovery_url;
use sdk::jose::Token;
use sdk::{Config, Question, Record, Url};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// Which tokens are exchanged, and for what.
pub struct TokenExchange {
    subjects: Vec<Subject>,
    /// What is asked for; `None`: what the rest of the configuration asks for.
    audience: Option<Vec<String>>,
    scopes: Option<String>,
    /// How long exchanged tokens are kept; `None`: not at all.
    kept: Option<Duration>,
}

/// An issuer whose tokens are exchanged.
struct Subject {
    issuer: String,
    /// `None`: any token of it is.
    conditions: Option<Conditions>,
    /// Where the keys are that verify signatures here.
    source: Option<Source>,
}

/// What a token must have and must not have.
struct Conditions {
    has_audience: Vec<String>,
    has_scopes: Vec<String>,
    missing_audience: Vec<String>,
    missing_scopes: Vec<String>,
}

impl TokenExchange {
    /// The one of a configuration, for an issuer of that name.
    pub fn read(config: &Config<'_>, target: &str) -> Result<Option<TokenExchange>, String> {
        if !config.is_set("token_exchange") {
            return Ok(None);
        }
        let of = config.section("token_exchange");
        let (request, cache) = (of.section("request"), of.section("cache"));
        let subjects = of.list("subject_token_issuers").iter().filter_map(Value::as_object);
        let subjects = subjects.map(|record| Subject::read(&Config::new(record), target)).collect::<Result<_, _>>()?;
        let ttl = cache.integer("ttl").or(config.integer("cache_ttl")).unwrap_or(3600);
        let list = |field: &str| Some(request.texts(field)).filter(|list| !list.is_empty());
        Ok(Some(TokenExchange {
            subjects,
            audience: if request.flag("empty_audience") { Some(Vec::new()) } else { list("audience") },
            scopes: match request.flag("empty_scopes") {
                true => Some(String::new()),
                false => list("scopes").map(|scopes| scopes.join(" ")),
            },
            kept: (!cache.is_set("enabled") || cache.flag("enabled")).then(|| Duration::from_secs(ttl)),
        }))
    }

    /// The issuers whose keys are needed.
    pub fn issuers(&self, known: &Issuers) -> Vec<Option<Arc<Issuer>>> {
        self.subjects.iter().map(|subject| subject.source.as_ref().map(|source| known.find(source))).collect()
    }
}

impl Subject {
    fn read(record: &Config<'_>, target: &str) -> Result<Subject, String> {
        let of = |what: &str| format!("token_exchange.subject_token_issuers.{what}");
        let issuer = record.text("issuer").ok_or_else(|| format!("{}: missing", of("issuer")))?.to_owned();
        let conditions = record.is_set("conditions").then(|| Conditions::read(&record.section("conditions")));
        let conditions = conditions.filter(|conditions| !conditions.are_none());
        let is_target = issuer.trim_end_matches('/') == target.trim_end_matches('/');
        if is_target && conditions.is_none() {
            return Err(format!("{}: needed for tokens of the issuer itself", of("conditions")));
        }
        if !is_target && conditions.is_some() {
            return Err(format!("{}: only for tokens of the issuer itself", of("conditions")));
        }
        let keys =
            record.text("jwks_uri").map(Url::parse).transpose().map_err(|e| format!("{}: {e}", of("jwks_uri")))?;
        let source = || {
            let metadata = if keys.is_none() { Some(discovery_url(&issuer)?) } else { None };
            let rediscovery_lifetime = Duration::from_secs(30);
            Ok::<_, String>(Source { metadata, lines: Vec::new(), keys, extra_keys: Vec::new(), rediscovery_lifetime })
        };
        let source = if record.flag("verify_signature") { Some(source()?) } else { None };
        Ok(Subject { issuer, conditions, source })
    }
}

impl Conditions {
    fn read(record: &Config<'_>) -> Conditions {
        Conditions {
            has_audience: record.texts("has_audience"),
            has_scopes: record.texts("has_scopes"),
            missing_audience: record.texts("missing_audience"),
            missing_scopes: record.texts("missing_scopes"),
        }
    }

    fn are_none(&self) -> bool {
        let all = [&self.has_audience, &self.has_scopes, &self.missing_audience, &self.missing_scopes];
        all.iter().all(|list| list.is_empty())
    }

    fn are_met(&self, claims: &Record) -> bool {
        let claims = Claims(vec![claims.clone()]);
        let words = |claim: &str| claims.words(&[claim.to_owned()]);
        let scopes = || Some(words("scope")).filter(|scopes| !scopes.is_empty()).unwrap_or_else(|| words("scp"));
        let (audience, scopes) = (words("aud"), scopes());
        self.has_audience.iter().all(|word| audience.contains(word))
            && self.has_scopes.iter().all(|word| scopes.contains(word))
            && !self.missing_audience.iter().any(|word| audience.contains(word))
            && !self.missing_scopes.iter().any(|word| scopes.contains(word))
    }
}

impl Instance {
    /// The token in whose place a token counts: itself, where it is not one to be exchanged.
    pub async fn exchanged(&self, exchange: &TokenExchange, text: String) -> Result<String, Failure> {
        let Ok(token) = Token::parse(text.as_bytes()) else { return Ok(text) };
        let issuer = token.claims.get("iss").and_then(Value::as_str).unwrap_or_default();
        let is_meant = |subject: &Subject| {
            subject.issuer == issuer
                && subject.conditions.as_ref().is_none_or(|conditions| conditions.are_met(&token.claims))
        };
        let Some(at) = exchange.subjects.iter().position(is_meant) else { return Ok(text) };
        check_times(&token.claims, self.provider.settings.leeway)?;
        if let Some(issuer) = self.subject_issuers.get(at).and_then(Option::as_ref)
            && !issuer.has_signed(&token, &self.provider.client).await.map_err(Failure::Trouble)?
        {
            return Err(Failure::Refused("the signature is not that of the token's issuer".to_owned()));
        }
        self.ask_for_exchange(exchange, &text).await
    }

    async fn ask_for_exchange(&self, exchange: &TokenExchange, token: &str) -> Result<String, Failure> {
        let settings = &self.provider.settings;
        let audience = exchange.audience.as_ref().unwrap_or(&settings.audience);
        let scopes = exchange.scopes.as_ref().unwrap_or(&settings.scopes);
        let mut grant = vec![
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", token),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ];
        grant.extend(audience.iter().map(|audience| ("audience", audience.as_str())));
        if !scopes.is_empty() {
            grant.push(("scope", scopes));
        }
        let mut parts = vec!["openid-connect exchange", &settings.issuer_text];
        parts.extend(settings.client.id.as_deref());
        parts.extend(grant.iter().map(|(_, value)| *value));
        let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
        let question = Question::of(&parts);
        if exchange.kept.is_some()
            && let Some(Value::String(known)) = self.cache.find(&question)
        {
            return Ok(known);
        }
        let tokens = self.provider.grant(&grant, None).await?;
        let refused = || Failure::Refused("the issuer gave no access token for the one that was shown".to_owned());
        let access = tokens.access.ok_or_else(refused)?;
        if let Some(kept) = exchange.kept {
            let life = tokens.ends.map_or(kept, |ends| Duration::from_secs(ends.saturating_sub(now())));
            self.cache.put(question, access.clone().into(), life.min(kept));
        }
        Ok(access)
    }
}
