//! What is over and waits to be used again.

use std::cell::{Cell, RefCell};

/// Values that were made for a busy moment, the one that was used last first. What has not been needed for a while is
/// freed, so that memory goes back after a burst.
pub struct FreeList<T> {
    free: RefCell<Vec<T>>,
    /// How many there are at most.
    most: usize,
    /// How many there were at least since [`FreeList::shrink`]: so many nobody has needed.
    unneeded: Cell<usize>,
}

impl<T> FreeList<T> {
    /// An empty list, which takes up to `most` values.
    pub fn new(most: usize) -> FreeList<T> {
        FreeList { free: RefCell::default(), most, unneeded: Cell::new(0) }
    }

    /// A value, if there is one.
    pub fn take(&self) -> Option<T> {
        let mut free = self.free.borrow_mut();
        let value = free.pop();
        self.unneeded.set(self.unneeded.get().min(free.len()));
        value
    }

    /// Takes one back, or drops it when there are enough.
    pub fn give(&self, value: T) {
        let mut free = self.free.borrow_mut();
        if free.len() < self.most {
            free.push(value);
        }
    }

    /// Drops all.
    pub fn clear(&self) {
        self.unneeded.set(0);
        let all = std::mem::take(&mut *self.free.borrow_mut());
        drop(all);
    }

    /// Drops half of what nobody has needed since this was called last; to be called now and then.
    pub fn shrink(&self) {
        let mut free = self.free.borrow_mut();
        let oldest = self.unneeded.get().div_ceil(2);
        let dropped = free.drain(..oldest).collect::<Vec<_>>();
        self.unneeded.set(free.len());
        drop(free);
        drop(dropped);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_needed_and_frees_the_rest() {
        let list = FreeList::new(100);
        (0..200).for_each(|n| list.give(n));
        assert_eq!(list.free.borrow().len(), 100);
        list.shrink();
        // Ten of them are in use at times.
        for _ in 0..20 {
            let used = (0..10).map(|_| list.take().unwrap()).collect::<Vec<_>>();
            used.into_iter().for_each(|n| list.give(n));
            list.shrink();
        }
        assert_eq!(list.free.borrow().len(), 10);
        (0..10).for_each(|_| list.shrink());
        assert_eq!(list.take(), None);
    }

    #[test]
    fn nothing_is_kept_of_what_is_cleared() {
        let list = FreeList::new(10);
        (0..10).for_each(|n| list.give(n));
        list.shrink();
        list.clear();
        list.shrink();
        assert_eq!(list.take(), None);
    }
}
