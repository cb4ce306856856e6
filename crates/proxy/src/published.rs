//! A value that is replaced as a whole now and then, and read by all workers with every request.
//!
//! A worker reads through a [`Reader`] of its own: it looks whether there is a newer value and else counts on its own
//! hold on the one it has, so that reading writes nothing that workers share.

use arc_swap::{ArcSwap, Guard};
use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The value in force.
pub struct Published<T> {
    value: ArcSwap<T>,
    /// Grows after each replacement.
    version: AtomicU64,
}

/// What one worker has of it.
pub struct Reader<T> {
    version: Cell<u64>,
    value: RefCell<Rc<Hold<T>>>,
}

/// A worker's hold on a value; the worker counts on this one, and workers share the count inside.
pub struct Hold<T>(Arc<T>);

impl<T> Published<T> {
    pub fn new(value: Arc<T>) -> Published<T> {
        Published { value: ArcSwap::new(value), version: AtomicU64::new(0) }
    }

    /// Different for each value. Ask before the value itself, which may then be a newer one.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Puts another value in its place; the result is the former one.
    pub fn replace(&self, value: Arc<T>) -> Arc<T> {
        let former = self.value.swap(value);
        // Whoever sees this number finds the value above.
        self.version.fetch_add(1, Ordering::Release);
        former
    }

    /// The value, for one who asks seldom.
    pub fn load(&self) -> Guard<Arc<T>> {
        self.value.load()
    }

    /// A hold on the value, for one who asks often.
    pub fn reader(&self) -> Reader<T> {
        let version = self.version();
        Reader { version: Cell::new(version), value: RefCell::new(Rc::new(Hold(self.value.load_full()))) }
    }

    /// The value now.
    pub fn read(&self, reader: &Reader<T>) -> Rc<Hold<T>> {
        let version = self.version();
        if reader.version.replace(version) != version {
            reader.value.replace(Rc::new(Hold(self.value.load_full())));
        }
        Rc::clone(&reader.value.borrow())
    }
}

impl<T> Deref for Hold<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_sees_each_replacement_and_keeps_what_it_holds() {
        let published = Published::new(Arc::new(1));
        let reader = published.reader();
        let first = published.read(&reader);
        assert!(Rc::ptr_eq(&first, &published.read(&reader)), "nothing new is nothing to do");
        assert_eq!(*published.replace(Arc::new(2)), 1);
        assert_eq!(**published.read(&reader), 2);
        assert_eq!(**first, 1);
        assert_eq!(**published.load(), 2);
    }
}
