//! The data plane: listeners, routing, plugin chains, balancing, health checks, and the exchange with services.

pub mod balancer;
pub mod dns;
pub mod health;
pub mod path;
pub mod router;
