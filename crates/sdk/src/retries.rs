//! When a service is tried again, where a plugin says so in place of the service's record and nginx's directives.

use crate::Exchange;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What is tried again.
#[derive(Debug)]
pub struct RetryPolicy {
    /// So many more tries than the first, at most.
    pub retries: u32,
    /// Statuses of responses in place of which another one is asked for.
    pub statuses: Vec<u16>,
    /// Whether it is tried again where no response came.
    pub errors: bool,
    /// Whether it is tried again where the response took too long.
    pub timeouts: bool,
    pub budget: RetryBudget,
}

/// What a plugin does when a service is tried again: it may change where the request goes, and how it looks there.
pub trait OnRetry: fmt::Debug {
    /// Called before each try but the first. The error says why there is none.
    fn retry(&self, exchange: &mut Exchange) -> Result<(), String>;
}

/// How a try has ended that is perhaps not the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryCause {
    /// There is no response, or what came is none.
    Error,
    Timeout,
    Status(u16),
}

/// How many tries there may be beside the first ones, so that a service that fails does not get a multiple of the
/// requests on top: in each window, a share of the requests, and a few in any case.
#[derive(Debug)]
pub struct RetryBudget {
    share: f64,
    least: u32,
    began: Instant,
    /// The number of the window in the upper half, and what there was in it in the lower.
    requests: AtomicU64,
    retries: AtomicU64,
}

impl RetryPolicy {
    /// Whether there is to be another try after so many. Asking is using up: it is asked when nothing else speaks
    /// against the try.
    pub fn allows(&self, cause: RetryCause, tries: usize, now: Instant) -> bool {
        let listed = match cause {
            RetryCause::Error => self.errors,
            RetryCause::Timeout => self.timeouts,
            RetryCause::Status(status) => self.statuses.contains(&status),
        };
        listed && u32::try_from(tries).is_ok_and(|tries| tries <= self.retries) && self.budget.take(now)
    }
}

impl RetryBudget {
    const WINDOW: Duration = Duration::from_secs(10);

    /// In each window, `share` of the requests, and `least` in any case.
    pub fn new(share: f64, least: u32) -> RetryBudget {
        let (requests, retries) = (AtomicU64::new(0), AtomicU64::new(0));
        RetryBudget { share, least, began: Instant::now(), requests, retries }
    }

    /// Notes a request.
    pub fn request(&self, now: Instant) {
        let window = self.window(now);
        let _ = self.requests.fetch_update(Relaxed, Relaxed, |word| Some(pack(window, count(word, window) + 1)));
    }

    fn take(&self, now: Instant) -> bool {
        let window = self.window(now);
        let most = f64::from(self.least) + self.share * count(self.requests.load(Relaxed), window) as f64;
        let one_more = |word| {
            let next = count(word, window) + 1;
            (next as f64 <= most).then(|| pack(window, next))
        };
        self.retries.fetch_update(Relaxed, Relaxed, one_more).is_ok()
    }

    fn window(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.began).as_secs() / RetryBudget::WINDOW.as_secs()
    }
}

fn pack(window: u64, count: u64) -> u64 {
    window << 32 | count.min(u64::from(u32::MAX))
}

/// What a word counts in a window.
fn count(word: u64, window: u64) -> u64 {
    if word >> 32 == window { word & u64::from(u32::MAX) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_requests_is_tried_again() {
        let budget = RetryBudget::new(0.2, 3);
        let now = budget.began;
        let taken = |now| (0..100).filter(|_| budget.take(now)).count();
        assert_eq!(taken(now), 3);
        (0..50).for_each(|_| budget.request(now));
        assert_eq!(taken(now), 10, "a fifth of the requests, beside those that were taken");
        assert_eq!(taken(now + RetryBudget::WINDOW), 3);
    }

    #[test]
    fn what_is_not_listed_costs_no_budget() {
        let policy = RetryPolicy {
            retries: 2,
            statuses: vec![503],
            errors: false,
            timeouts: true,
            budget: RetryBudget::new(0.0, 1),
        };
        let now = Instant::now();
        assert!(!policy.allows(RetryCause::Error, 1, now));
        assert!(!policy.allows(RetryCause::Status(502), 1, now));
        assert!(!policy.allows(RetryCause::Status(503), 3, now));
        assert!(policy.allows(RetryCause::Status(503), 2, now));
        assert!(!policy.allows(RetryCause::Timeout, 1, now), "the budget is used up");
    }
}
