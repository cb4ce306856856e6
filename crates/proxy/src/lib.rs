//! The data plane: listeners, routing, plugin chains, balancing, health checks, and the exchange with services.

pub mod balancer;
pub mod chain;
pub mod dns;
pub mod health;
pub mod path;
pub mod router;
pub mod settings;
pub mod snapshot;
pub mod tls;
