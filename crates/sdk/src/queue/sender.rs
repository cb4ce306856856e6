//! The task that takes batches out of a queue and delivers them.

use super::{Deliver, Queue, Shared};
use crate::{Bytes, CancellationToken, Tasks};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

#[derive(Clone)]
pub(super) struct Sender {
    pub shared: Arc<Shared>,
    pub deliver: Arc<dyn Deliver>,
    pub tasks: Tasks,
    pub stopping: CancellationToken,
}

/// A batch under way; says that it is lost when its task is cut off.
struct Delivery<'a> {
    shared: &'a Shared,
    batch: &'a [Bytes],
    is_over: bool,
}

impl Sender {
    /// Delivers until nothing is left and nothing more comes.
    pub async fn run(self) {
        let places = Arc::new(Semaphore::new(Queue::MOST_AT_ONCE));
        while let Some(batch) = self.batch().await {
            if !self.shared.is_crowded(self.shared.count.load(SeqCst)) {
                self.shared.warned.store(false, SeqCst);
            }
            if !self.shared.settings.concurrent {
                self.deliver(&batch).await;
                continue;
            }
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let sender = self.clone();
            self.tasks.spawn("a delivery", async move {
                sender.deliver(&batch).await;
                drop(place);
            });
        }
    }

    /// The next entries to be delivered together; `None` when nothing is left and nothing more comes.
    async fn batch(&self) -> Option<Vec<Bytes>> {
        let Shared { settings, .. } = &*self.shared;
        let first = loop {
            // In this order: what was put in before the last handle went is seen.
            let is_last = self.stopping.is_cancelled() || self.shared.closed.load(SeqCst);
            match self.shared.take() {
                Some(entry) => break entry,
                None if is_last => return None,
                None => {}
            }
            self.stopping.run_until_cancelled(self.shared.wait_for(1)).await;
            // One that is counted may not be there for a moment yet.
            tokio::task::yield_now().await;
        };
        let most = if settings.concurrent { 1 } else { settings.max_batch_size };
        if most > 1 {
            let more = self.stopping.run_until_cancelled(self.shared.wait_for(most - 1));
            // Either way, what is there goes.
            let _ = timeout(settings.max_coalescing_delay, more).await;
        }
        let mut batch = vec![first];
        while batch.len() < most
            && let Some(entry) = self.shared.take()
        {
            batch.push(entry);
        }
        Some(batch)
    }

    /// Delivers a batch, again and again if need be.
    async fn deliver(&self, batch: &[Bytes]) {
        let Shared { settings, label, .. } = &*self.shared;
        let mut delivery = Delivery { shared: &self.shared, batch, is_over: false };
        let began = Instant::now();
        let mut delay = settings.initial_retry_delay;
        let mut failures = 0_u64;
        while let Err(why) = self.try_deliver(batch).await {
            failures += 1;
            if failures == 1 {
                tracing::warn!("{label}: cannot deliver {} entries: {why}", batch.len());
            }
            if settings.max_retry_time.is_none_or(|most| began.elapsed() > most) {
                tracing::error!("{label}: {} entries were lost: {why}", batch.len());
                delivery.is_over = true;
                return;
            }
            sleep(delay.min(settings.max_retry_delay)).await;
            delay = delay.saturating_mul(2);
        }
        delivery.is_over = true;
        if failures > 0 {
            tracing::info!("{label}: delivered after {failures} failures");
        }
        match self.shared.dropped.swap(0, SeqCst) {
            0 => {}
            dropped => tracing::warn!("{label}: the queue goes on, {dropped} entries were dropped"),
        }
    }

    async fn try_deliver(&self, batch: &[Bytes]) -> Result<(), String> {
        let caught = AssertUnwindSafe(self.deliver.deliver(batch)).catch_unwind().await;
        caught.unwrap_or_else(|_| Err("the plugin has panicked".to_owned()))
    }
}

impl Drop for Delivery<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            let lost = self.batch.len() + self.shared.count.load(SeqCst);
            tracing::error!("{}: {lost} entries are lost, for the node ends", self.shared.label);
        }
    }
}
