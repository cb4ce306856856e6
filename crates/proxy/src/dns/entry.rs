//! One name in the cache: what is published of it, and the question under way.

use super::statistics::{NameStatistics, Statistics};
use super::{Answer, Failure, QueryType, Settings};
use crate::published::{Published, Reader};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

/// A name and what is known of it. Reading takes no lock.
pub struct CachedName {
    name: Arc<str>,
    state: Published<State>,
    turn: AtomicUsize,
    refreshing: AtomicBool,
    changed: Notify,
    statistics: Statistics,
}

/// One worker's hold on what is known of a name.
pub struct EntryReader(Reader<State>);

/// What can be used of an entry at this moment.
pub enum CacheState<A = Arc<Answer>> {
    /// Good addresses.
    Fresh(A),
    /// Addresses past their time, to be used while newer ones are asked for.
    Stale(A),
    /// There are none, and it is too early to ask again.
    Failed,
    /// A question has to be answered first.
    Unknown,
}

/// Immutable; replaced as a whole.
struct State {
    answer: Option<Arc<Answer>>,
    /// Why the last question brought nothing, and when the next may be asked.
    failure: Option<(Failure, Instant)>,
    asked: Instant,
}

impl CachedName {
    /// An entry with what is known without asking.
    pub fn new(name: &str, answer: Option<Answer>) -> CachedName {
        CachedName {
            name: name.into(),
            state: Published::new(Arc::new(State {
                answer: answer.map(Arc::new),
                failure: None,
                asked: Instant::now(),
            })),
            turn: AtomicUsize::new(0),
            refreshing: AtomicBool::new(false),
            changed: Notify::new(),
            statistics: Statistics::default(),
        }
    }

    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What can be used now.
    pub fn known(&self, settings: &Settings) -> CacheState {
        self.state.load().usable(settings).map(Arc::clone)
    }

    /// A worker's hold on what is known.
    pub fn reader(&self) -> EntryReader {
        EntryReader(self.state.reader())
    }

    /// What `take` makes of the answer that can be used now. Writes nothing that workers share.
    pub(super) fn take<T>(
        &self,
        reader: &EntryReader,
        settings: &Settings,
        take: impl FnOnce(&Answer) -> T,
    ) -> CacheState<T> {
        self.state.read(&reader.0).usable(settings).map(|answer| take(answer))
    }

    /// The next address in turn, not one of `tried` unless there is no other.
    pub fn next(&self, answer: &Answer, port: u16, tried: &[SocketAddr]) -> Option<SocketAddr> {
        answer.at(self.turn.fetch_add(1, Ordering::Relaxed), port, tried)
    }

    /// Resolves when the next question has been answered.
    pub fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// The kind of record that answered last time.
    pub fn last_kind(&self) -> Option<QueryType> {
        self.state.load().answer.as_ref().map(|a| a.kind)
    }

    /// When the last question was answered.
    pub fn asked(&self) -> Instant {
        self.state.load().asked
    }

    /// The usable addresses, else the failure.
    pub(super) fn outcome(&self, settings: &Settings) -> Result<Arc<Answer>, Failure> {
        let state = self.state.load();
        match state.answer.as_ref().filter(|a| a.is_usable(Instant::now(), settings.stale_ttl)) {
            Some(answer) => Ok(Arc::clone(answer)),
            None => Err(state
                .failure
                .as_ref()
                .map_or(Failure::Network("the look-up was given up".to_owned()), |(f, _)| f.clone())),
        }
    }

    /// Whether the caller is to ask.
    pub(super) fn start_refresh(&self) -> bool {
        !self.refreshing.swap(true, Ordering::AcqRel)
    }

    /// Ends the question and wakes those who wait, when dropped.
    pub(super) fn refresh_guard(self: &Arc<CachedName>) -> impl Drop + use<> {
        struct Done(Arc<CachedName>);
        impl Drop for Done {
            fn drop(&mut self) {
                self.0.refreshing.store(false, Ordering::Release);
                self.0.changed.notify_waiters();
            }
        }
        Done(Arc::clone(self))
    }

    /// What became of the questions, if there were any.
    pub(super) fn statistics(&self) -> Option<NameStatistics> {
        self.statistics.of(&self.name, self.last_kind())
    }

    /// Takes the outcome of a question. Addresses outlive any failure but a plain "no such name".
    pub(super) fn settle(&self, outcome: Result<Answer, Failure>, took: Duration, settings: &Settings) {
        self.statistics.note(outcome.as_ref().err(), took);
        let now = Instant::now();
        let state = match outcome {
            Ok(answer) => State { answer: Some(Arc::new(answer)), failure: None, asked: now },
            Err(failure) => {
                let known = self.state.load();
                let answer = known
                    .answer
                    .clone()
                    .filter(|a| failure != Failure::NotFound && a.is_usable(now, settings.stale_ttl));
                let wait = match failure {
                    Failure::NotFound | Failure::Empty if answer.is_none() => settings.not_found_ttl,
                    _ => settings.error_ttl,
                };
                tracing::debug!(name = %self.name, %failure, stale = answer.is_some(), "name not resolved");
                State { answer, failure: Some((failure, now + wait.max(Duration::from_millis(100)))), asked: now }
            }
        };
        self.state.replace(Arc::new(state));
    }
}

impl State {
    fn usable(&self, settings: &Settings) -> CacheState<&Arc<Answer>> {
        let answer = self.answer.as_ref();
        // Addresses and names from the hosts file do not even need the time.
        if let Some(answer) = answer.filter(|a| a.expires.is_none()) {
            return CacheState::Fresh(answer);
        }
        let now = Instant::now();
        let too_early = self.failure.as_ref().is_some_and(|(_, until)| now < *until);
        match answer.filter(|a| a.is_usable(now, settings.stale_ttl)) {
            Some(answer) if too_early || !answer.is_expired(now) => CacheState::Fresh(answer),
            Some(answer) => CacheState::Stale(answer),
            None if too_early => CacheState::Failed,
            None => CacheState::Unknown,
        }
    }
}

impl<A> CacheState<A> {
    fn map<T>(self, map: impl FnOnce(A) -> T) -> CacheState<T> {
        match self {
            CacheState::Fresh(answer) => CacheState::Fresh(map(answer)),
            CacheState::Stale(answer) => CacheState::Stale(map(answer)),
            CacheState::Failed => CacheState::Failed,
            CacheState::Unknown => CacheState::Unknown,
        }
    }

    /// Whether a question should be asked.
    pub fn wants_refresh(&self) -> bool {
        matches!(self, CacheState::Stale(_) | CacheState::Unknown)
    }
}
