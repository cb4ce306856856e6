//! The proxy, as the node uses it.

use crate::settings::Settings;
use admin::{Counters, TargetMark, UpstreamHealth};
use sdk::entities::Uuid;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use store::Change;

/// Stands where the data plane will be.
pub struct Plane {}

impl Plane {
    /// Binds the proxy's listeners.
    pub fn bind(_settings: &Settings, _env: sdk::Env) -> io::Result<Plane> {
        Ok(Plane {})
    }

    /// Plain and TLS addresses.
    pub fn addresses(&self) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        (Vec::new(), Vec::new())
    }

    /// Takes changes into force.
    pub fn apply(&self, _changes: &[Change]) {}

    /// Takes records into force in place of everything there was.
    pub fn replace(&self, _records: &[Change]) {}

    /// Starts the workers.
    pub fn serve(&self) -> io::Result<()> {
        Ok(())
    }

    /// What the listeners have counted.
    pub fn counters(&self) -> Counters {
        Counters::default()
    }

    /// The balancer's view of an upstream.
    pub fn upstream_health(&self, _upstream: Uuid) -> Option<UpstreamHealth> {
        None
    }

    /// Sets the health of a target by hand.
    pub fn set_target_health(&self, _mark: &TargetMark) -> Result<(), String> {
        Ok(())
    }

    /// Lets requests finish; blocks.
    pub fn drain(&self, _time: Duration) {}
}
