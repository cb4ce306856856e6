//! The feed of committed changes: kept in memory until all who follow have taken them, and no longer than there is
//! room.
//!
//! Revisions count the commits of this process; no database knows of them.

use crate::{Change, Revision};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{broadcast, watch};

/// Shared by the backend, which publishes, and by those who follow.
#[derive(Debug)]
pub struct Feed {
    recent: Mutex<Recent>,
    newest: watch::Sender<Revision>,
    announced: broadcast::Sender<Announcement>,
}

/// What another node says of something that is no record, or that a record has changed which no snapshot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    pub channel: String,
    pub data: String,
}

#[derive(Debug, Default)]
struct Recent {
    newest: Revision,
    /// Everything after this revision is in `commits`.
    floor: Revision,
    commits: VecDeque<(Revision, Arc<[Change]>)>,
    /// The number of changes in all `commits`.
    len: usize,
    capacity: usize,
    /// What each who follows has taken, by a number of its own.
    positions: HashMap<u64, Revision>,
    followers: u64,
}

/// One who follows the feed: takes all there is ([`crate::Store::replay`]), then every change.
#[derive(Debug)]
pub struct Follower {
    feed: Arc<Feed>,
    number: u64,
    newest: watch::Receiver<Revision>,
}

/// What a transaction has changed, in order. Very many changes are not listed, so that no transaction holds all
/// records in memory: who follows the feed reads everything then.
#[derive(Debug)]
pub struct Changes {
    listed: Option<Vec<Change>>,
    /// Something was changed of which who follows is not told.
    untold: bool,
    /// Under what plugins may keep it.
    outdated: Vec<String>,
}

/// How many changes are kept: enough for a burst of writes while a snapshot is compiled.
pub const CAPACITY: usize = 4096;
/// How many announcements wait for who hears them, as many as are found at once; older ones are missed.
const ANNOUNCEMENTS: usize = 1024;
/// Kong's channel for it.
const OUTDATED: &str = "invalidations";

impl Feed {
    /// A feed without a past.
    pub fn new(capacity: usize) -> Feed {
        let recent = Mutex::new(Recent { capacity, ..Recent::default() });
        Feed { recent, newest: watch::Sender::default(), announced: broadcast::Sender::new(ANNOUNCEMENTS) }
    }

    /// There are changes that are not known here: whoever follows has to read everything.
    pub fn lose(&self) -> Revision {
        self.publish(Changes { listed: None, ..Changes::default() })
    }

    /// Adds a commit under the next revision. What nobody is told of makes none.
    pub fn publish(&self, changes: Changes) -> Revision {
        for data in changes.outdated {
            self.announce(Announcement { channel: OUTDATED.to_owned(), data });
        }
        let mut recent = self.recent();
        if changes.listed.as_ref().is_some_and(Vec::is_empty) {
            return recent.newest;
        }
        recent.newest.0 += 1;
        let revision = recent.newest;
        match changes.listed {
            Some(changes) => {
                recent.len += changes.len();
                recent.commits.push_back((revision, changes.into()));
                recent.trim();
            }
            None => recent.forget_all(),
        }
        // Under the lock, so that it never goes back.
        self.newest.send_replace(revision);
        revision
    }

    /// The revision of the last commit.
    pub fn newest(&self) -> Revision {
        self.recent().newest
    }

    pub fn watch(&self) -> watch::Receiver<Revision> {
        self.newest.subscribe()
    }

    /// Another node has announced something.
    pub fn announce(&self, announcement: Announcement) {
        // Fails when nobody hears it.
        let _ = self.announced.send(announcement);
    }

    pub fn announcements(&self) -> broadcast::Receiver<Announcement> {
        self.announced.subscribe()
    }

    /// Begins to keep what is published for one more.
    pub fn follow(self: &Arc<Feed>) -> Follower {
        let mut recent = self.recent();
        recent.followers += 1;
        let (number, newest) = (recent.followers, recent.newest);
        recent.positions.insert(number, newest);
        Follower { feed: self.clone(), number, newest: self.newest.subscribe() }
    }

    /// No code that can panic runs under the lock, so a poisoned one is whole.
    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recent {
    /// Whatever was published has to be read from the store.
    fn forget_all(&mut self) {
        self.commits = VecDeque::new();
        self.len = 0;
        self.floor = self.newest;
    }

    /// Drops what everybody has taken, and what there is no room for.
    fn trim(&mut self) {
        let taken = self.positions.values().copied().min().unwrap_or(self.newest);
        while self.commits.front().is_some_and(|(revision, _)| *revision <= taken || self.len > self.capacity)
            && let Some((revision, changes)) = self.commits.pop_front()
        {
            self.len -= changes.len();
            self.floor = revision;
        }
        // What a burst needed is not needed for ever.
        if self.commits.is_empty() {
            self.commits.shrink_to(64);
        }
    }
}

impl Follower {
    /// The changes since those that were taken, commit by commit, and the revision that they lead to. `None`: they
    /// are not kept any more, everything has to be read.
    pub fn changes(&mut self) -> Option<(Revision, Vec<Arc<[Change]>>)> {
        self.newest.mark_unchanged();
        let recent = self.feed.recent();
        let position = recent.positions.get(&self.number).copied().unwrap_or_default();
        if position < recent.floor {
            return None;
        }
        let start = recent.commits.partition_point(|(commit, _)| *commit <= position);
        Some((recent.newest, recent.commits.range(start..).map(|(_, changes)| changes.clone()).collect()))
    }

    /// Says that everything up to a revision has been taken.
    pub fn taken(&mut self, until: Revision) {
        let mut recent = self.feed.recent();
        recent.positions.insert(self.number, until);
        recent.trim();
    }

    /// Waits for a commit since the last call of [`Follower::changes`].
    pub async fn changed(&mut self) {
        // The feed outlives whoever follows it.
        let _ = self.newest.changed().await;
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut recent = self.feed.recent();
        recent.positions.remove(&self.number);
        recent.trim();
    }
}

impl Default for Changes {
    fn default() -> Changes {
        Changes { listed: Some(Vec::new()), untold: false, outdated: Vec::new() }
    }
}

impl Changes {
    /// Whether nothing was changed at all.
    pub fn is_empty(&self) -> bool {
        !self.untold && self.listed.as_ref().is_some_and(Vec::is_empty)
    }

    /// All of them; `None`: they are too many to be listed.
    pub fn listed(&self) -> Option<&[Change]> {
        self.listed.as_deref()
    }

    /// Notes a change of what no snapshot holds: it is to be made durable, and nobody is told.
    pub fn push_untold(&mut self) {
        self.untold = true;
    }

    /// What is kept under that key is no longer so. Very many are none, which stands for all.
    pub fn push_outdated(&mut self, key: String) {
        match self.outdated.len() {
            ANNOUNCEMENTS => self.outdated = vec![String::new()],
            1 if self.outdated[0].is_empty() => {}
            _ => self.outdated.push(key),
        }
    }

    /// They are too many to be listed.
    pub fn unlist(&mut self) {
        self.listed = None;
    }

    pub fn push(&mut self, change: Change) {
        if let Some(listed) = &mut self.listed {
            listed.push(change);
            if listed.len() > CAPACITY {
                self.unlist();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Operation;

    fn feed(capacity: usize) -> Arc<Feed> {
        Arc::new(Feed::new(capacity))
    }

    fn publish(feed: &Feed, names: &[&str]) -> Revision {
        let mut changes = Changes::default();
        for name in names {
            let change = Change::new(Operation::Put, (*name).to_owned(), Default::default());
            changes.push(change);
        }
        feed.publish(changes)
    }

    /// What is new to a follower, and the revision that it leads to.
    fn news(follower: &mut Follower) -> Option<(u64, Vec<String>)> {
        let (revision, commits) = follower.changes()?;
        Some((revision.0, commits.iter().flat_map(|changes| changes.iter()).map(|c| c.entity.clone()).collect()))
    }

    fn some(revision: u64, names: &[&str]) -> Option<(u64, Vec<String>)> {
        Some((revision, names.iter().map(|name| (*name).to_owned()).collect()))
    }

    #[test]
    fn each_follower_gets_everything() {
        let feed = feed(9);
        let mut first = feed.follow();
        assert_eq!(news(&mut first), some(0, &[]));
        publish(&feed, &["a"]);
        let mut second = feed.follow();
        publish(&feed, &["b", "c"]);
        assert_eq!(news(&mut first), some(2, &["a", "b", "c"]));
        first.taken(Revision(2));
        assert_eq!(news(&mut first), some(2, &[]));
        assert_eq!(news(&mut second), some(2, &["b", "c"]));
        assert_eq!(news(&mut second), some(2, &["b", "c"]), "until it says that it has taken them");
        second.taken(Revision(2));
        assert_eq!(feed.recent().commits.len(), 0);
        assert_eq!(*feed.watch().borrow(), Revision(2));
    }

    #[test]
    fn nothing_is_kept_for_nobody() {
        let feed = feed(9);
        publish(&feed, &["a"]);
        assert_eq!(feed.recent().commits.len(), 0);
        let follower = feed.follow();
        publish(&feed, &["b"]);
        assert_eq!(feed.recent().len, 1);
        drop(follower);
        assert_eq!(feed.recent().len, 0);
    }

    #[test]
    fn who_is_too_slow_reads_everything() {
        let feed = feed(2);
        let (mut slow, mut quick) = (feed.follow(), feed.follow());
        publish(&feed, &["a", "b"]);
        quick.taken(Revision(1));
        publish(&feed, &["c"]);
        assert_eq!(news(&mut slow), None);
        assert_eq!(news(&mut quick), some(2, &["c"]));
        slow.taken(Revision(2));
        publish(&feed, &["d"]);
        assert_eq!(news(&mut slow), some(3, &["d"]));
    }

    #[test]
    fn so_does_everybody_after_very_many_changes() {
        let feed = feed(CAPACITY);
        let mut follower = feed.follow();
        publish(&feed, &["a"]);
        publish(&feed, &vec!["b"; CAPACITY + 1]);
        assert_eq!(news(&mut follower), None);
        follower.taken(Revision(2));
        publish(&feed, &vec!["c"; CAPACITY]);
        assert_eq!(news(&mut follower).unwrap().1.len(), CAPACITY);
    }

    #[tokio::test]
    async fn commits_wake_who_follows() {
        let feed = feed(9);
        let mut follower = feed.follow();
        publish(&feed, &["a"]);
        follower.changed().await;
        assert_eq!(news(&mut follower), some(1, &["a"]));
        let waiting = tokio::spawn(async move {
            follower.changed().await;
            news(&mut follower)
        });
        publish(&feed, &["b"]);
        assert_eq!(waiting.await.unwrap(), some(2, &["a", "b"]));
    }
}
