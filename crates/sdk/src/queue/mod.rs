//! Queues between requests and what is delivered in the background, with the parameters of Kong's.
//!
//! Workers put entries in and go on: an entry is moved into a list without locks, and the task that delivers is woken
//! only when there is as much as it waits for. A queue is bounded in entries and octets, and its entries are paid for
//! from the node's memory budget. When it is full, the oldest go.

mod sender;
mod settings;

pub use settings::QueueSettings;

use crate::{BoxFuture, Bytes, Env, MemoryBudget, entities};
use crossbeam_queue::SegQueue;
use futures_util::task::AtomicWaker;
use sender::Sender;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::Poll;

/// The end of a queue that entries are put into. Clones share it; when all are gone, what is in it is still delivered.
#[derive(Clone)]
pub struct Queue(Arc<Owner>);

/// What becomes of batches.
pub trait Deliver: Send + Sync + 'static {
    /// Delivers a batch, within limits of its own. The error is for the log, and must hold no secret.
    fn deliver<'a>(&'a self, batch: &'a [Bytes]) -> BoxFuture<'a, Result<(), String>>;
}

/// The queues of a node.
#[derive(Default)]
struct Queues(Mutex<Registry>);

#[derive(Default)]
struct Registry {
    by_key: HashMap<String, Weak<Owner>>,
    /// With so many it is time to forget those that have ended.
    sweep_at: usize,
}

/// All handles together.
struct Owner(Arc<Shared>);

struct Shared {
    /// Whose queue it is, for the log.
    label: String,
    settings: QueueSettings,
    memory: MemoryBudget,
    entries: SegQueue<Bytes>,
    /// Entries, perhaps with some that are just being put in.
    count: AtomicUsize,
    octets: AtomicUsize,
    /// The task is woken at so many entries.
    wanted: AtomicUsize,
    waker: AtomicWaker,
    /// No handle is left.
    closed: AtomicBool,
    /// Dropped since a batch was delivered last, for there was no room.
    dropped: AtomicU64,
    warned: AtomicBool,
}

impl Queue {
    /// Deliveries side by side.
    pub const MOST_AT_ONCE: usize = 100;

    /// The queue of a plugin: the one that is there, when an instance of the same plugin has opened one under the same
    /// `key`. So a key holds everything that settings and deliveries follow from. Called when an instance is
    /// configured.
    pub fn open(
        env: &Env,
        plugin: &entities::Plugin,
        key: &str,
        settings: QueueSettings,
        deliver: impl FnOnce() -> Arc<dyn Deliver>,
    ) -> Queue {
        Queue::named(env, &label(plugin), &format!("{} {key}", plugin.name), settings, deliver)
    }

    /// A queue of no plugin: as [`Queue::open`], with a label for the log.
    pub fn named(
        env: &Env,
        label: &str,
        key: &str,
        settings: QueueSettings,
        deliver: impl FnOnce() -> Arc<dyn Deliver>,
    ) -> Queue {
        let queues: Arc<Queues> = env.shared();
        let mut queues = queues.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = queues.by_key.get(key).and_then(Weak::upgrade) {
            return Queue(known);
        }
        let shared = Arc::new(Shared::new(label.to_owned(), settings, env.memory().clone()));
        let (tasks, stopping) = (env.tasks().clone(), env.tasks().stopping());
        let sender = Sender { shared: Arc::clone(&shared), deliver: deliver(), tasks, stopping };
        env.tasks().spawn("a queue", sender.run());
        let queue = Queue(Arc::new(Owner(shared)));
        if queues.by_key.len() >= queues.sweep_at {
            queues.by_key.retain(|_, queue| queue.strong_count() > 0);
            queues.sweep_at = 2 * queues.by_key.len() + 16;
        }
        queues.by_key.insert(key.to_owned(), Arc::downgrade(&queue.0));
        queue
    }

    /// Takes an entry to be delivered. Never waits.
    pub fn put(&self, entry: Vec<u8>) {
        self.0.0.put(entry);
    }

    /// How many entries wait.
    pub fn len(&self) -> usize {
        self.0.0.count.load(SeqCst)
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("label", &self.0.0.label).field("len", &self.len()).finish()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.closed.store(true, SeqCst);
        self.0.waker.wake();
    }
}

impl Shared {
    fn new(label: String, settings: QueueSettings, memory: MemoryBudget) -> Shared {
        Shared {
            label,
            settings,
            memory,
            entries: SegQueue::new(),
            count: AtomicUsize::new(0),
            octets: AtomicUsize::new(0),
            wanted: AtomicUsize::new(usize::MAX),
            waker: AtomicWaker::new(),
            closed: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
            warned: AtomicBool::new(false),
        }
    }

    fn put(&self, mut entry: Vec<u8>) {
        let length = entry.len();
        if let Some(most) = self.settings.max_bytes.filter(|most| length > *most) {
            let label = &self.label;
            tracing::error!("{label}: an entry of {length} octets is larger than the queue's max_bytes ({most})");
            return;
        }
        // What is paid for is the memory that the vector has.
        entry.shrink_to_fit();
        let Ok(entry) = self.memory.hold(entry) else {
            return self.note_drop("the memory budget is used up, new entries are dropped");
        };
        self.octets.fetch_add(length, SeqCst);
        let mut count = self.count.fetch_add(1, SeqCst) + 1;
        self.entries.push(entry);
        while self.is_over() && self.take().is_some() {
            self.note_drop("queue full, dropping old entries until processing is successful again");
            count = self.count.load(SeqCst);
        }
        if self.is_crowded(count) && !self.warned.swap(true, SeqCst) {
            tracing::warn!("{}: queue at 80% capacity", self.label);
        }
        if count >= self.wanted.load(SeqCst) {
            self.waker.wake();
        }
    }

    fn is_crowded(&self, count: usize) -> bool {
        count.saturating_mul(5) > self.settings.max_entries.saturating_mul(4)
    }

    fn is_over(&self) -> bool {
        self.count.load(SeqCst) > self.settings.max_entries
            || self.settings.max_bytes.is_some_and(|most| self.octets.load(SeqCst) > most)
    }

    /// Takes the oldest entry out.
    fn take(&self) -> Option<Bytes> {
        let entry = self.entries.pop()?;
        self.octets.fetch_sub(entry.len(), SeqCst);
        self.count.fetch_sub(1, SeqCst);
        Some(entry)
    }

    /// Said when it begins; how many there were is said when it is over.
    fn note_drop(&self, what: &str) {
        if self.dropped.fetch_add(1, SeqCst) == 0 {
            tracing::error!("{}: {what}", self.label);
        }
    }

    /// Waits for so many entries, or the end of the handles.
    async fn wait_for(&self, wanted: usize) {
        self.wanted.store(wanted, SeqCst);
        std::future::poll_fn(|cx| {
            self.waker.register(cx.waker());
            let there = self.count.load(SeqCst) >= wanted || self.closed.load(SeqCst);
            if there { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        self.wanted.store(usize::MAX, SeqCst);
    }
}

/// As in Kong: `http-log plugin <id> (<instance name>)`.
fn label(plugin: &entities::Plugin) -> String {
    let name = plugin.instance_name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
    format!("{} plugin {}{name}", plugin.name, plugin.id)
}

#[cfg(test)]
mod tests;
