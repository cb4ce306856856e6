//! `jwt`: callers show a signed token (RFC 7519).

mod secret;
mod verified;

use sdk::entities::Credential;
use sdk::jose::Token;
use sdk::{
    Anonymous, Answer, Args, Config, CredentialEntity, CredentialKey, Env, Exchange, Function, Phases, Plugin,
    PluginKind, SnapshotRef, Step, after_scheme, challenge, entities, field_value,
};
use secret::Secret;
use serde_json::{Map, Value};
use std::borrow::Cow;
use verified::{Entry, Times};

/// The plugin as the gateway knows it.
pub struct Jwt;

const ENTITY: &str = "jwt_secrets";

struct Instance {
    /// Its own among all that there have been.
    number: u64,
    query_names: Vec<String>,
    cookie_names: Vec<String>,
    header_names: Vec<String>,
    /// The claim, or the member of the token's header, that names the credential.
    key_claim: String,
    secret_is_base64: bool,
    verifies_expiration: bool,
    verifies_not_before: bool,
    /// How many seconds in the future a token may end; 0: as many as it likes.
    maximum_expiration: f64,
    on_preflight: bool,
    anonymous: Anonymous,
    challenge: String,
    challenge_with_error: String,
}

/// Why a caller is not known.
#[derive(Debug, PartialEq)]
enum Refusal {
    Missing,
    Token(String),
    /// Claims that do not hold, and why.
    Claims(Map<String, Value>),
}

impl PluginKind for Jwt {
    fn name(&self) -> &'static str {
        "jwt"
    }

    fn priority(&self) -> i32 {
        1450
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        &[
            ("jwt_config", Function::Validator(check_config)),
            ("jwt_public_key", Function::Validator(secret::check_public_key)),
        ]
    }

    fn credentials(&self) -> &'static [CredentialEntity] {
        &[CredentialEntity {
            schema: include_str!("jwt_secrets.json"),
            entity: ENTITY,
            key: CredentialKey::Field("key"),
            parse: Some(Secret::parse),
        }]
    }

    fn configure(&self, plugin: &entities::Plugin, _env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let verified = config.texts("claims_to_verify");
        let challenge = challenge("Bearer", &config)?;
        let separator = if config.text("realm").is_some() { ", " } else { " " };
        Ok(Box::new(Instance {
            number: verified::instance(),
            query_names: config.texts("uri_param_names"),
            cookie_names: config.texts("cookie_names"),
            header_names: config.texts("header_names"),
            key_claim: config.text("key_claim_name").unwrap_or("iss").to_owned(),
            secret_is_base64: config.flag("secret_is_base64"),
            verifies_expiration: verified.iter().any(|claim| claim == "exp"),
            verifies_not_before: verified.iter().any(|claim| claim == "nbf"),
            maximum_expiration: config.number("maximum_expiration").unwrap_or(0.0),
            on_preflight: config.flag("run_on_preflight"),
            anonymous: Anonymous::new(self.name(), &config),
            challenge_with_error: format!("{challenge}{separator}error=\"invalid_token\""),
            challenge,
        }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        Phases::ACCESS
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        if !self.on_preflight && exchange.request.method.as_str() == "OPTIONS" {
            return Step::Next;
        }
        if self.anonymous.is_settled(exchange) {
            return Step::Next;
        }
        match self.recognise(exchange) {
            Ok(()) => Step::Next,
            Err(refusal) => self.anonymous.or_refuse(exchange, |exchange| self.refuse(exchange, refusal)),
        }
    }
}

impl Instance {
    /// Finds the caller by the token of the request.
    fn recognise(&self, exchange: &mut Exchange) -> Result<(), Refusal> {
        let now = exchange.timing.started_unix_ms / 1_000;
        let text = self.find(exchange)?;
        let entry = Entry::of(&text, self.number);
        let credential = match entry.find(|key| exchange.find_credential(ENTITY, key.as_bytes())) {
            Some((credential, times)) => {
                self.check_claims(times, now)?;
                credential
            }
            None => {
                let (credential, times) = self.verify(exchange, &text)?;
                self.check_claims(times, now)?;
                entry.keep(&credential, times);
                credential
            }
        };
        let token = Box::from(text);
        self.authenticate(exchange, credential)?;
        exchange.token = Some(token);
        Ok(())
    }

    /// The credential by which a token is signed.
    fn verify(&self, exchange: &Exchange, text: &[u8]) -> Result<(SnapshotRef<Credential>, Times), Refusal> {
        let refuse = |words: &str| Refusal::Token(words.to_owned());
        let token = Token::parse(text).map_err(|error| Refusal::Token(format!("Bad token; {error}")))?;
        let name = &self.key_claim;
        let key = match token.claims.get(name).filter(|key| **key != Value::Bool(false)).or(token.header.get(name)) {
            None | Some(Value::Bool(false)) => return Err(Refusal::Token(format!("No mandatory '{name}' in claims"))),
            Some(Value::String(key)) if !key.is_empty() => key,
            Some(_) => return Err(Refusal::Token(format!("Invalid '{name}' in claims"))),
        };
        let Some(credential) = exchange.find_credential(ENTITY, key.as_bytes()) else {
            return Err(Refusal::Token(format!("No credentials found for given '{name}'")));
        };
        let secret = credential.parsed::<Secret>().ok_or_else(|| refuse("Invalid key/secret"))?;
        if token.algorithm != secret.algorithm() {
            return Err(refuse("Invalid algorithm"));
        }
        let verification = secret.key(self.secret_is_base64).ok_or_else(|| refuse("Invalid key/secret"))?;
        if !verification.verify(&token) {
            return Err(refuse("Invalid signature"));
        }
        let number = |claim: &str| token.claims.get(claim).and_then(Value::as_f64);
        Ok((credential, Times { expires: number("exp"), not_before: number("nbf") }))
    }

    fn authenticate(&self, exchange: &mut Exchange, credential: SnapshotRef<Credential>) -> Result<(), Refusal> {
        let key = credential.part(|credential| &*credential.key);
        if !exchange.authenticate_by(credential) {
            return Err(Refusal::Token(format!("Could not find consumer for '{}={}'", self.key_claim, &*key)));
        }
        exchange.identify(&key);
        Ok(())
    }

    /// The only token in the request. The same one may be there several times.
    fn find<'a>(&'a self, exchange: &'a Exchange) -> Result<Cow<'a, [u8]>, Refusal> {
        let fields = &exchange.request.fields;
        let mut found: Option<Cow<'a, [u8]>> = None;
        let mut add = |token: Cow<'a, [u8]>| match &found {
            _ if token.is_empty() => Ok(()),
            Some(other) if *other != token => Err(Refusal::Token("Multiple tokens provided".to_owned())),
            _ => {
                found = Some(token);
                Ok(())
            }
        };
        if let Some(query) = exchange.request.query() {
            for name in &self.query_names {
                Args::find(query, name).flatten().try_for_each(&mut add)?;
            }
        }
        for name in &self.cookie_names {
            add(Cow::Borrowed(field_value::cookie(fields, name).unwrap_or_default()))?;
        }
        for name in &self.header_names {
            let token = fields.get(name).and_then(bearer).unwrap_or_default();
            add(Cow::Borrowed(token))?;
        }
        found.ok_or(Refusal::Missing)
    }

    /// `now`: seconds since 1970.
    fn check_claims(&self, times: Times, now: u64) -> Result<(), Refusal> {
        const NO_NUMBER: &str = "must be a number";
        let now = now as f64;
        let expiration = match times.expires {
            None if self.verifies_expiration => Some(NO_NUMBER),
            Some(exp) if self.verifies_expiration && exp <= now => Some("token expired"),
            _ => None,
        };
        let not_before = match times.not_before {
            None if self.verifies_not_before => Some(NO_NUMBER),
            Some(nbf) if self.verifies_not_before && nbf > now => Some("token not valid yet"),
            _ => None,
        };
        let is_limited = self.maximum_expiration > 0.0;
        let lives_too_long = is_limited && times.expires.is_none_or(|exp| exp - now > self.maximum_expiration);
        if expiration.or(not_before).is_none() && !lives_too_long {
            return Ok(());
        }
        let too_long = lives_too_long.then_some("exceeds maximum allowed expiration");
        let failed = match (expiration, not_before) {
            (None, None) => [("exp", too_long), ("nbf", None)],
            _ => [("exp", expiration), ("nbf", not_before)],
        };
        let errors = failed.into_iter().filter_map(|(claim, error)| Some((claim.to_owned(), error?.into())));
        Err(Refusal::Claims(errors.collect()))
    }

    fn refuse(&self, exchange: &Exchange, refusal: Refusal) -> Answer {
        let (answer, challenge) = match refusal {
            Refusal::Missing => (Answer::message(exchange, 401, "Unauthorized"), &self.challenge),
            Refusal::Token(words) => (Answer::message(exchange, 401, &words), &self.challenge_with_error),
            Refusal::Claims(errors) => (Answer::json(401, &Value::Object(errors)), &self.challenge_with_error),
        };
        answer.with("WWW-Authenticate", challenge.as_bytes())
    }
}

/// The token in a header line.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let rest = after_scheme(value, "Bearer")?;
    rest.first().is_some_and(u8::is_ascii_whitespace).then(|| rest.trim_ascii_start())
}

/// The check that the schema names: how long a token lives says nothing unless its end is verified. (Kong takes a
/// configuration without `claims_to_verify`.)
fn check_config(config: &Value) -> Result<(), String> {
    let limited = config.get("maximum_expiration").and_then(Value::as_f64).is_some_and(|seconds| seconds > 0.0);
    if limited && config.get("claims_to_verify").is_none_or(Value::is_null) {
        return Err("claims_to_verify has to contain exp when maximum_expiration is set".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
