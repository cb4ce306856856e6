//! A hierarchical timing wheel: deadlines in buckets that grow coarser the farther away they are.
//!
//! A bucket that comes due hands out its entries: those whose deadline has passed, and those that were put off in the
//! meantime or stood in a coarse bucket, which go into a later one. Whoever puts its deadline off therefore touches
//! nothing but the deadline. All operations on one entry take constant time, and a turn costs what is due.

use std::cell::Cell;
use std::rc::Rc;

/// No deadline.
pub const NEVER: u64 = u64::MAX;
/// The finest buckets span two to this power of nanoseconds: 8.4 ms.
const GRAIN_BITS: u32 = 23;
/// Each level has two to this power of buckets, and is so many times coarser than the one below.
const LEVEL_BITS: u32 = 6;
const SLOTS: usize = 1 << LEVEL_BITS;
/// Enough for every number of nanoseconds.
const LEVELS: usize = (u64::BITS - GRAIN_BITS).div_ceil(LEVEL_BITS) as usize;
/// A bucket that has become empty keeps room for so many entries.
const KEPT: usize = 64;

/// The buckets. All times are nanoseconds on one clock.
pub struct Wheel<T> {
    /// All ticks (times of the finest buckets) up to this one have been handed out.
    tick: u64,
    levels: Vec<Level<T>>,
    linked: usize,
}

/// A deadline with what it is for. Change the deadline freely as long as it is not before [`Entry::due`].
pub struct Entry<T> {
    pub deadline: Cell<u64>,
    /// When the bucket that it stands in begins; [`NEVER`] when it stands in none.
    due: Cell<u64>,
    /// Where it stands: level and slot, and the index in the bucket.
    bucket: Cell<(u8, u8)>,
    index: Cell<usize>,
    pub value: T,
}

struct Level<T> {
    /// A bit for every bucket that holds something.
    occupied: u64,
    buckets: Vec<Vec<Rc<Entry<T>>>>,
}

impl<T> Entry<T> {
    /// An entry without a deadline, in no wheel.
    pub fn new(value: T) -> Rc<Entry<T>> {
        Rc::new(Entry {
            deadline: Cell::new(NEVER),
            due: Cell::new(NEVER),
            bucket: Cell::new((0, 0)),
            index: Cell::new(0),
            value,
        })
    }

    /// When its wheel looks at it next: a deadline before that needs [`Wheel::place`].
    pub fn due(&self) -> u64 {
        self.due.get()
    }

    /// Whether it stands in a wheel.
    pub fn is_linked(&self) -> bool {
        self.due.get() != NEVER
    }
}

impl<T> Wheel<T> {
    /// An empty wheel.
    pub fn new() -> Wheel<T> {
        let level = || Level { occupied: 0, buckets: (0..SLOTS).map(|_| Vec::new()).collect() };
        Wheel { tick: 0, levels: (0..LEVELS).map(|_| level()).collect(), linked: 0 }
    }

    /// Puts an entry where its deadline belongs; `now` is for a wheel that has stood still because it was empty.
    pub fn place(&mut self, entry: &Rc<Entry<T>>, now: u64) {
        self.remove(entry);
        if self.linked == 0 {
            self.tick = self.tick.max(now >> GRAIN_BITS);
        }
        self.insert(Rc::clone(entry));
    }

    /// Takes an entry out; whether it was in.
    pub fn remove(&mut self, entry: &Entry<T>) -> bool {
        if !entry.is_linked() {
            return false;
        }
        let (level, slot) = entry.bucket.get();
        let level = &mut self.levels[usize::from(level)];
        let bucket = &mut level.buckets[usize::from(slot)];
        let index = entry.index.get();
        bucket.swap_remove(index);
        if let Some(moved) = bucket.get(index) {
            moved.index.set(index);
        } else if bucket.is_empty() {
            level.occupied &= !(1 << slot);
            if bucket.capacity() > KEPT {
                *bucket = Vec::new();
            }
        }
        entry.due.set(NEVER);
        self.linked -= 1;
        true
    }

    /// Takes out whatever is due at `now` and hands it over.
    pub fn advance(&mut self, now: u64, expired: &mut Vec<Rc<Entry<T>>>) {
        let last = now >> GRAIN_BITS;
        while let Some((level, slot, tick)) = self.next() {
            if tick > last {
                break;
            }
            self.tick = tick;
            let level = &mut self.levels[level];
            level.occupied &= !(1 << slot);
            let bucket = std::mem::take(&mut level.buckets[slot]);
            self.linked -= bucket.len();
            for entry in bucket {
                entry.due.set(NEVER);
                match entry.deadline.get() {
                    NEVER => {}
                    deadline if tick_of(deadline) <= last => expired.push(entry),
                    _ => self.insert(entry),
                }
            }
        }
        self.tick = self.tick.max(last);
    }

    /// When something is due next.
    pub fn next_due(&self) -> u64 {
        self.next().map_or(NEVER, |(_, _, tick)| tick << GRAIN_BITS)
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Rc<Entry<T>>> {
        self.levels.iter().flat_map(|level| level.buckets.iter().flatten())
    }

    /// The bucket that is due next and its first tick. A coarser level is due only after the finer ones.
    fn next(&self) -> Option<(usize, usize, u64)> {
        let (number, level) = self.levels.iter().enumerate().find(|(_, level)| level.occupied != 0)?;
        let slot = level.occupied.trailing_zeros();
        let shift = LEVEL_BITS * number as u32;
        let above = self.tick.checked_shr(shift + LEVEL_BITS).unwrap_or(0);
        Some((number, slot as usize, ((above << LEVEL_BITS) | u64::from(slot)) << shift))
    }

    /// The level is that of the highest digit in which the deadline's tick differs from the present one: so all that a
    /// level holds lies in the present turn of it, ahead of the present bucket.
    fn insert(&mut self, entry: Rc<Entry<T>>) {
        let tick = tick_of(entry.deadline.get()).max(self.tick + 1);
        let number = (tick ^ self.tick).ilog2() / LEVEL_BITS;
        let shift = LEVEL_BITS * number;
        let slot = (tick >> shift) as usize % SLOTS;
        let level = &mut self.levels[number as usize];
        level.occupied |= 1 << slot;
        let bucket = &mut level.buckets[slot];
        entry.due.set((tick >> shift << shift) << GRAIN_BITS);
        entry.bucket.set((number as u8, slot as u8));
        entry.index.set(bucket.len());
        bucket.push(entry);
        self.linked += 1;
    }
}

/// The first tick that is not before a deadline; three hundred years are as good as never.
fn tick_of(deadline: u64) -> u64 {
    deadline.min(NEVER / 2).div_ceil(1 << GRAIN_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const GRAIN: u64 = 1 << GRAIN_BITS;

    /// A wheel beside a plain table of deadlines.
    struct Model {
        wheel: Wheel<usize>,
        entries: Vec<Rc<Entry<usize>>>,
        deadlines: BTreeMap<usize, u64>,
        now: u64,
    }

    impl Model {
        fn arm(&mut self, number: usize, deadline: u64) {
            let entry = &self.entries[number];
            entry.deadline.set(deadline);
            if deadline < entry.due() {
                self.wheel.place(entry, self.now);
            }
            self.deadlines.insert(number, deadline);
        }

        fn disarm(&mut self, number: usize) {
            self.entries[number].deadline.set(NEVER);
            self.deadlines.remove(&number);
        }

        /// Lets time pass; whatever comes out must be due, and what stays in must not have been due for a grain.
        fn pass(&mut self, time: u64) {
            self.now += time;
            let mut expired = Vec::new();
            self.wheel.advance(self.now, &mut expired);
            for entry in &expired {
                let deadline = self.deadlines.remove(&entry.value).expect("was armed");
                assert!(deadline <= self.now, "{} ns early", deadline - self.now);
                assert!(!entry.is_linked());
            }
            for (number, deadline) in &self.deadlines {
                assert!(deadline + GRAIN > self.now, "{number} is {} ns late", self.now - deadline);
                assert!(self.entries[*number].is_linked());
            }
            let earliest = self.deadlines.values().min();
            assert!(self.wheel.next_due() > self.now);
            assert!(earliest.is_none_or(|d| self.wheel.next_due() < d + GRAIN));
            let linked = self.entries.iter().filter(|e| e.is_linked()).count();
            assert_eq!(self.wheel.iter().count(), linked);
            assert_eq!(self.wheel.linked, linked);
        }
    }

    #[test]
    fn does_what_a_table_of_deadlines_does() {
        for seed in 0..60 {
            let mut random = fastrand::Rng::with_seed(seed);
            let entries = (0..random.usize(1..60)).map(Entry::new).collect::<Vec<_>>();
            let mut model =
                Model { wheel: Wheel::new(), entries, deadlines: BTreeMap::new(), now: random.u64(..1 << 40) };
            for _ in 0..2000 {
                let number = random.usize(..model.entries.len());
                // Times of every magnitude, from a nanosecond to months.
                let magnitude = random.u32(1..53);
                let time = random.u64(..1 << magnitude);
                match random.u8(..10) {
                    0..5 => model.arm(number, model.now + 1 + time),
                    5 => model.disarm(number),
                    6 => {
                        let entry = Rc::clone(&model.entries[number]);
                        assert_eq!(entry.is_linked(), model.wheel.remove(&entry));
                        assert!(!entry.is_linked());
                        model.disarm(number);
                    }
                    _ => model.pass(time >> random.u32(..30)),
                }
            }
            model.pass(1 << 54);
            assert_eq!(model.wheel.next_due(), NEVER);
        }
    }

    #[test]
    fn the_farthest_deadline_is_kept() {
        let mut wheel = Wheel::new();
        let entry = Entry::new(());
        entry.deadline.set(NEVER - 1);
        wheel.place(&entry, 0);
        let mut expired = Vec::new();
        wheel.advance(NEVER / 4, &mut expired);
        assert!(expired.is_empty());
        assert!(entry.is_linked());
    }

    #[test]
    fn putting_off_leaves_the_wheel_alone() {
        let mut wheel = Wheel::new();
        let entry = Entry::new(());
        assert_eq!(entry.due(), NEVER);
        entry.deadline.set(GRAIN * 10);
        wheel.place(&entry, 0);
        let due = entry.due();
        entry.deadline.set(GRAIN * 5000);
        let mut expired = Vec::new();
        wheel.advance(due, &mut expired);
        assert!(expired.is_empty());
        assert!(entry.due() > due);
    }

    #[test]
    fn a_bucket_gives_its_memory_back() {
        let mut wheel = Wheel::new();
        let entries = (0..10_000).map(Entry::new).collect::<Vec<_>>();
        for entry in &entries {
            entry.deadline.set(60_000_000_000);
            wheel.place(entry, 0);
        }
        entries.iter().for_each(|entry| assert!(wheel.remove(entry)));
        let room = wheel.levels.iter().flat_map(|level| &level.buckets).map(Vec::capacity).sum::<usize>();
        assert!(room <= KEPT);
        assert_eq!(wheel.linked, 0);
    }
}
