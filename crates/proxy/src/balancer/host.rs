//! A host that is no upstream: its addresses in turn.

use super::{Lease, Peer, PickError};
use crate::dns::{CacheState, CachedName, Resolver};
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// A host that is no upstream, with what is known of its addresses.
pub struct Host {
    entry: Arc<CachedName>,
    port: u16,
    /// What requests for an IPv6 address name: the address in brackets.
    bracketed: Option<Arc<str>>,
}

impl Host {
    pub(super) fn new(entry: Arc<CachedName>, port: u16) -> Host {
        let bracketed = entry.name().parse::<Ipv6Addr>().is_ok().then(|| format!("[{}]", entry.name()).into());
        Host { entry, port, bracketed }
    }

    /// The name or address.
    pub fn name(&self) -> &Arc<str> {
        self.bracketed.as_ref().unwrap_or(self.entry.name())
    }

    /// The port, unless an SRV record says another.
    pub fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn try_pick(&self, resolver: &Resolver, tried: &[SocketAddr]) -> Result<Option<Peer>, PickError> {
        let answer = match resolver.read(&self.entry) {
            CacheState::Fresh(answer) | CacheState::Stale(answer) => answer,
            CacheState::Failed => return Err(PickError::NameResolution),
            CacheState::Unknown => return Ok(None),
        };
        let address = self.entry.next(&answer, self.port, tried).ok_or(PickError::NameResolution)?;
        Ok(Some(Peer {
            address,
            host: Arc::clone(self.name()),
            target: None,
            set_cookie: None,
            lease: Lease::default(),
        }))
    }

    pub(super) async fn pick(&self, resolver: &Resolver, tried: &[SocketAddr]) -> Result<Peer, PickError> {
        if let Some(peer) = self.try_pick(resolver, tried)? {
            return Ok(peer);
        }
        let answer = resolver.fresh(&self.entry).await.map_err(|failure| {
            tracing::warn!(host = %self.entry.name(), %failure, "the name of a service does not resolve");
            PickError::NameResolution
        })?;
        let address = self.entry.next(&answer, self.port, tried).ok_or(PickError::NameResolution)?;
        Ok(Peer { address, host: Arc::clone(self.name()), target: None, set_cookie: None, lease: Lease::default() })
    }
}
