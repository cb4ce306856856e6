//! Wrong passwords: after so many of them a name is refused for a while, the right one included.

use super::options::GuiAuth;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many names are kept track of; with more, whoever is new is refused until there is room again.
const NAMES: usize = 10_000;

/// What each name has had wrong of late, on this node.
pub struct Attempts {
    /// How many are allowed; 0: any number.
    limit: u32,
    ttl: Duration,
    names: Mutex<HashMap<String, (u32, Instant)>>,
}

impl Attempts {
    pub fn new(gui: Option<&GuiAuth>) -> Attempts {
        let (limit, ttl) = gui.map_or((0, Duration::ZERO), |gui| (gui.attempts, gui.attempts_ttl));
        Attempts { limit, ttl, names: Mutex::default() }
    }

    /// Whether a name is refused.
    pub fn are_used_up(&self, name: &str) -> bool {
        if self.limit == 0 {
            return false;
        }
        let mut names = self.names();
        if names.len() >= NAMES {
            names.retain(|_, (_, since)| since.elapsed() < self.ttl);
        }
        match names.get(name) {
            Some((count, since)) => *count >= self.limit && since.elapsed() < self.ttl,
            None => names.len() >= NAMES,
        }
    }

    /// The password was wrong.
    pub fn note(&self, name: &str) {
        if self.limit > 0 {
            let mut names = self.names();
            let (count, since) = names.entry(name.to_owned()).or_insert((0, Instant::now()));
            if since.elapsed() >= self.ttl {
                (*count, *since) = (0, Instant::now());
            }
            *count = count.saturating_add(1);
        }
    }

    /// The password was right.
    pub fn forget(&self, name: &str) {
        self.names().remove(name);
    }

    /// No code that can panic runs under the lock, so a poisoned one is whole.
    fn names(&self) -> MutexGuard<'_, HashMap<String, (u32, Instant)>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_refused_after_wrong_passwords() {
        let attempts = Attempts { limit: 2, ttl: Duration::from_secs(60), names: Mutex::default() };
        attempts.note("ada");
        assert!(!attempts.are_used_up("ada"));
        attempts.note("ada");
        assert!(attempts.are_used_up("ada"));
        assert!(!attempts.are_used_up("bob"));
        attempts.forget("ada");
        assert!(!attempts.are_used_up("ada"));
    }

    #[test]
    fn any_number_is_allowed_by_default() {
        let attempts = Attempts::new(None);
        attempts.note("ada");
        assert!(!attempts.are_used_up("ada"));
    }
}
