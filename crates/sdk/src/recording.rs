//! What is written down of an exchange whose course somebody wants to see. No other has a [`Recording`], and nothing of
//! a request can give it one.

use crate::{Answer, Exchange, Fields};
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// The course of one exchange. What there is of it is handed over when it is dropped.
#[derive(Debug)]
pub struct Recording {
    told: Map<String, Value>,
    plugins: Vec<Value>,
    tries: Vec<Value>,
    to: Option<oneshot::Sender<Value>>,
}

/// An exchange as it was before a plugin acted on it.
#[derive(Debug)]
pub struct Before {
    at: Instant,
    request: Fields,
    response: Fields,
    status: u16,
    values: [(&'static str, Value); 7],
}

impl Recording {
    /// A recording that goes there.
    pub fn new(to: oneshot::Sender<Value>) -> Recording {
        Recording { told: Map::new(), plugins: Vec::new(), tries: Vec::new(), to: Some(to) }
    }

    /// Says something of the exchange as a whole, in place of what was said before.
    pub fn tell(&mut self, what: &str, value: Value) {
        self.told.insert(what.to_owned(), value);
    }

    /// Adds a try at a service.
    pub fn add_try(&mut self, value: Value) {
        self.tries.push(value);
    }

    /// The try that is under way.
    pub fn last_try(&mut self) -> Option<&mut Value> {
        self.tries.last_mut()
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let mut told = std::mem::take(&mut self.told);
        told.insert("plugins".to_owned(), Value::Array(std::mem::take(&mut self.plugins)));
        told.insert("tries".to_owned(), Value::Array(std::mem::take(&mut self.tries)));
        if let Some(to) = self.to.take() {
            // Whoever wanted to see it may have gone.
            let _ = to.send(Value::Object(told));
        }
    }
}

impl Before {
    /// Of an exchange that is recorded.
    pub fn of(exchange: &Exchange) -> Option<Box<Before>> {
        exchange.recording.as_ref()?;
        Some(Box::new(Before {
            at: Instant::now(),
            request: exchange.request.fields.clone(),
            response: exchange.response.fields.clone(),
            status: exchange.response.status,
            values: values(exchange),
        }))
    }

    /// Writes down what the plugin has done in that phase.
    pub fn note(self, exchange: &mut Exchange, (name, id): (&str, String), phase: &str, answer: Option<&Answer>) {
        let took = self.at.elapsed();
        let mut changes = Map::new();
        for (what, before, after) in [
            ("request_headers", &self.request, &exchange.request.fields),
            ("response_headers", &self.response, &exchange.response.fields),
        ] {
            if let Some(change) = changed_lines(before, after) {
                changes.insert(what.to_owned(), change);
            }
        }
        let after = values(exchange);
        for ((what, before), (_, after)) in self.values.into_iter().zip(after) {
            if before != after {
                changes.insert(what.to_owned(), json!({ "from": before, "to": after }));
            }
        }
        if self.status != exchange.response.status {
            changes.insert("status".to_owned(), json!({ "from": self.status, "to": exchange.response.status }));
        }
        let mut step = json!({ "name": name, "id": id, "phase": phase, "time": millis(took), "changes": changes });
        if let Some(answer) = answer {
            step["answered"] = json!({ "status": answer.status, "headers": lines(&answer.fields) });
        }
        if let Some(recording) = exchange.recording.as_deref_mut() {
            recording.plugins.push(step);
        }
    }
}

/// Field lines as they stand, `[name, value]` each.
pub fn lines(fields: &Fields) -> Value {
    fields.iter().map(|(name, value)| json!([name, String::from_utf8_lossy(value)])).collect()
}

/// A time in milliseconds.
pub fn millis(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e3
}

/// What plugins may change beside lines.
fn values(exchange: &Exchange) -> [(&'static str, Value); 7] {
    let upstream = &exchange.upstream;
    let host_header = upstream.host_header.as_ref().map(|host| String::from_utf8_lossy(host).into_owned());
    let consumer = exchange.consumer.as_deref();
    [
        ("path", json!(upstream.path)),
        ("query", json!(upstream.query)),
        ("method", json!(upstream.method)),
        ("service_host", json!(upstream.host.as_deref())),
        ("service_port", json!(upstream.port)),
        ("host_header", json!(host_header)),
        ("consumer", json!(consumer.map(|consumer| consumer.username.clone().unwrap_or(consumer.id.to_string())))),
    ]
}

/// Lines that have come and those that have gone.
fn changed_lines(before: &Fields, after: &Fields) -> Option<Value> {
    let has = |fields: &Fields, (name, value): (&str, &[u8])| fields.get_all(name).any(|known| known == value);
    let only = |fields: &Fields, other: &Fields| {
        let lines = fields.iter().filter(|line| !has(other, *line));
        lines.map(|(name, value)| json!([name, String::from_utf8_lossy(value)])).collect::<Vec<_>>()
    };
    let (removed, added) = (only(before, after), only(after, before));
    (!removed.is_empty() || !added.is_empty()).then(|| json!({ "removed": removed, "added": added }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn what_a_plugin_has_done_is_written_down() {
        let (to, mut told) = oneshot::channel();
        let mut exchange = testing::exchange("GET", "/", &[("X-A", "1"), ("X-B", "2")]);
        assert!(Before::of(&exchange).is_none(), "nobody wants to see it");
        exchange.recording = Some(Box::new(Recording::new(to)));
        let before = Before::of(&exchange).unwrap();
        exchange.request.fields.set("X-A", b"3");
        exchange.upstream.path = "/other".to_owned();
        before.note(&mut exchange, ("p", "i".to_owned()), "access", Some(&Answer::new(403, "")));
        exchange.clear();
        let told = told.try_recv().unwrap();
        let step = &told["plugins"][0];
        assert_eq!(step["name"], "p");
        assert_eq!(step["phase"], "access");
        assert_eq!(step["answered"]["status"], 403);
        let changes = json!({
            "request_headers": { "removed": [["X-A", "1"]], "added": [["X-A", "3"]] },
            "path": { "from": "/", "to": "/other" },
        });
        assert_eq!(step["changes"], changes);
    }
}
