//! The data plane: listeners, routing, plugin chains, balancing, health checks, and the exchange with services.

mod accept;
pub mod access_log;
pub mod balancer;
mod by_workspace;
pub mod chain;
pub mod directives;
pub mod dns;
pub mod forwarded;
pub mod health;
pub mod hop_by_hop;
mod http;
pub mod listener;
pub mod live;
pub mod log_writer;
mod panic;
pub mod path;
mod plane;
mod published;
mod retired;
pub mod router;
pub mod settings;
mod shared;
mod single_valued;
pub mod snapshot;
mod stream;
pub mod tls;
mod traced;
mod tunnel;
mod upstream;
mod wheel;
mod worker;

pub use plane::DataPlane;
pub use settings::Settings;
pub use shared::Counters;
pub use snapshot::{Change, Replacement};
pub use traced::{Arrival, TracedConnection};
