//! `basic-auth`: callers show a user name and a password (RFC 7617).

mod attempts;

use attempts::Attempts;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use sdk::entities::{Credential, Uuid};
use sdk::{
    Anonymous, Answer, Config, CredentialEntity, CredentialKey, Env, Exchange, Function, Known, Parsed, Phases, Plugin,
    PluginKind, Record, SnapshotRef, Step, after_scheme, challenge, decode_base64, entities,
};
use serde_json::Value;
use std::fmt::Write;
use std::sync::Arc;

/// The plugin as the gateway knows it.
pub struct BasicAuth;

const ENTITY: &str = "basicauth_credentials";

struct Instance {
    hide: bool,
    anonymous: Anonymous,
    challenge: String,
    attempts: Option<Attempts>,
    degraded: Option<String>,
}

/// What a caller shows: user name and password, and where the colon between them is.
struct Shown {
    text: Vec<u8>,
    colon: usize,
}

/// What is kept of a record. What is no hash is nobody's password.
struct PasswordHash(Option<Hash>);

type Hash = [u8; 20];

impl PluginKind for BasicAuth {
    fn name(&self) -> &'static str {
        "basic-auth"
    }

    fn priority(&self) -> i32 {
        1100
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        &[("basic_auth_password", Function::Derive(hash_password))]
    }

    fn credentials(&self) -> &'static [CredentialEntity] {
        &[CredentialEntity {
            schema: include_str!("basicauth_credentials.json"),
            entity: ENTITY,
            key: CredentialKey::Field("username"),
            parse: Some(PasswordHash::of),
        }]
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let attempts = Attempts::configure(&config.section("brute_force_protection"), env)?;
        let (attempts, degraded) = attempts.map_or((None, None), |(attempts, degraded)| (Some(attempts), degraded));
        Ok(Box::new(Instance {
            attempts,
            degraded,
            hide: config.flag("hide_credentials"),
            anonymous: Anonymous::new(self.name(), &config),
            challenge: challenge("Basic", &config)?,
        }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        Phases::ACCESS
    }

    fn degraded(&self) -> Option<String> {
        self.degraded.clone()
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        if self.anonymous.is_settled(exchange) {
            return Step::Next;
        }
        match (self.shown(exchange), &self.attempts) {
            (None, _) => self.refuse(exchange),
            (Some((shown, credential)), None) => match recognise(exchange, &shown, credential) {
                true => Step::Next,
                false => self.refuse(exchange),
            },
            (Some((shown, credential)), Some(attempts)) => {
                Step::Wait(Box::pin(self.attempt(exchange, shown, credential, attempts)))
            }
        }
    }
}

impl Instance {
    /// What the caller shows: by `Authorization` only where the other line shows no user that is known.
    fn shown(&self, exchange: &mut Exchange) -> Option<(Shown, Option<SnapshotRef<Credential>>)> {
        let mut unknown = None;
        for line in [Known::ProxyAuthorization, Known::Authorization] {
            let shown = exchange.request.fields.known(line).and_then(Shown::parse);
            if self.hide {
                exchange.request.fields.remove_known(line);
            }
            let Some(shown) = shown else { continue };
            let credential = exchange.find_credential(ENTITY, shown.username());
            if credential.is_some() {
                return Some((shown, credential));
            }
            unknown = Some((shown, None));
        }
        unknown
    }

    /// An attempt of a user who has to wait after failed ones. Users whom nobody knows have to wait as well.
    async fn attempt(
        &self,
        exchange: &mut Exchange,
        shown: Shown,
        credential: Option<SnapshotRef<Credential>>,
        attempts: &Attempts,
    ) -> Step<'static> {
        let (workspace, now) = (exchange.workspace(), exchange.timing.started_unix_ms / 1000);
        if let Some(wait) = attempts.wait(workspace, shown.username(), now).await {
            return self.anonymous.or_refuse(exchange, |exchange| {
                let answer = Answer::error(exchange, 429, &Answer::status_message(429));
                answer.with("Retry-After", wait.to_string().as_bytes())
            });
        }
        if recognise(exchange, &shown, credential) {
            return Step::Next;
        }
        attempts.add(workspace, shown.username(), now).await;
        self.refuse(exchange)
    }

    fn refuse(&self, exchange: &mut Exchange) -> Step<'static> {
        self.anonymous.or_refuse(exchange, |exchange| {
            Answer::error(exchange, 401, "Unauthorized").with("WWW-Authenticate", self.challenge.as_bytes())
        })
    }
}

/// Whether the password is that of the credential; then its consumer is the caller.
fn recognise(exchange: &mut Exchange, shown: &Shown, credential: Option<SnapshotRef<Credential>>) -> bool {
    let Some(credential) = credential else { return false };
    let recognised = shown.has_password_of(&credential) && exchange.authenticate_by(credential);
    if let (true, Ok(username)) = (recognised, std::str::from_utf8(shown.username())) {
        exchange.identify(username);
    }
    recognised
}

impl Shown {
    /// The content of an `Authorization` line.
    fn parse(value: &[u8]) -> Option<Shown> {
        let encoded = after_scheme(value, "Basic")?.trim_ascii();
        let text = decode_base64(encoded)?;
        let colon = memchr::memchr(b':', &text).filter(|&at| at > 0)?;
        Some(Shown { text, colon })
    }

    fn username(&self) -> &[u8] {
        &self.text[..self.colon]
    }

    fn has_password_of(&self, credential: &Credential) -> bool {
        let (Some(PasswordHash(Some(stored))), Some(consumer)) = (credential.parsed(), credential.consumer) else {
            return false;
        };
        verify_slices_are_equal(&hash(&self.text[self.colon + 1..], &consumer), stored).is_ok()
    }
}

impl PasswordHash {
    fn of(record: &Record) -> Result<Parsed, String> {
        let stored = record.get("password").and_then(Value::as_str).unwrap_or_default();
        Ok(Arc::new(PasswordHash(from_hex(stored))))
    }
}

/// Replaces a password by what is stored of it.
fn hash_password(record: &mut Record) -> Result<(), String> {
    let consumer = record.get("consumer").and_then(|consumer| consumer.get("id")).and_then(Value::as_str);
    let consumer = consumer.and_then(|id| Uuid::parse_str(id).ok()).ok_or("a password without a consumer")?;
    let password = record.get("password").and_then(Value::as_str).unwrap_or_default();
    let mut hex = String::with_capacity(40);
    for octet in hash(password.as_bytes(), &consumer) {
        // Writing to memory does not fail.
        let _ = write!(hex, "{octet:02x}");
    }
    record.insert("password".to_owned(), hex.into());
    Ok(())
}

/// As Kong hashes passwords: SHA-1, salted with the consumer's id. Records have it in hexadecimal.
fn hash(password: &[u8], consumer: &Uuid) -> Hash {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(password);
    context.update(consumer.hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
    let mut hash = Hash::default();
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

fn from_hex(text: &str) -> Option<Hash> {
    let mut hash = Hash::default();
    let pairs = text.as_bytes().chunks_exact(2);
    if text.len() != 2 * hash.len() {
        return None;
    }
    for (octet, pair) in hash.iter_mut().zip(pairs) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *octet = (digit(0)? << 4 | digit(1)?) as u8;
    }
    Some(hash)
}

#[cfg(test)]
mod tests;
