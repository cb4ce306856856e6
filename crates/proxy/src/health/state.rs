//! The state machine of one address: counters of successes and failures, and when they turn its health.
//!
//! As Kong's health checker counts: a success forgets the failures and the other way round, each kind of failure has a
//! counter and a threshold of its own, and a threshold of 0 switches that kind off (it then resets nothing either).

use super::Outcome;
use model::entities::{ActiveChecks, Healthchecks, PassiveChecks, Upstream};
use std::sync::atomic::{AtomicU64, Ordering};

/// What was seen of an address, by a probe or by a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    Success,
    HttpFailure,
    TcpFailure,
    Timeout,
}

/// When an address turns healthy or unhealthy.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    healthy: Statuses,
    unhealthy: Statuses,
    successes: u8,
    http_failures: u8,
    tcp_failures: u8,
    timeouts: u8,
}

/// The rules of an upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct Checks {
    pub active: Rules,
    pub passive: Rules,
}

/// The health of one address: four counters of eight bits and a state, changed as one.
#[derive(Debug, Default)]
pub struct Health(AtomicU64);

/// A set of HTTP statuses.
#[derive(Clone, Debug, PartialEq)]
struct Statuses([u64; 16]);

const HEALTHY: u64 = 0;
const MOSTLY_HEALTHY: u64 = 1;
const MOSTLY_UNHEALTHY: u64 = 2;
const UNHEALTHY: u64 = 3;
const STATE_SHIFT: u32 = 32;
const SUCCESSES: u64 = 0xff;
const FAILURES: u64 = 0xffff_ff00;

impl Checks {
    /// The rules of an upstream; `None` when nothing there could ever turn an address unhealthy, which is what Kong
    /// calls health checks being off.
    pub fn of(upstream: &Upstream) -> Option<Checks> {
        let Healthchecks { active, passive, .. } = &upstream.healthchecks;
        let on = !active.healthy_interval.is_zero()
            || !active.unhealthy_interval.is_zero()
            || passive.tcp_failures != 0
            || passive.timeouts != 0
            || passive.http_failures != 0;
        on.then(|| Checks { active: Rules::active(active), passive: Rules::passive(passive) })
    }
}

impl Rules {
    fn active(checks: &ActiveChecks) -> Rules {
        Rules {
            healthy: Statuses::of(&checks.healthy_statuses),
            unhealthy: Statuses::of(&checks.unhealthy_statuses),
            successes: checks.successes,
            http_failures: checks.http_failures,
            tcp_failures: checks.tcp_failures,
            timeouts: checks.timeouts,
        }
    }

    fn passive(checks: &PassiveChecks) -> Rules {
        Rules {
            healthy: Statuses::of(&checks.healthy_statuses),
            unhealthy: Statuses::of(&checks.unhealthy_statuses),
            successes: checks.successes,
            http_failures: checks.http_failures,
            tcp_failures: checks.tcp_failures,
            timeouts: checks.timeouts,
        }
    }

    /// What an outcome means; `None`: nothing.
    pub fn report(&self, outcome: Outcome) -> Option<Report> {
        match outcome {
            Outcome::Status(status) => self.classify(status),
            Outcome::Connected => Some(Report::Success),
            Outcome::TcpFailure | Outcome::TlsFailure => Some(Report::TcpFailure),
            Outcome::Timeout => Some(Report::Timeout),
            Outcome::LocalFault => None,
        }
    }

    /// Whether an outcome is none of a failure, or of a fault of our own.
    pub fn is_good(&self, outcome: Outcome) -> bool {
        outcome != Outcome::LocalFault && matches!(self.report(outcome), Some(Report::Success) | None)
    }

    /// Whether it counts against the address.
    pub fn is_failure(&self, outcome: Outcome) -> bool {
        !matches!(self.report(outcome), Some(Report::Success) | None)
    }

    /// What an HTTP status means; `None`: nothing. 0 stands for an answer that is no HTTP.
    fn classify(&self, status: u16) -> Option<Report> {
        if self.healthy.contains(status) {
            Some(Report::Success)
        } else if status == 0 || self.unhealthy.contains(status) {
            Some(Report::HttpFailure)
        } else {
            None
        }
    }

    fn limit(&self, report: Report) -> u8 {
        match report {
            Report::Success => self.successes,
            Report::HttpFailure => self.http_failures,
            Report::TcpFailure => self.tcp_failures,
            Report::Timeout => self.timeouts,
        }
    }
}

impl Health {
    /// Whether the address takes requests.
    #[inline]
    pub fn is_available(&self) -> bool {
        self.0.load(Ordering::Relaxed) >> STATE_SHIFT <= MOSTLY_HEALTHY
    }

    /// Counts a report. The result is the new availability when this report has changed it.
    pub fn count(&self, report: Report, rules: &Rules) -> Option<bool> {
        let limit = rules.limit(report);
        let step = |word| next(word, report, limit);
        // The usual case, a success of a healthy address, writes nothing.
        let before = self.0.fetch_update(Ordering::AcqRel, Ordering::Relaxed, step).ok()?;
        let after = step(before)?;
        let (was, is) = (before >> STATE_SHIFT <= MOSTLY_HEALTHY, after >> STATE_SHIFT <= MOSTLY_HEALTHY);
        (was != is).then_some(is)
    }

    /// Sets the state by hand and forgets what was counted. The result is whether this changed the availability.
    pub fn set(&self, healthy: bool) -> bool {
        let state = if healthy { HEALTHY } else { UNHEALTHY };
        let before = self.0.swap(state << STATE_SHIFT, Ordering::AcqRel);
        (before >> STATE_SHIFT <= MOSTLY_HEALTHY) != healthy
    }
}

impl Statuses {
    fn of(statuses: &[u16]) -> Statuses {
        let mut bits = [0; 16];
        for &status in statuses.iter().filter(|&&s| s < 1024) {
            bits[status as usize / 64] |= 1 << (status % 64);
        }
        Statuses(bits)
    }

    fn contains(&self, status: u16) -> bool {
        self.0.get(status as usize / 64).is_some_and(|bits| bits >> (status % 64) & 1 != 0)
    }
}

/// The word after a report; `None` when the report changes nothing.
fn next(word: u64, report: Report, limit: u8) -> Option<u64> {
    let state = word >> STATE_SHIFT;
    let (full, shift, keep) = match report {
        Report::Success => (HEALTHY, 0, SUCCESSES),
        Report::HttpFailure => (UNHEALTHY, 8, FAILURES),
        Report::TcpFailure => (UNHEALTHY, 16, FAILURES),
        Report::Timeout => (UNHEALTHY, 24, FAILURES),
    };
    if limit == 0 || state == full {
        return None;
    }
    let count = ((word >> shift & 0xff) + 1).min(0xff);
    let counters = (word & keep & !(0xff << shift)) | count << shift;
    let state = match state {
        _ if count >= u64::from(limit) => full,
        HEALTHY => MOSTLY_HEALTHY,
        UNHEALTHY => MOSTLY_UNHEALTHY,
        between => between,
    };
    Some(state << STATE_SHIFT | counters)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Report::{HttpFailure, Success, TcpFailure, Timeout};

    fn rules(successes: u8, http_failures: u8, tcp_failures: u8, timeouts: u8) -> Rules {
        Rules {
            healthy: Statuses::of(&[200, 302]),
            unhealthy: Statuses::of(&[429, 500]),
            successes,
            http_failures,
            tcp_failures,
            timeouts,
        }
    }

    /// Plays reports and shows the availability after each.
    fn play(rules: &Rules, start: bool, reports: &[Report]) -> Vec<bool> {
        let health = Health::default();
        health.set(start);
        let after = |report: &Report| {
            let was = health.is_available();
            let turned = health.count(*report, rules);
            assert_eq!(turned, (was != health.is_available()).then_some(health.is_available()), "a turn is told once");
            health.is_available()
        };
        reports.iter().map(after).collect()
    }

    #[test]
    fn failures_in_a_row_turn_an_address() {
        assert_eq!(play(&rules(1, 2, 0, 0), true, &[HttpFailure, HttpFailure, HttpFailure]), [true, false, false]);
        assert_eq!(play(&rules(1, 0, 1, 0), true, &[HttpFailure, TcpFailure]), [true, false]);
        assert_eq!(play(&rules(1, 0, 0, 3), true, &[Timeout, Timeout, Timeout]), [true, true, false]);
    }

    #[test]
    fn a_success_forgets_the_failures() {
        assert_eq!(
            play(&rules(1, 2, 0, 0), true, &[HttpFailure, Success, HttpFailure, Success, HttpFailure]),
            [true; 5]
        );
        assert_eq!(
            play(&rules(2, 2, 0, 0), true, &[HttpFailure, Success, HttpFailure, HttpFailure]),
            [true, true, true, false]
        );
    }

    #[test]
    fn successes_that_are_off_forget_nothing() {
        assert_eq!(play(&rules(0, 2, 0, 0), true, &[HttpFailure, Success, HttpFailure]), [true, true, false]);
        assert_eq!(play(&rules(0, 2, 0, 0), false, &[Success, Success]), [false, false]);
    }

    #[test]
    fn kinds_of_failure_count_apart() {
        assert_eq!(
            play(&rules(1, 2, 2, 2), true, &[HttpFailure, TcpFailure, Timeout, TcpFailure]),
            [true, true, true, false]
        );
    }

    #[test]
    fn successes_in_a_row_bring_an_address_back() {
        assert_eq!(play(&rules(2, 1, 1, 0), false, &[Success, Success]), [false, true]);
        assert_eq!(
            play(&rules(2, 2, 2, 0), false, &[Success, HttpFailure, Success, Success]),
            [false, false, false, true]
        );
        let turns = play(&rules(1, 1, 0, 0), true, &[HttpFailure, Success, HttpFailure, Success]);
        assert_eq!(turns, [false, true, false, true]);
    }

    #[test]
    fn thresholds_up_to_the_largest_are_reached() {
        let turns = play(&rules(1, 255, 0, 0), true, &[HttpFailure; 256]);
        assert_eq!(turns.iter().filter(|up| !**up).count(), 2);
    }

    #[test]
    fn setting_by_hand_starts_the_count_again() {
        let (health, rules) = (Health::default(), rules(1, 2, 0, 0));
        health.count(HttpFailure, &rules);
        assert!(!health.set(true));
        assert_eq!(health.count(HttpFailure, &rules), None);
        assert_eq!(health.count(HttpFailure, &rules), Some(false));
        assert!(health.set(true));
    }

    #[test]
    fn statuses_are_classified() {
        let rules = rules(1, 1, 1, 1);
        let meaning: Vec<Option<Report>> =
            [200, 302, 429, 500, 404, 0, 999, 65_535].iter().map(|s| rules.classify(*s)).collect();
        let (good, bad) = (Some(Success), Some(HttpFailure));
        assert_eq!(meaning, [good, good, bad, bad, None, bad, None, None]);
    }
}
