//! Numbers that one thread writes and any may read.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Neighbouring cells of a page of one thread.
#[derive(Clone, Debug)]
pub struct Cells {
    page: Arc<Page>,
    first: usize,
}

/// Cells of one thread: no other writes to its cache lines.
#[derive(Debug)]
#[repr(align(128))]
struct Page([AtomicU64; PAGE]);

const PAGE: usize = 512;

thread_local! {
    /// This thread's page, and how much of it is in use.
    static CURRENT: RefCell<Option<(Arc<Page>, usize)>> = const { RefCell::new(None) };
    static THREAD: Cell<u64> = const { Cell::new(0) };
}

/// The number of this thread, from 1.
pub fn thread() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    THREAD.with(|thread| {
        if thread.get() == 0 {
            thread.set(LAST.fetch_add(1, Relaxed) + 1);
        }
        thread.get()
    })
}

impl Cells {
    /// That many new ones, at zero, for this thread.
    pub fn of_thread(count: usize) -> Cells {
        let count = count.min(PAGE);
        CURRENT.with_borrow_mut(|current| {
            let (page, used) = match current.take() {
                Some((page, used)) if used + count <= PAGE => (page, used),
                _ => (Arc::new(Page([const { AtomicU64::new(0) }; PAGE])), 0),
            };
            *current = Some((Arc::clone(&page), used + count));
            Cells { page, first: used }
        })
    }

    /// Adds to a cell. Only the thread that they are of calls it: no bus lock needed.
    pub fn add(&self, at: usize, by: u64) {
        let cell = self.cell(at);
        cell.store(cell.load(Relaxed).wrapping_add(by), Relaxed);
    }

    /// As [`Cells::add`], for a cell that holds a floating-point number.
    pub fn add_float(&self, at: usize, by: f64) {
        let cell = self.cell(at);
        cell.store((f64::from_bits(cell.load(Relaxed)) + by).to_bits(), Relaxed);
    }

    /// What a cell holds.
    pub fn read(&self, at: usize) -> u64 {
        self.cell(at).load(Relaxed)
    }

    fn cell(&self, at: usize) -> &AtomicU64 {
        &self.page.0[self.first + at]
    }
}
