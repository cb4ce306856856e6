//! What has been replaced and may still be in use by workers: it is freed on the control runtime.
//!
//! Freeing a large configuration takes long enough to delay requests, so that a worker must never be the last to let
//! go of one. Whatever is retired is held here until nobody else has it.

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;

/// Cheap to clone.
#[derive(Clone)]
pub struct Retired {
    held: Arc<Held>,
    control: Handle,
}

struct Held {
    waiting: Mutex<Waiting>,
    /// There is more to be looked at than will wait for the next look.
    crowded: Notify,
    /// How often it is looked whether anything can be freed.
    interval: Duration,
}

#[derive(Default)]
struct Waiting {
    list: Vec<Arc<dyn Any + Send + Sync>>,
    /// A task looks after the list.
    attended: bool,
    /// How many were in use when it was last looked.
    used: usize,
}

const INTERVAL: Duration = Duration::from_millis(500);
/// So many more are looked at at once: many changes in a row do not pile up.
const CROWD: usize = 16;

impl Retired {
    pub fn new(control: Handle) -> Retired {
        Retired::with_interval(control, INTERVAL)
    }

    fn with_interval(control: Handle, interval: Duration) -> Retired {
        Retired { held: Arc::new(Held { waiting: Mutex::default(), crowded: Notify::new(), interval }), control }
    }

    /// Frees `value`, which has been taken out of where workers find it, when nobody else has it any more.
    pub fn put(&self, value: Arc<dyn Any + Send + Sync>) {
        // What is in no place any more cannot be got hold of either.
        if Arc::strong_count(&value) == 1 {
            return;
        }
        let mut waiting = self.held.waiting();
        waiting.list.push(value);
        if !std::mem::replace(&mut waiting.attended, true) {
            let held = Arc::clone(&self.held);
            self.control.spawn(async move { held.attend().await });
        } else if waiting.list.len() >= waiting.used + CROWD {
            self.held.crowded.notify_one();
        }
    }

    /// How much waits.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.held.waiting().list.len()
    }
}

impl Held {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends when there is nothing left.
    async fn attend(&self) {
        loop {
            let (free, left) = {
                let mut waiting = self.waiting();
                let (free, used): (Vec<_>, Vec<_>) =
                    waiting.list.drain(..).partition(|value| Arc::strong_count(value) == 1);
                waiting.used = used.len();
                waiting.list = used;
                waiting.attended = waiting.used > 0;
                (free, waiting.attended)
            };
            // It may take long: where blocking is allowed.
            let freed = tokio::task::spawn_blocking(move || drop(free));
            if !left {
                return;
            }
            // An error would be a panic of what was freed; the rest goes on.
            let _ = freed.await;
            let _ = tokio::time::timeout(self.interval, self.crowded.notified()).await;
        }
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

    #[test]
    fn many_do_not_wait_for_the_next_look() {
        let control = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let retired = Retired::with_interval(control.handle().clone(), Duration::from_secs(3600));
        let (sender, freed) = std::sync::mpsc::channel();
        let retire = || {
            let value = Arc::new(Told(sender.clone()));
            let of_worker = Arc::clone(&value);
            retired.put(value);
            of_worker
        };
        let many: Vec<_> = (0..2 * CROWD).map(|_| retire()).collect();
        drop(many);
        let _in_use: Vec<_> = (0..CROWD).map(|_| retire()).collect();
        for _ in 0..2 * CROWD {
            freed.recv_timeout(Duration::from_secs(20)).expect("so many more are enough for a look");
        }
    }
}
