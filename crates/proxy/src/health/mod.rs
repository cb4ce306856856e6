//! Which servers are alive: the counters behind that, probes, and the view for the Admin API.

mod view;

pub use view::{AddressHealth, HostHealth, UpstreamHealth, Weights};
