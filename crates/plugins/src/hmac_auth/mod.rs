//! `hmac-auth`: callers sign lines of the request with a secret (draft-cavage-http-signatures, as Kong has it).

mod signature;

use aws_lc_rs::digest::{self, SHA256};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sdk::entities::Credential;
use sdk::{
    Anonymous, Answer, Config, CredentialEntity, CredentialKey, Env, Exchange, Known, Parsed, Phases, Plugin,
    PluginKind, Record, SnapshotRef, Step, challenge, entities, field_value,
};
use serde_json::Value;
use signature::{Algorithm, Signature};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// The plugin as the gateway knows it.
pub struct HmacAuth;

const ENTITY: &str = "hmacauth_credentials";

struct Instance {
    hide: bool,
    /// How many seconds the date of a request may differ from ours.
    clock_skew: f64,
    validates_body: bool,
    /// Lines that have to be signed.
    enforced: Vec<String>,
    algorithms: Vec<Algorithm>,
    anonymous: Anonymous,
    challenge: String,
}

/// Why a caller is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Missing,
    Date,
    /// There is no signature that could be looked at.
    Unverifiable,
    Mismatch,
    /// The body is too large to be compared with its digest.
    TooLarge,
}

/// What is kept of a record.
struct Secret(Box<str>);

impl PluginKind for HmacAuth {
    fn name(&self) -> &'static str {
        "hmac-auth"
    }

    fn priority(&self) -> i32 {
        1030
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn credentials(&self) -> &'static [CredentialEntity] {
        &[CredentialEntity {
            schema: include_str!("hmacauth_credentials.json"),
            entity: ENTITY,
            key: CredentialKey::Field("username"),
            parse: Some(Secret::of),
        }]
    }

    fn configure(&self, plugin: &entities::Plugin, _env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let algorithms = config.texts("algorithms");
        let algorithm = |name: &String| {
            Algorithm::parse(name.as_bytes()).ok_or_else(|| format!("config.algorithms: unknown '{name}'"))
        };
        Ok(Box::new(Instance {
            hide: config.flag("hide_credentials"),
            clock_skew: config.number("clock_skew").unwrap_or(300.0),
            validates_body: config.flag("validate_request_body"),
            enforced: config.texts("enforce_headers"),
            algorithms: algorithms.iter().map(algorithm).collect::<Result<_, _>>()?,
            anonymous: Anonymous::new(self.name(), &config),
            challenge: challenge("hmac", &config)?,
        }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        if self.validates_body { Phases::ACCESS.and(Phases::READS_BODY) } else { Phases::ACCESS }
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        if self.anonymous.is_settled(exchange) {
            return Step::Next;
        }
        match self.recognise(exchange) {
            Ok(()) => Step::Next,
            Err(refusal) => self.anonymous.or_refuse(exchange, |exchange| match refusal {
                Refusal::TooLarge => Answer::error(exchange, 413, refusal.words()),
                _ => Answer::error(exchange, 401, refusal.words()).with("WWW-Authenticate", self.challenge.as_bytes()),
            }),
        }
    }
}

impl Instance {
    /// Finds the caller by the signature of the request.
    fn recognise(&self, exchange: &mut Exchange) -> Result<(), Refusal> {
        let fields = &exchange.request.fields;
        if !fields.has(Known::Authorization) && !fields.has(Known::ProxyAuthorization) {
            return Err(Refusal::Missing);
        }
        if !["X-Date", "Date"].into_iter().any(|name| self.is_recent(exchange, name)) {
            return Err(Refusal::Date);
        }
        let for_proxies = fields.known(Known::ProxyAuthorization).and_then(Signature::parse);
        let line = if for_proxies.is_some() { Known::ProxyAuthorization } else { Known::Authorization };
        let verified = self.verify(exchange, line);
        if self.hide {
            exchange.request.fields.remove_known(line);
        }
        let credential = verified?;
        let username = credential.key.clone();
        if !exchange.authenticate_by(credential) {
            return Err(Refusal::Unverifiable);
        }
        exchange.identify(&username);
        Ok(())
    }

    /// The credential whose secret the request is signed with.
    fn verify(&self, exchange: &Exchange, line: Known) -> Result<SnapshotRef<Credential>, Refusal> {
        let request = &exchange.request;
        let signature = request.fields.known(line).and_then(Signature::parse).ok_or(Refusal::Unverifiable)?;
        let is_signed = |enforced: &String| signature.names().any(|name| name == enforced.as_bytes());
        let algorithm = signature.algorithm.filter(|algorithm| self.algorithms.contains(algorithm));
        let algorithm = algorithm.filter(|_| self.enforced.iter().all(is_signed)).ok_or(Refusal::Unverifiable)?;
        let credential = exchange.find_credential(ENTITY, signature.username).ok_or(Refusal::Unverifiable)?;
        let Secret(secret) = credential.parsed().ok_or(Refusal::Mismatch)?;
        if secret.is_empty() || !signature.is_of(request, algorithm, secret.as_bytes()) {
            return Err(Refusal::Mismatch);
        }
        if self.validates_body {
            check_body(exchange)?;
        }
        Ok(credential)
    }

    /// Whether the date in that line is near enough to ours.
    fn is_recent(&self, exchange: &Exchange, name: &str) -> bool {
        let now = (exchange.timing.started_unix_ms / 1_000) as f64;
        let date = exchange.request.fields.get(name).and_then(seconds);
        date.is_some_and(|date| (now - date).abs() <= self.clock_skew)
    }
}

impl Secret {
    fn of(record: &Record) -> Result<Parsed, String> {
        Ok(Arc::new(Secret(record.get("secret").and_then(Value::as_str).unwrap_or_default().into())))
    }
}

impl Refusal {
    fn words(self) -> &'static str {
        match self {
            Refusal::Missing => "Unauthorized",
            Refusal::Date => {
                "HMAC signature cannot be verified, a valid date or x-date header is required for HMAC Authentication"
            }
            Refusal::Unverifiable => "HMAC signature cannot be verified",
            Refusal::Mismatch => "HMAC signature does not match",
            Refusal::TooLarge => "Request body is too large for its digest to be verified",
        }
    }
}

/// Compares the body with the digest that the client gives of it. Without a body, none is needed.
fn check_body(exchange: &Exchange) -> Result<(), Refusal> {
    let body = exchange.body.bytes().ok_or(Refusal::TooLarge)?;
    let holds = match exchange.request.fields.get("Digest") {
        None => body.is_empty(),
        Some(digest) => {
            let hash = BASE64_STANDARD.encode(digest::digest(&SHA256, body));
            digest.strip_prefix(b"SHA-256=") == Some(hash.as_bytes())
        }
    };
    if holds { Ok(()) } else { Err(Refusal::Mismatch) }
}

/// A date in seconds since 1970. As nginx does not look at the zone, clients write it in other ways, too.
fn seconds(value: &[u8]) -> Option<f64> {
    let in_utc = || {
        let zones = [&b"UTC"[..], b"+0000", b"-0000"];
        let date = zones.into_iter().find_map(|zone| value.strip_suffix(zone))?;
        field_value::date(&[date, b"GMT"].concat())
    };
    let date = field_value::date(value).or_else(in_utc)?;
    Some(date.duration_since(UNIX_EPOCH).ok()?.as_secs_f64())
}

#[cfg(test)]
mod tests;
