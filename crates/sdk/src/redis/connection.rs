//! A connection to one server, made when it is needed and made anew when it is lost.

use super::settings::{Address, Login, RedisSettings};
use super::{Cmd, RedisError, Value, cmd, from_redis_value};
use crate::network::{Network, Server};
use crate::{BoxFuture, Tasks};
use futures_util::FutureExt;
use futures_util::future::Shared;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::timeout;

/// What is needed to connect.
#[derive(Clone)]
pub struct Terms {
    pub network: Network,
    pub tasks: Tasks,
    pub settings: Arc<RedisSettings>,
}

/// A server, and the connection to it.
pub struct Connection {
    terms: Terms,
    server: Server,
    login: RedisConnectionInfo,
    link: Mutex<Link>,
}

/// All who come while a connection is being made wait for that one.
#[derive(Default)]
struct Link {
    attempt: Option<Attempt>,
    /// Tells it from those before.
    number: u64,
}

type Attempt = Shared<BoxFuture<'static, Result<MultiplexedConnection, RedisError>>>;

impl Connection {
    /// A connection with the database and the login of the settings.
    pub fn new(terms: &Terms, server: &Address) -> Connection {
        let login = login(terms.settings.login.as_ref()).set_db(terms.settings.database);
        Connection::with_login(terms, server, login)
    }

    /// A connection to a server that lets in by that login, without a database.
    pub fn to_sentinel(terms: &Terms, server: &Address, by: Option<&Login>) -> Connection {
        Connection::with_login(terms, server, login(by))
    }

    fn with_login(terms: &Terms, server: &Address, login: RedisConnectionInfo) -> Connection {
        let server = Server { host: server.0.clone(), port: server.1, tls: terms.settings.tls.clone() };
        Connection { terms: terms.clone(), server, login, link: Mutex::default() }
    }

    /// Whether that is the server.
    pub fn is_to(&self, address: &Address) -> bool {
        self.server.host == address.0 && self.server.port == address.1
    }

    /// Sends a command. When a connection that was kept turns out to have ended, another one is tried: a command may
    /// be carried out twice then, but not lost.
    pub async fn send(&self, command: &Cmd) -> Result<Value, RedisError> {
        match self.attempt_with(command, false).await {
            (Err(RedisError::Broken(_)), true) => self.attempt_with(command, false).await.0,
            (outcome, _) => outcome,
        }
    }

    /// Sends a command for a key that is on its way to this server.
    pub async fn send_asking(&self, command: &Cmd) -> Result<Value, RedisError> {
        self.attempt_with(command, true).await.0
    }

    /// Deletes the keys of this server that begin with that, some at a time; one by one where it is a node of a
    /// cluster, which takes no command for keys of different slots.
    pub async fn clear(&self, prefix: &str, one_by_one: bool) -> Result<(), RedisError> {
        let mut cursor = "0".to_owned();
        loop {
            let mut scan = cmd("SCAN");
            scan.arg(&cursor).arg("MATCH").arg(format!("{prefix}*")).arg("COUNT").arg(1_000);
            let (next, keys): (String, Vec<Vec<u8>>) = from_redis_value(self.send(&scan).await?)?;
            for some in keys.chunks(if one_by_one { 1 } else { keys.len().max(1) }) {
                self.send(cmd("UNLINK").arg(some)).await?;
            }
            if next == "0" {
                return Ok(());
            }
            cursor = next;
        }
    }

    /// The outcome, and whether the connection had been there before.
    async fn attempt_with(&self, command: &Cmd, asking: bool) -> (Result<Value, RedisError>, bool) {
        let (attempt, number) = self.attempt();
        let kept = attempt.peek().is_some();
        let outcome = match attempt.await {
            Ok(mut connection) => {
                let limit = self.terms.settings.timeout;
                let answer = timeout(limit, exchange(&mut connection, command, asking)).await;
                answer.unwrap_or(Err(RedisError::TimedOut))
            }
            Err(error) => Err(error),
        };
        if outcome.as_ref().is_err_and(RedisError::is_of_connection) {
            self.give_up(number);
        }
        (outcome, kept)
    }

    fn attempt(&self) -> (Attempt, u64) {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        let attempt = link.attempt.take().unwrap_or_else(|| {
            link.number += 1;
            let connecting = connect(self.terms.clone(), self.server.clone(), self.login.clone());
            // A task of its own: those who wait may go.
            let tasks = self.terms.tasks.clone();
            let attempt =
                async move { tasks.call("connecting to Redis", connecting).await.unwrap_or(Err(RedisError::Stopped)) };
            attempt.boxed().shared()
        });
        link.attempt = Some(attempt.clone());
        (attempt, link.number)
    }

    fn give_up(&self, number: u64) {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        if link.number == number {
            link.attempt = None;
        }
    }
}

async fn exchange(connection: &mut MultiplexedConnection, command: &Cmd, asking: bool) -> Result<Value, RedisError> {
    if !asking {
        return Ok(connection.send_packed_command(command).await?.extract_error()?);
    }
    let mut both = redis::pipe();
    both.cmd("ASKING").add_command(command.clone());
    let mut answers = connection.send_packed_commands(&both, 1, 1).await?;
    let answer = answers.pop().ok_or_else(|| RedisError::Unexpected("nothing".to_owned()))?;
    Ok(answer.extract_error()?)
}

async fn connect(
    terms: Terms,
    server: Server,
    login: RedisConnectionInfo,
) -> Result<MultiplexedConnection, RedisError> {
    let stream = terms.network.connect(&server, terms.settings.connect_timeout).await;
    let stream = stream.map_err(|error| RedisError::Connect(format!("{}:{}: {error}", server.host, server.port)))?;
    // How long an answer may take is decided where it is awaited.
    let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
    let greeted = timeout(terms.settings.timeout, MultiplexedConnection::new_with_config(&login, stream, config)).await;
    let (connection, driver) = greeted.map_err(|_| RedisError::TimedOut)??;
    let stopping = terms.tasks.stopping();
    terms.tasks.spawn("a connection to Redis", async move {
        stopping.run_until_cancelled(driver).await;
    });
    Ok(connection)
}

fn login(by: Option<&Login>) -> RedisConnectionInfo {
    let info = RedisConnectionInfo::default().set_skip_set_lib_name();
    let Some(by) = by else { return info };
    let info = info.set_password(&by.password);
    match &by.username {
        Some(username) => info.set_username(username),
        None => info,
    }
}
