//! What plugins keep across configuration changes.

use std::any::{Any, TypeId};
use std::sync::{Arc, Mutex, PoisonError};

/// The surroundings of plugin instances; one per node, handed to [`crate::PluginKind::configure`].
#[derive(Clone, Default)]
pub struct Env {
    shared: Arc<Mutex<Vec<(TypeId, Arc<dyn Any + Send + Sync>)>>>,
}

impl Env {
    /// The one value of that type on this node, made on first use. It outlives configuration changes: counters,
    /// caches and connection pools live in such values, keyed by whatever must tell instances apart.
    /// Called when an instance is configured, never on the request path.
    pub fn shared<T: Any + Send + Sync + Default>(&self) -> Arc<T> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let known = shared.iter().find(|(id, _)| *id == TypeId::of::<T>()).map(|(_, value)| Arc::clone(value));
        let value = known.unwrap_or_else(|| {
            let value: Arc<dyn Any + Send + Sync> = Arc::new(T::default());
            shared.push((TypeId::of::<T>(), Arc::clone(&value)));
            value
        });
        drop(shared);
        value.downcast().unwrap_or_default()
    }
}
