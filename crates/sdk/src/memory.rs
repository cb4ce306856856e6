//! How much memory the contents of requests and responses may take, all exchanges of a node together.
//!
//! Whoever keeps content takes its octets from the budget first. What the budget refuses is not kept: it streams, goes
//! to a file, or is passed on without being looked at.
//!
//! Threads take from the budget in portions and give small amounts back to their own portion, so that workers do not
//! write to one shared word for every request. Up to an eighth of the budget may lie in portions of other threads.

use crate::Bytes;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The octets that all exchanges of a node may hold in memory (`Limits::held_in_memory`). Clones share one budget.
#[derive(Clone, Debug)]
pub struct MemoryBudget(Arc<Budget>);

/// A part of the budget; it goes back when the lease is dropped.
#[derive(Debug)]
pub struct Lease {
    budget: MemoryBudget,
    octets: usize,
}

/// Content that is gathered piece by piece, and paid for from the budget.
#[derive(Debug)]
pub struct Held {
    octets: Vec<u8>,
    lease: Lease,
}

/// The budget is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted;

#[derive(Debug)]
struct Budget {
    limit: usize,
    /// What is not in any portion.
    free: AtomicUsize,
    portions: [Portion; PORTIONS],
    /// What a portion takes from `free` at a time.
    step: usize,
}

/// What one thread, or a few, have taken and do not use; on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Portion(AtomicUsize);

const PORTIONS: usize = 64;

impl MemoryBudget {
    /// What a node has when its settings do not say.
    pub const DEFAULT: usize = 256 << 20;

    /// A budget of that many octets.
    pub fn new(octets: usize) -> MemoryBudget {
        MemoryBudget(Arc::new(Budget {
            limit: octets,
            free: AtomicUsize::new(octets),
            portions: std::array::from_fn(|_| Portion::default()),
            // A portion keeps at most two steps.
            step: octets / 8 / PORTIONS / 2,
        }))
    }

    /// How many octets it has in all.
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// How many octets are taken now. Other threads may be changing it.
    pub fn taken(&self) -> usize {
        let idle: usize = self.0.portions.iter().map(|portion| portion.0.load(Relaxed)).sum();
        self.0.limit.saturating_sub(self.0.free.load(Relaxed) + idle)
    }

    /// Takes that many octets; `None` when they are not there.
    pub fn try_take(&self, octets: usize) -> Option<Lease> {
        let mut lease = self.lease();
        lease.try_grow(octets).then_some(lease)
    }

    /// A lease of nothing, to grow.
    pub fn lease(&self) -> Lease {
        Lease { budget: self.clone(), octets: 0 }
    }

    /// Content that stays paid for until its last copy is dropped. Refused content comes back.
    pub fn hold(&self, octets: Vec<u8>) -> Result<Bytes, Vec<u8>> {
        match self.try_take(octets.capacity()) {
            Some(lease) => Ok(Held { octets, lease }.into_bytes()),
            None => Err(octets),
        }
    }
}

impl Default for MemoryBudget {
    fn default() -> MemoryBudget {
        MemoryBudget::new(MemoryBudget::DEFAULT)
    }
}

impl Lease {
    /// How many octets it is for.
    pub fn octets(&self) -> usize {
        self.octets
    }

    /// Takes more; false, and nothing is taken, when it is not there.
    pub fn try_grow(&mut self, more: usize) -> bool {
        let granted = self.budget.0.take(more);
        if granted {
            self.octets += more;
        }
        granted
    }

    /// Gives back what is more than that.
    pub fn shrink_to(&mut self, octets: usize) {
        let surplus = self.octets.saturating_sub(octets);
        self.octets -= surplus;
        self.budget.0.give_back(surplus);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

impl Held {
    /// Nothing yet.
    pub fn new(budget: &MemoryBudget) -> Held {
        Held { octets: Vec::new(), lease: budget.lease() }
    }

    /// Adds a piece; when the budget refuses it, what was gathered so far stays as it is.
    pub fn try_extend(&mut self, piece: &[u8]) -> Result<(), Exhausted> {
        let needed = self.octets.len() + piece.len();
        if needed > self.octets.capacity() {
            // The memory that the vector has counts, not what is in it.
            let had = self.octets.capacity();
            let roomy = needed.max(had + had.clamp(Held::LEAST_STEP, Held::MOST_STEP));
            let capacity = [roomy, needed].into_iter().find(|capacity| self.lease.try_grow(capacity - had));
            self.octets.reserve_exact(capacity.ok_or(Exhausted)? - self.octets.len());
        }
        self.octets.extend_from_slice(piece);
        Ok(())
    }

    /// Adds a piece that goes on at once with what was gathered: nothing is refused any more.
    pub fn extend_anyway(&mut self, piece: &[u8]) {
        if self.try_extend(piece).is_err() {
            self.octets.extend_from_slice(piece);
        }
    }

    /// What was gathered.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// What was gathered, to be kept where another limit holds: the budget does not count it any more.
    pub fn into_vec(self) -> Vec<u8> {
        self.octets
    }

    /// What was gathered, paid for until its last copy is dropped.
    pub fn into_bytes(self) -> Bytes {
        if self.octets.is_empty() { Bytes::new() } else { Bytes::from_owner(self) }
    }

    /// What was gathered in an edited form, or as it is, paid for until its last copy is dropped. The edited form takes
    /// the place of the original in the budget, which so is exceeded only while both are there.
    pub fn edit(self, edit: impl FnOnce(&Bytes) -> Option<Vec<u8>>) -> Bytes {
        let Held { octets, mut lease } = self;
        let original = Bytes::from(octets);
        let Some(edited) = edit(&original) else { return Bytes::from_owner(Paid(original, lease)) };
        drop(original);
        lease.shrink_to(edited.capacity());
        lease.try_grow(edited.capacity() - lease.octets());
        Held { octets: edited, lease }.into_bytes()
    }

    /// How much more memory is taken at a time when there is not enough.
    const LEAST_STEP: usize = 4 << 10;
    const MOST_STEP: usize = 1 << 20;
}

/// Content with what pays for it.
struct Paid(Bytes, #[expect(dead_code, reason = "it is held, not read")] Lease);

impl AsRef<[u8]> for Paid {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.octets
    }
}

impl Budget {
    fn take(&self, octets: usize) -> bool {
        let portion = &self.own_portion().0;
        if take_from(portion, octets) {
            return true;
        }
        if octets < self.step && take_from(&self.free, self.step) {
            portion.fetch_add(self.step - octets, Relaxed);
            return true;
        }
        if take_from(&self.free, octets) {
            return true;
        }
        // What is left may lie in portions, this thread's own among them.
        self.free.fetch_add(portion.swap(0, Relaxed), Relaxed);
        take_from(&self.free, octets)
    }

    fn give_back(&self, octets: usize) {
        if octets == 0 {
            return;
        }
        let portion = &self.own_portion().0;
        let idle = portion.fetch_add(octets, Relaxed) + octets;
        if idle > 2 * self.step && take_from(portion, idle - self.step) {
            self.free.fetch_add(idle - self.step, Relaxed);
        }
    }

    fn own_portion(&self) -> &Portion {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static OWN: Cell<usize> = Cell::new(NEXT.fetch_add(1, Relaxed) % PORTIONS);
        }
        &self.portions[OWN.get()]
    }
}

fn take_from(available: &AtomicUsize, octets: usize) -> bool {
    available.fetch_update(Relaxed, Relaxed, |there| there.checked_sub(octets)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_come_out_of_one_budget_and_go_back() {
        let budget = MemoryBudget::new(1_000);
        let mut first = budget.clone().try_take(600).unwrap();
        assert!(budget.try_take(401).is_none());
        assert!(first.try_grow(400));
        assert!(!first.try_grow(1));
        assert_eq!(budget.taken(), 1_000);
        first.shrink_to(100);
        assert_eq!(budget.taken(), 100);
        drop(first);
        assert_eq!(budget.taken(), 0);
    }

    #[test]
    fn content_is_refused_when_the_budget_is_used_up() {
        let budget = MemoryBudget::new(10_000);
        let mut held = Held::new(&budget);
        assert_eq!(held.try_extend(&[1; 4_096]), Ok(()));
        assert_eq!(held.try_extend(&[2; 4_096]), Ok(()));
        assert_eq!(held.try_extend(&[3; 4_096]), Err(Exhausted));
        assert_eq!(held.octets().len(), 8_192);
        assert_eq!(budget.taken(), 8_192);
        let bytes = held.into_bytes();
        let copy = bytes.slice(1..2);
        drop(bytes);
        assert_eq!(budget.taken(), 8_192, "a copy holds all of it");
        drop(copy);
        assert_eq!(budget.taken(), 0);
    }

    #[test]
    fn what_goes_on_or_elsewhere_is_not_refused() {
        let budget = MemoryBudget::new(5_000);
        let mut held = Held::new(&budget);
        held.try_extend(&[1; 4_500]).unwrap();
        held.extend_anyway(&[2; 9_000]);
        assert_eq!(held.octets().len(), 13_500);
        assert_eq!(budget.taken(), 4_500);
        assert_eq!(held.into_vec().len(), 13_500);
        assert_eq!(budget.taken(), 0);
        let refused = budget.hold(vec![0; 5_001]).unwrap_err();
        assert_eq!(refused.len(), 5_001);
        drop(budget.hold(vec![0; 5_000]).unwrap());
        assert_eq!(budget.taken(), 0);
    }

    #[test]
    fn edited_content_takes_the_place_of_the_original() {
        let budget = MemoryBudget::new(10_000);
        let gathered = || {
            let mut held = Held::new(&budget);
            held.try_extend(&[1; 6_000]).unwrap();
            held
        };
        let edited = gathered().edit(|original| Some([original, &b"more"[..]].concat()));
        assert_eq!(edited.len(), 6_004);
        assert_eq!(budget.taken(), 6_004);
        drop(edited);
        let original = gathered().edit(|_| None);
        assert_eq!(original.len(), 6_000);
        assert_eq!(budget.taken(), 6_000);
        drop(original);
        assert_eq!(budget.taken(), 0);
    }

    #[test]
    fn many_threads_never_take_more_than_there_is() {
        let budget = MemoryBudget::new(1 << 20);
        let used = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (budget, used) = (&budget, &used);
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(thread);
                    let mut leases = Vec::new();
                    for _ in 0..20_000 {
                        if let Some(lease) = budget.try_take(random.usize(1..64 << 10)) {
                            assert!(used.fetch_add(lease.octets(), Relaxed) + lease.octets() <= 1 << 20);
                            leases.push(lease);
                        } else if let Some(lease) = leases.pop() {
                            used.fetch_sub(lease.octets(), Relaxed);
                        }
                        if leases.len() > 40 {
                            let lease = leases.swap_remove(random.usize(0..leases.len()));
                            used.fetch_sub(lease.octets(), Relaxed);
                        }
                    }
                    for lease in &leases {
                        used.fetch_sub(lease.octets(), Relaxed);
                    }
                });
            }
        });
        assert_eq!(budget.taken(), 0);
    }

    #[test]
    fn most_of_the_budget_can_be_taken_by_one_thread() {
        let budget = MemoryBudget::new(64 << 20);
        // Other threads leave something in their portions.
        std::thread::scope(|scope| {
            for _ in 0..PORTIONS {
                scope.spawn(|| drop(budget.try_take(1)));
            }
        });
        let leases: Vec<_> = std::iter::from_fn(|| budget.try_take(64 << 10)).collect();
        assert!(leases.len() * (64 << 10) >= 56 << 20, "{}", leases.len());
    }
}
