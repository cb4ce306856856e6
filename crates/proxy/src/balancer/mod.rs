//! Choosing the server that gets a request.
//!
//! A snapshot holds [`Rings`]: the upstreams by workspace and name, each with its targets. What must survive a change
//! of the configuration (position, health, what names resolve to, probes) is handed from a ring to the one that follows
//! it.

mod affinity;
mod compile;
mod continuum;
mod endpoint;
mod host;
mod peer;
mod place;
mod plan;
mod prober;
mod ring;
mod state;
mod target;

pub use compile::{Activation, RingCompiler, Rings};
pub use endpoint::Endpoint;
pub use host::Host;
pub use peer::Peer;
pub use place::{Destination, Places};
pub use ring::{Ring, Standing};

use crate::dns;
use crate::health::tls::ProbeTls;
use crate::retired::Retired;
use crate::tls::{Certificates, Outbound};
use std::fmt;
use std::sync::Arc;
use tokio::runtime::Handle;

/// What all rings need of the node: names resolved, probes sent, and a runtime for both. Cheap to clone.
#[derive(Clone)]
pub struct Balancers {
    context: Arc<Context>,
}

/// Why there is no server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PickError {
    /// `name resolution failed`
    NameResolution,
    /// `failure to get a peer from the ring-balancer`
    NoPeer,
}

/// What rings share.
struct Context {
    resolver: Arc<dns::Resolver>,
    control: Handle,
    tls: ProbeTls,
    /// Former plans, until no worker has them any more.
    retired: Retired,
}

impl Balancers {
    /// Look-ups, probes and rebuilds run on `control`, never on a worker.
    pub fn new(settings: dns::Settings, control: Handle) -> Balancers {
        let resolver = dns::Resolver::new(settings, control.clone());
        let retired = Retired::new(control.clone());
        Balancers { context: Arc::new(Context { resolver, control, tls: ProbeTls::default(), retired }) }
    }

    /// How https probes are secured from now on; without this call, there are none.
    pub(crate) fn secure(&self, outbound: &Outbound, certificates: &Certificates) {
        self.context.tls.secure(outbound.emptied(), certificates.clone());
    }

    /// The resolver, for other names that the node needs.
    pub fn resolver(&self) -> &Arc<dns::Resolver> {
        &self.context.resolver
    }

    /// Where what workers may still have waits for its end.
    pub(crate) fn retired(&self) -> &Retired {
        &self.context.retired
    }
}

impl fmt::Display for PickError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PickError::NameResolution => "name resolution failed",
            PickError::NoPeer => "failure to get a peer from the ring-balancer",
        })
    }
}

impl std::error::Error for PickError {}

#[cfg(test)]
mod tests;
