//! Which plugins act on a request, in which order, with which of their instances.
//!
//! Everything that can be decided when the configuration changes is decided then: a [`Chain`] is made per combination
//! of route and service that has plugins of its own, and all others share the chain of the global ones of their
//! workspace. What remains for the request is to look whether the consumer has an instance of its own.

mod build;
mod refusal;
mod run;

pub use build::Scopes;
pub use refusal::Refusal;
pub use run::{Selected, logging, run_access, run_body_filter, run_header_filter, run_log, run_rewrite};

use model::entities::{Protocols, Uuid};
use sdk::{Phases, Plugin};
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
    pub protocols: Protocols,
    pub phases: Phases,
    /// It stands for a plugin that cannot be used.
    pub refuses: bool,
    pub plugin: Box<dyn Plugin>,
}

/// The plugins for one combination of route and service, by descending priority.
#[derive(Default)]
pub struct Chain {
    pub(crate) slots: Vec<PluginSlot>,
    /// What any instance in it takes part in.
    pub(crate) phases: Phases,
}

/// One plugin: the instance for everybody, and those of single consumers where they go before it.
#[derive(Clone)]
pub(crate) struct PluginSlot {
    /// Only instances that refuse act in it; the others have another slot, in the plugin's own place.
    pub is_gate: bool,
    pub base: Option<Arc<Instance>>,
    pub by_consumer: HashMap<Uuid, Arc<Instance>, foldhash::fast::RandomState>,
}

impl Chain {
    /// Whether any plugin of the chain takes part in a phase.
    pub fn has(&self, phase: Phases) -> bool {
        self.phases.has(phase)
    }

    /// Whether there is no plugin at all.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

impl PluginSlot {
    /// The instance for that consumer.
    pub fn select(&self, consumer: Option<&Uuid>) -> Option<&Arc<Instance>> {
        if !self.by_consumer.is_empty()
            && let Some(own) = consumer.and_then(|id| self.by_consumer.get(id))
        {
            return Some(own);
        }
        self.base.as_ref()
    }
}
