//! Why a command to Redis has come to nothing.

use std::fmt;

/// A failure, without anything secret in its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisError {
    /// There is no connection; nothing was sent.
    Connect(String),
    /// The server takes too long; whether it has acted, nobody knows.
    TimedOut,
    /// The connection has ended; whether the server has acted, nobody knows.
    Broken(String),
    /// The server refuses, with a code such as `WRONGTYPE`.
    Server { code: String, detail: String },
    /// What came is not what a command of that kind answers.
    Unexpected(String),
    /// The node ends.
    Stopped,
}

impl RedisError {
    /// Whether another connection might do better.
    pub(super) fn is_of_connection(&self) -> bool {
        matches!(self, RedisError::Connect(_) | RedisError::TimedOut | RedisError::Broken(_))
    }

    /// The code with which a server has refused.
    pub(super) fn code(&self) -> Option<&str> {
        match self {
            RedisError::Server { code, .. } => Some(code),
            _ => None,
        }
    }
}

impl From<redis::RedisError> for RedisError {
    fn from(error: redis::RedisError) -> RedisError {
        let detail = error.detail().unwrap_or_default().to_owned();
        match error.kind() {
            redis::ErrorKind::Io => RedisError::Broken(error.to_string()),
            redis::ErrorKind::AuthenticationFailed => RedisError::Server { code: "WRONGPASS".to_owned(), detail },
            redis::ErrorKind::Server(_) | redis::ErrorKind::Extension => {
                RedisError::Server { code: error.code().unwrap_or("ERR").to_owned(), detail }
            }
            _ => RedisError::Unexpected(error.to_string()),
        }
    }
}

impl From<redis::ParsingError> for RedisError {
    fn from(error: redis::ParsingError) -> RedisError {
        RedisError::Unexpected(error.to_string())
    }
}

impl fmt::Display for RedisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RedisError::Connect(why) => write!(f, "no connection to Redis: {why}"),
            RedisError::TimedOut => f.write_str("no answer of Redis in time"),
            RedisError::Broken(why) => write!(f, "the connection to Redis has ended: {why}"),
            RedisError::Server { code, detail } => write!(f, "Redis refuses: {code} {detail}"),
            RedisError::Unexpected(why) => write!(f, "an unexpected answer of Redis: {why}"),
            RedisError::Stopped => f.write_str("the node ends"),
        }
    }
}

impl std::error::Error for RedisError {}
