//! Which servers are alive: the counters behind that, probes, and the view for the Admin API.

pub(crate) mod probe;
pub(crate) mod state;
pub(crate) mod tls;
mod view;

pub use view::{AddressHealth, HostHealth, UpstreamHealth, Weights};
