//! Keeps at hand what authorities say of this node's certificates, for clients who want to see it with them. Nothing of
//! this is done in a handshake: one that begins before there is an answer, or when none can be had, goes without.

use super::Identity;
use crate::published::Published;
use crate::snapshot::Snapshot;
use futures_util::{StreamExt, stream};
use sdk::certificates::Stapler;
use std::sync::Arc;
use std::time::Duration;

/// How often certificates are looked for of which there is something to be asked.
const LOOK: Duration = Duration::from_secs(2);
/// How many authorities are asked at a time.
const AT_ONCE: usize = 8;

/// Asks about all certificates of the configuration, or only about those with which clients must see an answer, again
/// and again.
pub(crate) async fn run(snapshot: Arc<Published<Snapshot>>, stapler: Stapler, all: bool) {
    let mut tick = tokio::time::interval(LOOK);
    loop {
        tick.tick().await;
        let certificates = snapshot.load().certificates.clone();
        let due: Vec<Arc<Identity>> =
            certificates.all().filter(|identity| identity.lacks_staple(all)).cloned().collect();
        drop(certificates);
        let stapler = &stapler;
        stream::iter(due)
            .for_each_concurrent(AT_ONCE, |identity| async move { identity.staple(stapler, all).await })
            .await;
    }
}
