//! Tokens that a worker has found to be signed by their callers: clients show the same one again and again.
//!
//! An entry says what was verified, and by which record; whether its time is over stays for each request to see. It is
//! found by the hash of the token, which is kept nowhere, and it is good only while that record is the one in force.

use aws_lc_rs::digest::{SHA256, digest};
use foldhash::fast::RandomState;
use sdk::entities::Credential;
use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::mem;
use std::ops::Deref;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};

/// What is kept of a token whose signature was verified.
struct Verified {
    /// By which its credential is found.
    key: Box<str>,
    times: Times,
    /// What was made of the record of that credential.
    record: Weak<dyn Any + Send + Sync>,
}

/// When a token is good, in seconds since 1970, as far as it says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Times {
    pub expires: Option<f64>,
    pub not_before: Option<f64>,
}

/// A token, for one instance of the plugin: others may look for the key elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entry {
    hash: [u8; 32],
    instance: u64,
}

/// The entries of a worker. When there are too many, those that were not used since it was last so are forgotten.
#[derive(Default)]
struct Kept {
    recent: HashMap<Entry, Verified, RandomState>,
    former: HashMap<Entry, Verified, RandomState>,
}

/// How many are kept in either half, of at most some 300 octets.
const MOST: usize = 4096;
/// Longer keys are not kept.
const LONGEST_KEY: usize = 128;

thread_local! {
    static KEPT: RefCell<Kept> = RefCell::default();
}

/// A number that no other instance has.
pub fn instance() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Relaxed)
}

impl Entry {
    pub fn of(token: &[u8], instance: u64) -> Entry {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, token).as_ref());
        Entry { hash, instance }
    }

    /// The credential by which it was verified, if that was so and it is still the one that `find` finds by its key.
    pub fn find<C: Deref<Target = Credential>>(&self, find: impl FnOnce(&str) -> Option<C>) -> Option<(C, Times)> {
        KEPT.with_borrow_mut(|kept| {
            let verified = kept.find(self)?;
            let credential = find(&verified.key)?;
            // While it is kept, no other record is at its place in memory.
            let record = credential.parsed.as_ref().map(Arc::as_ptr);
            record
                .is_some_and(|record| ptr::addr_eq(record, verified.record.as_ptr()))
                .then_some((credential, verified.times))
        })
    }

    /// Keeps that it was verified by that credential.
    pub fn keep(self, credential: &Credential, times: Times) {
        let Some(record) = credential.parsed.as_ref().filter(|_| credential.key.len() <= LONGEST_KEY) else { return };
        let verified = Verified { key: credential.key.clone(), times, record: Arc::downgrade(record) };
        KEPT.with_borrow_mut(|kept| kept.put(self, verified));
    }
}

impl Kept {
    fn find(&mut self, entry: &Entry) -> Option<&Verified> {
        if !self.recent.contains_key(entry) {
            let verified = self.former.remove(entry)?;
            self.put(*entry, verified);
        }
        self.recent.get(entry)
    }

    fn put(&mut self, entry: Entry, verified: Verified) {
        if self.recent.len() == MOST {
            self.former = mem::take(&mut self.recent);
        }
        self.recent.insert(entry, verified);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdk::Parsed;
    use sdk::entities::{DEFAULT_WORKSPACE, Uuid};

    const TIMES: Times = Times { expires: Some(5.0), not_before: None };

    fn credential(record: &Parsed) -> Box<Credential> {
        let (id, parsed) = (Uuid::nil(), Some(Arc::clone(record)));
        Box::new(Credential { id, workspace: DEFAULT_WORKSPACE, consumer: None, expiry: None, key: "k".into(), parsed })
    }

    fn finds(entry: &Entry, record: &Parsed) -> bool {
        let found = entry.find(|key| (key == "k").then(|| credential(record)));
        found.is_some_and(|(_, times)| times == TIMES)
    }

    #[test]
    fn entries_are_of_one_record_and_one_instance() {
        let (record, other): (Parsed, Parsed) = (Arc::new(1u8), Arc::new(1u8));
        let number = instance();
        let entry = Entry::of(b"token", number);
        assert!(!finds(&entry, &record));
        entry.keep(&credential(&record), TIMES);
        assert!(finds(&entry, &record));
        assert!(!finds(&entry, &other));
        assert!(entry.find(|_| None::<Box<Credential>>).is_none());
        assert!(!finds(&Entry::of(b"token", instance()), &record));
        assert!(!finds(&Entry::of(b"tokem", number), &record));
        drop(record);
        assert!(!finds(&entry, &(Arc::new(1u8) as Parsed)));
    }

    #[test]
    fn what_is_not_used_is_forgotten() {
        let record: Parsed = Arc::new(1u8);
        let number = instance();
        let entry = |n: usize| Entry::of(&n.to_le_bytes(), number);
        for n in 0..3 * MOST {
            entry(n).keep(&credential(&record), TIMES);
            assert!(finds(&entry(0), &record));
        }
        assert!(!finds(&entry(1), &record));
        KEPT.with_borrow(|kept| assert!(kept.recent.len() + kept.former.len() <= 2 * MOST));
    }
}
