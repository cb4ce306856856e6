//! The node's messages on their way to the OTLP server.

use super::delivery::Delivery;
use super::encode;
use sdk::{Config, Env, LogListener, LogMessage, Queue, QueueSettings, entities};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Sends messages to one server, in one way.
pub struct Forward(Queue);

/// Those of a node: several instances with the same server send each message once.
#[derive(Default)]
struct Forwards(Mutex<HashMap<String, Weak<Forward>>>);

impl Forward {
    /// To that server, from now on, as long as somebody holds it.
    pub fn open(
        endpoint: &str,
        config: Config<'_>,
        plugin: &entities::Plugin,
        env: &Env,
    ) -> Result<Arc<Forward>, String> {
        let settings = QueueSettings::of(config);
        let delivery = Delivery::new(endpoint, config, env)?;
        let key = format!("logs {settings:?} {}", delivery.key());
        let forwards: Arc<Forwards> = env.shared();
        let mut known = forwards.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(forward) = known.get(&key).and_then(Weak::upgrade) {
            return Ok(forward);
        }
        let forward = Arc::new(Forward(Queue::open(env, plugin, &key, settings, || Arc::new(delivery))));
        env.log().listen(&(Arc::clone(&forward) as Arc<dyn LogListener>));
        known.retain(|_, forward| forward.strong_count() > 0);
        known.insert(key, Arc::downgrade(&forward));
        Ok(forward)
    }
}

impl LogListener for Forward {
    fn message(&self, message: &LogMessage<'_>) {
        self.0.put(encode::log_record(message));
    }
}
