//! How much of what a client sends serves no request: frames without content, pings, settings, frames that mean
//! nothing. Each costs little, and nothing else bounds how many there are.

use std::cell::Cell;

/// So many octets that serve no request are nobody's mistake.
const ALLOWED: u64 = 1 << 20;
/// Beyond, so many for each octet that does (as nginx, which has these two bounds for HTTP/2 and HTTP/3).
const SHARE: u64 = 8;

/// What has come on a connection, and what of it was of use.
#[derive(Debug, Default)]
pub(crate) struct Overhead {
    received: Cell<u64>,
    used: Cell<u64>,
}

impl Overhead {
    /// Notes octets that have come; whether there are too many that serve no request, so that the connection is to end.
    pub fn receive(&self, octets: usize) -> bool {
        self.received.set(self.received.get() + octets as u64);
        self.is_excessive()
    }

    /// Notes that octets serve a request: those of heads and of content.
    pub fn serve(&self, octets: usize) {
        self.used.set(self.used.get() + octets as u64);
    }

    /// Whether there are too many that serve no request.
    pub fn is_excessive(&self) -> bool {
        self.received.get() / SHARE > self.used.get() + ALLOWED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_use_makes_room() {
        let overhead = Overhead::default();
        assert!(!overhead.receive(8 << 20));
        assert!(overhead.receive(8));
        overhead.serve(1000);
        assert!(!overhead.is_excessive());
        assert!(!overhead.receive(7990));
        assert!(overhead.receive(10));
    }
}
