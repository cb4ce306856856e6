//! Which plugins act on a request, in which order, with which of their instances.
//!
//! Everything that can be decided when the configuration changes is decided then: a [`Chain`] is made per combination
//! of route and service that has plugins of its own, and all others share the chain of the global ones of their
//! workspace. What remains for the request is to look whether the consumer, or one of its groups, has an instance of
//! its own.

mod build;
mod condition;
mod on_demand;
mod order;
mod refusal;
mod run;

pub use build::Scopes;
pub use condition::PluginCondition;
pub use on_demand::OnDemand;
pub use refusal::Refusal;
pub use run::{
    Selected, Unfiltered, run_access, run_access_with, run_body_filter, run_exit, run_header_filter, run_log,
    run_response, run_rewrite, run_ws_frame, taking_part, wait_for_body_filters, wait_for_header_filters,
};

use model::entities::{Ordering, Protocol, Protocols, Uuid};
use sdk::{CertificateRequest, Phases, Plugin};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// A configured plugin, ready to run.
pub struct Instance {
    pub id: Uuid,
    pub workspace: Uuid,
    pub name: Cow<'static, str>,
    pub priority: i32,
    pub route: Option<Uuid>,
    pub service: Option<Uuid>,
    pub consumer: Option<Uuid>,
    pub consumer_group: Option<Uuid>,
    pub protocols: Protocols,
    pub ordering: Ordering,
    /// It acts only on requests for which this holds.
    pub condition: Option<PluginCondition>,
    pub phases: Phases,
    /// What its clients are asked for when they connect.
    pub request: Option<CertificateRequest>,
    /// It stands for a plugin that cannot be used.
    pub refuses: bool,
    pub plugin: Box<dyn Plugin>,
}

/// The plugins for one combination of route and service.
#[derive(Default)]
pub struct Chain {
    /// In the order of the access phase.
    pub(crate) slots: Vec<PluginSlot>,
    /// That order is not the one of priorities, which the other phases have.
    pub(crate) is_reordered: bool,
    /// The instances for everybody that take part in the rewrite phase, by descending priority.
    pub(crate) rewriting: Vec<Arc<Instance>>,
    /// The instances for everybody that look for certificates, by descending priority.
    pub(crate) certifying: Vec<Arc<Instance>>,
    /// Those that have a say in how clients connect by TLS, by descending priority.
    pub(crate) connecting: Vec<Arc<Instance>>,
    /// What any instance in it takes part in.
    pub(crate) phases: Phases,
}

/// One plugin: the instance for everybody, and those of single consumers and of groups where they go before it.
#[derive(Clone)]
pub(crate) struct PluginSlot {
    /// Only instances that refuse act in it; the others have another slot, in the plugin's own place.
    pub is_gate: bool,
    pub base: Option<Arc<Instance>>,
    pub by_consumer: HashMap<Uuid, Arc<Instance>, foldhash::fast::RandomState>,
    pub by_group: HashMap<Uuid, Arc<Instance>, foldhash::fast::RandomState>,
}

impl Instance {
    /// Kong's order of precedence, from the most specific combination of scopes down to global.
    fn rank(&self) -> u8 {
        let caller = (self.consumer.is_some(), self.consumer_group.is_some());
        match (self.route.is_some(), self.service.is_some(), caller) {
            (true, true, (true, _)) => 12,
            (true, true, (_, true)) => 11,
            (true, false, (true, _)) => 10,
            (false, true, (true, _)) => 9,
            (true, false, (_, true)) => 8,
            (false, true, (_, true)) => 7,
            (true, true, _) => 6,
            (false, false, (true, _)) => 5,
            (false, false, (_, true)) => 4,
            (true, false, _) => 3,
            (false, true, _) => 2,
            (false, false, _) => 1,
        }
    }
}

impl Chain {
    /// Whether any plugin of the chain takes part in a phase.
    pub fn has(&self, phase: Phases) -> bool {
        self.phases.has(phase)
    }

    /// Whether clients of streams are asked for a certificate.
    pub fn asks_streams(&self) -> bool {
        let instances = self.slots.iter().filter_map(|slot| slot.base.as_ref());
        instances.into_iter().any(|i| i.request.is_some() && i.protocols.contains(Protocol::Tls))
    }

    /// Whether there is no plugin at all.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

impl PluginSlot {
    /// The instance for that consumer, who is in these groups. Of the instances of several groups that are as specific
    /// as each other, it is that of the first.
    pub fn select(&self, consumer: Option<&Uuid>, groups: &[Uuid]) -> Option<&Arc<Instance>> {
        let own = consumer.filter(|_| !self.by_consumer.is_empty()).and_then(|id| self.by_consumer.get(id));
        if self.by_group.is_empty() {
            return own.or(self.base.as_ref());
        }
        let mut best = own;
        for instance in groups.iter().filter_map(|id| self.by_group.get(id)) {
            if best.is_none_or(|best| instance.rank() > best.rank()) {
                best = Some(instance);
            }
        }
        best.or(self.base.as_ref())
    }
}
