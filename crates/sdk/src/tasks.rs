//! Work that plugins do beside requests: on the control runtime, never on a worker, and tracked, so that the end of the
//! node waits for it.

use futures_util::FutureExt;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Octets of stack of the threads that run code of plugins: code in Lua that recurses through functions of its runtime,
/// `string.gsub` above all, takes some kilobytes for each level, and is to meet Lua's own limit first. The system gives
/// a thread only what it touches.
pub const STACK: usize = 128 << 20;

/// The tasks of a node. Clones share them.
#[derive(Clone)]
pub struct Tasks(Arc<Inner>);

/// A task that ends when this is dropped, at the latest.
#[derive(Debug)]
pub struct OwnedTask(JoinHandle<()>);

struct Inner {
    /// `None` outside of any runtime, as in tests of plugins that only count: then nothing is run.
    runtime: Option<Handle>,
    running: TaskTracker,
    stopping: CancellationToken,
    ended: CancellationToken,
}

/// After the deadline, tasks are given that long to notice.
const GRACE: Duration = Duration::from_millis(100);

impl Tasks {
    /// Tasks that run there.
    pub fn on(runtime: Handle) -> Tasks {
        Tasks::with(Some(runtime))
    }

    fn with(runtime: Option<Handle>) -> Tasks {
        let (stopping, ended) = (CancellationToken::new(), CancellationToken::new());
        Tasks(Arc::new(Inner { runtime, running: TaskTracker::new(), stopping, ended }))
    }

    /// Runs something beside requests. `name` is for the log, should it panic.
    pub fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let _: Option<JoinHandle<()>> = self.start(name, work);
    }

    /// As [`Tasks::spawn`], as long as the owner wants it. `None` outside of any runtime.
    pub fn spawn_owned(
        &self,
        name: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Option<OwnedTask> {
        self.start(name, work).map(OwnedTask)
    }

    /// Does something again and again, with that time between two beginnings, until the node ends or the owner does not
    /// want it any more. What takes longer than the period is not caught up with.
    pub fn every<F, W>(&self, name: &'static str, period: Duration, mut work: F) -> Option<OwnedTask>
    where
        F: FnMut() -> W + Send + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        let stopping = self.stopping();
        self.spawn_owned(name, async move {
            let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
                work().await;
            }
        })
    }

    /// The outcome of something that runs on the control runtime, for a worker that awaits it. It ends when the future
    /// is dropped; `None` when it cannot be had, because the node ends or it has panicked.
    pub async fn call<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (done, outcome) = tokio::sync::oneshot::channel();
        let task = self.spawn_owned(name, async move {
            // Who asked may have gone.
            let _ = done.send(work.await);
        });
        let outcome = outcome.await.ok();
        drop(task);
        outcome
    }

    /// The outcome of something that may block, such as writing to a disk; `None` when it has panicked.
    pub async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        self.0.runtime.as_ref()?.spawn_blocking(work).await.ok()
    }

    /// How many there are now.
    pub fn running(&self) -> usize {
        self.0.running.len()
    }

    /// Told when the node begins to end: what waits goes on at once, and nothing new is begun.
    pub fn stopping(&self) -> CancellationToken {
        self.0.stopping.clone()
    }

    /// Tells all tasks that the node ends, and waits for them; what is left when the time is over is cut off.
    pub async fn drain(&self, time: Duration) {
        self.0.stopping.cancel();
        self.0.running.close();
        if tokio::time::timeout(time, self.0.running.wait()).await.is_ok() {
            return;
        }
        let left = self.0.running.len();
        tracing::warn!("{left} background tasks of plugins did not end in time and are cut off");
        self.0.ended.cancel();
        let _ = tokio::time::timeout(GRACE, self.0.running.wait()).await;
    }

    fn start(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) -> Option<JoinHandle<()>> {
        let ended = self.0.ended.clone();
        let guarded = async move {
            let caught = AssertUnwindSafe(work).catch_unwind();
            if let Some(Err(_)) = ended.run_until_cancelled(caught).await {
                tracing::error!("a background task has panicked: {name}");
            }
        };
        Some(self.0.running.spawn_on(guarded, self.0.runtime.as_ref()?))
    }
}

impl Default for Tasks {
    /// Tasks that run where this is called.
    fn default() -> Tasks {
        Tasks::with(Handle::try_current().ok())
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks").field("running", &self.0.running.len()).finish_non_exhaustive()
    }
}

impl Drop for OwnedTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn the_end_waits_for_tasks_and_cuts_off_what_takes_too_long() {
        let tasks = Tasks::default();
        let done = Arc::new(AtomicUsize::new(0));
        let (stopping, counted) = (tasks.stopping(), Arc::clone(&done));
        tasks.spawn("polite", async move {
            stopping.cancelled().await;
            tokio::time::sleep(Duration::from_secs(2)).await;
            counted.fetch_add(1, Ordering::SeqCst);
        });
        let counted = Arc::clone(&done);
        tasks.spawn("stubborn", async move {
            std::future::pending::<()>().await;
            counted.fetch_add(1, Ordering::SeqCst);
        });
        let before = Instant::now();
        tasks.drain(Duration::from_secs(5)).await;
        assert_eq!(done.load(Ordering::SeqCst), 1);
        assert_eq!(before.elapsed(), Duration::from_secs(5));
        assert_eq!(tasks.0.running.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_stays_within_its_task() {
        let tasks = Tasks::default();
        tasks.spawn("clumsy", async { panic!("on purpose") });
        assert_eq!(
            tasks
                .call("clumsy", async {
                    if true {
                        panic!("on purpose")
                    }
                })
                .await,
            None
        );
        assert_eq!(tasks.call("calm", async { 1 }).await, Some(1));
        tasks.drain(Duration::from_secs(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn periodic_work_ends_with_its_owner_and_with_the_node() {
        let tasks = Tasks::default();
        let count = Arc::new(AtomicUsize::new(0));
        let start = || {
            let count = Arc::clone(&count);
            tasks.every("tick", Duration::from_secs(1), move || {
                count.fetch_add(1, Ordering::SeqCst);
                std::future::ready(())
            })
        };
        let owned = start();
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(count.load(Ordering::SeqCst), 0);
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(count.load(Ordering::SeqCst), 3);
        drop(owned);
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(count.load(Ordering::SeqCst), 3);
        let kept = start();
        tasks.drain(Duration::from_secs(1)).await;
        assert_eq!(tasks.0.running.len(), 0);
        drop(kept);
    }

    #[test]
    fn without_a_runtime_nothing_is_run() {
        let tasks = Tasks::default();
        tasks.spawn("nobody", async { panic!("it is run") });
        assert!(tasks.spawn_owned("nobody", async {}).is_none());
    }
}
