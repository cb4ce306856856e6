//! How much content a client may send ahead of what is used (RFC 9113, section 5.2).
//!
//! Little, until content flows on a connection: what nobody reads takes little memory. Then much, as one who is far
//! away would else send a small window for each round trip; on as many connections at a time as there is room for.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Of one stream, and of all on a connection.
pub(super) const STREAM: u32 = 256 << 10;
pub(super) const CONNECTION: u32 = 1 << 20;
/// The same where content flows.
pub(super) const WIDE_STREAM: u32 = 4 << 20;
pub(super) const WIDE_CONNECTION: u32 = 8 << 20;
/// What each has before anything was said (section 6.9.2).
pub(super) const INITIAL: u32 = 65_535;
/// Connections of this process that have so much at a time.
const MOST_WIDE: usize = 64;

/// What may still come, of a stream or a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// Octets that the client may send.
    open: i64,
    /// Octets that have come and were not used.
    held: i64,
    /// How many there may be of both together.
    pub target: u32,
}

impl Window {
    /// One that the client knows to be so large.
    pub fn new(open: u32, target: u32) -> Window {
        Window { open: open.into(), held: 0, target }
    }

    /// Octets have come; whether they were allowed.
    pub fn receive(&mut self, octets: usize) -> bool {
        self.open -= octets as i64;
        self.held += octets as i64;
        self.open >= 0
    }

    /// Octets were used; by how much the client may be told to send more, when that is worth a frame.
    pub fn consume(&mut self, octets: usize) -> Option<u32> {
        self.held -= octets as i64;
        let target = i64::from(self.target);
        let due = target - self.open - self.held;
        if due <= 0 || due < target / 2 {
            return None;
        }
        self.open += due;
        u32::try_from(due).ok()
    }

    /// Octets that have come and were not used.
    pub fn held(&self) -> usize {
        usize::try_from(self.held).unwrap_or(0)
    }
}

/// One of the connections that have wide windows.
pub(super) struct Wide(());

static WIDE: AtomicUsize = AtomicUsize::new(0);

impl Wide {
    /// One more, if there may be.
    pub fn take() -> Option<Wide> {
        let more = |wide| (wide < MOST_WIDE).then_some(wide + 1);
        WIDE.fetch_update(Relaxed, Relaxed, more).is_ok().then_some(Wide(()))
    }
}

impl Drop for Wide {
    fn drop(&mut self) {
        WIDE.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_is_given_back_in_large_pieces() {
        let mut window = Window::new(100, 100);
        assert!(window.receive(60));
        assert_eq!(window.consume(40), None);
        assert_eq!(window.held(), 20);
        assert_eq!(window.consume(20), Some(60));
        assert!(window.receive(100));
        assert!(!window.receive(1));
    }

    #[test]
    fn a_target_that_moves_is_followed() {
        let mut window = Window::new(100, 100);
        window.target = 1000;
        assert!(window.receive(10));
        assert_eq!(window.consume(10), Some(910));
        window.target = 100;
        assert!(window.receive(500));
        assert_eq!(window.consume(500), None);
        assert!(window.receive(460));
        assert_eq!(window.consume(460), Some(60));
    }
}
