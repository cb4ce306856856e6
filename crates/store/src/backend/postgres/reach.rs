//! Whether the server answers: it is said once when it no longer does, and once when it does again.

use crate::backend::{failure, full};
use model::Error;
use std::error::Error as _;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_postgres::error::SqlState;

/// What is known of a server.
#[derive(Debug)]
pub struct Reach {
    away: AtomicBool,
    /// What the server is.
    name: &'static str,
    /// What happens while it is away.
    meanwhile: &'static str,
}

impl Reach {
    /// Of the database itself.
    pub fn of_primary() -> Reach {
        let meanwhile = "requests are served as before meanwhile";
        Reach { away: AtomicBool::default(), name: "database", meanwhile }
    }

    /// Of a replica.
    pub fn of_replica() -> Reach {
        Reach { away: AtomicBool::default(), name: "replica (pg_ro_host)", meanwhile: "the database is asked instead" }
    }

    /// It is said already that the server may be away.
    pub fn begin_away(&self) {
        self.away.store(true, Ordering::Relaxed);
    }

    /// The server has answered.
    pub fn found(&self) {
        if self.is_away() && self.away.swap(false, Ordering::Relaxed) {
            tracing::warn!("the {} answers again", self.name);
        }
    }

    /// The server has not answered.
    pub fn lost(&self, why: &str) -> Error {
        if !self.away.swap(true, Ordering::Relaxed) {
            tracing::error!("the {} does not answer, {}: {why}", self.name, self.meanwhile);
        }
        Error::unavailable(why)
    }

    pub fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    /// What a failed question comes to.
    pub fn failed(&self, error: &tokio_postgres::Error) -> Error {
        let why = describe(error);
        match error.code() {
            _ if is_away(error) => self.lost(&why),
            Some(&SqlState::DISK_FULL) => full(why),
            _ => failure(why),
        }
    }
}

/// Whether the server, or the way to it, is not there: nothing is wrong with what was asked, nor with who asks.
pub fn is_away(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        Some(state) => says_away(state),
        None => error.is_closed() || error.source().and_then(|cause| cause.downcast_ref()).is_some_and(is_broken),
    }
}

/// Whether a server says that it cannot work now: it starts or ends, has no connection left, or has become one that is
/// only read.
pub fn says_away(state: &SqlState) -> bool {
    const STATES: [&SqlState; 5] = [
        &SqlState::ADMIN_SHUTDOWN,
        &SqlState::CRASH_SHUTDOWN,
        &SqlState::CANNOT_CONNECT_NOW,
        &SqlState::TOO_MANY_CONNECTIONS,
        &SqlState::READ_ONLY_SQL_TRANSACTION,
    ];
    // A pooler in front of it says so in the class of connections.
    STATES.contains(&state) || state.code().starts_with("08")
}

/// A certificate that is not trusted is an error of that kind, too.
fn is_broken(cause: &std::io::Error) -> bool {
    !matches!(cause.kind(), ErrorKind::InvalidData | ErrorKind::InvalidInput)
}

/// What went wrong, in the server's words where it is the server that says so.
pub fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        return format!("{}: {}", error.severity(), error.message());
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = next.source();
    }
    text
}
