//! Names to addresses: Kong's resolver settings, a cache with stale answers, refresh off the workers.

mod settings;

pub use settings::{Kind, Settings};

/// The resolver of a node, with its cache.
pub struct Resolver {}
