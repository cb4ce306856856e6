//! Names to addresses: Kong's resolver settings, a cache with stale answers, refresh off the workers.
//!
//! Workers only read what is published in an [`CachedName`]; questions are asked by tasks on the control runtime, one
//! at a time for each name, and whoever needs a name that is not known yet waits for the entry to change.

mod answer;
mod entry;
mod files;
mod lookup;
mod query;
mod settings;
mod statistics;

pub use answer::{Answer, Failure, Record, Service};
pub use entry::{CacheState, CachedName, EntryReader};
pub use settings::{QueryType, Settings};
pub use statistics::NameStatistics;

use files::ResolvConf;
use lookup::{Found, Lookup};
use sdk::{BoxFuture, Resolve};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

/// The resolver of a node, with its cache.
pub struct Resolver {
    lookup: Lookup,
    settings: Settings,
    control: Handle,
    entries: papaya::HashMap<Arc<str>, Arc<CachedName>, foldhash::fast::RandomState>,
    /// With so many entries it is time to forget some.
    limit: AtomicUsize,
    sweeping: AtomicBool,
    this: Weak<Resolver>,
}

/// No name that DNS has is longer (RFC 1035, section 2.3.4); longer ones are not remembered.
const MAX_NAME: usize = 255;

/// Times in the settings are not longer than that, so that no sum of times overflows.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

impl Resolver {
    /// Reads the hosts file and `resolv.conf` once; questions are asked on `control`.
    pub fn new(mut settings: Settings, control: Handle) -> Arc<Resolver> {
        settings.valid_ttl = settings.valid_ttl.map(|ttl| ttl.min(LONGEST));
        for ttl in [&mut settings.stale_ttl, &mut settings.not_found_ttl, &mut settings.error_ttl] {
            *ttl = (*ttl).min(LONGEST);
        }
        settings.cache_size = settings.cache_size.clamp(1, 10_000_000);
        let lookup = Lookup::new(&settings, ResolvConf::load(&settings), files::load_hosts(&settings));
        Arc::new_cyclic(|this| Resolver {
            lookup,
            limit: AtomicUsize::new(settings.cache_size),
            settings,
            control,
            entries: papaya::HashMap::with_hasher(foldhash::fast::RandomState::default()),
            sweeping: AtomicBool::new(false),
            this: this.clone(),
        })
    }

    /// What is known of a name or address (an IPv6 address may stand in brackets). Asks nothing yet.
    pub fn entry(&self, name: &str) -> Arc<CachedName> {
        let entries = self.entries.pin();
        if let Some(entry) = entries.get(name) {
            return Arc::clone(entry);
        }
        let entry = Arc::new(CachedName::new(name, self.without_asking(name)));
        if name.len() > MAX_NAME {
            return entry;
        }
        let limit = self.limit.load(Ordering::Relaxed);
        if entries.len() >= limit {
            self.sweep();
            // The sweep runs elsewhere; until it is through, new names are simply not remembered.
            if entries.len() >= limit + self.settings.cache_size {
                return entry;
            }
        }
        Arc::clone(entries.get_or_insert(Arc::clone(entry.name()), entry))
    }

    /// What can be used of an entry now. When that is not fresh, a question is under way afterwards.
    pub fn read(&self, entry: &Arc<CachedName>) -> CacheState {
        let known = entry.known(&self.settings);
        if known.wants_refresh() {
            self.refresh(entry);
        }
        known
    }

    /// As [`Resolver::read`], for a worker's request: what `take` makes of the answer.
    pub fn use_answer<T>(
        &self,
        entry: &Arc<CachedName>,
        reader: &EntryReader,
        take: impl FnOnce(&Answer) -> T,
    ) -> CacheState<T> {
        let known = entry.take(reader, &self.settings, take);
        if known.wants_refresh() {
            self.refresh(entry);
        }
        known
    }

    /// Asks for the name now, or waits for the question that is under way. The answer may be a stale one when no server
    /// answers.
    pub async fn fresh(&self, entry: &Arc<CachedName>) -> Result<Arc<Answer>, Failure> {
        let changed = entry.changed();
        tokio::pin!(changed);
        changed.as_mut().enable();
        self.refresh(entry);
        changed.await;
        entry.outcome(&self.settings)
    }

    /// What became of the questions about each name that is still known, by name.
    pub fn statistics(&self) -> Vec<NameStatistics> {
        let mut all: Vec<_> = self.entries.pin().values().filter_map(|entry| entry.statistics()).collect();
        all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Starts a question, unless one is under way (or always, with `dns_no_sync`).
    pub fn refresh(&self, entry: &Arc<CachedName>) {
        if !entry.start_refresh() && !self.settings.no_sync {
            return;
        }
        let Some(this) = self.this.upgrade() else { return };
        // Whatever becomes of the task, those who wait go on: the guard is dropped with it, even if it never runs.
        let done = entry.refresh_guard();
        let entry = Arc::clone(entry);
        self.control.spawn(async move {
            let _done = done;
            let asked = Instant::now();
            let found = match timeout(this.lookup.patience(), this.lookup.find(entry.name(), entry.last_kind())).await {
                Ok(found) => found,
                Err(_) => Err(Failure::Network("the name servers did not answer in time".to_owned())),
            };
            entry.settle(found.map(|found| this.answer(found)), asked.elapsed(), &this.settings);
        });
    }

    /// Addresses and names in the hosts file need no question.
    fn without_asking(&self, name: &str) -> Option<Answer> {
        let bare = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Some(Answer::fixed(ip));
        }
        self.lookup.in_hosts(name).map(|found| self.answer(found))
    }

    fn answer(&self, found: Found) -> Answer {
        // A time to live of 0 would mean a question for each request: once in a second must do.
        let ttl = found.ttl.map(|ttl| self.settings.valid_ttl.unwrap_or(ttl).max(Duration::from_secs(1)));
        Answer::new(found.kind, found.records, ttl.map(|ttl| Instant::now() + ttl))
    }

    /// Forgets names that nothing in the configuration uses, those first that were asked for longest ago. Names in use
    /// stay and do not count.
    fn sweep(&self) {
        if self.sweeping.swap(true, Ordering::Relaxed) {
            return;
        }
        let Some(this) = self.this.upgrade() else { return };
        self.control.spawn(async move {
            let entries = this.entries.pin();
            let size = this.settings.cache_size;
            let mut unused: Vec<(Instant, Arc<str>)> = entries
                .iter()
                .filter(|(_, entry)| Arc::strong_count(entry) == 1)
                .map(|(name, entry)| (entry.asked(), Arc::clone(name)))
                .collect();
            let used = entries.len().saturating_sub(unused.len());
            unused.sort_unstable();
            for (_, name) in unused.iter().take(unused.len().saturating_sub(size * 3 / 4)) {
                entries.remove(name);
            }
            drop(entries);
            this.limit.store(used + size, Ordering::Relaxed);
            this.sweeping.store(false, Ordering::Relaxed);
        });
    }
}

/// For what plugins connect to.
impl Resolve for Resolver {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, Result<Vec<SocketAddr>, String>> {
        Box::pin(async move {
            let entry = self.entry(host);
            let answer = match self.read(&entry) {
                CacheState::Fresh(answer) | CacheState::Stale(answer) => Ok(answer),
                CacheState::Failed => entry.outcome(&self.settings),
                CacheState::Unknown => self.fresh(&entry).await,
            };
            let answer = answer.map_err(|failure| format!("{host} does not resolve: {failure}"))?;
            let mut addresses = Vec::new();
            while let Some(address) = entry.next(&answer, port, &addresses).filter(|next| !addresses.contains(next)) {
                addresses.push(address);
            }
            Ok(addresses)
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
