//! Numbers about requests that one thread writes, and how they grow.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What one worker has counted of one subject. Only that worker writes it.
#[derive(Debug)]
pub struct Tally {
    statuses: [AtomicU64; CLASSES],
    microseconds: AtomicU64,
    /// The longest since it was last asked for.
    longest: AtomicU64,
    /// How many took how long, see [`bucket`].
    buckets: [AtomicU32; BUCKETS],
}

/// What was counted up to a moment, or from one to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Sum {
    /// Of statuses 1xx to 5xx, and of requests that got none.
    pub statuses: [u64; CLASSES],
    pub microseconds: u64,
    pub longest: u64,
    buckets: [u64; BUCKETS],
}

pub const CLASSES: usize = 6;

/// Four for each doubling of the time, from 2⁵ microseconds on: what is told of a time is at most an eighth off.
const BUCKETS: usize = 4 * 22;
const SHORTEST: u32 = 5;

impl Tally {
    /// Counts a request. No bus lock: no other thread writes here.
    pub fn add(&self, status: u16, time: Duration) {
        let microseconds = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let class = match usize::from(status / 100) {
            class @ 1..=5 => class - 1,
            _ => CLASSES - 1,
        };
        add(&self.statuses[class], 1);
        add(&self.microseconds, microseconds);
        if microseconds > self.longest.load(Relaxed) {
            self.longest.store(microseconds, Relaxed);
        }
        let bucket = &self.buckets[bucket(microseconds)];
        bucket.store(bucket.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// Adds what was counted to a sum.
    pub fn add_to(&self, sum: &mut Sum) {
        for (all, own) in sum.statuses.iter_mut().zip(&self.statuses) {
            *all += own.load(Relaxed);
        }
        for (all, own) in sum.buckets.iter_mut().zip(&self.buckets) {
            *all += u64::from(own.load(Relaxed));
        }
        sum.microseconds += self.microseconds.load(Relaxed);
        sum.longest = sum.longest.max(self.longest.swap(0, Relaxed));
    }
}

impl Default for Tally {
    fn default() -> Tally {
        Tally {
            statuses: [const { AtomicU64::new(0) }; CLASSES],
            microseconds: AtomicU64::new(0),
            longest: AtomicU64::new(0),
            buckets: [const { AtomicU32::new(0) }; BUCKETS],
        }
    }
}

impl Sum {
    pub fn requests(&self) -> u64 {
        self.statuses.iter().sum()
    }

    /// Those that a service or the node itself could not answer, or only with 5xx.
    pub fn errors(&self) -> u64 {
        self.statuses[4] + self.statuses[5]
    }

    /// What has come since an earlier sum.
    pub fn since(&self, before: &Sum) -> Sum {
        let mut since = self.clone();
        since.statuses.iter_mut().zip(before.statuses).for_each(|(all, before)| *all = all.saturating_sub(before));
        since.buckets.iter_mut().zip(before.buckets).for_each(|(all, before)| *all = all.saturating_sub(before));
        since.microseconds = self.microseconds.saturating_sub(before.microseconds);
        since
    }

    /// This and another one together.
    pub fn and(&mut self, other: &Sum) {
        self.statuses.iter_mut().zip(other.statuses).for_each(|(all, other)| *all += other);
        self.buckets.iter_mut().zip(other.buckets).for_each(|(all, other)| *all += other);
        self.microseconds += other.microseconds;
        self.longest = self.longest.max(other.longest);
    }

    /// The average time in milliseconds.
    pub fn average(&self) -> Option<f64> {
        let requests = self.requests();
        (requests > 0).then(|| self.microseconds as f64 / requests as f64 / 1e3)
    }

    /// The time in milliseconds that so much of all requests, of 1, stay below.
    pub fn percentile(&self, part: f64) -> Option<f64> {
        let requests: u64 = self.buckets.iter().sum();
        let wanted = (requests as f64 * part).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (at, count) in self.buckets.iter().enumerate() {
            seen += count;
            if *count > 0 && seen >= wanted {
                // Nothing took longer than the longest.
                let longest = if self.longest > 0 { self.longest as f64 } else { f64::MAX };
                return Some(middle(at).min(longest) / 1e3);
            }
        }
        None
    }

    /// The longest time in milliseconds.
    pub fn longest(&self) -> Option<f64> {
        (self.requests() > 0).then_some(self.longest as f64 / 1e3)
    }
}

impl Default for Sum {
    fn default() -> Sum {
        Sum { statuses: [0; CLASSES], microseconds: 0, longest: 0, buckets: [0; BUCKETS] }
    }
}

/// Where a time is counted: by its highest bit, and the two bits below that.
fn bucket(microseconds: u64) -> usize {
    let time = microseconds.max(1 << SHORTEST);
    let highest = time.ilog2();
    let quarter = (time >> (highest - 2)) & 3;
    (4 * (highest - SHORTEST) as usize + quarter as usize).min(BUCKETS - 1)
}

/// The time in the middle of a bucket, in microseconds.
fn middle(bucket: usize) -> f64 {
    let (octave, quarter) = (bucket / 4, bucket % 4);
    2_f64.powi(SHORTEST as i32 + octave as i32) * (1.0 + (quarter as f64 + 0.5) / 4.0)
}

fn add(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(by), Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(times: &[(u16, u64)]) -> Sum {
        let tally = Tally::default();
        times.iter().for_each(|(status, time)| tally.add(*status, Duration::from_micros(*time)));
        let mut sum = Sum::default();
        tally.add_to(&mut sum);
        sum
    }

    #[test]
    fn a_time_is_told_within_an_eighth() {
        for time in [40, 100, 999, 1_000, 5_000, 12_345, 1_000_000, 59_999_999] {
            let told = middle(bucket(time));
            assert!((told / time as f64 - 1.0).abs() <= 0.126, "{time}: {told}");
        }
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_follow_the_times() {
        let times: Vec<(u16, u64)> = (1..=100).map(|n| (200, n * 1000)).collect();
        let sum = sum(&times);
        let near = |part, expected: f64| (sum.percentile(part).unwrap() / expected - 1.0).abs() < 0.13;
        assert!(near(0.5, 50.0));
        assert!(near(0.9, 90.0));
        assert!(near(0.99, 99.0));
        assert_eq!(sum.longest(), Some(100.0));
        assert_eq!(sum.average(), Some(50.5));
        assert_eq!(Sum::default().percentile(0.5), None);
    }

    #[test]
    fn statuses_are_counted_by_class() {
        let sum = sum(&[(101, 1), (200, 1), (204, 1), (404, 1), (500, 1), (0, 1), (999, 1)]);
        assert_eq!(sum.statuses, [1, 2, 0, 1, 1, 2]);
        assert_eq!(sum.requests(), 7);
        assert_eq!(sum.errors(), 3);
    }

    #[test]
    fn what_came_since_is_the_difference() {
        let tally = Tally::default();
        let mut before = Sum::default();
        tally.add(200, Duration::from_millis(1));
        tally.add_to(&mut before);
        tally.add(500, Duration::from_millis(8));
        let mut now = Sum::default();
        tally.add_to(&mut now);
        let since = now.since(&before);
        assert_eq!(since.requests(), 1);
        assert_eq!(since.errors(), 1);
        assert_eq!(since.longest(), Some(8.0));
    }
}
