//! Names to addresses: Kong's resolver settings, a cache with stale answers, refresh off the workers.

/// The resolver of a node, with its cache.
pub struct Resolver {}
