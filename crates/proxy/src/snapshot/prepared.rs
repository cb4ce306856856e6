//! What has been compiled aside and has not taken effect yet.

use super::state::{Batch, State};
use super::{Change, Snapshot};
use crate::balancer::{Activation, Balancers};
use crate::tls::Certificates;
use model::entities::Uuid;
use std::collections::HashSet;
use std::sync::Arc;

/// The next snapshot, and what goes with it outside of snapshots.
pub struct Prepared {
    pub snapshot: Arc<Snapshot>,
    pub(super) upstreams: Activation,
    /// The certificates there were, and which of them to look at (`None`: all), if any have changed.
    pub(super) certificates: Option<(Certificates, Option<HashSet<Uuid>>)>,
    pub(super) secure: bool,
}

impl Prepared {
    /// To be called when the snapshot is in force.
    pub fn activate(self, balancers: &Balancers) {
        if self.secure {
            balancers.secure(&self.snapshot.outbound, &self.snapshot.certificates);
        }
        if let Some((former, ids)) = self.certificates {
            self.snapshot.certificates.retire_former(&former, ids.as_ref());
        }
        self.upstreams.run();
    }
}

/// A configuration that is to replace everything there was, while its records come in.
pub struct Replacement {
    pub(super) state: State,
    pub(super) next: Snapshot,
    pub(super) batch: Batch,
}

impl Replacement {
    /// Takes one of the records; what is referred to precedes what refers to it.
    pub fn take(&mut self, record: &Change<'_>) {
        self.state.take(record, &mut self.next, &mut self.batch);
    }
}
