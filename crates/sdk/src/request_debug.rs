//! The timing of an exchange whose client has asked for it (`X-Kong-Request-Debug`).

use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

/// What is timed of one exchange, in Kong's tree of phases and plugins.
#[derive(Debug, Default)]
pub struct RequestDebug {
    /// It goes into the log, too.
    pub logged: bool,
    /// The client is on this machine.
    pub from_loopback: bool,
    /// The phase that goes on, and since when.
    phase: Option<(&'static str, Instant)>,
    root: Span,
}

#[derive(Debug, Default)]
struct Span {
    total: Option<Duration>,
    /// Of a look-up: whether its answer was known already.
    known: Option<bool>,
    children: Vec<(String, Span)>,
}

impl RequestDebug {
    /// Nothing was timed yet.
    pub fn new(logged: bool, from_loopback: bool) -> RequestDebug {
        RequestDebug { logged, from_loopback, ..RequestDebug::default() }
    }

    /// A phase begins, and the one before ends.
    pub fn enter(&mut self, phase: &'static str) {
        self.leave();
        self.phase = Some((phase, Instant::now()));
    }

    /// The phase that goes on ends. Those that come several times add up.
    pub fn leave(&mut self) {
        if let Some((phase, started)) = self.phase.take() {
            self.add(&[phase], started.elapsed());
        }
    }

    /// Something in the phase that goes on has taken that long.
    pub fn within(&mut self, path: &[&str], took: Duration) {
        if let Some((phase, _)) = self.phase {
            self.add(&[&[phase], path].concat(), took);
        }
    }

    /// The addresses of a host were looked up. Kong does so in the access phase.
    pub fn resolved(&mut self, host: &str, took: Duration, known: bool) {
        let path = ["access", "dns", host, "resolve"];
        self.add(&path, took);
        path.iter().fold(&mut self.root, |span, name| span.child(name)).known = Some(known);
    }

    /// Content has passed whether or not a plugin wanted to see it.
    pub fn filtered(&mut self) {
        self.add(&["body_filter"], Duration::ZERO);
    }

    /// What the service has taken for the head of its response, and for what came behind that.
    pub fn waited(&mut self, head: Duration, streaming: Option<Duration>) {
        let upstream = self.root.child("upstream");
        upstream.total = Some(head + streaming.unwrap_or_default());
        upstream.child("time_to_first_byte").total = Some(head);
        if let Some(streaming) = streaming {
            upstream.child("streaming").total = Some(streaming);
        }
    }

    /// The tree as JSON, with what names the exchange.
    pub fn to_json(&self, request_id: &str, workspace: &str) -> Value {
        let mut tree = self.root.to_json();
        let own = self.root.children.iter().filter(|(name, _)| name != "upstream");
        tree["total_time_without_upstream"] = millis(own.filter_map(|(_, span)| span.total).sum());
        tree["request_id"] = json!(request_id);
        tree["workspace_id"] = json!(workspace);
        tree
    }

    fn add(&mut self, path: &[&str], took: Duration) {
        let span = path.iter().fold(&mut self.root, |span, name| span.child(name));
        span.total = Some(span.total.unwrap_or_default() + took);
    }
}

impl Span {
    fn child(&mut self, name: &str) -> &mut Span {
        let at = self.children.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            self.children.push((name.to_owned(), Span::default()));
            self.children.len() - 1
        });
        &mut self.children[at].1
    }

    fn to_json(&self) -> Value {
        let mut out = Map::new();
        if !self.children.is_empty() {
            let children = self.children.iter().map(|(name, span)| (name.clone(), span.to_json()));
            out.insert("child".to_owned(), Value::Object(children.collect()));
        }
        if let Some(total) = self.total {
            out.insert("total_time".to_owned(), millis(total));
        }
        if let Some(known) = self.known {
            out.insert("cache_hit".to_owned(), Value::Bool(known));
        }
        Value::Object(out)
    }
}

/// Milliseconds, as Kong has them: down to hundredths.
fn millis(time: Duration) -> Value {
    let hundredths = time.as_micros() / 10;
    if hundredths.is_multiple_of(100) { json!(hundredths as u64 / 100) } else { json!(hundredths as f64 / 100.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_add_up_in_their_places() {
        let mut debug = RequestDebug::default();
        let time = Duration::from_micros;
        debug.add(&["access", "plugins", "cors", "1"], time(2_009));
        debug.add(&["balancer"], time(1_000));
        debug.add(&["balancer"], time(3_128));
        debug.add(&["access"], time(5_001));
        debug.waited(time(20_000), Some(time(10_000)));
        assert_eq!(
            debug.to_json("r", "w"),
            json!({
                "child": {
                    "access": {
                        "child": { "plugins": { "child": { "cors": { "child": { "1": { "total_time": 2 } } } } } },
                        "total_time": 5
                    },
                    "balancer": { "total_time": 4.12 },
                    "upstream": {
                        "child": { "time_to_first_byte": { "total_time": 20 }, "streaming": { "total_time": 10 } },
                        "total_time": 30
                    }
                },
                "total_time_without_upstream": 9.12,
                "request_id": "r",
                "workspace_id": "w"
            })
        );
    }

    #[test]
    fn look_ups_stand_under_their_hosts() {
        let mut debug = RequestDebug::default();
        debug.resolved("a.test", Duration::from_millis(2), false);
        debug.filtered();
        let tree = debug.to_json("", "");
        let resolve = &tree["child"]["access"]["child"]["dns"]["child"]["a.test"]["child"]["resolve"];
        assert_eq!(*resolve, json!({ "total_time": 2, "cache_hit": false }));
        assert_eq!(tree["child"]["body_filter"]["total_time"], 0);
    }

    #[test]
    fn one_phase_follows_the_other() {
        let mut debug = RequestDebug::default();
        debug.within(&["nothing"], Duration::ZERO);
        debug.enter("access");
        debug.within(&["router"], Duration::ZERO);
        debug.enter("header_filter");
        debug.leave();
        debug.leave();
        let tree = debug.to_json("", "");
        assert_eq!(tree["child"]["access"]["child"]["router"]["total_time"], 0);
        assert!(tree["child"]["header_filter"]["total_time"].is_number());
        assert_eq!(tree["child"].as_object().map(Map::len), Some(2));
    }
}
