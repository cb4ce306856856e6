//! The thread that writes: takes what waits, commits it at once, then tells the feed and the callers.

use super::connection::{Commits, Connection};
use crate::Revision;
use crate::backend::{Work, failure};
use crate::feed::Changes;
use model::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, mpsc};
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
}

/// A write whose effects are in the open transaction.
struct Done {
    answer: oneshot::Sender<Result<Revision, Error>>,
    result: Result<Changes, Error>,
}

/// How many writes share a commit at most, so that the first of them is not kept waiting.
const GROUP: usize = 64;

impl WriterThread {
    pub fn new(connection: Connection, commits: Arc<Commits>) -> WriterThread {
        WriterThread { connection, commits }
    }

    /// Works until all senders are gone.
    pub fn run(mut self, jobs: mpsc::Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            let waiting = std::iter::once(first).chain(std::iter::from_fn(|| jobs.try_recv().ok()));
            self.group(waiting.take(GROUP));
        }
    }

    fn group(&mut self, jobs: impl Iterator<Item = Job>) {
        if let Err(error) = self.connection.execute("BEGIN IMMEDIATE") {
            jobs.for_each(|job| answer(job.answer, Err(error.clone())));
            return;
        }
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
