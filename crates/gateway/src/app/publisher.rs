//! From the store to the proxy: takes committed changes into force and says how far it has come.
//!
//! Writes that come in a burst are taken together: while one batch is compiled, the next one gathers in the feed.

use super::plane::Plane;
use model::Error;
use std::sync::Arc;
use store::{Revision, Store};
use tokio::sync::watch;

/// The one task that changes what the proxy serves.
pub struct Publisher {
    store: Store,
    plane: Arc<Plane>,
    newest: watch::Receiver<Revision>,
    applied: watch::Sender<Revision>,
}

impl Publisher {
    /// Takes everything there is into force.
    pub async fn start(store: Store, plane: Arc<Plane>) -> Result<Publisher, Error> {
        let newest = store.watch();
        let (revision, records) = store.snapshot().await?;
        plane.apply(&records);
        Ok(Publisher { store, plane, newest, applied: watch::Sender::new(revision) })
    }

    /// The newest revision that requests see.
    pub fn applied(&self) -> watch::Receiver<Revision> {
        self.applied.subscribe()
    }

    /// Follows the store for ever.
    pub async fn run(mut self) {
        loop {
            if let Err(error) = self.catch_up().await {
                tracing::error!("cannot read changes, the proxy goes on with what it has: {error}");
            }
            if self.newest.changed().await.is_err() {
                return;
            }
        }
    }

    async fn catch_up(&mut self) -> Result<(), Error> {
        loop {
            self.newest.mark_unchanged();
            let from = *self.applied.borrow();
            let (revision, changes) = match self.store.changes_since(from).await? {
                Some((revision, _)) if revision == from => return Ok(()),
                Some(changes) => changes,
                None => {
                    let (revision, records) = self.store.snapshot().await?;
                    self.take(move |plane| plane.replace(&records)).await;
                    self.store.forget_changes(revision);
                    self.applied.send_replace(revision);
                    continue;
                }
            };
            self.take(move |plane| plane.apply(&changes)).await;
            self.store.forget_changes(revision);
            self.applied.send_replace(revision);
        }
    }

    /// Compiling may take its time: not on a thread that answers the Admin API.
    async fn take(&self, compile: impl FnOnce(&Plane) + Send + 'static) {
        let plane = Arc::clone(&self.plane);
        if tokio::task::spawn_blocking(move || compile(&plane)).await.is_err() {
            tracing::error!("compiling a change failed, the proxy goes on with what it has");
        }
    }
}
