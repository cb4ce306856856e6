//! `proxy_next_upstream` and what belongs to it: when a request is given to another target.

use std::time::Duration;

/// When another target is tried, beside the `retries` of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextUpstream {
    error: bool,
    timeout: bool,
    invalid_header: bool,
    /// Requests that may have been acted upon are repeated whatever their method.
    non_idempotent: bool,
    statuses: Vec<u16>,
    /// Most tries; 0: as many as the service allows.
    pub tries: u64,
    /// No other target is tried when that has passed since the first try; zero: always.
    pub timeout_after: Duration,
}

/// What a try came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The connection could not be made, or broke.
    Error,
    Timeout,
    /// The answer was not HTTP.
    InvalidHeader,
    /// A response with this status.
    Status(u16),
}

/// nginx's default: `error timeout`.
impl Default for NextUpstream {
    fn default() -> NextUpstream {
        NextUpstream {
            error: true,
            timeout: true,
            invalid_header: false,
            non_idempotent: false,
            statuses: Vec::new(),
            tries: 0,
            timeout_after: Duration::ZERO,
        }
    }
}

impl NextUpstream {
    /// From the words of `proxy_next_upstream`.
    pub fn parse(words: &[String]) -> Result<NextUpstream, String> {
        let mut next = NextUpstream { error: false, timeout: false, ..NextUpstream::default() };
        for word in words {
            match word.as_str() {
                "error" => next.error = true,
                "timeout" => next.timeout = true,
                "invalid_header" => next.invalid_header = true,
                "non_idempotent" => next.non_idempotent = true,
                "http_500" => next.statuses.push(500),
                "http_502" => next.statuses.push(502),
                "http_503" => next.statuses.push(503),
                "http_504" => next.statuses.push(504),
                "http_403" => next.statuses.push(403),
                "http_404" => next.statuses.push(404),
                "http_429" => next.statuses.push(429),
                // It concerns nginx's cache.
                "updating" => {}
                "off" => return Ok(NextUpstream { error: false, timeout: false, ..NextUpstream::default() }),
                _ => return Err(format!("invalid value \"{word}\"")),
            }
        }
        Ok(next)
    }

    /// Whether another target may be tried after a failure. `repeatable`: asking twice is as good as once, by the
    /// method; `sent`: the service may have got the request.
    pub fn retries(&self, failure: Failure, repeatable: bool, sent: bool) -> bool {
        let listed = match failure {
            Failure::Error => self.error,
            Failure::Timeout => self.timeout,
            Failure::InvalidHeader => self.invalid_header,
            Failure::Status(status) => self.statuses.contains(&status),
        };
        listed && (!sent || repeatable || self.non_idempotent)
    }

    /// Whether any status of a response leads to another try.
    pub fn has_statuses(&self) -> bool {
        !self.statuses.is_empty()
    }

    /// Whether so many tries, the first of them that long ago, leave room for another.
    pub fn leaves_room(&self, tries: usize, since_first: Duration) -> bool {
        let within = |most: u64| u64::try_from(tries).is_ok_and(|tries| tries < most);
        (self.tries == 0 || within(self.tries)) && (self.timeout_after.is_zero() || since_first < self.timeout_after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(words: &str) -> NextUpstream {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        NextUpstream::parse(&words).unwrap()
    }

    #[test]
    fn by_default_failures_are_tried_again() {
        let usual = NextUpstream::default();
        assert_eq!(usual, next("error timeout"));
        for (failure, repeatable, sent, again) in [
            (Failure::Error, true, true, true),
            (Failure::Timeout, true, true, true),
            (Failure::Timeout, false, true, false),
            (Failure::Error, false, false, true),
            (Failure::InvalidHeader, true, true, false),
            (Failure::Status(502), true, true, false),
        ] {
            assert_eq!(usual.retries(failure, repeatable, sent), again, "{failure:?}");
        }
        assert!(!usual.has_statuses());
    }

    #[test]
    fn other_choices() {
        let all = next("timeout invalid_header http_502 http_429 non_idempotent");
        assert!(all.has_statuses());
        for (failure, again) in [
            (Failure::Error, false),
            (Failure::Timeout, true),
            (Failure::InvalidHeader, true),
            (Failure::Status(502), true),
            (Failure::Status(503), false),
            (Failure::Status(429), true),
        ] {
            assert_eq!(all.retries(failure, false, true), again, "{failure:?}");
        }
        assert!(!next("error off").retries(Failure::Error, true, false));
        assert!(NextUpstream::parse(&["http_501".to_owned()]).is_err());
    }

    #[test]
    fn tries_and_time() {
        let minute = Duration::from_secs(60);
        assert!(NextUpstream::default().leaves_room(100, minute));
        let bounded = NextUpstream { tries: 2, timeout_after: minute, ..NextUpstream::default() };
        assert!(bounded.leaves_room(1, minute / 2));
        assert!(!bounded.leaves_room(2, minute / 2));
        assert!(!bounded.leaves_room(1, minute));
    }
}
