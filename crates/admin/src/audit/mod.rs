//! The audit log (`audit_log`): who has asked what of the Admin API, and what has been written. Records of the store,
//! signed if there is a key.

mod signature;

use crate::access::User;
use crate::content::Content;
use model::{Error, Record};
use regex::Regex;
use serde_json::{Value, json};
pub use signature::SigningKey;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use store::{Recorded, Store, Transaction};
use uuid::Uuid;

/// The entities of the log.
pub const REQUESTS: &str = "audit_requests";
pub const OBJECTS: &str = "audit_objects";
/// What else is written without anybody having meant to.
const SESSIONS: &str = "admin_sessions";

/// Fields that are left out whatever the settings say: tokens and passwords of users.
const SECRETS: [&str; 5] = ["user_token", "password", "old_password", "invitation", "reset"];

/// What is kept of requests and writes.
#[derive(Clone, Debug)]
pub struct AuditOptions {
    /// `audit_log_ignore_methods`.
    pub ignore_methods: Vec<String>,
    /// `audit_log_ignore_paths`: found anywhere in a path.
    pub ignore_paths: Vec<Regex>,
    /// `audit_log_ignore_tables`: entities.
    pub ignore_tables: Vec<String>,
    /// `audit_log_payload_exclude`: fields that are left out, at any depth.
    pub payload_exclude: Vec<String>,
    /// `audit_log_record_ttl`.
    pub record_ttl: Duration,
    /// `audit_log_signing_key`.
    pub key: Option<Arc<SigningKey>>,
}

/// What becomes known of a request while it is answered.
#[derive(Clone, Debug)]
pub(crate) struct Trail {
    /// As the answer has it in `X-Kong-Admin-Request-ID`.
    pub request_id: String,
    pub user: Option<User>,
    pub workspace: Option<Uuid>,
    payload: Option<Value>,
    removed: Vec<String>,
}

/// A request as it came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub client_ip: &'a str,
    pub method: &'a str,
    /// With the query.
    pub target: &'a str,
    /// Whether the GUI has sent it.
    pub by_gui: bool,
}

impl Trail {
    /// Ids are in the order of time: two of one node are never of the same moment.
    pub fn new() -> Trail {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(since.as_micros()).unwrap_or_default();
        let last = LAST.fetch_max(now, Ordering::Relaxed);
        let micros = if now > last { now } else { LAST.fetch_add(1, Ordering::Relaxed) + 1 };
        let request_id = format!("{micros:014x}{}", &Uuid::new_v4().simple().to_string()[..18]);
        Trail { request_id, user: None, workspace: None, payload: None, removed: Vec::new() }
    }

    /// Keeps the content of a request, without what is to be left out.
    pub fn keep(&mut self, content: &Content, options: &AuditOptions) {
        self.payload = match content {
            Content::None => None,
            Content::Json(record) | Content::Form(record) => {
                let mut payload = Value::Object(record.clone());
                options.remove_from(&mut payload, &mut self.removed);
                Some(payload)
            }
            Content::Text(text) => Some(Value::String(text.clone())),
        };
    }
}

impl AuditOptions {
    /// Writes down what a transaction has written, in the same transaction.
    pub(crate) fn note_objects(
        &self,
        transaction: &mut Transaction<'_>,
        trail: &Trail,
        written: &[Recorded],
    ) -> Result<(), Error> {
        let ours = |entity: &str| [REQUESTS, OBJECTS, SESSIONS].contains(&entity);
        let kept = |entity: &String| !ours(entity) && !self.ignore_tables.contains(entity);
        for (place, one) in written.iter().enumerate().filter(|(_, one)| kept(&one.entity)) {
            let mut entity = Value::Object(one.record.clone());
            let mut removed = Vec::new();
            self.remove_from(&mut entity, &mut removed);
            let key =
                transaction.catalog().entity(&one.entity).and_then(|schema| schema.primary_key().first().cloned());
            let user = trail.user.as_ref();
            self.insert(
                transaction,
                OBJECTS,
                json!({
                    "id": format!("{}{place:04x}", trail.request_id),
                    "request_id": trail.request_id,
                    "request_timestamp": now(),
                    "entity_key": key.and_then(|key| one.record.get(&key).cloned()),
                    "dao_name": one.entity,
                    "operation": one.verb(),
                    "entity": entity.to_string(),
                    "removed_from_entity": names(&removed),
                    "rbac_user_id": user.map(|user| &user.id),
                    "rbac_user_name": user.map(|user| &user.name),
                }),
            )?;
        }
        Ok(())
    }

    /// Writes down a request that was answered.
    pub(crate) async fn note_request(&self, store: &Store, trail: Trail, asked: Asked<'_>, status: u16) {
        let path = asked.target.split('?').next().unwrap_or_default();
        let ignored = self.ignore_methods.iter().any(|method| method.eq_ignore_ascii_case(asked.method));
        if ignored || self.ignore_paths.iter().any(|pattern| pattern.is_match(path)) {
            return;
        }
        let record = json!({
            "request_id": trail.request_id,
            "request_timestamp": now(),
            "client_ip": asked.client_ip,
            "path": asked.target,
            "method": asked.method,
            "payload": trail.payload.map(|payload| payload.to_string()),
            "removed_from_payload": names(&trail.removed),
            "status": status,
            "rbac_user_id": trail.user.as_ref().map(|user| &user.id),
            "rbac_user_name": trail.user.as_ref().map(|user| &user.name),
            "request_source": asked.by_gui.then_some("kong-manager"),
            "workspace": trail.workspace.map(|id| id.to_string()),
        });
        let options = self.clone();
        let noted = store.transaction(move |transaction| options.insert(transaction, REQUESTS, record.clone()));
        if let Err(error) = noted.await {
            tracing::error!(%error, method = asked.method, path, "a request cannot be written to the audit log");
        }
    }

    /// Takes out what is not to be kept.
    fn remove_from(&self, value: &mut Value, removed: &mut Vec<String>) {
        let names = self.payload_exclude.iter().map(String::as_str).chain(SECRETS);
        remove(value, &names.collect::<Vec<_>>(), removed);
    }

    /// Adds a record, which lives as long as it should and is signed if there is a key.
    fn insert(&self, transaction: &mut Transaction<'_>, entity: &str, record: Value) -> Result<(), Error> {
        let mut record = record.as_object().cloned().unwrap_or_default();
        if let Some(key) = &self.key {
            record.insert("signature".to_owned(), key.sign(&record).into());
        }
        record.insert("ttl".to_owned(), self.record_ttl.as_secs().into());
        transaction.insert(entity, record).map(drop)
    }
}

/// Takes fields of these names out of a value, at any depth, and those whose names end in one (`redis_password`).
fn remove(value: &mut Value, names: &[&str], removed: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields.retain(|field, _| {
                let goes = names.iter().any(|name| is_called(field, name));
                if goes && !removed.contains(field) {
                    removed.push(field.clone());
                }
                !goes
            });
            fields.values_mut().for_each(|value| remove(value, names, removed));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| remove(item, names, removed)),
        _ => {}
    }
}

fn is_called(field: &str, name: &str) -> bool {
    field.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with(['_', '.']))
}

fn names(removed: &[String]) -> Option<String> {
    (!removed.is_empty()).then(|| removed.join(","))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Whether a record of the log is from the time that is asked for.
pub fn is_between(record: &Record, after: Option<u64>, before: Option<u64>) -> bool {
    let at = record.get("request_timestamp").and_then(Value::as_u64).unwrap_or_default();
    after.is_none_or(|after| at >= after) && before.is_none_or(|before| at <= before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_under_all_their_names() {
        let mut value = json!({
            "name": "rate-limiting",
            "config": {
                "redis_password": "p",
                "redis": {"password": "p", "username": "u"},
                "client_secret": ["s"],
                "token_ttl": 5,
                "passwordless": true,
            },
            "config.redis.password": "p",
        });
        let mut removed = Vec::new();
        remove(&mut value, &["token", "secret", "password"], &mut removed);
        let left = json!({
            "name": "rate-limiting",
            "config": {"redis": {"username": "u"}, "token_ttl": 5, "passwordless": true},
        });
        assert_eq!(value, left);
        assert_eq!(removed, ["config.redis.password", "redis_password", "client_secret", "password"]);
    }
}
