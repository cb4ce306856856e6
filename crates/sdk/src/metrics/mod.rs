//! Counters and histograms with labels, for plugins that export them.
//!
//! A thread that counts has cells of its own for each set of labels, so that no two of them write to the same cache
//! line; whoever exports adds them up, without holding anybody up. What all sets take in memory has a limit: what comes
//! beyond it is not counted, and that is.

mod cells;
mod text;

pub use text::{Exposition, Kind};

use cells::Cells;
use papaya::HashMap;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// The budget of a node's metrics. Clones share it.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Budget>);

#[derive(Debug)]
struct Budget {
    limit: usize,
    taken: AtomicUsize,
    refused: AtomicU64,
    said: AtomicBool,
}

/// One metric, with a number for each set of its labels. Clones share them.
#[derive(Clone)]
pub struct Family(Arc<Shared>);

struct Shared {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    /// The upper bounds of a histogram's buckets.
    bounds: Option<&'static [f64]>,
    sets: HashMap<Box<[Box<str>]>, Set, foldhash::fast::RandomState>,
    budget: Metrics,
}

/// What all threads have counted for one set of labels.
#[derive(Default)]
struct Set(Mutex<Vec<(u64, Cells)>>);

/// A number that goes up: that of the thread which has asked for it.
#[derive(Debug)]
pub struct Counter {
    cells: Cells,
    of_thread: PhantomData<Rc<()>>,
}

/// How often numbers fell between which bounds: that of the thread which has asked for it.
#[derive(Debug)]
pub struct Histogram {
    cells: Cells,
    bounds: &'static [f64],
    of_thread: PhantomData<Rc<()>>,
}

/// What was counted for a set of labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub labels: Box<[Box<str>]>,
    pub value: Value,
}

/// What was counted.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Counter(u64),
    /// How many fell into each bucket (the last one has no bound), and the sum of them all.
    Histogram {
        buckets: Vec<u64>,
        sum: f64,
    },
}

/// What a set takes beside its labels and cells.
const SET: usize = 160;

impl Metrics {
    /// Metrics that take no more memory than that, in octets.
    pub fn new(limit: usize) -> Metrics {
        Metrics(Arc::new(Budget { limit, taken: AtomicUsize::new(0), refused: AtomicU64::new(0), said: false.into() }))
    }

    /// A metric that goes up.
    pub fn counter(&self, name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Family {
        self.family(name, help, labels, None)
    }

    /// A metric that says how often numbers fell between which bounds; these go up.
    pub fn histogram(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        bounds: &'static [f64],
    ) -> Family {
        self.family(name, help, labels, Some(bounds))
    }

    /// What could not be counted, because there was no room for one more set of labels.
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Relaxed)
    }

    fn family(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        bounds: Option<&'static [f64]>,
    ) -> Family {
        let sets = HashMap::builder().hasher(foldhash::fast::RandomState::default()).build();
        Family(Arc::new(Shared { name, help, labels, bounds, sets, budget: self.clone() }))
    }

    /// Takes room from the budget; false when there is none.
    fn take(&self, octets: usize) -> bool {
        let budget = &*self.0;
        if budget.taken.load(Relaxed).saturating_add(octets) <= budget.limit {
            budget.taken.fetch_add(octets, Relaxed);
            return true;
        }
        budget.refused.fetch_add(1, Relaxed);
        if !budget.said.swap(true, Relaxed) {
            tracing::warn!("metrics take {} octets: further sets of labels are not counted", budget.limit);
        }
        false
    }
}

impl Family {
    /// This thread's counter for these labels. Takes a while: who counts often keeps it. `None` when metrics take as
    /// much memory as they may.
    pub fn counter(&self, labels: &[&str]) -> Option<Counter> {
        Some(Counter { cells: self.cells(labels)?, of_thread: PhantomData })
    }

    /// As [`Family::counter`], of a family of histograms.
    pub fn histogram_of(&self, labels: &[&str]) -> Option<Histogram> {
        let bounds = self.0.bounds.unwrap_or_default();
        Some(Histogram { cells: self.cells(labels)?, bounds, of_thread: PhantomData })
    }

    /// What was counted so far, sorted by labels; sets for which that is nothing are left out.
    pub fn read(&self) -> Vec<Sample> {
        let sets = self.0.sets.pin();
        let all = sets.iter().map(|(labels, set)| Sample { labels: labels.clone(), value: self.sum(set) });
        let mut samples: Vec<Sample> = all.filter(|sample| !sample.value.is_nothing()).collect();
        samples.sort_by(|a, b| a.labels.cmp(&b.labels));
        samples
    }

    fn sum(&self, set: &Set) -> Value {
        let threads = set.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = |at: usize| threads.iter().map(move |(_, cells)| cells.read(at));
        match self.0.bounds {
            None => Value::Counter(all(0).sum()),
            Some(bounds) => Value::Histogram {
                buckets: (0..=bounds.len()).map(|at| all(at).sum()).collect(),
                sum: all(bounds.len() + 1).map(f64::from_bits).sum(),
            },
        }
    }

    fn cells(&self, labels: &[&str]) -> Option<Cells> {
        let Shared { sets, bounds, budget, .. } = &*self.0;
        let count = bounds.map_or(1, |bounds| bounds.len() + 2);
        let labels: Box<[Box<str>]> = labels.iter().map(|label| Box::from(*label)).collect();
        let sets = sets.pin();
        let set = match sets.get(&labels) {
            Some(set) => set,
            None => {
                let size = SET + labels.iter().map(|label| size_of::<Box<str>>() + label.len()).sum::<usize>();
                if !budget.take(size) {
                    return None;
                }
                sets.get_or_insert_with(labels, Set::default)
            }
        };
        let mut threads = set.0.lock().unwrap_or_else(PoisonError::into_inner);
        let thread = cells::thread();
        if let Some((_, cells)) = threads.iter().find(|(of, _)| *of == thread) {
            return Some(cells.clone());
        }
        if !budget.take(count * size_of::<u64>()) {
            return None;
        }
        let cells = Cells::of_thread(count);
        threads.push((thread, cells.clone()));
        Some(cells)
    }
}

impl Value {
    fn is_nothing(&self) -> bool {
        match self {
            Value::Counter(number) => *number == 0,
            Value::Histogram { buckets, .. } => buckets.iter().all(|count| *count == 0),
        }
    }
}

impl Counter {
    /// Counts that many more.
    pub fn add(&self, by: u64) {
        self.cells.add(0, by);
    }
}

impl Histogram {
    /// Counts a number.
    pub fn observe(&self, number: f64) {
        let bucket = self.bounds.iter().position(|bound| number <= *bound).unwrap_or(self.bounds.len());
        self.cells.add(bucket, 1);
        self.cells.add_float(self.bounds.len() + 1, number);
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new(128 << 20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_count_on_their_own_and_are_added_up() {
        let family = Metrics::default().counter("c", "help", &["a"]);
        let count = || {
            let counter = family.counter(&["x"]).unwrap();
            (0..1000).for_each(|_| counter.add(2));
        };
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(count))));
        family.counter(&["x"]).unwrap().add(1);
        family.counter(&["w"]).unwrap().add(1);
        let values: Vec<Value> = family.read().into_iter().map(|sample| sample.value).collect();
        assert_eq!(values, [Value::Counter(1), Value::Counter(8001)]);
    }

    #[test]
    fn a_thread_finds_its_cells_again() {
        let metrics = Metrics::default();
        let family = metrics.counter("c", "help", &["a"]);
        family.counter(&["x"]).unwrap().add(1);
        let taken = metrics.0.taken.load(Relaxed);
        family.counter(&["x"]).unwrap().add(1);
        assert_eq!(metrics.0.taken.load(Relaxed), taken);
        assert_eq!(family.read()[0].value, Value::Counter(2));
    }

    #[test]
    fn numbers_fall_into_buckets() {
        let family = Metrics::default().histogram("h", "help", &[], &[1.0, 5.0]);
        let histogram = family.histogram_of(&[]).unwrap();
        [0.0, 1.0, 1.5, 7.0].iter().for_each(|number| histogram.observe(*number));
        assert_eq!(family.read()[0].value, Value::Histogram { buckets: vec![2, 1, 1], sum: 9.5 });
    }

    #[test]
    fn what_has_no_room_is_not_counted_but_noticed() {
        let metrics = Metrics::new(1000);
        let family = metrics.counter("c", "help", &["a"]);
        let count = |i: &usize| family.counter(&[&i.to_string()]).map(|counter| counter.add(1)).is_some();
        let counted = (0..100).filter(count).count();
        assert!((3..=6).contains(&counted), "{counted}");
        assert_eq!(metrics.refused(), 100 - counted as u64);
        assert_eq!(family.read().len(), counted);
    }
}
