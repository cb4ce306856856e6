//! `limit_rate` and `limit_rate_after`: how fast a client gets its response.

use std::time::{Duration, Instant};

/// The limit of each response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitRate {
    /// Octets per second.
    rate: u64,
    /// So many octets go before that counts.
    after: u64,
}

/// The limit of one response.
#[derive(Clone, Copy, Debug)]
pub struct RateLimiter {
    limit: LimitRate,
    started: Instant,
}

/// The share of a second's octets that is sent in one go; less would mean as many wake-ups as octets.
const SHARE: u64 = 8;
const MOST_AT_ONCE: u64 = 64 << 10;

impl LimitRate {
    /// `None` without a rate.
    pub fn new(rate: u64, after: u64) -> Option<LimitRate> {
        (rate > 0).then_some(LimitRate { rate, after })
    }

    /// Octets per second.
    pub fn rate(&self) -> u64 {
        self.rate
    }

    /// For a response that begins now.
    pub fn start(self, now: Instant) -> RateLimiter {
        RateLimiter { limit: self, started: now }
    }
}

impl RateLimiter {
    /// How many octets may go now, after `sent` of this response; or how long to wait before asking again. As nginx, a
    /// second's worth may go at once in the beginning.
    pub fn allowance(&self, now: Instant, sent: u64) -> Result<usize, Duration> {
        let LimitRate { rate, after } = self.limit;
        let elapsed = now.saturating_duration_since(self.started);
        let due = u128::from(after) + u128::from(rate) + u128::from(rate) * elapsed.as_millis() / 1000;
        let left = due.saturating_sub(u128::from(sent));
        let least = u128::from((rate / SHARE).clamp(1, MOST_AT_ONCE));
        if left >= least {
            return Ok(usize::try_from(left).unwrap_or(usize::MAX));
        }
        let missing = u128::from(sent) + least - due;
        let millis = (missing * 1000).div_ceil(u128::from(rate));
        Err(Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends as fast as allowed; when how much had gone.
    fn send(rate: u64, after: u64, total: u64) -> Duration {
        let start = Instant::now();
        let limiter = LimitRate::new(rate, after).unwrap().start(start);
        let (mut now, mut sent) = (start, 0);
        while sent < total {
            match limiter.allowance(now, sent) {
                Ok(n) => sent += u64::try_from(n).unwrap().min(total - sent),
                Err(wait) => {
                    assert!(!wait.is_zero());
                    now += wait;
                }
            }
        }
        now - start
    }

    #[test]
    fn a_response_takes_its_time() {
        assert_eq!(send(1000, 0, 1000), Duration::ZERO);
        let seconds = |rate, after, total| send(rate, after, total).as_secs_f64();
        assert!((3.9..4.1).contains(&seconds(1000, 0, 5000)));
        assert!((1.9..2.1).contains(&seconds(1000, 2000, 5000)));
        assert!((9.0..9.2).contains(&seconds(1 << 30, 0, 10 << 30)));
        assert!((4.0..=5.0).contains(&seconds(1, 0, 5)));
    }

    #[test]
    fn no_rate_no_limit() {
        assert_eq!(LimitRate::new(0, 5), None);
    }

    #[test]
    fn waits_are_not_for_single_octets() {
        let start = Instant::now();
        let limiter = LimitRate::new(8000, 0).unwrap().start(start);
        assert_eq!(limiter.allowance(start, 7500), Err(Duration::from_millis(63)));
        assert_eq!(limiter.allowance(start + Duration::from_millis(63), 7500), Ok(1004));
    }
}
