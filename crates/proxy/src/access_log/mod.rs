//! Access logs: one line per request, in the language of nginx's `log_format`.
//!
//! A worker puts its lines together in a buffer of its own ([`Buffer`]) and hands it over when it is large or a moment
//! old. One thread writes for all logs of the node ([`crate::log_writer`]), or lines go elsewhere ([`TakesLines`]).
//! What cannot be written in time is dropped and counted: no request ever waits for a disk or a terminal.

mod buffer;
mod entry;
mod escape;
mod format;
mod variable;

pub use buffer::Buffer;
pub use entry::{Record, Stamp};
pub use format::Format;

use crate::log_writer::Sink;
use std::fmt::Debug;
use std::sync::Arc;

/// Where lines go and how they look. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AccessLog {
    pub format: Arc<Format>,
    pub sink: Arc<dyn TakesLines>,
}

/// What lines are put into.
pub trait TakesLines: Debug + Send + Sync {
    /// Takes so many lines, each with its end. Never waits.
    fn put(&self, lines: Vec<u8>, count: u64);
}

impl TakesLines for Sink {
    fn put(&self, lines: Vec<u8>, count: u64) {
        Sink::put(self, lines, count);
    }
}
