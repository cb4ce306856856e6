//! Event hooks: who is told when records are written or targets change their health, by a request to a server or a line
//! in the log.
//!
//! The node that has taken a write tells of it, after it has answered for it in its own snapshot; messages go through
//! queues of the node, so that no write waits for a server.

pub mod health;
pub mod message;
pub mod template;

use crate::access::text;
use crate::answer::Answer;
use crate::node::Node;
use aws_lc_rs::digest;
use model::Record;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use store::{PageQuery, Recorded, Scope, Store};

/// The entity of hooks.
pub const ENTITY: &str = "event_hooks";
/// What is written to a record, by its entity.
pub const CRUD: &str = "crud";
/// The same, by what is done.
pub const DAO_CRUD: &str = "dao:crud";
/// The health of targets.
pub const BALANCER: &str = "balancer";
/// What an event of a write has.
pub const FIELDS: [&str; 4] = ["operation", "entity", "old_entity", "schema"];
/// What nobody is told of users.
const SECRETS: [&str; 6] = ["user_token", "user_token_ident", "password", "invitation", "reset", "reset_at"];
/// How many events are remembered for `snooze`.
const SNOOZED: usize = 10_000;

/// How long it is taken for granted that there are none: other nodes may add some.
const NONE: Duration = Duration::from_secs(1);

/// What hooks have been told of late.
#[derive(Default)]
pub struct Told(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    /// Where there were no hooks, and when.
    none: HashMap<Scope, Instant>,
    /// How often hooks have been added on this node.
    added: u64,
    /// By hook and event, until when the same one is not told again.
    snoozed: HashMap<[u8; 32], Instant>,
    /// The last event of each hook that wants changes only.
    last: HashMap<String, [u8; 32]>,
}

/// The hooks that want to know of writes. While there are none, nobody is asked at each write.
pub async fn hooks(store: &Store, told: &Told) -> Result<Vec<Record>, Answer> {
    let (scope, now) = (store.scope(), Instant::now());
    let added = {
        let memory = told.memory();
        if memory.none.get(&scope).is_some_and(|at| now.duration_since(*at) < NONE) {
            return Ok(Vec::new());
        }
        memory.added
    };
    let query = PageQuery { size: 1000, ..PageQuery::default() };
    let hooks = store.page(ENTITY, &query).await?.data;
    let mut memory = told.memory();
    memory.none.retain(|_, at| now.duration_since(*at) < NONE);
    if hooks.is_empty() && memory.added == added {
        memory.none.insert(scope, now);
    }
    Ok(hooks)
}

/// Tells hooks what has been written.
pub fn tell(node: &dyn Node, told: &Told, hooks: &[Record], written: &[Recorded]) {
    for one in written {
        let data = data(one);
        for hook in hooks {
            let source = text(hook, "source");
            let event = match source {
                CRUD => one.entity.as_str(),
                DAO_CRUD => one.verb(),
                _ => continue,
            };
            tell_of(node, told, hook, source, event, data.clone());
        }
    }
}

/// Tells a hook of an event of its source, if it wants to know.
fn tell_of(node: &dyn Node, told: &Told, hook: &Record, source: &str, event: &str, mut data: Value) {
    let wanted = hook.get("event").and_then(Value::as_str);
    if wanted.is_some_and(|wanted| wanted != event) {
        return;
    }
    data["source"] = source.into();
    data["event"] = event.into();
    if told.is_due(hook, &data) {
        fire(node, hook, &data);
    }
}

/// Does what a hook is for.
fn fire(node: &dyn Node, hook: &Record, data: &Value) {
    let id = text(hook, "id");
    if text(hook, "handler") == "log" {
        tracing::info!(hook = id, "event: {}", for_log(data));
        return;
    }
    match message::of(hook, data) {
        Ok(message) => node.queue_hook(message),
        Err(why) => tracing::error!(hook = id, "an event cannot be told: {why}"),
    }
}

/// An event without what its record holds, which may be a secret: the record's id and name are enough to look it up.
fn for_log(data: &Value) -> Value {
    let mut shown = data.clone();
    for field in ["entity", "old_entity"] {
        if let Some(record) = shown.get_mut(field).and_then(Value::as_object_mut) {
            record.retain(|name, _| matches!(name.as_str(), "id" | "name" | "username" | "custom_id"));
        }
    }
    shown
}

/// What an event of a write has.
fn data(one: &Recorded) -> Value {
    let shown = |record: &Record| {
        let mut record = record.clone();
        record.retain(|field, _| field != "ws_id" && !SECRETS.contains(&field.as_str()));
        record
    };
    let mut data = json!({ "operation": one.verb(), "entity": shown(&one.record), "schema": one.entity });
    if let Some(before) = &one.before {
        data["old_entity"] = Value::Object(shown(before));
    }
    data
}

impl Told {
    /// Whether a hook is to be told of an event: not of the same again for as long as it snoozes, nor of what is as it
    /// was if it wants changes only.
    fn is_due(&self, hook: &Record, data: &Value) -> bool {
        let id = text(hook, "id");
        let snooze = hook.get("snooze").and_then(Value::as_u64).unwrap_or_default();
        let on_change = hook.get("on_change") == Some(&Value::Bool(true));
        if snooze == 0 && !on_change {
            return true;
        }
        let mut key = [0; 32];
        key.copy_from_slice(digest::digest(&digest::SHA256, format!("{id} {data}").as_bytes()).as_ref());
        let mut memory = self.memory();
        if on_change && memory.last.insert(id.to_owned(), key) == Some(key) {
            return false;
        }
        let now = Instant::now();
        if memory.snoozed.get(&key).is_some_and(|until| *until > now) {
            return false;
        }
        if snooze > 0 {
            if memory.snoozed.len() >= SNOOZED {
                memory.snoozed.retain(|_, until| *until > now);
            }
            if memory.snoozed.len() < SNOOZED {
                memory.snoozed.insert(key, now + Duration::from_secs(snooze));
            }
        }
        true
    }

    /// A hook was added or changed.
    pub fn expect(&self) {
        let mut memory = self.memory();
        memory.none.clear();
        memory.added += 1;
    }

    /// A hook is gone.
    pub fn forget(&self, hook: &str) {
        self.memory().last.remove(hook);
    }

    /// No code that can panic runs under the lock, so a poisoned one is whole.
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
