//! The messages of event hooks on their way: each hook has a queue, so that a slow server keeps no other waiting.

use admin::{HookAnswer, HookMessage};
use sdk::{
    BoxFuture, Bytes, Deliver, Env, Fields, HttpClient, HttpOptions, HttpRequest, Queue, QueueSettings, Url, entities,
};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long the server of a hook may take for each step.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Octets that wait for one server.
const QUEUED: usize = 4 << 20;
/// With so many queues it is time to let go of them; what is in them is still delivered.
const QUEUES: usize = 1000;

/// Sends what event hooks have to say.
pub struct Hooks {
    env: Env,
    sender: Arc<Sender>,
    queues: Mutex<HashMap<String, Queue>>,
}

/// Clients for servers that must prove who they are, and for others.
struct Sender {
    verifying: HttpClient,
    trusting: HttpClient,
}

impl Hooks {
    pub fn new(env: &Env) -> Hooks {
        let client = |verify| HttpClient::new(env, HttpOptions { timeout: TIMEOUT, verify, ..HttpOptions::default() });
        let sender = Sender { verifying: client(true), trusting: client(false) };
        Hooks { env: env.clone(), sender: Arc::new(sender), queues: Mutex::default() }
    }

    /// Takes a message to be sent after those that its hook has sent before.
    pub fn put(&self, message: &HookMessage) {
        // No code that can panic runs under the lock, so a poisoned one is whole.
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if queues.len() >= QUEUES && !queues.contains_key(&message.hook) {
            queues.clear();
        }
        let Some(queue) = queues.get(&message.hook).cloned().or_else(|| self.open(&message.hook)) else { return };
        queue.put(entry(message).to_string().into_bytes());
        queues.insert(message.hook.clone(), queue);
    }

    /// Sends a message at once.
    pub async fn send(&self, message: HookMessage) -> Result<HookAnswer, String> {
        self.sender.send(&entry(&message)).await
    }

    fn open(&self, hook: &str) -> Option<Queue> {
        let named = json!({ "id": hook, "name": "event-hooks", "protocols": [] });
        let owner = entities::Plugin::from_record(named.as_object()?).ok()?;
        let settings = QueueSettings { max_bytes: Some(QUEUED), ..QueueSettings::default() };
        let sender = Arc::clone(&self.sender);
        Some(Queue::open(&self.env, &owner, hook, settings, || sender))
    }
}

impl Sender {
    async fn send(&self, entry: &Value) -> Result<HookAnswer, String> {
        let text = |field: &str| entry[field].as_str().unwrap_or_default();
        let mut fields = Fields::new();
        for line in entry["headers"].as_array().into_iter().flatten() {
            let part = |at: usize| line[at].as_str().unwrap_or_default();
            fields.append(part(0), part(1).as_bytes());
        }
        let url = Url::parse(text("url"))?;
        let content = Bytes::from(text("content").to_owned());
        let request = HttpRequest { method: text("method").to_owned(), url, fields, content };
        let client = if entry["verify"] == json!(false) { &self.trusting } else { &self.verifying };
        let response = client.send(request).await.map_err(|error| error.to_string())?;
        let lossy = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        Ok(HookAnswer {
            status: response.status,
            headers: response.fields.iter().map(|(name, value)| (name.to_owned(), lossy(value))).collect(),
            content: lossy(&response.content),
        })
    }
}

impl Deliver for Sender {
    fn deliver<'a>(&'a self, batch: &'a [Bytes]) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            for one in batch {
                let entry: Value = serde_json::from_slice(one).map_err(|error| error.to_string())?;
                match self.send(&entry).await?.status {
                    ..300 => {}
                    // The server may be able to take it later.
                    status @ (408 | 429 | 500..) => return Err(format!("the server answers with status {status}")),
                    status => tracing::warn!("an event was refused by the server of its hook: status {status}"),
                }
            }
            Ok(())
        })
    }
}

/// A message as it waits.
fn entry(message: &HookMessage) -> Value {
    json!({
        "method": message.method,
        "url": message.url,
        "headers": message.headers,
        "content": message.content,
        "verify": message.verify,
    })
}
