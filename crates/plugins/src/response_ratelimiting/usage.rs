//! What callers have used, exact under concurrency: entries are values that are replaced as a whole, so that an entry
//! is dropped only as it was seen.

use super::window::Window;
use papaya::{Compute, Operation};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

/// A caller and one of the limits, as a digest: the same room however long their names are.
pub type Key = [u8; 32];

/// All that is counted on a node. It outlives changes of the configuration.
#[derive(Default)]
pub struct Usage {
    entries: papaya::HashMap<Key, Counts, foldhash::quality::RandomState>,
    /// The number of entries at which the next sweep starts; 0 stands for [`Usage::FIRST_SWEEP`].
    sweep_at: AtomicUsize,
    sweeping: AtomicBool,
}

/// The count in each kind of window.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts([Count; 6]);

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// Which window it is.
    index: u32,
    used: u32,
}

impl Usage {
    const FIRST_SWEEP: usize = 512;
    /// What all entries take in memory, in octets.
    const MEMORY: usize = 64 << 20;
    /// Entries at a time: each with what the table needs for it.
    const MOST: usize = Self::MEMORY / (size_of::<Key>() + size_of::<Counts>() + 64);

    /// What was counted so far.
    pub fn of(&self, key: &Key) -> Counts {
        self.entries.pin().get(key).copied().unwrap_or_default()
    }

    /// Adds to all windows, unless one of those in `limits` (window, most in it) is full already: what was counted
    /// before, or what there is when nothing was added. `now`: seconds since 1970.
    pub fn add(self: &Arc<Self>, key: Key, amount: u32, limits: &[(Window, u32)], now: u64) -> Result<Counts, Counts> {
        let entries = self.entries.pin();
        let known = entries.len();
        self.sweep_when_due(known, now);
        // Until a sweep is through, new callers are not remembered: their first use is free in any case.
        if known >= Self::MOST + Self::MOST / 4 && entries.get(&key).is_none() {
            return Ok(Counts::default());
        }
        let add = |entry: Option<(&Key, &Counts)>| {
            let counts = entry.map(|(_, counts)| *counts).unwrap_or_default();
            let full = limits.iter().any(|(window, limit)| counts.used(*window, now) >= *limit);
            if full { Operation::Abort(counts) } else { Operation::Insert(counts.with(amount, now)) }
        };
        match entries.compute(key, add) {
            Compute::Updated { old: (_, before), .. } => Ok(*before),
            Compute::Aborted(counts) => Err(counts),
            _ => Ok(Counts::default()),
        }
    }

    /// Drops the entries whose windows were all over at that time, and if there are too many even so, every second of
    /// those that have used no more than most.
    fn sweep(&self, now: u64) {
        let entries = self.entries.pin();
        entries.retain(|_, counts| counts.most(now) > 0);
        if entries.len() >= Self::MOST {
            let average =
                entries.values().map(|counts| u64::from(counts.most(now))).sum::<u64>() / entries.len() as u64;
            let mut turn = false;
            entries.retain(|_, counts| {
                turn = !turn;
                turn || u64::from(counts.most(now)) > average
            });
            tracing::warn!("response-ratelimiting: too many callers at a time, some who used little are forgotten");
        }
        self.sweep_at.store((entries.len() * 2).clamp(Self::FIRST_SWEEP, Self::MOST), Relaxed);
    }

    fn sweep_when_due(self: &Arc<Self>, known: usize, now: u64) {
        if known < Self::FIRST_SWEEP.max(self.sweep_at.load(Relaxed)) || self.sweeping.swap(true, Relaxed) {
            return;
        }
        let usage = Arc::clone(self);
        let sweep = move || {
            usage.sweep(SystemTime::now().duration_since(UNIX_EPOCH).map_or(now, |time| time.as_secs()));
            usage.sweeping.store(false, Relaxed);
        };
        if let Err(error) = std::thread::Builder::new().name("response-ratelimiting".to_owned()).spawn(sweep) {
            tracing::warn!("response-ratelimiting: no thread to drop old counters: {error}");
            self.sweeping.store(false, Relaxed);
        }
    }
}

impl Counts {
    /// What is used of the window at that time.
    pub fn used(&self, window: Window, now: u64) -> u32 {
        let count = self.0[window as usize];
        // A request that is late for its window counts in the one that has begun since.
        if count.index >= window.index(now) { count.used } else { 0 }
    }

    fn with(mut self, amount: u32, now: u64) -> Counts {
        for window in Window::ALL {
            let used = self.used(window, now).saturating_add(amount);
            let count = &mut self.0[window as usize];
            *count = Count { index: count.index.max(window.index(now)), used };
        }
        self
    }

    fn most(&self, now: u64) -> u32 {
        Window::ALL.into_iter().map(|window| self.used(window, now)).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 3_600 * 1_000;

    #[test]
    fn a_full_window_refuses_and_leaves_the_others_alone() {
        let usage = Arc::new(Usage::default());
        let limits = [(Window::Minute, 3), (Window::Hour, 10)];
        assert!(usage.add([1; 32], 2, &limits, NOW).is_ok());
        assert!(usage.add([1; 32], 2, &limits, NOW).is_ok(), "there is one left");
        let refused = usage.add([1; 32], 1, &limits, NOW).unwrap_err();
        assert_eq!(refused.used(Window::Minute, NOW), 4);
        assert_eq!(refused.used(Window::Hour, NOW), 4);
        assert_eq!(usage.of(&[1; 32]).used(Window::Minute, NOW + 60), 0);
        let before = usage.add([1; 32], 1, &limits, NOW + 60).unwrap_or_default();
        assert_eq!(before.used(Window::Hour, NOW + 60), 4);
        assert_eq!(usage.of(&[2; 32]).used(Window::Minute, NOW), 0);
    }

    #[test]
    fn no_count_is_lost_to_other_threads_or_sweeps() {
        let usage = Arc::new(Usage::default());
        for round in 1..=50 {
            let now = round * 60;
            let counted: usize = std::thread::scope(|scope| {
                let add = || (0..50).filter(|_| usage.add([1; 32], 1, &[(Window::Minute, 70)], now).is_ok()).count();
                let sweeper = scope.spawn(|| (0..20).for_each(|_| usage.sweep(now)));
                let workers = [scope.spawn(add), scope.spawn(add)];
                let counted = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
                sweeper.join().unwrap();
                counted
            });
            assert_eq!(counted, 70, "round {round}");
        }
    }

    #[test]
    fn sweeps_drop_what_is_over() {
        let usage = Arc::new(Usage::default());
        for n in 0..100 {
            usage.add([n; 32], 1, &[], NOW).unwrap_or_default();
        }
        let years = 366 * 86_400;
        usage.add([7; 32], 1, &[], NOW + years).unwrap_or_default();
        usage.sweep(NOW + years);
        assert_eq!(usage.entries.pin().len(), 1);
    }
}
