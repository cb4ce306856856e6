//! Connections to one Postgres server, as the settings `pg_*` say.

use super::reach::Reach;
use super::tls::{self, Tls};
use crate::backend::failure;
use deadpool_postgres::{
    Connect, Hook, HookError, Manager, ManagerConfig, Object, PoolError, RecyclingMethod, Runtime,
};
use futures_util::future::BoxFuture;
use model::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{AbortHandle, JoinHandle};
use tokio_postgres::Client;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How a server is reached.
#[derive(Clone)]
pub struct Server {
    /// One host or several, separated by commas; a path is the directory of a Unix socket.
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
    /// In place of the password, where it does not stay the same.
    pub passwords: Option<Arc<dyn PasswordSource>>,
    pub database: String,
    /// Empty: the one that the server chooses.
    pub schema: String,
    /// For connecting, and for each question.
    pub timeout: Duration,
    /// `None`: connections are not encrypted.
    pub tls: Option<Tls>,
    /// How many connections there are at most.
    pub pool_size: usize,
    /// How many may wait for a connection; `None`: any number.
    pub backlog: Option<usize>,
    /// How long a connection is kept that nobody needs.
    pub keepalive: Duration,
    /// How many transactions run at a time; `None`: any number.
    pub max_queries: Option<usize>,
    /// How long one waits for its turn among those.
    pub semaphore_timeout: Duration,
    /// Whether it has to be one that is written to, where several hosts are named.
    pub writable: bool,
    /// Where reads may go whose answers may be old.
    pub replica: Option<Box<Server>>,
}

/// Where passwords come from that end.
pub trait PasswordSource: Send + Sync {
    /// One that is valid now. It is asked for often, and at hand mostly.
    fn password(&self) -> BoxFuture<'_, Result<String, String>>;
}

/// The connections to a server.
pub struct Pool {
    connections: deadpool_postgres::Pool,
    /// The last one that there was, of those that end.
    password: Arc<Mutex<Option<String>>>,
    turns: Option<Arc<Semaphore>>,
    reach: Arc<Reach>,
    server: Server,
    cleaner: AbortHandle,
}

/// A connection that is in use.
pub struct Lease {
    pub client: Object,
    pub reach: Arc<Reach>,
    _turn: Option<OwnedSemaphorePermit>,
}

impl Pool {
    /// Nothing is connected yet.
    pub fn new(server: &Server) -> Result<Pool, Error> {
        Pool::with(server, Reach::of_primary())
    }

    /// The same, of a replica.
    pub fn of_replica(server: &Server) -> Result<Pool, Error> {
        Pool::with(server, Reach::of_replica())
    }

    fn with(server: &Server, reach: Reach) -> Result<Pool, Error> {
        let tls = tls::connector(server.tls.as_ref()).map_err(Error::database)?;
        let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let password = Arc::<Mutex<Option<String>>>::default();
        let manager = Manager::from_connect(server.config(), Connector { tls, password: password.clone() }, config);
        let greeting = server.greeting();
        let greet = Hook::async_fn(move |client: &mut deadpool_postgres::ClientWrapper, _| {
            let greeting = greeting.clone();
            Box::pin(async move { client.batch_execute(&greeting).await.map_err(HookError::Backend) })
        });
        let connections = deadpool_postgres::Pool::builder(manager)
            .max_size(server.pool_size)
            .wait_timeout(Some(server.timeout))
            .create_timeout(Some(server.timeout))
            .post_create(greet)
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(Error::database)?;
        let (idle, kept) = (connections.clone(), server.keepalive);
        let cleaner = tokio::spawn(async move {
            loop {
                tokio::time::sleep(kept.max(Duration::from_secs(1)) / 2).await;
                idle.retain(|_, metrics| metrics.last_used() < kept);
            }
        });
        let turns = server.max_queries.map(|limit| Arc::new(Semaphore::new(limit)));
        let (reach, server) = (Arc::new(reach), server.clone());
        Ok(Pool { connections, password, turns, reach, server, cleaner: cleaner.abort_handle() })
    }

    /// How long a question may take.
    pub fn timeout(&self) -> Duration {
        self.server.timeout
    }

    /// Whether the server answers.
    pub fn reach(&self) -> &Arc<Reach> {
        &self.reach
    }

    /// A connection, as soon as there is one.
    pub async fn lease(&self) -> Result<Lease, Error> {
        let turn = match &self.turns {
            Some(turns) => {
                let turn = tokio::time::timeout(self.server.semaphore_timeout, turns.clone().acquire_owned()).await;
                let turn = turn.map_err(|_| busy("error acquiring query semaphore: timeout"))?;
                Some(turn.map_err(failure)?)
            }
            None => None,
        };
        if self.server.backlog.is_some_and(|limit| self.connections.status().waiting >= limit.max(1)) {
            return Err(busy("too many waiting connect operations"));
        }
        let renewed = self.renew_password().await;
        let client = self.connections.get().await.map_err(|error| match error {
            PoolError::Backend(_) | PoolError::PostCreateHook(_) if renewed.is_err() => {
                self.reach.lost(&renewed.err().unwrap_or_default())
            }
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
                self.reach.failed(&error)
            }
            PoolError::Timeout(_) => self.reach.lost("timeout"),
            error => failure(error),
        })?;
        Ok(Lease { client, reach: self.reach.clone(), _turn: turn })
    }

    /// Connections that are made from now on have a password that is valid. Those that there are need none.
    async fn renew_password(&self) -> Result<(), String> {
        if let Some(source) = &self.server.passwords {
            let password = source.password().await?;
            *self.password.lock().unwrap_or_else(PoisonError::into_inner) = Some(password);
        }
        Ok(())
    }
}

/// Makes connections.
struct Connector {
    tls: MakeRustlsConnect,
    password: Arc<Mutex<Option<String>>>,
}

impl Connect for Connector {
    fn connect(
        &self,
        config: &tokio_postgres::Config,
    ) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), tokio_postgres::Error>> {
        let (mut config, tls) = (config.clone(), self.tls.clone());
        if let Some(password) = &*self.password.lock().unwrap_or_else(PoisonError::into_inner) {
            config.password(password);
        }
        Box::pin(async move {
            let (client, connection) = config.connect(tls).await?;
            // Whoever asks on it is told how it has ended.
            Ok((client, tokio::spawn(async move { drop(connection.await) })))
        })
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.cleaner.abort();
    }
}

impl Lease {
    /// Closes the connection: nobody knows what it is in the middle of.
    pub fn discard(self) {
        drop(Object::take(self.client));
    }
}

impl Server {
    pub(super) fn config(&self) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        for host in self.host.split(',').map(str::trim).filter(|host| !host.is_empty()) {
            config.host(host);
        }
        config
            .port(self.port)
            .user(&self.user)
            .dbname(&self.database)
            .connect_timeout(self.timeout)
            .application_name("bascule")
            .ssl_mode(match &self.tls {
                Some(tls) if tls.optional => SslMode::Prefer,
                Some(_) => SslMode::Require,
                None => SslMode::Disable,
            });
        if !self.password.is_empty() {
            config.password(&self.password);
        }
        if self.writable && config.get_hosts().len() > 1 {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        config
    }

    /// The same with the password that is valid now.
    pub(super) async fn config_of_now(&self) -> Result<tokio_postgres::Config, String> {
        let mut config = self.config();
        if let Some(source) = &self.passwords {
            config.password(source.password().await?);
        }
        Ok(config)
    }

    /// What is said first on a connection: functions in Kong's tables compare times of no zone.
    pub(super) fn greeting(&self) -> String {
        let schema = match self.schema.as_str() {
            "" => String::new(),
            schema => format!("SET SCHEMA '{}'; ", schema.replace('\'', "''")),
        };
        format!("{schema}SET TIME ZONE 'UTC'")
    }
}

/// This node asks for more at a time than it may.
fn busy(cause: &str) -> Error {
    tracing::warn!("store: {cause}");
    Error::unavailable(cause)
}
