//! How a try at a server ended, as requests and probes report it.

use std::fmt;

/// How a try at a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer with that status; 0 for an answer that is no HTTP.
    Status(u16),
    /// The connection stands, and where the gateway does not look into it (streams, tcp probes) that is a success.
    Connected,
    /// The connection failed or was cut before a response head.
    TcpFailure,
    /// The connection stood, but TLS did not come to be.
    TlsFailure,
    /// Connect, write or read took too long.
    Timeout,
    /// It is not the peer's fault: there was no descriptor, port or memory for a connection here. Says nothing about
    /// the peer's health.
    LocalFault,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Status(0) => f.write_str("not HTTP"),
            Outcome::Status(status) => write!(f, "status {status}"),
            Outcome::Connected => f.write_str("connected"),
            Outcome::TcpFailure => f.write_str("connection failed"),
            Outcome::TlsFailure => f.write_str("no TLS"),
            Outcome::Timeout => f.write_str("timeout"),
            Outcome::LocalFault => f.write_str("a fault of this node"),
        }
    }
}
