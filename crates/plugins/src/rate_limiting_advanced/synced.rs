//! Counts that are kept on this node and told to the others every now and then (`sync_rate`): no request waits, and
//! nodes know of each other's with some delay.

use super::ledger::{Account, Ledger};
use crate::limits::{Counters, Key, Span};
use sdk::Env;
use sdk::redis::RedisSettings;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The counts that this node shares.
pub struct SyncedRates {
    ledger: Ledger,
    counters: Arc<Counters>,
    tallies: papaya::HashMap<Account, Arc<Tally>, foldhash::quality::RandomState>,
    /// What they take in memory.
    octets: AtomicUsize,
}

/// What of the counter under `key` the others know.
struct Tally {
    key: Key,
    span: Span,
    /// What they have not been told yet.
    untold: AtomicI64,
    /// What there was in all when they were told last.
    total: AtomicI64,
}

/// Where counts are shared: a Redis, or the database.
type Place = Option<RedisSettings>;

/// The counts of a node, by where and how often they are told. They outlive changes of the configuration.
#[derive(Default)]
struct Registry(Mutex<Vec<(Place, Duration, Weak<SyncedRates>)>>);

impl SyncedRates {
    /// What tallies may take in memory, in octets; what is counted beyond that is not told.
    const MEMORY: usize = 64 << 20;
    /// Accounts that are told at once.
    const BATCH: usize = 500;

    /// The counts that are told there so often.
    pub fn of(env: &Env, place: Place, period: Duration, ledger: Ledger) -> Arc<SyncedRates> {
        let registry: Arc<Registry> = env.shared();
        let mut known = registry.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(_, _, synced)| synced.strong_count() > 0);
        let same = known.iter().find(|(of, every, _)| *of == place && *every == period);
        if let Some(synced) = same.and_then(|(_, _, synced)| synced.upgrade()) {
            return synced;
        }
        let synced = Arc::new(SyncedRates {
            ledger,
            counters: env.shared(),
            tallies: papaya::HashMap::default(),
            octets: AtomicUsize::new(0),
        });
        known.push((place, period, Arc::downgrade(&synced)));
        let (told, stopping) = (Arc::downgrade(&synced), env.tasks().stopping());
        env.tasks().spawn("rates of several nodes", async move {
            loop {
                let ended = stopping.run_until_cancelled(tokio::time::sleep(period)).await.is_none();
                let Some(synced) = told.upgrade() else { break };
                synced.exchange(now()).await;
                if ended {
                    break;
                }
            }
        });
        synced
    }

    /// Notes a request that was counted under `key`.
    pub fn note(&self, account: Account, key: &Key, span: Span) {
        let tallies = self.tallies.pin();
        if let Some(tally) = tallies.get(&account) {
            tally.untold.fetch_add(1, SeqCst);
            return;
        }
        if self.octets.load(SeqCst) >= SyncedRates::MEMORY {
            return;
        }
        let octets = size(&account);
        let tally = Tally { key: key.clone(), span, untold: AtomicI64::new(1), total: AtomicI64::new(0) };
        match tallies.try_insert(account, Arc::new(tally)) {
            Ok(_) => drop(self.octets.fetch_add(octets, SeqCst)),
            // Another worker was faster.
            Err(there) => drop(there.current.untold.fetch_add(1, SeqCst)),
        }
    }

    /// Tells the others what was counted here, and counts what they tell. What cannot be told is kept for the next
    /// time, as long as it matters.
    pub async fn exchange(&self, now: u64) {
        let mut due = Vec::new();
        {
            let tallies = self.tallies.pin();
            for (account, tally) in &tallies {
                let untold = tally.untold.load(SeqCst);
                let over = u64::from(tally.span.before_until) <= now && untold == 0;
                if over || u64::from(tally.span.until) <= now {
                    tallies.remove(account);
                    self.octets.fetch_sub(size(account), SeqCst);
                } else {
                    due.push((account.clone(), untold, Arc::clone(tally)));
                }
            }
        }
        for batch in due.chunks(SyncedRates::BATCH) {
            let postings: Vec<_> = batch.iter().map(|(account, untold, _)| (account.clone(), *untold)).collect();
            let totals = match self.ledger.post(&postings).await {
                Ok(totals) => totals,
                Err(error) => {
                    tracing::error!("rate-limiting-advanced: other nodes are not told of counts: {error}");
                    return;
                }
            };
            for ((_, told, tally), total) in batch.iter().zip(totals) {
                tally.untold.fetch_sub(*told, SeqCst);
                let others = total - tally.total.swap(total, SeqCst) - told;
                if let Ok(others @ 1..) = u32::try_from(others) {
                    self.counters.slide(&tally.key, others, tally.span, now, None);
                }
            }
        }
    }
}

fn size(account: &Account) -> usize {
    let texts = account.namespace.len() + account.size.len() + account.caller.len();
    texts + size_of::<Account>() + size_of::<Tally>() + 96
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
