//! Records in a Postgres database, in Kong's own tables: a node can be started on the database of a Kong, beside
//! running Kong nodes.
//!
//! Transactions are serializable, and run again where another node was in the way. Those of this node come one after
//! the other, so that the feed gets their changes in the order in which they were committed; what other nodes write is
//! read in between.

mod counters;
mod events;
pub mod fields;
mod follow;
mod migrations;
mod named;
mod plugins;
mod poll;
mod pool;
mod query;
mod reach;
mod refusal;
mod session;
mod tables;
mod tags;
mod tls;
mod values;

use self::events::{Events, Notice};
use self::pool::{Lease, Pool};
use self::refusal::Refusal;
use self::session::{ADD, READ, Session, WRITE};
use self::tables::Tables;
use super::{Backend, Query, Row, Work, failure};
use crate::feed::{CAPACITY, Changes, Feed};
use crate::layout::{Layout, Table, WORKSPACES};
use crate::scope::DEFAULT;
use crate::{Addition, Revision};
pub use events::Neighbour;
use futures_util::future::{BoxFuture, FutureExt};
pub use migrations::{LOCK_TIMEOUT, Listed, Migration, Migrations, Say, State, Subsystem};
use model::{Error, Record};
pub use pool::{PasswordSource, Server};
pub use query::Outcomes;
use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
pub use tls::Tls;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OnceCell};
use tokio::task::{JoinSet, spawn_blocking};
use uuid::Uuid;

/// See [`Backend`].
pub struct Postgres {
    shared: Arc<Shared>,
    _following: Option<JoinSet<()>>,
}

/// A row as the feed shows it.
pub type Publish = Arc<dyn Fn(&Table, Row) -> Record + Send + Sync>;

struct Shared {
    layout: Arc<Layout>,
    tables: Arc<Tables>,
    feed: Arc<Feed>,
    pool: Pool,
    replica: Option<Replica>,
    /// The schema that the tables are in, as soon as the server has been asked.
    schema: OnceCell<String>,
    neighbour: Option<Neighbour>,
    publish: Publish,
    /// Whose transaction is under way.
    turn: Mutex<()>,
    /// When the server did not say last whether it has committed a transaction.
    doubt: std::sync::Mutex<Option<Instant>>,
}

/// A server that is only read.
struct Replica {
    pool: Pool,
    /// When it did not answer last.
    missed: std::sync::Mutex<Option<Instant>>,
}

/// What became of one run of a write.
enum Run {
    Done(Result<Revision, Error>),
    /// Another transaction was in the way.
    Again(Error),
}

/// How long a replica is left alone that has not answered.
const MISSED: Duration = Duration::from_secs(10);

/// How long a transaction may still be committed of which the server has not said so: by one that stood still.
const DOUBT: Duration = Duration::from_secs(3600);

/// How often a write is run before it fails because of other nodes.
const RUNS: u32 = 12;
/// The longest time before the second run; twice as long before each one after it, up to the second of these.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LAST_PAUSE: Duration = Duration::from_millis(200);

impl Postgres {
    /// Opens a database whose tables are there ([`Migrations`]); the id is that of the default workspace. With a
    /// `neighbour`, other nodes are told of what is written, and what they write gets into the feed. Where that id is
    /// known, nothing is asked yet.
    pub async fn open(
        layout: Arc<Layout>,
        server: &Server,
        neighbour: Option<Neighbour>,
        publish: Publish,
        workspace: Option<Uuid>,
    ) -> Result<(Postgres, Arc<Feed>, Option<Uuid>), Error> {
        let feed = Arc::new(Feed::new(CAPACITY));
        let tables = Arc::new(Tables::new(&layout));
        let pool = Pool::new(server)?;
        if workspace.is_some() {
            pool.reach().begin_away();
        }
        let replica = match &server.replica {
            Some(server) => Some(Replica { pool: Pool::of_replica(server)?, missed: std::sync::Mutex::default() }),
            None => None,
        };
        let workspace = match (workspace, layout.table(WORKSPACES)) {
            (None, Some(_)) => Some(default_workspace(&pool).await?),
            (known, _) => known,
        };
        let shared = Arc::new(Shared {
            layout,
            tables,
            feed: feed.clone(),
            pool,
            replica,
            schema: OnceCell::new(),
            neighbour,
            publish,
            turn: Mutex::default(),
            doubt: std::sync::Mutex::default(),
        });
        let following = shared.neighbour.as_ref().map(|neighbour| follow::start(&shared, server, neighbour));
        Ok((Postgres { shared, _following: following }, feed, workspace))
    }
}

impl Backend for Postgres {
    fn read(&self, query: Query) -> BoxFuture<'_, Result<(), Error>> {
        async move { self.shared.clone().read(self.shared.pool.lease().await?, query).await }.boxed()
    }

    fn read_replica(&self, query: Query) -> BoxFuture<'_, Result<(), Error>> {
        async move {
            let lease = match &self.shared.replica {
                Some(replica) => replica.lease().await,
                None => None,
            };
            match lease {
                Some(lease) => self.shared.clone().read(lease, query).await,
                None => self.read(query).await,
            }
        }
        .boxed()
    }

    fn write(&self, work: Work) -> BoxFuture<'_, Result<Revision, Error>> {
        let shared = self.shared.clone();
        let done = tokio::spawn(async move { shared.write(work).await });
        async move { done.await.map_err(failure)? }.boxed()
    }

    fn add(&self, additions: Vec<Addition>, now: i64) -> BoxFuture<'_, Result<(), Error>> {
        let shared = self.shared.clone();
        let done = tokio::spawn(async move {
            let lease = shared.pool.lease().await?;
            let handle = Handle::current();
            let done = spawn_blocking(move || {
                let mut session = shared.session(lease, handle, ADD);
                let done = session.commit(counters::add(&additions, now), None);
                session.end();
                done
            });
            done.await.map_err(failure)?
        });
        async move { done.await.map_err(failure)? }.boxed()
    }

    fn query(&self, text: String) -> BoxFuture<'_, Result<Outcomes, Error>> {
        let done = tokio::spawn(Postgres::run_script(self.shared.clone(), text));
        async move { done.await.map_err(failure)? }.boxed()
    }

    fn announce(&self, channel: Cow<'static, str>, data: String) -> BoxFuture<'_, Result<(), Error>> {
        let shared = self.shared.clone();
        let done = tokio::spawn(async move {
            let Some(neighbour) = &shared.neighbour else { return Ok(()) };
            let announced = Events::of(channel, data).question(neighbour).into_iter().collect();
            let (lease, handle) = (shared.pool.lease().await?, Handle::current());
            let done = spawn_blocking(move || {
                let mut session = shared.session(lease, handle, ADD);
                let done = session.commit(announced, None);
                session.end();
                done
            });
            done.await.map_err(failure)?
        });
        async move { done.await.map_err(failure)? }.boxed()
    }
}

impl Replica {
    /// A connection, unless the replica is away.
    async fn lease(&self) -> Option<Lease> {
        let missed = || self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        if self.pool.reach().is_away() && missed().is_some_and(|at| at.elapsed() < MISSED) {
            return None;
        }
        let lease = self.pool.lease().await.ok();
        *missed() = lease.is_none().then(Instant::now);
        lease
    }
}

impl Shared {
    async fn read(self: Arc<Shared>, lease: Lease, query: Query) -> Result<(), Error> {
        let handle = Handle::current();
        let done = spawn_blocking(move || {
            let mut session = self.session(lease, handle, READ);
            let done = catch_unwind(AssertUnwindSafe(|| query(&mut session)))
                .unwrap_or_else(|_| Err(failure("a read panicked")));
            session.end();
            done
        });
        done.await.map_err(failure)?
    }

    fn session(&self, lease: Lease, handle: Handle, begin: &'static str) -> Session {
        let connection = (lease, self.pool.timeout());
        Session::new(self.layout.clone(), self.tables.clone(), self.feed.clone(), connection, handle, begin)
    }

    /// The schema that the tables are in.
    async fn schema(&self) -> Result<&String, Error> {
        self.schema.get_or_try_init(|| current_schema(&self.pool)).await
    }

    async fn write(self: Arc<Shared>, mut work: Work) -> Result<Revision, Error> {
        let _turn = self.turn.lock().await;
        if self.neighbour.is_some() {
            self.schema().await?;
        }
        let mut pause = FIRST_PAUSE;
        for run in 1.. {
            let lease = self.pool.lease().await?;
            let (shared, handle) = (self.clone(), Handle::current());
            let ran = spawn_blocking(move || {
                let ran = shared.run(&mut work, run, shared.session(lease, handle, WRITE));
                (work, ran)
            });
            let (back, ran) = ran.await.map_err(failure)?;
            work = back;
            match ran {
                Run::Done(done) => return done,
                Run::Again(error) if run == RUNS => return Err(failure(error)),
                Run::Again(_) => {
                    tokio::time::sleep(pause.mul_f64(fastrand::f64())).await;
                    pause = (pause * 2).min(LAST_PAUSE);
                }
            }
        }
        Err(failure("a write was not run"))
    }

    fn run(&self, work: &mut Work, run: u32, mut session: Session) -> Run {
        let done =
            catch_unwind(AssertUnwindSafe(|| work(&mut session))).unwrap_or_else(|_| Err(failure("a write panicked")));
        let done = match done {
            Ok(changes) if changes.is_empty() => Ok(self.feed.newest()),
            Ok(changes) => match self.commit(&mut session, &changes) {
                Ok(()) => Ok(self.feed.publish(changes)),
                Err(error) => {
                    if session.refused().is_none_or(Refusal::is_away) {
                        // It may have been committed all the same, or be committed yet.
                        *self.doubt.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                        self.feed.lose();
                    }
                    Err(error)
                }
            },
            Err(error) => Err(error),
        };
        let again =
            done.is_err() && session.refused().is_some_and(|why| why.is_conflict() || (why.is_violation() && run == 1));
        session.end();
        match done {
            Err(error) if again => Run::Again(error),
            done => Run::Done(done),
        }
    }

    /// Whether transactions of this node may have been committed without its knowledge.
    fn is_in_doubt(&self) -> bool {
        let doubt = *self.doubt.lock().unwrap_or_else(PoisonError::into_inner);
        doubt.is_some_and(|since| since.elapsed() < DOUBT)
    }

    /// Commits, and tells other nodes.
    fn commit(&self, session: &mut Session, changes: &Changes) -> Result<(), Error> {
        let told = changes.listed().is_none_or(|listed| !listed.is_empty());
        match self.neighbour.as_ref().zip(self.schema.get()).filter(|_| told) {
            Some((neighbour, schema)) => {
                let notice = Notice::new(neighbour, schema, changes).question();
                let events = session.events().question(neighbour);
                session.commit(vec![notice], events)
            }
            None => session.commit(Vec::new(), None),
        }
    }
}

async fn current_schema(pool: &Pool) -> Result<String, Error> {
    let row = one(pool, "SELECT current_schema()::text").await?;
    let schema: Option<String> = row.and_then(|row| row.try_get(0).ok()).flatten();
    schema.ok_or_else(|| failure("there is no schema"))
}

async fn default_workspace(pool: &Pool) -> Result<Uuid, Error> {
    let row = one(pool, &format!("SELECT id FROM workspaces WHERE name = '{DEFAULT}'")).await?;
    row.ok_or_else(|| failure("there is no default workspace"))?.try_get(0).map_err(failure)
}

/// The first row of the answer.
async fn one(pool: &Pool, sql: &str) -> Result<Option<tokio_postgres::Row>, Error> {
    let lease = pool.lease().await?;
    let answer = tokio::time::timeout(pool.timeout(), lease.client.query_typed(sql, &[])).await;
    let answer = answer.map_err(|_| pool.reach().lost("timeout"))?;
    Ok(answer.map_err(|error| pool.reach().failed(&error))?.into_iter().next())
}
