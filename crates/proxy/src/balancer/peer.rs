//! A server that was chosen for a try.

use super::Endpoint;
use super::place::Place;
use super::plan::{Plan, WeightedEndpoint};
use crate::health::Outcome;
use crate::published::Hold;
use model::entities::Uuid;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// A server that was chosen. Holds its plan (or host) by the worker's own count, so that choosing writes nothing that
/// workers share, unless the algorithm asks for it. Where the upstream counts them it is an open exchange of the
/// endpoint until it is dropped: keep the peer until the exchange with it is over.
pub struct Peer {
    pub address: SocketAddr,
    /// A `Set-Cookie` value to add to the response, for `hash_on: cookie` when the request had none. The same on every
    /// try.
    pub set_cookie: Option<Box<str>>,
    from: Source,
    /// How it is among the open exchanges of its endpoint.
    counted: Counted,
    /// When it was chosen, if response times are measured.
    since: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Counted {
    Not,
    Open,
    /// Others may wait for its place.
    OfFew,
}

#[derive(Clone)]
enum Source {
    Slot(Rc<Hold<Plan>>, usize),
    Host(Rc<Place>),
}

impl Peer {
    /// The server of that slot; `None`: it has as many exchanges as it may.
    pub(super) fn of_slot(plan: Rc<Hold<Plan>>, at: usize, set_cookie: Option<Box<str>>) -> Option<Peer> {
        let slot = plan.slots().get(at)?;
        let counted = match plan.max_connections {
            0 if !plan.counts_exchanges() => Counted::Not,
            0 => {
                slot.endpoint.begin();
                Counted::Open
            }
            most if slot.endpoint.begin_within(most) => Counted::OfFew,
            _ => return None,
        };
        let since = plan.measures_latency().then(Instant::now);
        Some(Peer { address: slot.endpoint.address(), set_cookie, from: Source::Slot(plan, at), counted, since })
    }

    /// An address of that host.
    pub(super) fn of_host(host: Rc<Place>, address: SocketAddr) -> Peer {
        Peer { address, set_cookie: None, from: Source::Host(host), counted: Counted::Not, since: None }
    }

    /// The name for `Host` (the port is to be added when it is not the usual one) and TLS: the upstream's
    /// `host_header`, or the host of target or service, or what the SRV record names (`use_srv_name`). An IPv6 address
    /// is in brackets.
    pub fn host(&self) -> &Arc<str> {
        match &self.from {
            Source::Slot(plan, at) => &plan.slots()[*at].host,
            Source::Host(place) => place.name(),
        }
    }

    /// The target's address that this is; `None` for a plain host.
    pub fn endpoint(&self) -> Option<&Arc<Endpoint>> {
        self.slot().map(|(_, slot)| &slot.endpoint)
    }

    /// The upstream whose target this is.
    pub fn upstream(&self) -> Option<Uuid> {
        self.slot().map(|(plan, _)| plan.upstream.id)
    }

    /// Tells the health checker and the latency statistics how a try went. To be called once for each try, with
    /// `Outcome::Status` when the head of the response has come.
    pub fn report(&self, outcome: Outcome) {
        let Some((plan, slot)) = self.slot() else { return };
        let took_time = !matches!(outcome, Outcome::TcpFailure | Outcome::TlsFailure | Outcome::LocalFault);
        if let Some(since) = self.since.filter(|_| took_time) {
            slot.endpoint.took(since.elapsed());
        }
        if let Some(checks) = &plan.checks {
            if plan.recovers && checks.passive.is_good(outcome) {
                slot.endpoint.recover(outcome);
            }
            slot.endpoint.count(&checks.passive, false, outcome);
        }
    }

    /// Tells the health checker that no further try follows one without an answer, so that the client is told 502. As
    /// in Kong, that counts as if the server had said it, beside how the try failed. Only the checks' failures look at
    /// it: nothing that failed is a success.
    pub fn report_given_up(&self) {
        let Some((plan, slot)) = self.slot() else { return };
        let answered = Outcome::Status(502);
        if let Some(checks) = plan.checks.as_ref().filter(|checks| checks.passive.is_failure(answered)) {
            slot.endpoint.count(&checks.passive, false, answered);
        }
    }

    fn slot(&self) -> Option<(&Plan, &WeightedEndpoint)> {
        match &self.from {
            Source::Slot(plan, at) => Some((plan, plan.slots().get(*at)?)),
            Source::Host(_) => None,
        }
    }
}

impl Clone for Peer {
    fn clone(&self) -> Peer {
        if let (true, Some(endpoint)) = (self.counted != Counted::Not, self.endpoint()) {
            endpoint.begin();
        }
        Peer { set_cookie: self.set_cookie.clone(), from: self.from.clone(), ..*self }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        match (self.counted, self.endpoint()) {
            (Counted::Not, _) | (_, None) => {}
            (Counted::Open, Some(endpoint)) => endpoint.close(),
            (Counted::OfFew, Some(endpoint)) => endpoint.make_room(),
        }
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("address", &self.address).field("host", self.host()).finish()
    }
}
