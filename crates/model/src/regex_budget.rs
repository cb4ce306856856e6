//! The regular expressions of one route: compiled in one way, and bounded together, when the record is written and
//! when the router takes it.

use regex::{Regex, RegexBuilder};

/// What the regular expressions of one route may take, compiled (bytes). The `regex` crate, and Kong by it, allows
/// that much for a single one.
pub const ROUTE_LIMIT: usize = 10 << 20;
/// What one regular expression may keep for its lazily built automaton, per thread (bytes).
const CACHE: usize = 256 << 10;
/// The smallest size that is told from others.
const SMALLEST: usize = 4 << 10;

/// What is left for the regular expressions of one route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegexBudget {
    left: usize,
}

impl RegexBudget {
    /// The whole budget of a route.
    pub fn new() -> RegexBudget {
        RegexBudget { left: ROUTE_LIMIT }
    }

    /// Compiles a pattern; its size, rounded up to a power of two, is taken from the budget.
    pub fn compile(&mut self, pattern: &str, ignore_case: bool) -> Result<Regex, regex::Error> {
        let mut size = SMALLEST;
        loop {
            let limit = size.min(self.left);
            let compiled = RegexBuilder::new(pattern)
                .case_insensitive(ignore_case)
                .size_limit(limit)
                .dfa_size_limit(CACHE)
                .build();
            match compiled {
                // The library does not tell how large a program is, only whether it is larger than a limit.
                Err(regex::Error::CompiledTooBig(_)) if limit < self.left => size *= 2,
                Ok(regex) => {
                    self.left -= limit;
                    return Ok(regex);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes the size of a regular expression that has been compiled before.
    pub fn take(&mut self, size: usize) {
        self.left = self.left.saturating_sub(size);
    }

    /// How much has been taken (bytes).
    pub fn used(self) -> usize {
        ROUTE_LIMIT - self.left
    }
}

impl Default for RegexBudget {
    fn default() -> RegexBudget {
        RegexBudget::new()
    }
}

/// What is wrong with a pattern, in one line: the parser's verdict without its drawing of the pattern.
pub fn verdict(error: &regex::Error) -> String {
    match error {
        // The limit is that of the whole route, whatever was left of it.
        regex::Error::CompiledTooBig(_) => format!("Compiled regex exceeds size limit of {ROUTE_LIMIT} bytes."),
        error => {
            let text = error.to_string();
            text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_patterns_cost_little() {
        let mut budget = RegexBudget::new();
        for _ in 0..1000 {
            assert!(budget.compile("^/users/[0-9]+$", false).is_ok());
        }
        assert!(budget.used() <= ROUTE_LIMIT / 2, "{}", budget.used());
    }

    #[test]
    fn one_pattern_may_take_all() {
        let mut budget = RegexBudget::new();
        assert!(budget.compile(r"^/\w{100}$", false).is_ok());
        assert!(budget.used() > 1 << 20, "{}", budget.used());
    }

    #[test]
    fn many_patterns_share_one_limit() {
        let mut budget = RegexBudget::new();
        let refused = (0..100).find_map(|n| budget.compile(&format!(r"^/{n}/\w{{50}}$"), false).err());
        let message = refused.as_ref().map(verdict);
        assert_eq!(message.as_deref(), Some("Compiled regex exceeds size limit of 10485760 bytes."));
    }

    #[test]
    fn a_broken_pattern_is_told_from_a_large_one() {
        let error = RegexBudget::new().compile("/(a", false).err();
        assert_eq!(error.as_ref().map(verdict).as_deref(), Some("unclosed group"));
    }
}
