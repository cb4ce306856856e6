//! Tries at services.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// One try to get an answer from an address of a service.
#[derive(Clone, Debug)]
pub struct Try {
    pub address: SocketAddr,
    /// What it answered, or what its failure amounts to: 502 or 504. 0 as long as neither is known.
    pub status: u16,
    pub started: Instant,
    /// From the start until the head of the response had come, or the try had failed.
    pub waited: Duration,
    /// Whether the head of a response has come.
    pub answered: bool,
    /// How long making a connection took, if that was done: no time on one that was kept.
    pub connected: Option<Duration>,
    /// Octets that have left for the service, and that have come from it: over HTTP/2, those of contents.
    pub sent: u64,
    pub received: u64,
    /// Octets of the response's content.
    pub content: u64,
}

impl Try {
    /// One that has just begun.
    pub fn new(address: SocketAddr, started: Instant) -> Try {
        Try {
            address,
            status: 0,
            started,
            waited: Duration::ZERO,
            answered: false,
            connected: None,
            sent: 0,
            received: 0,
            content: 0,
        }
    }

    /// As nginx's `$upstream_status`: a try that a client ended has none.
    pub fn status_text(&self) -> Cow<'static, str> {
        if self.status == 0 { "-".into() } else { self.status.to_string().into() }
    }
}
