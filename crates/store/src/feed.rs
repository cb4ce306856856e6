//! The feed of committed changes: the newest are kept in memory, older ones are only in the store itself.

use crate::{Change, Revision};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Shared by the backend, which publishes, and the store, which is asked.
#[derive(Debug)]
pub struct Feed {
    recent: Mutex<Recent>,
    newest: watch::Sender<Revision>,
}

#[derive(Debug)]
struct Recent {
    /// Everything after this revision is in `commits`.
    floor: Revision,
    commits: VecDeque<(Revision, Arc<[Change]>)>,
    /// The number of changes in all `commits`.
    len: usize,
    capacity: usize,
}

/// How many changes are kept: enough for a burst of writes while a snapshot is compiled.
pub const CAPACITY: usize = 4096;

impl Feed {
    /// A feed that starts at the revision of a store that was just opened.
    pub fn new(newest: Revision, capacity: usize) -> Feed {
        let recent = Recent { floor: newest, commits: VecDeque::new(), len: 0, capacity };
        Feed { recent: Mutex::new(recent), newest: watch::Sender::new(newest) }
    }

    /// Adds a commit. Revisions must grow.
    pub fn publish(&self, revision: Revision, changes: Vec<Change>) {
        {
            let mut recent = self.recent();
            recent.len += changes.len();
            recent.commits.push_back((revision, changes.into()));
            while recent.len > recent.capacity {
                let Some((dropped, changes)) = recent.commits.pop_front() else { break };
                recent.len -= changes.len();
                recent.floor = dropped;
            }
        }
        self.newest.send_replace(revision);
    }

    /// The changes after a revision and the revision they lead to; `None` when they are no longer kept (or never
    /// were: a revision from the future).
    pub fn since(&self, revision: Revision) -> Option<(Revision, Vec<Change>)> {
        let commits: Vec<(Revision, Arc<[Change]>)> = {
            let recent = self.recent();
            let newest = recent.commits.back().map_or(recent.floor, |(newest, _)| *newest);
            if revision < recent.floor || revision > newest {
                return None;
            }
            let start = recent.commits.partition_point(|(commit, _)| *commit <= revision);
            recent.commits.range(start..).cloned().collect()
        };
        let newest = commits.last().map_or(revision, |(newest, _)| *newest);
        Some((newest, commits.iter().flat_map(|(_, changes)| changes.iter().cloned()).collect()))
    }

    /// Lets go of all commits up to a revision: who follows has them. Records can be large, and thousands of them would
    /// otherwise stay in memory for nobody.
    pub fn forget(&self, until: Revision) {
        let mut recent = self.recent();
        while recent.commits.front().is_some_and(|(revision, _)| *revision <= until)
            && let Some((revision, changes)) = recent.commits.pop_front()
        {
            recent.len -= changes.len();
            recent.floor = revision;
        }
        // What a burst needed is not needed for ever.
        if recent.commits.is_empty() {
            recent.commits.shrink_to(64);
        }
    }

    pub fn watch(&self) -> watch::Receiver<Revision> {
        self.newest.subscribe()
    }

    /// No code that can panic runs under the lock, so a poisoned one is whole.
    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Operation;

    fn change(name: &str) -> Change {
        Change { operation: Operation::Put, entity: name.to_owned(), record: Default::default() }
    }

    fn names(feed: &Feed, revision: u64) -> Option<(u64, Vec<String>)> {
        feed.since(Revision(revision)).map(|(r, c)| (r.0, c.into_iter().map(|c| c.entity).collect()))
    }

    #[test]
    fn keeps_the_newest() {
        let feed = Feed::new(Revision(5), 3);
        assert_eq!(names(&feed, 5), Some((5, vec![])));
        assert_eq!(names(&feed, 4), None);
        assert_eq!(names(&feed, 6), None);
        let watch = feed.watch();
        feed.publish(Revision(6), vec![change("a")]);
        feed.publish(Revision(7), vec![change("b"), change("c")]);
        assert_eq!(names(&feed, 5), Some((7, vec!["a".into(), "b".into(), "c".into()])));
        feed.publish(Revision(8), vec![change("d")]);
        assert_eq!(names(&feed, 5), None);
        assert_eq!(names(&feed, 6), Some((8, vec!["b".into(), "c".into(), "d".into()])));
        assert_eq!(names(&feed, 8), Some((8, vec![])));
        assert_eq!(*watch.borrow(), Revision(8));
    }

    #[test]
    fn forgets_what_was_taken() {
        let feed = Feed::new(Revision(0), 9);
        feed.publish(Revision(1), vec![change("a"), change("b")]);
        feed.publish(Revision(2), vec![change("c")]);
        feed.forget(Revision(1));
        assert_eq!(names(&feed, 0), None);
        assert_eq!(names(&feed, 1), Some((2, vec!["c".into()])));
        feed.forget(Revision(5));
        assert_eq!(names(&feed, 1), None);
        assert_eq!(names(&feed, 2), Some((2, vec![])));
        assert_eq!(feed.recent().len, 0);
    }

    #[test]
    fn forgets_a_commit_larger_than_itself() {
        let feed = Feed::new(Revision(0), 2);
        feed.publish(Revision(1), vec![change("a"), change("b"), change("c")]);
        assert_eq!(names(&feed, 0), None);
        assert_eq!(names(&feed, 1), Some((1, vec![])));
    }
}
