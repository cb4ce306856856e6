//! The content of a request on its way to the service: how much of it is held, so that a failed try can be repeated.

use super::exchange::RequestContext;
use super::relay::Upload;
use sdk::Bytes;
use std::task::{Poll, ready};
use wire::Framing;
use wire::h1::ServerConnection;

/// Held before a service is asked at all, when the route buffers requests: a slow client then occupies no service.
const HOLD: usize = 64 * 1024;
/// Held for a plugin that reads the content.
const HOLD_FOR_PLUGINS: usize = 1 << 20;

/// A request's content.
#[derive(Default)]
pub(crate) struct Payload {
    /// What was read already, from the beginning.
    held: Bytes,
    /// All of it is in the buffer of the client's connection, and stays there until the exchange is over: that many
    /// octets.
    in_place: usize,
    /// More follows from the client.
    rest: bool,
    /// As the service will get it.
    framing: Framing,
    /// Some of the rest has gone to a service: there is no way back.
    streamed: bool,
    limit: u64,
    count: u64,
}

impl Payload {
    /// Takes the content that a head announced.
    pub fn begin(&mut self, framing: Framing, limit: u64) -> Result<(), Upload> {
        if limit > 0 && matches!(framing, Framing::Length(n) if n > limit) {
            return Err(Upload::TooLarge);
        }
        (self.framing, self.rest, self.limit) = (framing, framing != Framing::Empty, limit);
        Ok(())
    }

    /// How the content is delimited towards the service.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// What is held.
    pub fn held<'a>(&'a self, connection: &'a ServerConnection) -> &'a [u8] {
        if self.in_place > 0 { connection.content(self.in_place) } else { &self.held }
    }

    /// Lets go of what is held in the client's connection.
    pub fn release(&mut self, connection: &mut ServerConnection) {
        connection.consume(std::mem::take(&mut self.in_place));
    }

    /// Whether more follows from the client.
    pub fn has_rest(&self) -> bool {
        self.rest
    }

    /// Whether another try can send the same content again.
    pub fn is_repeatable(&self) -> bool {
        !self.streamed
    }

    /// The content, when all of it is held.
    pub fn whole(&self) -> Option<Bytes> {
        (!self.rest).then(|| self.held.clone())
    }

    /// A plugin has put other content in its place.
    pub fn replace(&mut self, body: Bytes) {
        self.framing = if body.is_empty() { Framing::Empty } else { Framing::Length(body.len() as u64) };
        self.held = body;
        self.rest = false;
    }

    /// Counts octets that are streamed to the service.
    pub fn stream(&mut self, octets: usize) -> Result<(), Upload> {
        self.streamed = true;
        self.count += octets as u64;
        if self.limit > 0 && self.count > self.limit { Err(Upload::TooLarge) } else { Ok(()) }
    }

    /// Reads small content whole, so that its length is known and a try can be repeated. Without `buffering`, only what
    /// has arrived already.
    pub async fn hold(
        &mut self,
        context: &RequestContext<'_>,
        connection: &mut ServerConnection,
        buffering: bool,
    ) -> Result<(), Upload> {
        if let Framing::Length(n) = self.framing
            && self.rest
            && usize::try_from(n).is_ok_and(|n| n <= connection.buffered())
        {
            // Small content usually comes with its head: no need to copy it.
            self.in_place = usize::try_from(n).unwrap_or_default();
            self.rest = false;
            return Ok(());
        }
        let small = match self.framing {
            Framing::Length(n) => n <= HOLD as u64 && buffering,
            Framing::Delimited => true,
            _ => false,
        };
        if !self.rest || !small { Ok(()) } else { self.read(context, connection, HOLD, buffering).await }
    }

    /// Reads the content for a plugin; what is longer than we hold for that stays a stream.
    pub async fn hold_all(
        &mut self,
        context: &RequestContext<'_>,
        connection: &mut ServerConnection,
    ) -> Result<(), Upload> {
        if self.rest { self.read(context, connection, HOLD_FOR_PLUGINS, true).await } else { Ok(()) }
    }

    async fn read(
        &mut self,
        context: &RequestContext<'_>,
        connection: &mut ServerConnection,
        most: usize,
        wait: bool,
    ) -> Result<(), Upload> {
        let mut held = Vec::from(std::mem::take(&mut self.held));
        if let Framing::Length(n) = self.framing {
            held.reserve(usize::try_from(n).unwrap_or(most).min(most));
        }
        let limit = self.limit;
        loop {
            let time = context.worker.shared.settings.limits.client_body_timeout;
            let step = |cx: &mut std::task::Context<'_>, connection: &mut ServerConnection, held: &mut Vec<u8>| {
                let piece = match connection.poll_content(cx) {
                    Poll::Pending if !wait => return Poll::Ready(Ok(None)),
                    other => ready!(other),
                };
                let Some(n) = piece.map_err(|_| Upload::Client)? else { return Poll::Ready(Ok(Some(true))) };
                held.extend_from_slice(connection.content(n));
                connection.consume(n);
                Poll::Ready(if limit > 0 && held.len() as u64 > limit {
                    Err(Upload::TooLarge)
                } else {
                    Ok(Some(false))
                })
            };
            let next = if connection.content_is_done() {
                Some(true)
            } else {
                connection
                    .timer()
                    .clone()
                    .limit(time, |cx| step(cx, connection, &mut held))
                    .await
                    .map_err(|_| Upload::TimedOut)??
            };
            match next {
                Some(true) => {
                    self.rest = false;
                    break;
                }
                Some(false) if held.len() <= most => {}
                _ => break,
            }
        }
        self.count = held.len() as u64;
        self.held = Bytes::from(held);
        // With trailers the content stays delimited, so that they can follow it.
        if !self.rest && connection.trailers().is_none() {
            self.framing = if self.held.is_empty() { Framing::Empty } else { Framing::Length(self.held.len() as u64) };
        }
        Ok(())
    }
}
