//! Wrong passwords (`admin_gui_auth_login_attempts`): after so many of them an administrator is refused for a while,
//! the right one included. Who does not exist is not kept track of, so that there are as many as administrators.

use super::options::GuiAuth;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// With so many it is time to forget what has lapsed: administrators come and go.
const SWEEP_AT: usize = 10_000;

/// What each administrator has had wrong of late, on this node.
pub struct Attempts {
    /// How many are allowed; 0: any number.
    limit: u32,
    ttl: Duration,
    by_admin: Mutex<HashMap<String, (u32, Instant)>>,
}

impl Attempts {
    pub fn new(gui: Option<&GuiAuth>) -> Attempts {
        let (limit, ttl) = gui.map_or((0, Duration::ZERO), |gui| (gui.attempts, gui.attempts_ttl));
        Attempts { limit, ttl, by_admin: Mutex::default() }
    }

    /// Counts an attempt of the administrator with that id; whether it succeeds. Of several at once, each counts those
    /// that came to their end before it.
    pub fn allow(&self, admin: &str, right: bool) -> bool {
        if self.limit == 0 {
            return right;
        }
        let mut by_admin = self.by_admin();
        if by_admin.len() >= SWEEP_AT {
            by_admin.retain(|_, (_, since)| since.elapsed() < self.ttl);
        }
        let (count, since) = by_admin.get(admin).copied().unwrap_or((0, Instant::now()));
        let (count, since) = if since.elapsed() < self.ttl { (count, since) } else { (0, Instant::now()) };
        if count >= self.limit {
            return false;
        }
        match right {
            true => by_admin.remove(admin),
            false => by_admin.insert(admin.to_owned(), (count + 1, since)),
        };
        right
    }

    /// What was wrong before does not count any more.
    pub fn forget(&self, admin: &str) {
        self.by_admin().remove(admin);
    }

    /// No code that can panic runs under the lock, so a poisoned one is whole.
    fn by_admin(&self) -> MutexGuard<'_, HashMap<String, (u32, Instant)>> {
        self.by_admin.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn administrators_are_refused_after_wrong_passwords() {
        let attempts = Attempts { limit: 2, ttl: Duration::from_secs(60), by_admin: Mutex::default() };
        assert!(!attempts.allow("ada", false));
        assert!(attempts.allow("ada", true));
        assert!(!attempts.allow("ada", false), "the right one has ended the count");
        assert!(!attempts.allow("ada", false));
        assert!(!attempts.allow("ada", true));
        assert!(attempts.allow("bob", true));
        attempts.forget("ada");
        assert!(attempts.allow("ada", true));
    }

    #[test]
    fn they_are_let_in_again_after_a_while() {
        let attempts = Attempts { limit: 1, ttl: Duration::ZERO, by_admin: Mutex::default() };
        assert!(!attempts.allow("ada", false));
        assert!(attempts.allow("ada", true));
    }

    #[test]
    fn any_number_is_allowed_by_default() {
        let attempts = Attempts::new(None);
        assert!(!attempts.allow("ada", false));
        assert!(attempts.allow("ada", true));
    }
}
