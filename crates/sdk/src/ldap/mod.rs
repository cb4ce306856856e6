//! LDAP servers that know passwords, and connections to them that wait for the next question.

mod message;

pub use message::Entry;

use crate::{Connection, Network, Server};
use message::{BIND_RESPONSE, EXTENDED_RESPONSE, ResultCode, SUCCESS, Search};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// A server, and how it is reached; for the control runtime. Clones share its connections.
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

/// A caller to be looked up.
#[derive(Clone, Debug)]
pub struct LdapUser {
    pub name: String,
    pub password: Vec<u8>,
    /// Below what, and by which attribute.
    pub base: String,
    pub attribute: String,
    /// Who looks for the caller's entry. Without, it is where its name says, below `base`.
    pub searcher: Option<(String, String)>,
    /// An attribute of the entry that is wanted.
    pub wanted: Option<String>,
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

    /// The entry of a caller, when that is the password; an error is the server's own trouble. Without a searcher and a
    /// wanted attribute the password alone is asked about.
    pub async fn find(&self, user: &LdapUser) -> io::Result<Option<Entry>> {
        let _place = self.0.places.try_acquire().map_err(|_| io::Error::other("too many wait for the LDAP server"))?;
        while let Some(mut connection) = self.take_idle() {
            // It may have been closed meanwhile.
            if let Ok(found) = self.find_by(&mut connection, user).await {
                self.keep(connection);
                return Ok(found);
            }
        }
        let mut connection = self.connect().await?;
        let found = self.find_by(&mut connection, user).await?;
        self.keep(connection);
        Ok(found)
    }

    async fn find_by(&self, connection: &mut Connection, user: &LdapUser) -> io::Result<Option<Entry>> {
        let LdapUser { name, password, base, attribute, searcher, wanted } = user;
        let asked = wanted.as_deref().unwrap_or("1.1");
        let Some((searcher, own)) = searcher else {
            let dn = format!("{attribute}={},{base}", escaped(name));
            if !self.bind(connection, &dn, password).await? {
                return Ok(None);
            }
            if wanted.is_none() {
                return Ok(Some(Entry { dn, ..Entry::default() }));
            }
            let found = self.search(connection, &Search::Itself(&dn), asked).await?;
            return Ok(Some(found.unwrap_or(Entry { dn, ..Entry::default() })));
        };
        if !self.bind(connection, searcher, own.as_bytes()).await? {
            return Err(io::Error::other("the LDAP server does not take 'bind_dn' and its password"));
        }
        let search = Search::Below { base, attribute, value: name };
        let Some(entry) = self.search(connection, &search, asked).await? else { return Ok(None) };
        Ok(self.bind(connection, &entry.dn, password).await?.then_some(entry))
    }

    async fn bind(&self, connection: &mut Connection, dn: &str, password: &[u8]) -> io::Result<bool> {
        let request = message::bind(dn, password);
        let code = self.in_time(message::ask(connection, &request, BIND_RESPONSE)).await?;
        verdict(code)
    }

    /// The only entry that there is.
    async fn search(
        &self,
        connection: &mut Connection,
        search: &Search<'_>,
        wanted: &str,
    ) -> io::Result<Option<Entry>> {
        const NO_SUCH_OBJECT: ResultCode = 32;
        const SIZE_LIMIT: ResultCode = 4;
        let request = message::search(search, wanted);
        let (code, mut entries) = self.in_time(message::find(connection, &request)).await?;
        match code {
            SUCCESS | NO_SUCH_OBJECT | SIZE_LIMIT => Ok(entries.pop().filter(|_| entries.is_empty())),
            code => Err(io::Error::other(format!("the LDAP server does not search (result {code})"))),
        }
    }

    async fn connect(&self) -> io::Result<Connection> {
        let Inner { network, server, start_tls, limit, .. } = &*self.0;
        if !start_tls {
            return network.connect(server, *limit).await;
        }
        let plain = Server { tls: None, ..server.clone() };
        let mut connection = network.connect(&plain, *limit).await?;
        let code = self.in_time(message::ask(&mut connection, &message::start_tls(), EXTENDED_RESPONSE)).await?;
        if code != SUCCESS {
            return Err(io::Error::other(format!("the LDAP server does not begin TLS (result {code})")));
        }
        network.start_tls(connection, server, *limit).await
    }

    async fn in_time<T>(&self, answer: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let answer = tokio::time::timeout(self.0.limit, answer).await;
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

/// A value within a distinguished name (RFC 4514), so that a name cannot say where it is looked for. (Kong takes it as
/// it comes.)
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (at, c) in value.chars().enumerate() {
        let at_the_edge = (at == 0 && matches!(c, ' ' | '#')) || (at == last && c == ' ');
        match c {
            '\0' => text.push_str("\\00"),
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=' => text.extend(['\\', c]),
            _ if at_the_edge => text.extend(['\\', c]),
            _ => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_within_their_place() {
        assert_eq!(escaped("ada"), "ada");
        assert_eq!(escaped("ada,ou=admins"), "ada\\,ou\\=admins");
        assert_eq!(escaped(" #a "), "\\ #a\\ ");
        assert_eq!(escaped("é\0"), "é\\00");
    }

    #[test]
    fn trouble_says_nothing_of_a_password() {
        assert!(verdict(SUCCESS).unwrap());
        assert!(!verdict(49).unwrap());
        assert!(verdict(51).is_err());
    }
}
