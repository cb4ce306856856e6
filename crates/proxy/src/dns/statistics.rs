//! What became of the questions about a name.

use super::{Failure, QueryType};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Counts of questions about one name. Look-ups that the cache answers are not counted: workers write nothing that they
/// share.
#[derive(Debug, Default)]
pub struct Statistics {
    answered: AtomicU64,
    not_found: AtomicU64,
    empty: AtomicU64,
    failed: AtomicU64,
    last_milliseconds: AtomicU64,
}

/// The same at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameStatistics {
    pub name: String,
    /// What answered last, if anything did.
    pub kind: Option<QueryType>,
    pub answered: u64,
    /// There is no such name.
    pub not_found: u64,
    /// The name has no record of the kinds that were asked for.
    pub empty: u64,
    /// No server answered, or with an error.
    pub failed: u64,
    /// How long the last question took.
    pub last: Duration,
}

impl Statistics {
    /// A question has been answered.
    pub fn note(&self, failure: Option<&Failure>, took: Duration) {
        let count = match failure {
            None => &self.answered,
            Some(Failure::NotFound) => &self.not_found,
            Some(Failure::Empty) => &self.empty,
            Some(Failure::Server(..) | Failure::Network(_) | Failure::Invalid) => &self.failed,
        };
        count.fetch_add(1, Relaxed);
        self.last_milliseconds.store(u64::try_from(took.as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    /// What there is to tell; `None` while nothing has been asked.
    pub fn of(&self, name: &str, kind: Option<QueryType>) -> Option<NameStatistics> {
        let told = NameStatistics {
            name: name.to_owned(),
            kind,
            answered: self.answered.load(Relaxed),
            not_found: self.not_found.load(Relaxed),
            empty: self.empty.load(Relaxed),
            failed: self.failed.load(Relaxed),
            last: Duration::from_millis(self.last_milliseconds.load(Relaxed)),
        };
        (told.questions() > 0).then_some(told)
    }
}

impl NameStatistics {
    /// All questions.
    pub fn questions(&self) -> u64 {
        self.answered + self.not_found + self.empty + self.failed
    }
}
