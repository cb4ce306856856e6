//! What stays at hand through an exchange.

use super::Origin;
use super::deadlines::Deadlines;
use crate::chain::Selected;
use crate::directives::{Accepts, Directives};
use crate::forwarded::Address;
use crate::hop_by_hop::HopByHop;
use crate::settings::Limits;
use crate::snapshot::View;
use crate::worker::Worker;
use sdk::{Exchange, Known, RequestHead};
use std::rc::Rc;
use wire::h1::Lingering;
use wire::{Fields, Version};

/// The surroundings of one exchange.
pub(crate) struct RequestContext<'a> {
    pub worker: &'a Rc<Worker>,
    pub origin: &'a Origin,
    /// The client's address, when a trusted proxy in front of us names it.
    pub client: Option<Address>,
    /// What the request says about its connection.
    pub hop_by_hop: HopByHop,
    pub view: &'a Rc<View>,
    pub selected: Selected<'a>,
    /// What the client speaks, for framing.
    pub version: Version,
    pub head_request: bool,
    /// The client's `Host`, when the service gets it too.
    pub kept_host: Option<Vec<u8>>,
    /// The client's connection ends with this exchange.
    pub close: bool,
    /// Connections to services that were kept may be used, until one has turned out to be closed.
    pub uses_kept: bool,
    pub deadlines: Deadlines,
    /// The lines of the request as they came, where directives may ask for them.
    pub kept: Option<Box<Fields>>,
    /// What the client says of compressed content, where responses are compressed.
    pub accepts: Option<Accepts>,
}

/// Nobody is there to be answered any more, or has to be cut off.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The client has gone.
    ClientClosed,
    /// It does not read, or its response cannot be completed: it must not take what it has for the whole.
    Aborted,
}

impl<'a> RequestContext<'a> {
    /// The surroundings of a request whose head has just been read; `last`: no other follows on the connection.
    pub fn new(
        worker: &'a Rc<Worker>,
        origin: &'a Origin,
        view: &'a Rc<View>,
        head: &RequestHead,
        last: bool,
    ) -> RequestContext<'a> {
        RequestContext {
            worker,
            origin,
            client: worker.shared.trusted.client(&origin.peer, origin.proxied.as_ref().map(|p| p.source), &head.fields),
            hop_by_hop: HopByHop::default(),
            selected: Selected::new(),
            version: head.version,
            head_request: head.method.is_head(),
            kept_host: None,
            uses_kept: true,
            close: last || !head.persists(),
            deadlines: Deadlines::default(),
            kept: None,
            accepts: None,
            view,
        }
    }

    /// nginx's directives of the node's settings.
    pub fn directives(&self) -> &'a Directives {
        &self.worker.shared.settings.directives
    }

    /// The `Host` that the client sent, for logs, though the request has that for its service by now. Where the lines
    /// of before are not kept, what the service is told of it (`X-Forwarded-Host`) stands for it.
    pub fn host_of_client<'e>(&'e self, exchange: &'e Exchange) -> Option<&'e [u8]> {
        let kept = exchange.kept_lines.as_deref().or(self.kept.as_deref());
        kept.and_then(|lines| lines.known(Known::Host))
            .or(self.kept_host.as_deref())
            .or_else(|| exchange.request.fields.known(Known::XForwardedHost))
    }

    /// The bounds of the node's settings.
    pub fn limits(&self) -> &'a Limits {
        &self.worker.shared.settings.limits
    }

    /// The most octets of content that a request may have.
    pub fn content_limit(&self) -> Option<u64> {
        Some(self.limits().client_max_body_size).filter(|limit| *limit > 0)
    }

    /// How long the rest of a request that is not used is waited for.
    pub fn lingering(&self) -> Lingering {
        let limits = self.limits();
        Lingering { time: limits.lingering_time, pause: limits.lingering_timeout }
    }
}
