//! Where the requests of a worker go, by the host that a service names.

use super::{Balancers, Host, Peer, PickError, Ring, Rings, affinity};
use crate::balancer::plan::Plan;
use crate::published::Reader;
use foldhash::fast::RandomState;
use model::entities::{Service, Uuid};
use sdk::Exchange;
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What a worker has looked up under one snapshot; goes with its view of it.
#[derive(Default)]
pub struct Places {
    /// By workspace and host.
    known: RefCell<HashMap<Uuid, Hosts, RandomState>>,
    /// Those of the hosts that services name, by the service: what most requests go by.
    of_services: RefCell<HashMap<Uuid, Rc<Place>, RandomState>>,
}

type Hosts = HashMap<Box<str>, Rc<Place>, RandomState>;

/// Targets of an upstream, or the addresses of a name.
pub(super) enum Place {
    Upstream { ring: Arc<Ring>, plan: Reader<Plan> },
    Host(Host),
}

/// Everything that decides where the requests of one service go.
#[derive(Clone)]
pub struct Destination {
    place: Rc<Place>,
    port: u16,
}

/// So many hosts are remembered; then the worker begins again.
const MOST: usize = 4096;
/// How often another address is chosen when the last place of one was taken meanwhile.
const ROUNDS: usize = 4;
/// How long a request waits for a place, where no service says it.
const PATIENCE: Duration = Duration::from_secs(60);

impl Places {
    /// The upstream or the host that a service names.
    pub fn of_service(&self, rings: &Rings, balancers: &Balancers, service: &Service, port: u16) -> Destination {
        if let Some(place) = self.of_services.borrow().get(&service.id) {
            return Destination { place: Rc::clone(place), port };
        }
        let found = self.find(rings, balancers, &service.workspace, &service.host, port);
        let mut known = self.of_services.borrow_mut();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(service.id, Rc::clone(&found.place));
        found
    }

    /// The workspace's upstream of that name, else the host.
    pub fn find(&self, rings: &Rings, balancers: &Balancers, workspace: &Uuid, host: &str, port: u16) -> Destination {
        if let Some(place) = self.known.borrow().get(workspace).and_then(|hosts| hosts.get(host)) {
            return Destination { place: Rc::clone(place), port };
        }
        let place = Rc::new(match rings.by_name(workspace, host) {
            Some(ring) => Place::Upstream { plan: ring.reader(), ring: Arc::clone(ring) },
            None => Place::Host(Host::new(balancers.resolver().entry(host))),
        });
        let mut known = self.known.borrow_mut();
        if known.values().map(HashMap::len).sum::<usize>() >= MOST {
            known.clear();
        }
        known.entry(*workspace).or_default().insert(host.into(), Rc::clone(&place));
        Destination { place, port }
    }
}

impl Place {
    /// The name of a plain host. Peers of an upstream have theirs by their slot.
    pub fn name(&self) -> &Arc<str> {
        match self {
            Place::Upstream { ring, .. } => ring.name(),
            Place::Host(host) => host.name(),
        }
    }
}

/// A slot for an exchange, with the cookie that its client is to be given.
fn choose(ring: &Ring, plan: &Plan, exchange: &Exchange, tried: &[SocketAddr]) -> (Option<usize>, Option<Box<str>>) {
    if plan.is_sticky() {
        let known = affinity::session(&plan.upstream, exchange).and_then(|token| plan.slot_of(token, tried));
        if known.is_some() {
            return (known, None);
        }
        let slot = plan.pick(ring.position(), None, tried);
        let cookie = slot.and_then(|slot| affinity::session_cookie(&plan.upstream, &plan.slots()[slot].token()));
        return (slot, cookie);
    }
    if plan.hashes() {
        let (hash, cookie) = affinity::of(&plan.upstream, exchange);
        return (plan.pick(ring.position(), Some(hash), tried), cookie);
    }
    (plan.pick(ring.position(), None, tried), None)
}

impl Destination {
    /// Whether it is an upstream.
    pub fn is_upstream(&self) -> bool {
        matches!(&*self.place, Place::Upstream { .. })
    }

    /// The upstream, if it is one.
    pub(crate) fn ring(&self) -> Option<&Ring> {
        match &*self.place {
            Place::Upstream { ring, .. } => Some(ring),
            Place::Host(_) => None,
        }
    }

    /// The certificate to be shown to the targets of the upstream, where the service has none of its own.
    pub(crate) fn client_certificate(&self) -> Option<Uuid> {
        match &*self.place {
            Place::Upstream { ring, .. } => ring.upstream().client_certificate,
            Place::Host(_) => None,
        }
    }

    /// A server for this exchange, not one of `tried` unless there is no other; `None` when a name must be resolved
    /// first (then [`Destination::pick`] waits for it). Takes no lock and allocates nothing but a new cookie.
    /// `None`, too, when all targets have as many requests as they may, and this one may wait for a place.
    pub fn try_pick(
        &self,
        balancers: &Balancers,
        exchange: &Exchange,
        tried: &[SocketAddr],
    ) -> Result<Option<Peer>, PickError> {
        match &*self.place {
            Place::Upstream { ring, plan } => {
                let plan = ring.plan(plan);
                for _ in 0..ROUNDS {
                    let (slot, set_cookie) = choose(ring, &plan, exchange, tried);
                    let Some(slot) = slot else { break };
                    // Others may have taken its last place meanwhile.
                    if let Some(peer) = Peer::of_slot(Rc::clone(&plan), slot, set_cookie) {
                        return Ok(Some(peer));
                    }
                }
                if plan.pending || plan.lets_wait() { Ok(None) } else { Err(PickError::NoPeer) }
            }
            Place::Host(host) => {
                let address = host.try_pick(balancers.resolver(), self.port, tried)?;
                Ok(address.map(|address| Peer::of_host(Rc::clone(&self.place), address)))
            }
        }
    }

    /// As [`Destination::try_pick`]; waits for a name to be resolved.
    pub async fn pick(
        &self,
        balancers: &Balancers,
        exchange: &Exchange,
        tried: &[SocketAddr],
    ) -> Result<Peer, PickError> {
        let ring = match &*self.place {
            Place::Upstream { ring, .. } => ring,
            Place::Host(host) => {
                let address = host.pick(balancers.resolver(), self.port, tried).await?;
                return Ok(Peer::of_host(Rc::clone(&self.place), address));
            }
        };
        let patience = exchange.service.as_ref().map_or(PATIENCE, |service| service.connect_timeout);
        let (end, mut queued) = (Instant::now() + patience, None);
        loop {
            let (changed, freed) = (ring.changed(), ring.freed().notified());
            tokio::pin!(changed);
            tokio::pin!(freed);
            changed.as_mut().enable();
            freed.as_mut().enable();
            if let Some(peer) = self.try_pick(balancers, exchange, tried)? {
                return Ok(peer);
            }
            if !ring.lets_wait() {
                // Every look-up ends, and then there is a new plan.
                changed.await;
                continue;
            }
            if queued.is_none() {
                queued = Some(ring.queue().ok_or(PickError::NoPeer)?);
            }
            tokio::select! {
                () = changed => {}
                () = freed => {}
                () = tokio::time::sleep_until(end) => return Err(PickError::NoPeer),
            }
        }
    }
}
