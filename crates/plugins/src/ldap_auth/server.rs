//! The LDAP server that knows passwords, and connections to it that wait for the next question.

use super::message::{self, BIND_RESPONSE, EXTENDED_RESPONSE, ResultCode, SUCCESS};
use sdk::{Connection, Network, Server};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// A server, and how it is reached. Clones share its connections.
#[derive(Clone)]
pub struct LdapServer(Arc<Inner>);

struct Inner {
    network: Network,
    server: Server,
    /// TLS begins within the connection.
    start_tls: bool,
    /// For connecting, and for each answer.
    limit: Duration,
    /// How long a connection waits for the next question.
    keepalive: Duration,
    idle: Mutex<Vec<(Connection, Instant)>>,
    places: Semaphore,
}

/// How many questions there are at once, at most.
const PLACES: usize = 256;
/// How many connections wait.
const MOST_IDLE: usize = 16;

impl LdapServer {
    pub fn new(network: Network, server: Server, start_tls: bool, limit: Duration, keepalive: Duration) -> LdapServer {
        let (idle, places) = (Mutex::default(), Semaphore::new(PLACES));
        LdapServer(Arc::new(Inner { network, server, start_tls, limit, keepalive, idle, places }))
    }

    /// Whether that is the password of an entry.
    pub async fn knows(&self, dn: &str, password: &[u8]) -> io::Result<bool> {
        let _place = self.0.places.try_acquire().map_err(|_| io::Error::other("too many wait for the LDAP server"))?;
        let request = message::bind(dn, password);
        while let Some(mut connection) = self.take_idle() {
            // It may have been closed meanwhile.
            if let Ok(code) = self.ask(&mut connection, &request, BIND_RESPONSE).await {
                self.keep(connection);
                return verdict(code);
            }
        }
        let mut connection = self.connect().await?;
        let code = self.ask(&mut connection, &request, BIND_RESPONSE).await?;
        self.keep(connection);
        verdict(code)
    }

    async fn connect(&self) -> io::Result<Connection> {
        let Inner { network, server, start_tls, limit, .. } = &*self.0;
        if !start_tls {
            return network.connect(server, *limit).await;
        }
        let plain = Server { tls: None, ..server.clone() };
        let mut connection = network.connect(&plain, *limit).await?;
        let code = self.ask(&mut connection, &message::start_tls(), EXTENDED_RESPONSE).await?;
        if code != SUCCESS {
            return Err(io::Error::other(format!("the LDAP server does not begin TLS (result {code})")));
        }
        network.start_tls(connection, server, *limit).await
    }

    async fn ask(&self, connection: &mut Connection, request: &[u8], operation: u8) -> io::Result<ResultCode> {
        let answer = tokio::time::timeout(self.0.limit, message::ask(connection, request, operation)).await;
        answer.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the LDAP server does not answer"))?
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, since)| since.elapsed() < self.0.keepalive);
        idle.pop().map(|(connection, _)| connection)
    }

    fn keep(&self, connection: Connection) {
        let mut idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MOST_IDLE {
            idle.push((connection, Instant::now()));
        }
    }
}

/// What a result says of a password; the server's own trouble says nothing.
fn verdict(code: ResultCode) -> io::Result<bool> {
    match code {
        SUCCESS => Ok(true),
        // operationsError, protocolError, timeLimitExceeded, busy, unavailable, other
        1..=3 | 51 | 52 | 80 => Err(io::Error::other(format!("the LDAP server has trouble (result {code})"))),
        _ => Ok(false),
    }
}
