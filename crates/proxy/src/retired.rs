//! What has been replaced and may still be in use by workers: it is freed on the control runtime.
//!
//! Freeing a large configuration takes long enough to delay requests, so that a worker must never be the last to let
//! go of one. Whatever is retired is held here until nobody else has it.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;

/// Cheap to clone.
#[derive(Clone)]
pub struct Retired {
    held: Arc<Mutex<Held>>,
    control: Handle,
}

#[derive(Default)]
struct Held {
    list: Vec<Arc<dyn Any + Send + Sync>>,
    /// A task looks after the list.
    attended: bool,
}

/// How often it is looked whether anything can be freed.
const INTERVAL: Duration = Duration::from_millis(500);

impl Retired {
    pub fn new(control: Handle) -> Retired {
        Retired { held: Arc::default(), control }
    }

    /// Frees `value`, which has been taken out of where workers find it, when nobody else has it any more.
    pub fn put(&self, value: Arc<dyn Any + Send + Sync>) {
        // What is in no place any more cannot be got hold of either.
        if Arc::strong_count(&value) == 1 {
            return;
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.list.push(value);
        if !std::mem::replace(&mut held.attended, true) {
            let held = Arc::clone(&self.held);
            self.control.spawn(attend(held));
        }
    }

    /// How much waits.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).list.len()
    }
}

/// Ends when there is nothing left.
async fn attend(held: Arc<Mutex<Held>>) {
    loop {
        let (free, left) = {
            let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
            let (free, used): (Vec<_>, Vec<_>) = held.list.drain(..).partition(|value| Arc::strong_count(value) == 1);
            held.list = used;
            held.attended = !held.list.is_empty();
            (free, held.attended)
        };
        // It may take long: where blocking is allowed.
        let freed = tokio::task::spawn_blocking(move || drop(free));
        if !left {
            return;
        }
        // An error would be a panic of what was freed; the rest goes on.
        let _ = freed.await;
        tokio::time::sleep(INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says on which thread it was dropped.
    struct Told(std::sync::mpsc::Sender<std::thread::ThreadId>);

    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.0.send(std::thread::current().id());
        }
    }

    #[test]
    fn what_a_worker_lets_go_of_last_is_freed_elsewhere() {
        let control = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let retired = Retired::new(control.handle().clone());
        let (sender, freed) = std::sync::mpsc::channel();
        let value = Arc::new(Told(sender));
        let of_worker = Arc::clone(&value);
        retired.put(value);
        assert!(freed.try_recv().is_err(), "a worker still has it");
        drop(of_worker);
        let by = freed.recv_timeout(Duration::from_secs(20)).unwrap();
        assert_ne!(by, std::thread::current().id());
        assert_eq!(retired.len(), 0);
    }
}
