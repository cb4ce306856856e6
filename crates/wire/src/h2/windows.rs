//! How much content a client may send ahead of what is used (RFC 9113, section 5.2).
//!
//! Little, until content flows on a connection: what nobody reads takes little memory. Then much, as one who is far
//! away would else send a small window for each round trip; on as many connections at a time as there is room for.

use super::io::Io;
use bytes::Bytes;
use h2::server::Connection;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Of one stream, and of all on a connection.
pub(super) const STREAM: u32 = 256 << 10;
pub(super) const CONNECTION: u32 = 1 << 20;
/// The same where content flows.
const WIDE_STREAM: u32 = 4 << 20;
const WIDE_CONNECTION: u32 = 8 << 20;
/// Connections of this process that have so much at a time.
const MOST_WIDE: usize = 64;

/// What streams tell their connection; each holds it as long as it lasts.
#[derive(Default)]
pub(super) struct Flow {
    /// Octets of content that were used.
    used: Cell<u64>,
}

/// The windows of a connection.
#[derive(Default)]
pub(super) struct Windows {
    pub flow: Rc<Flow>,
    wide: Option<Wide>,
}

/// One of those that are wide.
struct Wide;

static WIDE: AtomicUsize = AtomicUsize::new(0);

impl Flow {
    /// So many more octets were used.
    pub fn add(&self, octets: usize) {
        self.used.set(self.used.get() + octets as u64);
    }
}

impl Windows {
    /// Makes them wide when content flows, and narrow again when there is no stream. Where the client has not yet taken
    /// note of the last change, that is done some other time.
    pub fn adapt(&mut self, connection: &mut Connection<Io, Bytes>) {
        let is_idle = Rc::strong_count(&self.flow) == 1;
        if self.wide.is_some() {
            if is_idle && connection.set_initial_window_size(STREAM).is_ok() {
                connection.set_target_window_size(CONNECTION);
                self.wide = None;
                self.flow.used.set(0);
            }
        } else if !is_idle
            && self.flow.used.get() >= u64::from(STREAM)
            && let Some(wide) = Wide::take()
            && connection.set_initial_window_size(WIDE_STREAM).is_ok()
        {
            connection.set_target_window_size(WIDE_CONNECTION);
            self.wide = Some(wide);
        }
    }
}

impl Wide {
    fn take() -> Option<Wide> {
        let more = |wide| (wide < MOST_WIDE).then_some(wide + 1);
        WIDE.fetch_update(Relaxed, Relaxed, more).is_ok().then_some(Wide)
    }
}

impl Drop for Wide {
    fn drop(&mut self) {
        WIDE.fetch_sub(1, Relaxed);
    }
}
