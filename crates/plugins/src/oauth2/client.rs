//! The applications that ask for tokens: records of `oauth2_credentials`.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{pbkdf2, rand};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sdk::entities::Uuid;
use sdk::{Exchange, Parsed, Record, Tasks, decode_base64};
use serde_json::Value;
use std::num::NonZeroU32;
use std::sync::Arc;

/// An application that has said which one it is.
pub struct Client {
    /// That of its record.
    pub id: Uuid,
    pub application: Application,
}

/// What a record says of an application.
#[derive(Clone)]
pub struct Application {
    secret: Arc<str>,
    is_hashed: bool,
    /// It cannot keep a secret.
    pub is_public: bool,
    /// `None`: it has no use for any.
    pub redirect_uris: Option<Arc<[String]>>,
}

/// How Kong hashes secrets.
const ROUNDS: u32 = 10_000;
const LENGTH: usize = 32;
const SALT: usize = 16;
/// What is read from a stored hash is bounded: it decides what a check costs.
const MOST_ROUNDS: u32 = 1_000_000;

impl Application {
    pub fn parse(record: &Record) -> Result<Parsed, String> {
        let text = |field: &str| record.get(field).and_then(Value::as_str);
        let uris = record.get("redirect_uris").and_then(Value::as_array);
        let uris = uris.map(|uris| uris.iter().filter_map(Value::as_str).map(str::to_owned).collect());
        Ok(Arc::new(Application {
            secret: text("client_secret").unwrap_or_default().into(),
            is_hashed: record.get("hash_secret").and_then(Value::as_bool).unwrap_or(false),
            is_public: text("client_type") == Some("public"),
            redirect_uris: uris,
        }))
    }

    /// Whether that is its secret. Hashes take their time, and so do not take the worker's.
    pub async fn has_secret(&self, shown: Option<String>, tasks: &Tasks) -> bool {
        let Some(shown) = shown.filter(|_| !self.secret.is_empty()) else { return false };
        let secret = Arc::clone(&self.secret);
        if self.is_hashed {
            return tasks.blocking(move || is_hash_of(&secret, &shown)).await.unwrap_or(false);
        }
        verify_slices_are_equal(secret.as_bytes(), shown.as_bytes()).is_ok()
    }
}

impl Client {
    /// The client of that id.
    pub fn find(exchange: &Exchange, client_id: &str) -> Option<Client> {
        let found = exchange.find_credential(super::CREDENTIALS, client_id.as_bytes())?;
        let application = found.parsed::<Application>()?.clone();
        Some(Client { id: found.id, application })
    }
}

/// Hashes the secret of a record that says so: the function that the schema names.
pub fn hash_secret(record: &mut Record) -> Result<(), String> {
    if record.get("hash_secret") != Some(&Value::Bool(true)) {
        return Ok(());
    }
    let Some(secret) = record.get("client_secret").and_then(Value::as_str) else { return Ok(()) };
    let mut salt = [0; SALT];
    rand::fill(&mut salt).map_err(|_| "there is no randomness")?;
    let hash = hash(secret, &salt, ROUNDS, LENGTH).ok_or("the secret cannot be hashed")?;
    record.insert("client_secret".to_owned(), hash.into());
    Ok(())
}

/// A redirect URI has a scheme and a host, and no fragment: the check that the schema names.
pub fn check_redirect_uri(value: &Value) -> Result<(), String> {
    let uri = value.as_str().unwrap_or_default();
    let (uri_alone, fragment) = uri.split_once('#').map_or((uri, None), |(uri, fragment)| (uri, Some(fragment)));
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphanumeric())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    };
    let after = uri_alone.split_once(':').filter(|(scheme, _)| is_scheme(scheme)).map(|(_, after)| after);
    let authority = after.and_then(|after| after.strip_prefix("//")?.split(['/', '?']).next());
    let host = authority.map(|authority| authority.rsplit('@').next().unwrap_or_default());
    if host.is_none_or(|host| host.is_empty() || host.starts_with(':')) {
        return Err(format!("cannot parse '{uri}'"));
    }
    match fragment {
        Some(_) => Err(format!("fragment not allowed in '{uri}'")),
        None => Ok(()),
    }
}

/// In the form of password hashes that Kong has: algorithm, parameters, salt, hash.
fn hash(secret: &str, salt: &[u8], rounds: u32, length: usize) -> Option<String> {
    let mut hash = vec![0; length];
    let iterations = NonZeroU32::new(rounds)?;
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, iterations, salt, secret.as_bytes(), &mut hash);
    let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
    Some(format!("$pbkdf2-sha512$i={rounds},l={length}${salt}${hash}"))
}

fn is_hash_of(stored: &str, secret: &str) -> bool {
    let computed = || {
        let mut parts = stored.strip_prefix("$pbkdf2-sha512$")?.split('$');
        let (rounds, length) = parts.next()?.strip_prefix("i=")?.split_once(",l=")?;
        let (rounds, length) = (rounds.parse().ok()?, length.parse().ok()?);
        let salt = decode_base64(parts.next()?)?;
        if rounds > MOST_ROUNDS || !(1..=64).contains(&length) {
            return None;
        }
        hash(secret, &salt, rounds, length)
    };
    computed().is_some_and(|hash| verify_slices_are_equal(hash.as_bytes(), stored.as_bytes()).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_hashed_as_kong_does() {
        let mut record = json!({ "client_secret": "plain", "hash_secret": true }).as_object().cloned().unwrap();
        hash_secret(&mut record).unwrap();
        let stored = record["client_secret"].as_str().unwrap();
        assert!(stored.starts_with("$pbkdf2-sha512$i=10000,l=32$"), "{stored}");
        assert!(is_hash_of(stored, "plain"));
        assert!(!is_hash_of(stored, "other"));
        assert!(!is_hash_of("plain", "plain"));
        assert!(!is_hash_of("$pbkdf2-sha512$i=4000000000,l=32$AAAA$AAAA", "plain"));
        // Computed with Python's hashlib.
        let known = hash("plain", b"0123456789abcdef", 10_000, 32).unwrap();
        assert_eq!(
            known,
            "$pbkdf2-sha512$i=10000,l=32$MDEyMzQ1Njc4OWFiY2RlZg$XqfDoriFkCFS1aoVCTPMhfnUZVK525bxkO/vTyD6IRg"
        );
    }

    #[test]
    fn what_redirect_uris_are() {
        let check = |uri: &str| check_redirect_uri(&json!(uri));
        assert_eq!(check("https://app.test/cb?x=1"), Ok(()));
        assert_eq!(check("my.app://host"), Ok(()));
        assert_eq!(check("not a url"), Err("cannot parse 'not a url'".to_owned()));
        assert_eq!(check("https:///path"), Err("cannot parse 'https:///path'".to_owned()));
        assert_eq!(check("https://h.test/#f"), Err("fragment not allowed in 'https://h.test/#f'".to_owned()));
    }
}
