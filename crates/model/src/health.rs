//! The health of upstreams, as the balancer sees it and the Admin API shows it.

/// An upstream as its balancer sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpstreamHealth {
    /// Whether any health check is configured.
    pub checked: bool,
    /// Whether enough weight is available (`healthchecks.threshold`).
    pub healthy: bool,
    pub weight: Weights,
    pub hosts: Vec<HostHealth>,
}

/// One target of an upstream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostHealth {
    /// The target without its port; an IPv6 address in brackets.
    pub host: String,
    pub port: u16,
    /// Where the addresses come from: `A`, `AAAA` or `SRV`; the error when the name does not resolve.
    pub dns: String,
    /// The target's own weight.
    pub node_weight: u32,
    pub weight: Weights,
    /// Empty when the name does not resolve.
    pub addresses: Vec<AddressHealth>,
}

/// One address of a target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AddressHealth {
    /// The address, or the name that an SRV record gives.
    pub ip: String,
    pub port: u16,
    pub weight: u32,
    pub healthy: bool,
}

/// Sums of weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weights {
    pub total: u64,
    pub available: u64,
    pub unavailable: u64,
}
