//! The thread that writes: takes what waits, commits it at once, then tells the feed and the callers.

use super::connection::{Commits, Connection};
use crate::Revision;
use crate::backend::{Work, failure};
use crate::feed::Changes;
use model::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, PoisonError, mpsc};
use std::time::Duration;
use tokio::sync::oneshot;

/// A write and who waits for it.
pub struct Job {
    pub work: Work,
    pub answer: oneshot::Sender<Result<Revision, Error>>,
}

/// The state of the writing thread.
pub struct WriterThread {
    connection: Connection,
    commits: Arc<Commits>,
    /// What the file said when it was looked at last.
    version: Option<i64>,
}

/// A write whose effects are in the open transaction.
struct Done {
    answer: oneshot::Sender<Result<Revision, Error>>,
    result: Result<Changes, Error>,
}

/// How many writes share a commit at most, so that the first of them is not kept waiting.
const GROUP: usize = 64;
/// How often it is looked whether another process has written, where nothing else happens.
const LOOK: Duration = Duration::from_secs(1);

impl WriterThread {
    pub fn new(connection: Connection, commits: Arc<Commits>) -> WriterThread {
        let version = connection.data_version().ok();
        WriterThread { connection, commits, version }
    }

    /// Works until all senders are gone.
    pub fn run(mut self, jobs: mpsc::Receiver<Job>) {
        loop {
            match jobs.recv_timeout(LOOK) {
                Ok(first) => {
                    let waiting = std::iter::once(first).chain(std::iter::from_fn(|| jobs.try_recv().ok()));
                    self.group(waiting.take(GROUP));
                }
                Err(RecvTimeoutError::Timeout) => self.look(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Takes note of what another process has committed (`bascule config db_import`): its changes are in the file
    /// alone.
    fn look(&mut self) {
        // A file that cannot be read is reported where something is wanted of it.
        let Ok(version) = self.connection.data_version() else { return };
        if self.version.replace(version).is_some_and(|before| before != version) {
            let _under_way = self.commits.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            self.commits.feed.lose();
        }
    }

    fn group(&mut self, jobs: impl Iterator<Item = Job>) {
        if let Err(error) = self.connection.execute("BEGIN IMMEDIATE") {
            jobs.for_each(|job| answer(job.answer, Err(error.clone())));
            return;
        }
        // From here on, nobody else writes.
        self.look();
        let mut group: Vec<Done> = Vec::new();
        for job in jobs {
            let result = self.savepoint(job.work);
            group.push(Done { answer: job.answer, result });
        }
        let commits = Arc::clone(&self.commits);
        let under_way = commits.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = |done: &Done| done.result.as_ref().is_ok_and(|changes| !changes.is_empty());
        if let Err(error) = self.commit(group.iter().any(changed)) {
            group.iter_mut().for_each(|done| done.result = Err(error.clone()));
        }
        // The feed has everything of the group before anybody is answered: an answered write can be seen there.
        let mut answers = Vec::with_capacity(group.len());
        for done in group {
            let result = done.result.map(|changes| match changes.is_empty() {
                true => commits.feed.newest(),
                false => commits.feed.publish(changes),
            });
            answers.push((done.answer, result));
        }
        drop(under_way);
        answers.into_iter().for_each(|(to, result)| answer(to, result));
    }

    /// Runs one write; when it fails, the others in the transaction are untouched.
    fn savepoint(&mut self, mut work: Work) -> Result<Changes, Error> {
        self.in_transaction()?;
        self.connection.execute("SAVEPOINT one")?;
        let done = catch_unwind(AssertUnwindSafe(|| work(&mut self.connection)))
            .unwrap_or_else(|_| Err(failure("a write panicked")));
        match done {
            Ok(changes) => self.connection.execute("RELEASE one").map(|()| changes),
            Err(error) => {
                self.connection.execute("ROLLBACK TO one")?;
                self.connection.execute("RELEASE one")?;
                Err(error)
            }
        }
    }

    /// A full disk or a failing one makes SQLite roll back everything: nothing may go on as if it had not.
    fn in_transaction(&self) -> Result<(), Error> {
        if self.connection.sqlite.is_autocommit() {
            Err(failure("the database has rolled back the transaction"))
        } else {
            Ok(())
        }
    }

    /// Ends the transaction; without changes there is nothing to make durable.
    fn commit(&mut self, changed: bool) -> Result<(), Error> {
        self.in_transaction()?;
        let done = self.connection.execute(if changed { "COMMIT" } else { "ROLLBACK" });
        if done.is_err() && !self.connection.sqlite.is_autocommit() {
            let _ = self.connection.execute("ROLLBACK");
        }
        done
    }
}

/// Whoever gave up waiting is not told.
fn answer(to: oneshot::Sender<Result<Revision, Error>>, result: Result<Revision, Error>) {
    let _ = to.send(result);
}
