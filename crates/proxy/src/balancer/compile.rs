//! The upstreams of a snapshot, and how the next ones follow from changed records.

use super::{Balancers, Ring};
use crate::by_workspace::ByWorkspace;
use foldhash::fast::RandomState;
use model::entities::{Target, Upstream, Uuid};
use model::health::UpstreamHealth;
use rpds::HashTrieMapSync;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The upstreams of one snapshot. Clones share everything.
#[derive(Clone, Default)]
pub struct Rings {
    by_id: HashTrieMapSync<Uuid, Arc<Ring>, RandomState>,
    by_name: ByWorkspace<Arc<str>, Arc<Ring>>,
}

/// Keeps the records from which rings are made.
#[derive(Default)]
pub struct RingCompiler {
    upstreams: HashMap<Uuid, UpstreamRecords>,
    targets: HashMap<Uuid, Arc<Target>>,
    touched: HashSet<Uuid>,
    /// Those that were removed, perhaps to come again: they start afresh.
    removed: HashSet<Uuid>,
}

#[derive(Default)]
struct UpstreamRecords {
    /// None while only targets of it are known.
    record: Option<Arc<Upstream>>,
    /// The record is nothing but a name, for which no target is to be chosen.
    refuses: bool,
    targets: HashSet<Uuid>,
}

/// A ring and the one that it follows, where there was one.
#[derive(Default)]
pub struct Activation {
    put: Vec<(Arc<Ring>, Option<Arc<Ring>>)>,
    removed: Vec<Arc<Ring>>,
}

impl Rings {
    /// The upstream of that name in that workspace.
    pub fn by_name(&self, workspace: &Uuid, name: &str) -> Option<&Arc<Ring>> {
        self.by_name.find(workspace, name)
    }

    /// Whether requests can go to the upstream of that name in that workspace. Of other hosts nothing is known.
    pub fn is_available(&self, workspace: &Uuid, name: &str) -> bool {
        self.by_name(workspace, name).is_none_or(|ring| ring.is_available())
    }

    /// The balancer's view of an upstream; `None` while it has none.
    pub fn health(&self, upstream: Uuid) -> Option<UpstreamHealth> {
        self.by_id.get(&upstream).map(|ring| ring.health())
    }

    /// All upstreams.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Ring>> {
        self.by_id.values()
    }

    /// All upstreams by name, as the balancer sees them.
    pub fn all_health(&self) -> Vec<(String, UpstreamHealth)> {
        self.by_id.values().map(|ring| (ring.name().to_string(), ring.health())).collect()
    }

    /// Sets the health of the addresses of a target (`host` without port, `port`) by hand: of all of them, or of
    /// `address` only, in which case `port` is the port of that address. Addresses that are not there are passed over.
    /// The error is what the client of the Admin API is told with status 400.
    pub fn set_health(
        &self,
        upstream: Uuid,
        upstream_name: &str,
        host: &str,
        port: u16,
        address: Option<&str>,
        healthy: bool,
    ) -> Result<(), String> {
        let ring = self.by_id.get(&upstream).ok_or_else(|| format!("Upstream {upstream_name} has no balancer"))?;
        if ring.set_health(host, port, address, healthy) {
            Ok(())
        } else {
            Err(format!("no healthchecker found for {upstream_name}"))
        }
    }

    fn remove(&mut self, id: &Uuid) -> Option<Arc<Ring>> {
        let ring = self.by_id.get(id).cloned()?;
        self.by_id.remove_mut(id);
        // Another one may have got the name.
        let workspace = &ring.upstream().workspace;
        if self.by_name(workspace, ring.name()).is_some_and(|named| Arc::ptr_eq(named, &ring)) {
            self.by_name.remove(workspace, ring.name());
        }
        Some(ring)
    }
}

impl RingCompiler {
    /// Adds or changes an upstream.
    pub fn put_upstream(&mut self, upstream: Arc<Upstream>) {
        self.take_upstream(upstream, false);
    }

    /// Has nothing be sent to an upstream, since it cannot be used.
    pub fn refuse_upstream(&mut self, upstream: Arc<Upstream>) {
        self.take_upstream(upstream, true);
    }

    /// An upstream that can be used.
    pub fn upstream(&self, id: &Uuid) -> Option<&Arc<Upstream>> {
        self.upstreams.get(id).filter(|known| !known.refuses)?.record.as_ref()
    }

    pub fn target(&self, id: &Uuid) -> Option<&Arc<Target>> {
        self.targets.get(id)
    }

    /// Forgets an upstream.
    pub fn remove_upstream(&mut self, id: &Uuid) {
        if let Some(known) = self.upstreams.get_mut(id) {
            known.record = None;
            self.forget_empty(id);
        }
        self.touched.insert(*id);
        self.removed.insert(*id);
    }

    /// Adds or changes a target; it may have gone over from another upstream.
    pub fn put_target(&mut self, target: Arc<Target>) {
        self.remove_target(&target.id);
        self.upstreams.entry(target.upstream).or_default().targets.insert(target.id);
        self.touched.insert(target.upstream);
        self.targets.insert(target.id, target);
    }

    /// Forgets a target.
    pub fn remove_target(&mut self, id: &Uuid) {
        let Some(target) = self.targets.remove(id) else { return };
        let upstream = target.upstream;
        if let Some(known) = self.upstreams.get_mut(&upstream) {
            known.targets.remove(id);
            self.forget_empty(&upstream);
        }
        self.touched.insert(upstream);
    }

    /// Makes `next` from `former` and what was put and removed since the last call; `all` says that what was not put is
    /// gone. Nothing of it takes effect before the [`Activation`].
    pub fn finish(&mut self, former: &Rings, next: &mut Rings, all: bool, balancers: &Balancers) -> Activation {
        let mut activation = Activation::default();
        let removed = std::mem::take(&mut self.removed);
        let mut added = Vec::new();
        for id in std::mem::take(&mut self.touched) {
            let before = former.by_id.get(&id).filter(|_| !removed.contains(&id));
            next.remove(&id);
            let known = self.upstreams.get(&id);
            let Some(record) = known.and_then(|known| known.record.as_ref()) else { continue };
            let targets = known.into_iter().filter(|known| !known.refuses).flat_map(|known| &known.targets);
            let targets = targets.filter_map(|id| self.targets.get(id)).collect();
            let ring = Ring::new(before.map(Arc::as_ref), Arc::clone(record), targets, balancers);
            activation.put.push((Arc::clone(&ring), before.cloned()));
            added.push((id, ring));
        }
        // All old names are gone before the first new one comes: two upstreams may have exchanged theirs.
        for (id, ring) in added {
            next.by_name.insert(ring.upstream().workspace, Arc::clone(ring.name()), Arc::clone(&ring));
            next.by_id.insert_mut(id, ring);
        }
        activation.removed = if all {
            let gone = |(id, _): &(&Uuid, &Arc<Ring>)| removed.contains(id) || !next.by_id.contains_key(id);
            former.by_id.iter().filter(gone).map(|(_, ring)| Arc::clone(ring)).collect()
        } else {
            removed.iter().filter_map(|id| former.by_id.get(id)).cloned().collect()
        };
        activation
    }

    fn take_upstream(&mut self, upstream: Arc<Upstream>, refuses: bool) {
        let id = upstream.id;
        let known = self.upstreams.entry(id).or_default();
        (known.record, known.refuses) = (Some(upstream), refuses);
        self.touched.insert(id);
    }

    fn forget_empty(&mut self, id: &Uuid) {
        if self.upstreams.get(id).is_some_and(|known| known.record.is_none() && known.targets.is_empty()) {
            self.upstreams.remove(id);
        }
    }
}

impl Activation {
    /// To be called when the snapshot with these rings is in force.
    pub fn run(self) {
        self.removed.iter().for_each(|ring| ring.close());
        for (ring, former) in &self.put {
            ring.activate(former.as_deref());
        }
    }
}
