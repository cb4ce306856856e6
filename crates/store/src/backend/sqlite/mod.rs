//! Records in one SQLite file: a thread of its own writes, a few connections read.
//!
//! Durability: WAL with `synchronous=FULL`, so a commit is on disk before a write is answered. Writes that wait at
//! the same time share one commit, each in a savepoint of its own.

mod connection;
mod migrate;
mod writer;

use self::connection::{Commits, Connection};
use self::writer::{Job, WriterThread};
use super::{Backend, Query, Work, failure};
use crate::Revision;
use crate::feed::{CAPACITY, Feed};
use crate::layout::Layout;
use futures_util::future::{BoxFuture, FutureExt};
use model::{Error, Record};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use tokio::sync::{Semaphore, oneshot};
use uuid::Uuid;

/// See [`Backend`].
#[derive(Debug)]
pub struct Sqlite {
    readers: Arc<Readers>,
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

/// Connections that wait for a query; new ones are opened when there is none.
#[derive(Debug)]
struct Readers {
    path: PathBuf,
    layout: Arc<Layout>,
    commits: Arc<Commits>,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

/// How many queries run at once.
const READERS: usize = 4;

/// KiB of the file in memory, beside what the system caches: the writer touches all indexes of a table, readers few.
const WRITER_CACHE: u32 = 4096;
const READER_CACHE: u32 = 512;

impl Sqlite {
    /// Opens the file, creates or extends its tables, and starts the writing thread. Blocks. `workspace` is the default
    /// one, in case that it is not there; the id is that of the one that is.
    pub fn open(
        layout: Arc<Layout>,
        path: &Path,
        workspace: Option<Record>,
    ) -> Result<(Sqlite, Arc<Feed>, Option<Uuid>), Error> {
        migrate::create_private(path).map_err(|e| failure(format_args!("cannot create {}: {e}", path.display())))?;
        let feed = Arc::new(Feed::new(CAPACITY));
        let commits = Arc::new(Commits { feed: feed.clone(), under_way: Mutex::new(()) });
        let mut connection = Connection::open(path, &layout, WRITER_CACHE, commits.clone())
            .map_err(|e| failure(format_args!("cannot open {}: {e}", path.display())))?;
        let workspace = migrate::migrate(&mut connection, &layout, workspace)
            .map_err(|e| failure(format_args!("cannot use {}: {e}", path.display())))?;
        let (jobs, queue) = mpsc::channel();
        let writer = WriterThread::new(connection, commits.clone());
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run(queue))
            .map_err(failure)?;
        let permits = Arc::new(Semaphore::new(READERS));
        let readers = Arc::new(Readers { path: path.to_owned(), layout, commits, idle: Mutex::default(), permits });
        Ok((Sqlite { readers, jobs: Some(jobs), writer: Some(thread) }, feed, workspace))
    }
}

impl Backend for Sqlite {
    fn read(&self, query: Query) -> BoxFuture<'_, Result<(), Error>> {
        let readers = self.readers.clone();
        async move {
            let permit = readers.permits.clone().acquire_owned().await.map_err(failure)?;
            let done = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                readers.run(query)
            });
            done.await.map_err(failure)?
        }
        .boxed()
    }

    fn write(&self, work: Work) -> BoxFuture<'_, Result<Revision, Error>> {
        let (answer, answered) = oneshot::channel();
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send(Job { work, answer }).is_ok());
        async move {
            match answered.await {
                Ok(done) if sent => done,
                _ => Err(failure("the store's writer has stopped")),
            }
        }
        .boxed()
    }
}

/// Writes that were begun are finished, and the log is folded into the file.
impl Drop for Sqlite {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("store: the writer panicked");
        }
    }
}

impl Readers {
    fn run(&self, query: Query) -> Result<(), Error> {
        let idle = self.idle().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => Connection::open(&self.path, &self.layout, READER_CACHE, self.commits.clone()).map_err(failure)?,
        };
        connection.execute("BEGIN")?;
        let done = catch_unwind(AssertUnwindSafe(|| query(&mut connection)))
            .unwrap_or_else(|_| Err(failure("a read panicked")));
        // A connection that cannot end its transaction is closed, not used again.
        if connection.execute("ROLLBACK").is_ok() {
            self.idle().push(connection);
        }
        done
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
