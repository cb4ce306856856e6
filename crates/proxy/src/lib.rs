//! The data plane: listeners, routing, plugin chains, balancing, health checks, and the exchange with services.

pub mod balancer;
pub mod dns;
pub mod forwarded;
pub mod health;
pub mod hop_by_hop;
pub mod path;
pub mod router;
