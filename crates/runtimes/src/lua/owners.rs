//! Who has made the sockets that code holds: an exchange, or a job that has none (a timer, an event). Those that are
//! open still when that is over are closed, as in OpenResty, and not when the collector comes across them.

use super::host::Host;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};

/// What can be closed: the place of something open.
trait Closes {
    fn close(&self);
}

impl<T> Closes for RefCell<Option<T>> {
    fn close(&self) {
        if let Ok(mut open) = self.try_borrow_mut() {
            *open = None;
        }
    }
}

thread_local! {
    static NEXT: Cell<u64> = const { Cell::new(0) };
    static OWNED: RefCell<HashMap<u64, Vec<Weak<dyn Closes>>>> = RefCell::new(HashMap::new());
    /// Whose turn it is where there is no exchange.
    static CURRENT: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Closes what it owns when it is dropped.
pub struct Owner(u64);

impl Owner {
    pub fn new() -> Owner {
        NEXT.with(|next| {
            next.set(next.get() + 1);
            Owner(next.get())
        })
    }

    /// What is made during this has this owner, unless an exchange is there.
    pub fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = CURRENT.replace(Some(self.0));
        let done = work();
        CURRENT.set(before);
        done
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // At the end of the thread there is nothing of it.
        let owned = OWNED.try_with(|owned| owned.borrow_mut().remove(&self.0)).ok().flatten();
        owned.into_iter().flatten().filter_map(|made| made.upgrade()).for_each(|made| made.close());
    }
}

/// Has the exchange that code acts on own this; without one, the job whose turn it is.
pub fn own<T: 'static>(host: &RefCell<Host>, made: &Rc<RefCell<Option<T>>>) {
    let owner = match host.try_borrow_mut() {
        Ok(mut host) if host.is_lent => {
            if host.exchange.state::<Owner>().is_none() {
                host.exchange.put(Owner::new());
            }
            host.exchange.state::<Owner>().map(|owner| owner.0)
        }
        _ => CURRENT.get(),
    };
    if let Some(owner) = owner {
        let made: Weak<RefCell<Option<T>>> = Rc::downgrade(made);
        OWNED.with_borrow_mut(|owned| {
            let owned = owned.entry(owner).or_default();
            owned.retain(|made| made.strong_count() > 0);
            owned.push(made);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(host: &RefCell<Host>) -> Rc<RefCell<Option<u8>>> {
        let made = Rc::new(RefCell::new(Some(1)));
        own(host, &made);
        made
    }

    #[test]
    fn what_is_open_is_closed_with_its_owner() {
        let host = RefCell::new(Host::empty());
        let (job, nobody) = (Owner::new(), made(&host));
        let of_job = job.during(|| made(&host));
        host.borrow_mut().is_lent = true;
        let of_exchange = job.during(|| made(&host));
        drop(job);
        assert_eq!((*of_job.borrow(), *of_exchange.borrow(), *nobody.borrow()), (None, Some(1), Some(1)));
        host.borrow_mut().exchange.clear();
        assert_eq!((*of_exchange.borrow(), *nobody.borrow()), (None, Some(1)));
        OWNED.with_borrow(|owned| assert!(owned.is_empty()));
    }
}
