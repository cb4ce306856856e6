//! Counters that all workers share without a lock, exact under concurrency.
//!
//! Every caller has one entry with a cell per kind of window. A cell holds until when it counts and its count in one
//! word, so that a new window starts by replacing the word and nothing has to expire. Entries whose cells are all over
//! are dropped by a sweep on a thread of its own, which starts when the map has doubled. When too many callers are
//! known even so (somebody may send a new header value with each request), those with the fewest requests are
//! forgotten: who comes near a limit is kept.

use super::window::Window;
use sdk::entities::Uuid;
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::{SystemTime, UNIX_EPOCH};

/// What is counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The route and the service that the plugin is configured on (nil: none).
    pub route: Uuid,
    pub service: Uuid,
    pub who: Who,
}

/// A caller. All of them take the same room, however much they have sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// A consumer, a credential or a service.
    Id(Uuid),
    Address(IpAddr),
    /// A short text: its length, and its octets with zeros behind them.
    Short(u8, [u8; 32]),
    /// The SHA-256 of a longer one, so that nobody can find one that counts as another's.
    Long([u8; 32]),
}

/// What a request found: how much of each window was used before it, and the window that refuses it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub used: [u32; 6],
    pub refused_by: Option<Window>,
}

/// A window of any length in a row of such windows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// Its number in the row.
    pub number: u64,
    /// When the one after it is over, in seconds since 1970: as long as that, its count matters.
    pub until: u32,
    /// When the one after the one before is over.
    pub before_until: u32,
    /// How much of the one before still counts, of 1.
    pub weight: f64,
}

/// What there is in a span, and whether it was added to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slide {
    pub rate: f64,
    pub added: bool,
}

/// All counters of a node. They outlive changes of the configuration.
#[derive(Default)]
pub struct Counters {
    entries: papaya::HashMap<Key, Counter, foldhash::quality::RandomState>,
    /// The number of entries at which the next sweep starts; 0 stands for [`Counters::FIRST_SWEEP`].
    sweep_at: AtomicUsize,
    sweeping: AtomicBool,
}

#[derive(Default)]
struct Counter {
    /// In the upper half until when it counts (seconds since 1970), in the lower the count.
    cells: [AtomicU64; 6],
    state: AtomicU8,
}

/// States of an entry. A sweep first marks an entry, then looks whether it is over, then drops it; a request first
/// counts, then looks for the mark and takes it away. So either the sweep sees the count or the request the mark.
const LIVE: u8 = 0;
const MARKED: u8 = 1;
const DROPPED: u8 = 2;

impl Counters {
    const FIRST_SWEEP: usize = 512;
    /// What all callers take in memory, in octets.
    const MEMORY: usize = 64 << 20;
    /// Callers known at a time: an entry, and what the table needs for it.
    const MOST: usize = Self::MEMORY / (size_of::<Key>() + size_of::<Counter>() + 64);

    /// Adds to all windows of `limits` (window, the most in it), or to none when one of them is full. `now`: seconds
    /// since 1970.
    pub fn take(self: &Arc<Self>, key: &Key, amount: u32, limits: &[(Window, u32)], now: u64) -> Usage {
        self.with(key, now, |entry| entry.take(amount, limits, now))
    }

    /// Adds to the window of a span and says how much there is now in it and in the one before; with a ceiling, nothing
    /// is added where there would be more of `allowed` than that.
    pub fn slide(self: &Arc<Self>, key: &Key, amount: u32, span: Span, now: u64, ceiling: Option<f64>) -> Slide {
        self.with(key, now, |entry| entry.slide(amount, span, ceiling))
    }

    /// Has the window of a span be at least so full.
    pub fn raise(self: &Arc<Self>, key: &Key, count: u32, span: Span, now: u64) {
        self.with(key, now, |entry| entry.raise(count, span));
    }

    /// Undoes [`Counters::slide`].
    pub fn slide_back(&self, key: &Key, amount: u32, span: Span) {
        if let Some(entry) = self.entries.pin().get(key) {
            give_back(&entry.cells[(span.number % 2) as usize], span.until, amount);
        }
    }

    fn with<T>(self: &Arc<Self>, key: &Key, now: u64, act: impl Fn(&Counter) -> T) -> T {
        let entries = self.entries.pin();
        loop {
            let entry = match entries.get(key) {
                Some(entry) => entry,
                None => {
                    let known = entries.len();
                    self.sweep_when_due(known, now);
                    // Until the sweep is through, new callers are not remembered: their first request is free in any
                    // case.
                    if known >= Self::MOST + Self::MOST / 4 {
                        return act(&Counter::default());
                    }
                    entries.get_or_insert_with(key.clone(), Counter::default)
                }
            };
            let outcome = act(entry);
            if entry.keep() {
                return outcome;
            }
            let _ = entries.remove_if(key, |_, entry| entry.state.load(SeqCst) == DROPPED);
        }
    }

    /// What [`Counters::take`] would find.
    pub fn peek(&self, key: &Key, limits: &[(Window, u32)], now: u64) -> Usage {
        self.entries.pin().get(key).map(|entry| entry.peek(limits, now)).unwrap_or_default()
    }

    /// Drops the entries whose windows were all over at that time.
    fn sweep(&self, now: u64) {
        let entries = self.entries.pin();
        entries.retain(|_, entry| !entry.drop_if(|entry| entry.most(now) == 0));
        if entries.len() >= Self::MOST {
            self.relieve(Self::MOST / 2, now);
        }
        self.sweep_at.store((entries.len() * 2).clamp(Self::FIRST_SWEEP, Self::MOST), SeqCst);
    }

    /// Drops those with the fewest requests until so many are left.
    fn relieve(&self, left: usize, now: u64) {
        let entries = self.entries.pin();
        // How many callers have that many requests; the last stands for all that have more.
        let mut callers = [0_usize; 256];
        entries.values().for_each(|entry| callers[entry.most(now).min(255)] += 1);
        let mut surplus = callers.iter().sum::<usize>().saturating_sub(left);
        for (requests, there) in callers.into_iter().enumerate().filter(|(_, there)| *there > 0) {
            let dropping = there.min(surplus);
            if dropping == 0 {
                break;
            }
            surplus -= dropping;
            // Evenly from everywhere: the order is that of the hashes, and a table with hashes of one kind has no room.
            let mut turn = 0;
            entries.retain(|_, entry| {
                !entry.drop_if(|entry| {
                    let concerned = entry.most(now).min(255) == requests;
                    turn += usize::from(concerned);
                    concerned && turn * dropping / there > (turn - 1) * dropping / there
                })
            });
        }
        tracing::warn!("limits: too many callers at a time, those with the fewest requests are forgotten");
    }

    fn sweep_when_due(self: &Arc<Self>, len: usize, now: u64) {
        if len < Self::FIRST_SWEEP.max(self.sweep_at.load(SeqCst)) || self.sweeping.swap(true, SeqCst) {
            return;
        }
        let counters = Arc::clone(self);
        let sweep = move || {
            counters.sweep(SystemTime::now().duration_since(UNIX_EPOCH).map_or(now, |d| d.as_secs()));
            counters.sweeping.store(false, SeqCst);
        };
        if let Err(error) = std::thread::Builder::new().name("counters".to_owned()).spawn(sweep) {
            tracing::warn!("limits: no thread to drop old counters: {error}");
            self.sweeping.store(false, SeqCst);
        }
    }
}

impl Who {
    /// A caller that is known by some text.
    pub fn of(text: &[u8]) -> Who {
        let mut octets = [0; 32];
        match octets.get_mut(..text.len()) {
            Some(start) => {
                start.copy_from_slice(text);
                Who::Short(text.len() as u8, octets)
            }
            None => Who::Long(Sha256::digest(text).into()),
        }
    }
}

impl Counter {
    fn take(&self, amount: u32, limits: &[(Window, u32)], now: u64) -> Usage {
        let mut usage = Usage::default();
        let mut taken = [0; 6];
        for (at, (window, limit)) in limits.iter().enumerate() {
            let cell = &self.cells[*window as usize];
            match add(cell, window.until(now), amount, *limit) {
                Ok((before, until)) => {
                    usage.used[*window as usize] = before;
                    taken[at] = until;
                }
                Err(full) => {
                    usage.used[*window as usize] = full;
                    usage.refused_by = Some(*window);
                    for ((window, _), until) in limits[..at].iter().zip(taken) {
                        give_back(&self.cells[*window as usize], until, amount);
                    }
                    for (window, _) in &limits[at + 1..] {
                        usage.used[*window as usize] = self.used(*window, now);
                    }
                    break;
                }
            }
        }
        usage
    }

    fn slide(&self, amount: u32, span: Span, ceiling: Option<f64>) -> Slide {
        let before = match unpack(self.cells[((span.number + 1) % 2) as usize].load(SeqCst)) {
            (until, count) if until == span.before_until => f64::from(count) * span.weight,
            _ => 0.0,
        };
        let cell = &self.cells[(span.number % 2) as usize];
        let mut word = cell.load(SeqCst);
        loop {
            let (stored, count) = unpack(word);
            let (until, count) = if stored >= span.until { (stored, count) } else { (span.until, 0) };
            let next = count.saturating_add(amount);
            let rate = before + f64::from(next);
            if amount == 0 || ceiling.is_some_and(|ceiling| rate > ceiling) {
                return Slide { rate: before + f64::from(count), added: false };
            }
            match cell.compare_exchange_weak(word, pack(until, next), SeqCst, SeqCst) {
                Ok(_) => return Slide { rate, added: true },
                Err(now) => word = now,
            }
        }
    }

    fn raise(&self, count: u32, span: Span) {
        let raise = |word| {
            let (stored, there) = unpack(word);
            let less = stored < span.until || stored == span.until && there < count;
            (less && count > 0).then(|| pack(span.until, count))
        };
        let _ = self.cells[(span.number % 2) as usize].fetch_update(SeqCst, SeqCst, raise);
    }

    fn peek(&self, limits: &[(Window, u32)], now: u64) -> Usage {
        let mut usage = Usage::default();
        for (window, limit) in limits {
            let used = self.used(*window, now);
            usage.used[*window as usize] = used;
            if used >= *limit {
                usage.refused_by = usage.refused_by.or(Some(*window));
            }
        }
        usage
    }

    fn used(&self, window: Window, now: u64) -> u32 {
        let (stored, count) = unpack(self.cells[window as usize].load(SeqCst));
        if stored >= window.until(now) { count } else { 0 }
    }

    /// Takes a sweep's mark away; false when the entry has been dropped meanwhile.
    fn keep(&self) -> bool {
        match self.state.load(SeqCst) {
            LIVE => true,
            _ => !matches!(self.state.compare_exchange(MARKED, LIVE, SeqCst, SeqCst), Err(DROPPED)),
        }
    }

    /// The most requests in one of its windows that are not over.
    fn most(&self, now: u64) -> usize {
        let counts = self.cells.iter().map(|cell| {
            let (until, count) = unpack(cell.load(SeqCst));
            if u64::from(until) <= now { 0 } else { count as usize }
        });
        counts.max().unwrap_or(0)
    }

    /// Gives the entry up if that holds, and no request has counted in it meanwhile.
    fn drop_if(&self, condition: impl FnOnce(&Counter) -> bool) -> bool {
        if self.state.compare_exchange(LIVE, MARKED, SeqCst, SeqCst) == Err(DROPPED) {
            return true;
        }
        let drop = condition(self);
        let next = if drop { DROPPED } else { LIVE };
        self.state.compare_exchange(MARKED, next, SeqCst, SeqCst).is_ok() && drop
    }
}

/// Adds to the count of a window unless it is full: the count before and until when it counts, or the full count.
/// A request that is late for its window counts in the one that has begun since.
fn add(cell: &AtomicU64, until: u32, amount: u32, limit: u32) -> Result<(u32, u32), u32> {
    let mut word = cell.load(SeqCst);
    loop {
        let (stored, count) = unpack(word);
        let (until, count) = if stored >= until { (stored, count) } else { (until, 0) };
        if count >= limit {
            return Err(count);
        }
        match cell.compare_exchange_weak(word, pack(until, count.saturating_add(amount)), SeqCst, SeqCst) {
            Ok(_) => return Ok((count, until)),
            Err(now) => word = now,
        }
    }
}

/// Undoes [`add`], if the window still runs.
fn give_back(cell: &AtomicU64, until: u32, amount: u32) {
    let undo = |word| {
        let (stored, count) = unpack(word);
        (stored == until).then(|| pack(until, count.saturating_sub(amount)))
    };
    let _ = cell.fetch_update(SeqCst, SeqCst, undo);
}

fn pack(until: u32, count: u32) -> u64 {
    u64::from(until) << 32 | u64::from(count)
}

fn unpack(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u128) -> Key {
        Key { route: Uuid::nil(), service: Uuid::nil(), who: Who::Id(Uuid::from_u128(n)) }
    }

    #[test]
    fn texts_are_told_apart_in_the_same_room() {
        let mut texts: Vec<Vec<u8>> = (0..=40).map(|n| vec![0; n]).collect();
        texts.extend([vec![0xe9], vec![0xe8], "\u{fffd}".into(), vec![b'x'; 7_500], vec![b'x'; 7_501]]);
        let callers: std::collections::HashSet<_> = texts.iter().map(|text| Who::of(text)).collect();
        assert_eq!(callers.len(), texts.len());
        assert_eq!(Who::of(&[b'x'; 7_500]), Who::of(&[b'x'; 7_500]));
        assert!(size_of::<Key>() <= 72);
    }

    #[test]
    fn a_full_window_refuses_and_leaves_the_others_alone() {
        let counters = Arc::new(Counters::default());
        let limits = [(Window::Second, 5), (Window::Minute, 2), (Window::Hour, 10)];
        let now = 3_600 * 1_000;
        assert_eq!(counters.take(&key(1), 1, &limits, now), Usage { used: [0; 6], refused_by: None });
        assert_eq!(counters.take(&key(1), 1, &limits, now).used, [1, 1, 1, 0, 0, 0]);
        let refused = Usage { used: [2, 2, 2, 0, 0, 0], refused_by: Some(Window::Minute) };
        assert_eq!(counters.take(&key(1), 1, &limits, now), refused);
        assert_eq!(counters.take(&key(1), 1, &limits, now), refused);
        assert_eq!(counters.take(&key(2), 1, &limits, now).used, [0; 6]);
        assert_eq!(counters.take(&key(1), 1, &limits, now + 60), Usage { used: [0, 0, 2, 0, 0, 0], refused_by: None });
        // Late for the first minute: counted in the second one.
        assert_eq!(counters.take(&key(1), 1, &limits, now + 59).used, [1, 1, 3, 0, 0, 0]);
    }

    #[test]
    fn concurrent_requests_are_counted_exactly() {
        let counters = Arc::new(Counters::default());
        let limits = [(Window::Minute, 1_000), (Window::Day, 900)];
        let admitted: usize = std::thread::scope(|scope| {
            let work = |n: usize| {
                let counters = Arc::clone(&counters);
                move || {
                    (0..500)
                        .filter(|i| {
                            counters.take(&key((n as u128 + i) % 2), 1, &limits, 86_400 * 20).refused_by.is_none()
                        })
                        .count()
                }
            };
            let sweeper = scope.spawn(|| (0..200).for_each(|_| counters.sweep(86_400 * 20)));
            let workers: Vec<_> = (0..8).map(|n| scope.spawn(work(n))).collect();
            let admitted = workers.into_iter().map(|w| w.join().unwrap()).sum();
            sweeper.join().unwrap();
            admitted
        });
        assert_eq!(admitted, 1_800);
    }

    #[test]
    fn no_count_is_lost_to_a_sweep() {
        let counters = Arc::new(Counters::default());
        for round in 1..=300 {
            let now = round * 60;
            let admitted: usize = std::thread::scope(|scope| {
                let take = || {
                    (0..20)
                        .filter(|_| counters.take(&key(1), 1, &[(Window::Minute, 10)], now).refused_by.is_none())
                        .count()
                };
                let sweeper = scope.spawn(|| (0..20).for_each(|_| counters.sweep(now)));
                let workers = [scope.spawn(take), scope.spawn(take)];
                let admitted = workers.into_iter().map(|w| w.join().unwrap()).sum();
                sweeper.join().unwrap();
                admitted
            });
            assert_eq!(admitted, 10, "round {round}");
        }
    }

    #[test]
    fn sweeps_drop_what_is_over() {
        let counters = Arc::new(Counters::default());
        for n in 0..100 {
            counters.take(&key(n), 1, &[(Window::Minute, 5)], 600);
        }
        counters.take(&key(7), 1, &[(Window::Minute, 5)], 660);
        counters.take(&key(8), 1, &[(Window::Hour, 5)], 600);
        counters.sweep(660);
        assert_eq!(counters.entries.pin().len(), 2);
        assert_eq!(counters.take(&key(7), 1, &[(Window::Minute, 5)], 660).used[1], 1);
        assert_eq!(counters.take(&key(9), 1, &[(Window::Minute, 5)], 660).used[1], 0);
    }

    #[test]
    fn too_many_callers_cost_those_with_the_fewest_requests() {
        let counters = Arc::new(Counters::default());
        let (limits, now) = ([(Window::Hour, 900)], 3_600);
        for n in 0..100 {
            for _ in 0..=(n / 10) * 20 {
                counters.take(&key(n), 1, &limits, now);
            }
        }
        counters.relieve(25, now);
        assert_eq!(counters.entries.pin().len(), 25);
        // The twenty with the most, and five of the next ten.
        assert!((80..100).all(|n| counters.take(&key(n), 1, &limits, now).used[2] > 0));
        assert_eq!((0..80).filter(|n| counters.take(&key(*n), 1, &limits, now).used[2] > 0).count(), 5);
    }

    #[test]
    fn there_is_room_after_any_number_of_new_callers() {
        let counters = Arc::new(Counters::default());
        for n in 0..100_000 {
            counters.take(&key(n), 1, &[(Window::Hour, 900)], 3_600);
            if n % 1_000 == 0 {
                counters.relieve(1_000, 3_600);
            }
        }
        // A sweep may have taken some of them, whose hour is long over.
        assert!(counters.entries.pin().len() < 2_000);
    }

    fn span(number: u64) -> Span {
        let until = (number as u32 + 2) * 60;
        Span { number, until, before_until: until - 60, weight: 0.5 }
    }

    #[test]
    fn windows_are_raised_to_what_others_know() {
        let counters = Arc::new(Counters::default());
        let rate = |number| counters.slide(&key(1), 0, span(number), 600, None).rate;
        counters.raise(&key(1), 4, span(9), 600);
        assert_eq!(rate(9), 4.0);
        counters.raise(&key(1), 3, span(9), 600);
        assert_eq!(rate(9), 4.0);
        counters.raise(&key(1), 2, span(10), 600);
        assert_eq!(rate(10), 4.0, "and a half of the window before");
        counters.raise(&key(1), 7, span(8), 600);
        assert_eq!(rate(10), 4.0, "a window that is over");
    }

    #[test]
    fn what_was_used_before_counts_on_by_its_weight() {
        let counters = Arc::new(Counters::default());
        for used in 1..=4 {
            let expected = Slide { rate: f64::from(used), added: true };
            assert_eq!(counters.slide(&key(1), 1, span(10), 600, Some(4.0)), expected);
        }
        assert_eq!(counters.slide(&key(1), 1, span(10), 600, Some(4.0)), Slide { rate: 4.0, added: false });
        assert_eq!(counters.slide(&key(1), 1, span(11), 660, Some(4.0)), Slide { rate: 3.0, added: true });
        assert_eq!(counters.slide(&key(1), 1, span(11), 660, None), Slide { rate: 4.0, added: true });
        counters.slide_back(&key(1), 1, span(11));
        assert_eq!(counters.slide(&key(1), 0, span(11), 660, None), Slide { rate: 3.0, added: false });
        assert_eq!(counters.slide(&key(1), 1, span(13), 780, None), Slide { rate: 1.0, added: true });
    }
}
