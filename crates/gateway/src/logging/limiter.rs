//! What clients can cause at will does not fill the log: of each kind of message only so many are written in a while,
//! and then how many there were more. A kind is a place in the code.

use super::is_of_code;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tracing::callsite::Identifier;
use tracing::{Level, Metadata};

/// So many messages of a kind are written in each period.
pub const BURST: u64 = 100;
/// How long a period is.
pub const PERIOD: Duration = Duration::from_secs(10);

/// Counts messages by kind.
pub struct Limiter {
    started: Instant,
    kinds: RwLock<HashMap<Identifier, Arc<Kind>>>,
}

/// Whether a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Write,
    /// It is the first one left out, and stands for those that follow.
    Sample,
    LeaveOut,
}

/// Messages of a kind that were left out.
#[derive(Debug)]
pub struct LeftOut {
    pub metadata: &'static Metadata<'static>,
    pub count: u64,
    /// The first of them.
    pub sample: String,
}

struct Kind {
    metadata: &'static Metadata<'static>,
    /// The number of the period that `count` is of.
    period: AtomicU64,
    count: AtomicU64,
    left_out: AtomicU64,
    sample: Mutex<String>,
}

impl Limiter {
    pub fn new() -> Limiter {
        Limiter { started: Instant::now(), kinds: RwLock::default() }
    }

    /// Counts a message. Debugging messages and those of operators' code are not limited: they are written because
    /// somebody wants all of them.
    pub fn admit(&self, metadata: &'static Metadata<'static>) -> Verdict {
        self.admit_at(metadata, self.started.elapsed())
    }

    fn admit_at(&self, metadata: &'static Metadata<'static>, time: Duration) -> Verdict {
        if *metadata.level() > Level::INFO || is_of_code(metadata.target()) {
            return Verdict::Write;
        }
        let kind = self.kind(metadata);
        let period = time.as_secs() / PERIOD.as_secs();
        if kind.period.swap(period, Ordering::Relaxed) != period {
            kind.count.store(0, Ordering::Relaxed);
        }
        if kind.count.fetch_add(1, Ordering::Relaxed) < BURST {
            return Verdict::Write;
        }
        match kind.left_out.fetch_add(1, Ordering::Relaxed) {
            0 => Verdict::Sample,
            _ => Verdict::LeaveOut,
        }
    }

    /// Keeps the text of a [`Verdict::Sample`].
    pub fn keep_sample(&self, metadata: &'static Metadata<'static>, text: String) {
        *self.kind(metadata).sample.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }

    /// What was left out since the last call.
    pub fn take_left_out(&self) -> Vec<LeftOut> {
        let kinds = self.kinds.read().unwrap_or_else(PoisonError::into_inner);
        let left_out = |kind: &Arc<Kind>| match kind.left_out.swap(0, Ordering::Relaxed) {
            0 => None,
            count => {
                let sample = std::mem::take(&mut *kind.sample.lock().unwrap_or_else(PoisonError::into_inner));
                Some(LeftOut { metadata: kind.metadata, count, sample })
            }
        };
        kinds.values().filter_map(left_out).collect()
    }

    fn kind(&self, metadata: &'static Metadata<'static>) -> Arc<Kind> {
        let id = metadata.callsite();
        if let Some(kind) = self.kinds.read().unwrap_or_else(PoisonError::into_inner).get(&id) {
            return Arc::clone(kind);
        }
        let new = || {
            Arc::new(Kind {
                metadata,
                period: AtomicU64::new(0),
                count: AtomicU64::new(0),
                left_out: AtomicU64::new(0),
                sample: Mutex::default(),
            })
        };
        Arc::clone(self.kinds.write().unwrap_or_else(PoisonError::into_inner).entry(id).or_insert_with(new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(level: Level) -> &'static Metadata<'static> {
        use tracing::callsite::DefaultCallsite;
        // Like `tracing::info!`, without a message.
        macro_rules! at {
            ($level:expr) => {{
                static CALLSITE: DefaultCallsite = DefaultCallsite::new(&META);
                static META: Metadata<'static> = tracing::metadata! {
                    name: "", target: "proxy", level: $level, fields: &[], callsite: &CALLSITE,
                    kind: tracing::metadata::Kind::EVENT
                };
                &META
            }};
        }
        match level {
            Level::WARN => at!(Level::WARN),
            Level::INFO => at!(Level::INFO),
            _ => at!(Level::DEBUG),
        }
    }

    #[test]
    fn each_kind_has_its_share_of_a_period() {
        let limiter = Limiter::new();
        let (warning, notice) = (metadata(Level::WARN), metadata(Level::INFO));
        let written = |metadata, time| {
            (0..3 * BURST).filter(|_| limiter.admit_at(metadata, time) == Verdict::Write).count() as u64
        };
        assert_eq!(written(warning, Duration::ZERO), BURST);
        assert_eq!(written(warning, PERIOD / 2), 0);
        assert_eq!(written(notice, PERIOD / 2), BURST);
        assert_eq!(written(warning, PERIOD), BURST);
    }

    #[test]
    fn what_is_left_out_is_counted_with_a_sample() {
        let limiter = Limiter::new();
        let warning = metadata(Level::WARN);
        let mut samples = 0;
        for number in 0..BURST + 7 {
            if limiter.admit_at(warning, Duration::ZERO) == Verdict::Sample {
                limiter.keep_sample(warning, format!("message {number}"));
                samples += 1;
            }
        }
        assert_eq!(samples, 1);
        let left_out = limiter.take_left_out();
        assert_eq!(left_out.len(), 1);
        assert_eq!(left_out[0].count, 7);
        assert_eq!(left_out[0].sample, "message 100");
        assert!(limiter.take_left_out().is_empty());
    }

    #[test]
    fn debugging_is_not_limited() {
        let limiter = Limiter::new();
        let all = (0..3 * BURST).all(|_| limiter.admit_at(metadata(Level::DEBUG), Duration::ZERO) == Verdict::Write);
        assert!(all);
    }
}
