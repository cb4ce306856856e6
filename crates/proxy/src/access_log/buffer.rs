//! A worker's lines that have not been handed to the writer.

use super::{AccessLog, Format, Record, Stamp};
use std::cell::{Ref, RefCell};
use std::time::Duration;
use tokio::sync::Notify;

/// A buffer of this size is handed over at once.
pub(super) const FULL: usize = 32 * 1024;
/// How old a line may get.
const AGE: Duration = Duration::from_millis(100);

/// The access log as one worker sees it.
pub struct Buffer {
    log: AccessLog,
    lines: RefCell<Lines>,
    now: RefCell<Stamp>,
    begun: Notify,
}

#[derive(Default)]
struct Lines {
    text: Vec<u8>,
    count: u64,
}

impl Buffer {
    /// An empty buffer before a log.
    pub fn new(log: AccessLog) -> Buffer {
        Buffer { log, lines: RefCell::default(), now: RefCell::default(), begun: Notify::new() }
    }

    /// How lines look.
    pub fn format(&self) -> &Format {
        &self.log.format
    }

    /// The moment, for an entry.
    pub fn stamp(&self, unix_ms: u64) -> Ref<'_, Stamp> {
        self.now.borrow_mut().set(unix_ms);
        self.now.borrow()
    }

    /// Adds the line of a request.
    pub fn add(&self, entry: &Record<'_>) {
        let mut lines = self.lines.borrow_mut();
        if lines.text.capacity() == 0 {
            // Room for a last line beyond the limit.
            lines.text.reserve(FULL + FULL / 8);
        }
        self.log.format.write(entry, &mut lines.text);
        lines.count += 1;
        if lines.text.len() >= FULL {
            drop(lines);
            self.flush();
        } else if lines.count == 1 {
            self.begun.notify_one();
        }
    }

    /// Hands over what there is.
    pub fn flush(&self) {
        let lines = std::mem::take(&mut *self.lines.borrow_mut());
        if lines.count > 0 {
            self.log.sink.put(lines.text, lines.count);
        }
    }

    /// Hands lines over before they are old, for ever.
    pub async fn keep(&self) {
        loop {
            self.begun.notified().await;
            tokio::time::sleep(AGE).await;
            self.flush();
        }
    }
}
