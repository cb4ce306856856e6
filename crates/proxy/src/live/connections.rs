//! Connections with targets, by address: counted when one is made and when it ends, not with requests.

use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The connections of one worker that are open, kept ones included.
#[derive(Default)]
pub(crate) struct OpenConnections(Mutex<HashMap<SocketAddr, u64, RandomState>>);

/// Counts a connection until it is dropped.
pub(crate) struct OpenConnection {
    address: SocketAddr,
    of: Arc<OpenConnections>,
}

impl OpenConnections {
    /// Counts one more with that address.
    pub fn open(self: &Arc<OpenConnections>, address: SocketAddr) -> OpenConnection {
        *self.counts().entry(address).or_default() += 1;
        OpenConnection { address, of: Arc::clone(self) }
    }

    /// Adds how many there are.
    pub fn add_to(&self, sum: &mut HashMap<SocketAddr, u64, RandomState>) {
        self.counts().iter().for_each(|(address, count)| *sum.entry(*address).or_default() += count);
    }

    /// Contended only while somebody watches.
    fn counts(&self) -> MutexGuard<'_, HashMap<SocketAddr, u64, RandomState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let mut counts = self.of.counts();
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}
