//! What the node logs, for plugins that send it on.

use crate::{Attribute, SpanId, TraceId};
use arc_swap::ArcSwap;
use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Weak};

/// Where messages of operators' code say that they come from, as `tracing` has it: all of them are written, however
/// many there are.
pub const LOG_OF_CODE: &str = "code";
/// The same of messages that are worse than errors, by their levels: `code::crit` and so on.
pub const SEVERE_LOGS_OF_CODE: [(&str, &str); 3] =
    [("crit", "code::crit"), ("alert", "code::alert"), ("emerg", "code::emerg")];

/// The node's log. Clones are the same.
#[derive(Clone, Default)]
pub struct NodeLog(Arc<ArcSwap<Vec<Weak<dyn LogListener>>>>);

/// Who is told of each message. Called where it is logged, by workers too: must not wait, and had better log nothing.
pub trait LogListener: Send + Sync {
    fn message(&self, message: &LogMessage<'_>);
}

/// A message.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogMessage<'a> {
    /// `debug`, `info`, `notice`, `warn` or `error`; empty for what has none.
    pub level: &'static str,
    /// In nanoseconds since 1970.
    pub time: u64,
    pub text: &'a str,
    /// The request that it is about, where it says so.
    pub request_id: Option<&'a str>,
    /// The place in the code.
    pub file: Option<&'a str>,
    pub line: Option<u32>,
    /// What else is said of it.
    pub attributes: &'a [(Cow<'static, str>, Attribute)],
    /// The trace and the span that it belongs to, and whether these are kept.
    pub trace: Option<(TraceId, Option<SpanId>, bool)>,
}

impl NodeLog {
    /// Tells a listener from now on, until it is dropped.
    pub fn listen(&self, listener: &Arc<dyn LogListener>) {
        let listener = Arc::downgrade(listener);
        self.0.rcu(|known| {
            let alive = known.iter().filter(|known| known.strong_count() > 0).cloned();
            alive.chain([Weak::clone(&listener)]).collect::<Vec<_>>()
        });
    }

    /// Whether anybody listens.
    pub fn is_heard(&self) -> bool {
        self.0.load().iter().any(|listener| listener.strong_count() > 0)
    }

    /// Tells all listeners.
    pub fn tell(&self, message: &LogMessage<'_>) {
        self.0.load().iter().filter_map(Weak::upgrade).for_each(|listener| listener.message(message));
    }
}

impl fmt::Debug for NodeLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeLog").field("listeners", &self.0.load().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Kept(Mutex<Vec<String>>);

    impl LogListener for Kept {
        fn message(&self, message: &LogMessage<'_>) {
            self.0.lock().unwrap().push(message.text.to_owned());
        }
    }

    #[test]
    fn listeners_hear_as_long_as_they_are() {
        let log = NodeLog::default();
        let say = |text| log.tell(&LogMessage { level: "error", text, ..LogMessage::default() });
        say("nobody");
        let kept = Arc::new(Kept::default());
        let listener: Arc<dyn LogListener> = Arc::clone(&kept) as _;
        log.listen(&listener);
        say("one");
        drop(listener);
        say("two");
        assert_eq!(*kept.0.lock().unwrap(), ["one", "two"]);
        drop(kept);
        say("nobody");
        log.listen(&(Arc::new(Kept::default()) as Arc<dyn LogListener>));
        assert_eq!(log.0.load().len(), 1, "who is gone is forgotten");
    }
}
