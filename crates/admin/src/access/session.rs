//! Sessions of the GUI: a cookie names a record, and its signature says that this node (or one with the same secret)
//! has given it out.

use super::options::SessionOptions;
use crate::answer::Answer;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::header::{self, HeaderMap};
use model::Record;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};
use store::{Key, Store};
use uuid::Uuid;

/// The entity of sessions.
const ENTITY: &str = "admin_sessions";

/// A session that lasts.
#[derive(Debug, PartialEq)]
pub struct Session {
    /// The id of the administrator.
    pub admin: String,
    /// Those that a provider has named.
    pub groups: Vec<String>,
    /// The cookie that is due for renewal.
    pub renewed: Option<String>,
}

/// Begins a session; the value of `Set-Cookie`.
pub async fn begin(store: &Store, options: &SessionOptions, admin: &str, groups: &[String]) -> Result<String, Answer> {
    let id = Uuid::new_v4().to_string();
    let ttl = options.rolling_timeout.as_secs();
    let record = json!({ "id": id, "admin": { "id": admin }, "groups": groups, "ttl": ttl });
    store.insert(ENTITY, record.as_object().cloned().unwrap_or_default()).await?;
    Ok(cookie(options, &signed(options, &id), options.rolling_timeout.as_secs()))
}

/// The session that a request belongs to.
pub async fn find(store: &Store, options: &SessionOptions, headers: &HeaderMap) -> Result<Option<Session>, Answer> {
    let Some(id) = id(options, headers) else { return Ok(None) };
    let key = Key::Id(id.clone());
    let Some(session) = store.get(ENTITY, &key).await? else { return Ok(None) };
    let number = |field: &str| session.get(field).and_then(Value::as_u64).unwrap_or_default();
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(u64::MAX, |now| now.as_secs());
    if since.saturating_sub(number("created_at")) >= options.absolute_timeout.as_secs() {
        return Ok(None);
    }
    let admin = session.get("admin").and_then(|admin| admin.get("id")).and_then(Value::as_str).map(str::to_owned);
    let rolling = options.rolling_timeout.as_secs();
    let mut renewed = None;
    if number("ttl") <= rolling / 2 {
        store.update(ENTITY, &key, Record::from_iter([("ttl".to_owned(), rolling.into())])).await?;
        renewed = Some(cookie(options, &signed(options, &id), rolling));
    }
    let groups = session.get("groups").and_then(Value::as_array).into_iter().flatten();
    let groups = groups.filter_map(Value::as_str).map(str::to_owned).collect();
    Ok(admin.map(|admin| Session { admin, groups, renewed }))
}

/// Ends the session of a request; the value of `Set-Cookie`.
pub async fn end(store: &Store, options: &SessionOptions, headers: &HeaderMap) -> Result<String, Answer> {
    if let Some(id) = id(options, headers) {
        store.delete(ENTITY, &Key::Id(id)).await?;
    }
    Ok(cookie(options, "", 0))
}

/// Ends all sessions of an administrator but that of a request, if one may go on.
pub async fn end_others(
    store: &Store,
    options: &SessionOptions,
    request: Option<&HeaderMap>,
    admin: &str,
) -> Result<(), Answer> {
    let own = request.and_then(|headers| id(options, headers));
    for session in store.all_for(ENTITY, "admin", admin).await? {
        let id = session.get("id").and_then(Value::as_str).unwrap_or_default();
        if own.as_deref() != Some(id) {
            store.delete(ENTITY, &Key::Id(id.to_owned())).await?;
        }
    }
    Ok(())
}

/// Whether a request names a session of ours.
pub fn is_named(options: &SessionOptions, headers: &HeaderMap) -> bool {
    id(options, headers).is_some()
}

/// The session that the cookie of a request names, if it is signed.
fn id(options: &SessionOptions, headers: &HeaderMap) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (id, signature) = pairs.find(|(name, _)| *name == options.cookie_name)?.1.split_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    hmac::verify(&key(options), id.as_bytes(), &signature).ok()?;
    Some(id.to_owned())
}

fn signed(options: &SessionOptions, id: &str) -> String {
    format!("{id}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key(options), id.as_bytes())))
}

fn key(options: &SessionOptions) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, options.secret.as_bytes())
}

fn cookie(options: &SessionOptions, value: &str, max_age: u64) -> String {
    let mut line =
        format!("{}={value}; Path={}; Max-Age={max_age}; HttpOnly", options.cookie_name, options.cookie_path);
    if let Some(domain) = &options.cookie_domain {
        line.push_str(&format!("; Domain={domain}"));
    }
    if options.cookie_secure {
        line.push_str("; Secure");
    }
    if let Some(same_site) = &options.cookie_same_site {
        line.push_str(&format!("; SameSite={same_site}"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Catalog;
    use std::sync::Arc;
    use std::time::Duration;
    use store::Clock;

    fn record(value: Value) -> Record {
        value.as_object().cloned().unwrap()
    }

    /// A store with an administrator, and its id.
    async fn store(clock: Clock) -> (Store, String) {
        let store = Store::memory_at(Arc::new(Catalog::core()), clock).unwrap();
        let user = json!({ "name": "ada", "user_token": "hash" });
        let user = store.insert("rbac_users", record(user)).await.unwrap().record;
        let admin = json!({ "username": "ada", "rbac_user": { "id": user["id"] } });
        let admin = store.insert("admins", record(admin)).await.unwrap().record;
        (store, admin["id"].as_str().unwrap().to_owned())
    }

    fn with_cookie(set_cookie: &str) -> HeaderMap {
        let pair = set_cookie.split(';').next().unwrap();
        HeaderMap::from_iter([(header::COOKIE, format!("a=b; {pair}").parse().unwrap())])
    }

    #[tokio::test]
    async fn sessions_begin_and_end() {
        let (store, admin) = store(Clock::default()).await;
        let options = SessionOptions { secret: "s".to_owned(), ..SessionOptions::default() };
        let groups = vec!["staff".to_owned()];
        let line = begin(&store, &options, &admin, &groups).await.unwrap();
        assert!(line.ends_with("; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Strict"), "{line}");
        let headers = with_cookie(&line);
        let session = Session { admin: admin.clone(), groups, renewed: None };
        assert_eq!(find(&store, &options, &headers).await.unwrap(), Some(session));
        let forged = SessionOptions { secret: "t".to_owned(), ..options.clone() };
        assert_eq!(find(&store, &forged, &headers).await.unwrap(), None);
        let second = with_cookie(&begin(&store, &options, &admin, &[]).await.unwrap());
        end_others(&store, &options, Some(&headers), &admin).await.unwrap();
        assert_eq!(find(&store, &options, &second).await.unwrap(), None);
        assert!(end(&store, &options, &headers).await.unwrap().starts_with("session=; Path=/; Max-Age=0"));
        assert_eq!(find(&store, &options, &headers).await.unwrap(), None);
    }

    #[tokio::test]
    async fn sessions_are_renewed_while_they_are_used() {
        let clock = Clock::default();
        let (store, admin) = store(clock.clone()).await;
        let options = SessionOptions {
            secret: "s".to_owned(),
            rolling_timeout: Duration::from_secs(100),
            ..SessionOptions::default()
        };
        let headers = with_cookie(&begin(&store, &options, &admin, &[]).await.unwrap());
        clock.advance(60_000);
        let session = find(&store, &options, &headers).await.unwrap().unwrap();
        assert!(session.renewed.is_some());
        clock.advance(60_000);
        assert!(find(&store, &options, &headers).await.unwrap().is_some());
        clock.advance(101_000);
        assert_eq!(find(&store, &options, &headers).await.unwrap(), None);
    }
}
