//! The content of a request before it goes to a service: how much of it is held, where, and so whether a failed try can
//! be repeated.

use super::context::RequestContext;
use super::deadlines::Wait;
use super::downstream::Downstream;
use super::spool::Spool;
use super::upload::UploadError;
use crate::settings::Limits;
use sdk::{Bytes, Fields, Held, RequestBody};
use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use wire::Framing;

/// Held in memory when `client_body_buffer_size` is not set.
const IN_MEMORY: usize = 64 << 10;
/// The same, for a plugin that looks at the content.
const IN_MEMORY_FOR_PLUGINS: usize = 1 << 20;

/// A request's content.
#[derive(Default)]
pub(crate) struct Payload {
    /// What was read already, from the beginning.
    held: Bytes,
    /// What was read after that.
    spool: Option<Box<Spool>>,
    /// All of it is in the buffer of the client's connection, and stays there until the exchange is over: that many
    /// octets.
    in_place: usize,
    /// More follows from the client.
    rest: bool,
    /// As the service will get it.
    framing: Framing,
    has_begun: bool,
    /// Some of the rest has gone to a service: there is no way back.
    streamed: bool,
    /// The most octets that the client may send.
    limit: Option<u64>,
    count: u64,
}

impl Payload {
    /// Takes the content that a head announced, unless that was done before.
    pub fn begin(&mut self, framing: Framing, limit: Option<u64>) -> Result<(), UploadError> {
        if self.has_begun {
            return Ok(());
        }
        self.has_begun = true;
        self.framing = framing;
        self.rest = !matches!(framing, Framing::Empty | Framing::Length(0));
        self.limit = limit;
        self.check_limit()
    }

    /// Whether all of it has come already, so that plugins can look at it at no cost.
    pub fn is_at_hand(&self, downstream: &Downstream<'_>) -> bool {
        !self.rest || matches!(self.framing, Framing::Length(n) if n <= downstream.buffered() as u64)
    }

    /// Lets the client send no more than that.
    pub fn restrict(&mut self, limit: u64) -> Result<(), UploadError> {
        self.limit = Some(self.limit.map_or(limit, |other| other.min(limit)));
        self.check_limit()
    }

    /// How the content is delimited towards the service.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// What is held in memory.
    pub fn held<'a>(&'a self, downstream: &'a Downstream<'_>) -> &'a [u8] {
        if self.in_place > 0 { downstream.content(self.in_place) } else { &self.held }
    }

    /// All of it, where there is some and memory holds it.
    pub fn in_memory(&self, downstream: &Downstream<'_>) -> Option<Bytes> {
        let held = if self.in_place > 0 { Bytes::copy_from_slice(self.held(downstream)) } else { self.held.clone() };
        (!self.rest && self.spool.is_none() && !held.is_empty()).then_some(held)
    }

    /// Whether more of it is held than memory is for.
    pub fn is_on_disk(&self) -> bool {
        self.spool.is_some()
    }

    /// What is held on disk, behind that.
    pub fn spool_mut(&mut self) -> Option<&mut Spool> {
        self.spool.as_deref_mut()
    }

    /// Lets go of what is held in the client's connection.
    pub fn release(&mut self, downstream: &mut Downstream<'_>) {
        let octets = std::mem::take(&mut self.in_place);
        if octets > 0 {
            downstream.consume(octets);
        }
    }

    /// Whether more follows from the client.
    pub fn has_rest(&self) -> bool {
        self.rest
    }

    /// Whether another try can send the same content again.
    pub fn is_repeatable(&self) -> bool {
        !self.streamed
    }

    /// The content as plugins see it, after [`Payload::hold`].
    pub fn for_plugins(&self) -> RequestBody {
        if self.rest || self.spool.is_some() {
            return RequestBody::TooLarge;
        }
        RequestBody::Whole(self.held.clone())
    }

    /// A plugin may have put other content in its place.
    pub fn replace(&mut self, body: Bytes) {
        if body.is_empty() && self.framing == Framing::Empty {
            return;
        }
        // Trailers are kept where the content is.
        if self.framing != Framing::Delimited || body != self.held {
            self.framing = Framing::Length(body.len() as u64);
        }
        self.held = body;
        self.rest = false;
    }

    /// The trailers that the service gets.
    pub fn trailers(&self, downstream: &Downstream<'_>) -> Option<Fields> {
        let trailers = downstream.trailers().filter(|_| self.framing == Framing::Delimited)?;
        let mut trailers = trailers.clone();
        crate::hop_by_hop::strip_request_trailers(&mut trailers);
        Some(trailers)
    }

    /// Counts octets that are streamed to the service.
    pub fn stream(&mut self, octets: usize) -> Result<(), UploadError> {
        self.streamed = true;
        self.add(octets)
    }

    /// Before a service is asked: reads the content whole when `buffering`, in memory and then on disk, so that a slow
    /// client occupies no service and a try can be repeated. Without, only what has come already.
    pub async fn hold(
        &mut self,
        context: &mut RequestContext<'_>,
        downstream: &mut Downstream<'_>,
        buffering: bool,
    ) -> Result<(), UploadError> {
        if let Framing::Length(n) = self.framing
            && let Some(n) = usize::try_from(n).ok().filter(|n| *n <= downstream.buffered())
        {
            // Small content usually comes with its head: no need to copy it.
            self.in_place = n;
            self.rest = false;
            return Ok(());
        }
        let most = context.limits().client_body_buffer_size.unwrap_or(IN_MEMORY);
        match (buffering, self.framing) {
            (true, _) => self.read(context, downstream, most, true).await,
            // Whether it is over already decides how it can be sent.
            (false, Framing::Delimited) => self.read(context, downstream, most, false).await,
            (false, _) => Ok(()),
        }
    }

    /// Reads the content whole for plugins that look at it: what is more than fits in memory goes to disk, where they
    /// cannot.
    pub async fn hold_for_plugins(
        &mut self,
        context: &mut RequestContext<'_>,
        downstream: &mut Downstream<'_>,
    ) -> Result<(), UploadError> {
        let most = context.limits().client_body_buffer_size.unwrap_or(IN_MEMORY_FOR_PLUGINS);
        if self.rest { self.read(context, downstream, most, true).await } else { Ok(()) }
    }

    async fn read(
        &mut self,
        context: &mut RequestContext<'_>,
        downstream: &mut Downstream<'_>,
        most: usize,
        wait: bool,
    ) -> Result<(), UploadError> {
        let mut held = Held::new(&context.worker.shared.memory);
        let limits = context.limits();
        let result = poll_fn(|cx| {
            if let Poll::Ready(result) = self.poll_read(cx, downstream, &mut held, (most, wait), limits) {
                return Poll::Ready(result);
            }
            if !wait && self.spool.is_none() {
                return Poll::Ready(Ok(()));
            }
            let (received, timer, deadlines) = (downstream.received(), downstream.timer(), &mut context.deadlines);
            deadlines.begin(Wait::ClientRead, received, limits.client_body_timeout, timer);
            match deadlines.poll_expired(cx, timer) {
                Some(_) => Poll::Ready(Err(UploadError::TimedOut)),
                None => Poll::Pending,
            }
        })
        .await;
        context.deadlines.clear(downstream.timer());
        self.held = held.into_bytes();
        result?;
        // With trailers the content stays delimited, so that they can follow it.
        if !self.rest && downstream.trailers().is_none() {
            self.framing = Framing::Length(self.count);
        }
        Ok(())
    }

    /// Ready when all has come, or, when the end is not waited for, as much as is held in memory.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        downstream: &mut Downstream<'_>,
        held: &mut Held,
        (most, whole): (usize, bool),
        limits: &Limits,
    ) -> Poll<Result<(), UploadError>> {
        loop {
            if let Some(spool) = &mut self.spool {
                ready!(spool.poll_ready(cx)).map_err(UploadError::Spool)?;
            }
            let Some(n) = ready!(downstream.poll_content(cx)).map_err(UploadError::from)? else {
                self.rest = false;
                return Poll::Ready(Ok(()));
            };
            self.add(n)?;
            let piece = downstream.content(n);
            let kept = match &mut self.spool {
                Some(spool) => {
                    spool.push(piece);
                    true
                }
                None => held.octets().len() + n <= most && held.try_extend(piece).is_ok(),
            };
            if !kept && !whole {
                // What is left in the connection is counted when it is streamed.
                self.count -= n as u64;
                return Poll::Ready(Ok(()));
            }
            if !kept {
                self.spool.insert(Box::new(Spool::new(&limits.temporary_files))).push(piece);
            }
            downstream.consume(n);
        }
    }

    fn add(&mut self, octets: usize) -> Result<(), UploadError> {
        self.count += octets as u64;
        self.check_limit()
    }

    /// Whether what has come, or is announced, is within the limit.
    fn check_limit(&self) -> Result<(), UploadError> {
        let announced = match self.framing {
            Framing::Length(octets) => octets,
            _ => 0,
        };
        let octets = self.count.max(announced);
        if self.limit.is_some_and(|limit| octets > limit) { Err(UploadError::TooLarge) } else { Ok(()) }
    }
}
