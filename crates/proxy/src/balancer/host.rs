//! A host that is no upstream: its addresses in turn.

use super::PickError;
use crate::dns::{CacheState, CachedName, EntryReader, Resolver};
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// A host that is no upstream, with what is known of its addresses; one worker's.
pub struct Host {
    entry: Arc<CachedName>,
    reader: EntryReader,
    /// What requests for an IPv6 address name: the address in brackets.
    bracketed: Option<Arc<str>>,
}

impl Host {
    pub(super) fn new(entry: Arc<CachedName>) -> Host {
        let bracketed = entry.name().parse::<Ipv6Addr>().is_ok().then(|| format!("[{}]", entry.name()).into());
        Host { reader: entry.reader(), entry, bracketed }
    }

    /// The name or address.
    pub fn name(&self) -> &Arc<str> {
        self.bracketed.as_ref().unwrap_or(self.entry.name())
    }

    /// An address, with that port unless an SRV record says another; `None` when the name must be resolved first.
    pub(super) fn try_pick(
        &self,
        resolver: &Resolver,
        port: u16,
        tried: &[SocketAddr],
    ) -> Result<Option<SocketAddr>, PickError> {
        let next = resolver.use_answer(&self.entry, &self.reader, |answer| self.entry.next(answer, port, tried));
        match next {
            CacheState::Fresh(address) | CacheState::Stale(address) => {
                address.map(Some).ok_or(PickError::NameResolution)
            }
            CacheState::Failed => Err(PickError::NameResolution),
            CacheState::Unknown => Ok(None),
        }
    }

    /// As [`Host::try_pick`]; waits for the name to be resolved.
    pub(super) async fn pick(
        &self,
        resolver: &Resolver,
        port: u16,
        tried: &[SocketAddr],
    ) -> Result<SocketAddr, PickError> {
        if let Some(address) = self.try_pick(resolver, port, tried)? {
            return Ok(address);
        }
        let answer = resolver.fresh(&self.entry).await.map_err(|failure| {
            tracing::warn!(host = %self.entry.name(), %failure, "the name of a service does not resolve");
            PickError::NameResolution
        })?;
        self.entry.next(&answer, port, tried).ok_or(PickError::NameResolution)
    }
}
