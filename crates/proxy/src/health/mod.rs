//! Which servers are alive: the counters behind that, and probes. Knows nothing of how servers are chosen.

mod grpc;
mod outcome;
pub(crate) mod probe;
pub(crate) mod state;
pub(crate) mod tls;

pub use outcome::Outcome;
