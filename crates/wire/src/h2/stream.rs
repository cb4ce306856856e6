//! One request of a client and its response, on a connection with others.

use super::head;
use super::rounds::Rounds;
use super::sending::Sending;
use super::windows::Flow;
use crate::h1::{ContentError, HeadError, Traffic};
use crate::message::{Fields, Framing, Known, RequestHead, ResponseHead};
use crate::net::Timer;
use bytes::{Buf, Bytes};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::request::Parts;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// A stream that a client has opened. When it is dropped before the response is complete, the client is told that it
/// is not (`RST_STREAM`).
pub struct ServerStream {
    /// The head, until it is taken.
    parts: Option<Parts>,
    request: RecvStream,
    /// Content that has come and was not consumed.
    piece: Bytes,
    /// The request's content has come to its end.
    ended: bool,
    trailers: Option<Fields>,
    /// The client waits for `100 Continue`.
    continue_wanted: bool,
    respond: SendResponse<Bytes>,
    response: Option<Sending>,
    /// The round with which leaves what was queued last.
    round: u64,
    rounds: Rc<Rounds>,
    flow: Rc<Flow>,
    traffic: Traffic,
    timer: Timer,
}

impl ServerStream {
    pub(super) fn new(
        request: http::Request<RecvStream>,
        respond: SendResponse<Bytes>,
        flow: Rc<Flow>,
        rounds: Rc<Rounds>,
        timer: Timer,
    ) -> ServerStream {
        let (parts, request) = request.into_parts();
        ServerStream {
            ended: request.is_end_stream(),
            parts: Some(parts),
            request,
            piece: Bytes::new(),
            trailers: None,
            continue_wanted: false,
            respond,
            response: None,
            round: rounds.current(),
            rounds,
            flow,
            traffic: Traffic::default(),
            timer,
        }
    }

    /// Puts the request's head into `head`, once.
    pub fn take_head(&mut self, head: &mut RequestHead) -> Result<(), HeadError> {
        let Some(parts) = self.parts.take() else { return Ok(()) };
        let read = head::request(&parts, self.ended, head);
        self.traffic.received += head.fields.iter().map(|(name, value)| (name.len() + value.len()) as u64).sum::<u64>();
        self.traffic.received += head.target.len() as u64;
        let expects = head.fields.known(Known::Expect).is_some_and(|e| e.eq_ignore_ascii_case(b"100-continue"));
        self.continue_wanted = expects && !self.ended;
        if read.is_err() {
            head.fields.clear();
            head.framing = Framing::Empty;
        }
        read
    }

    /// As [`crate::h1::ServerConnection::poll_content`].
    pub fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<usize>, ContentError>> {
        if self.response.is_none() {
            self.queue_continue();
        }
        while self.piece.is_empty() {
            if self.ended {
                return Poll::Ready(Ok(None));
            }
            match ready!(self.request.poll_data(cx)) {
                Some(Ok(piece)) => self.piece = piece,
                // The client has reset the stream, or is gone.
                Some(Err(error)) => return Poll::Ready(Err(content_error(error))),
                None => {
                    let trailers = ready!(self.request.poll_trailers(cx)).map_err(content_error)?;
                    self.trailers = trailers.as_ref().map(head::fields);
                    self.ended = true;
                }
            }
        }
        Poll::Ready(Ok(Some(self.piece.len())))
    }

    /// The first `n` octets of the content that have arrived.
    pub fn content(&self, n: usize) -> &[u8] {
        &self.piece[..n]
    }

    /// Takes octets of the content as used: only then the client may send as many more.
    pub fn consume(&mut self, n: usize) {
        self.piece.advance(n);
        self.traffic.received += n as u64;
        self.flow.add(n);
        // Fails for streams that are over, of which nothing more will come.
        let _ = self.request.flow_control().release_capacity(n);
    }

    /// How many octets have arrived that were not consumed.
    pub fn buffered(&self) -> usize {
        self.piece.len()
    }

    /// Whether the request's content has come to its end and was consumed.
    pub fn content_is_done(&self) -> bool {
        self.ended && self.piece.is_empty()
    }

    /// The request's trailers, after its content.
    pub fn trailers(&self) -> Option<&Fields> {
        self.trailers.as_ref()
    }

    /// Whether the client sends no content before it is told to.
    pub fn awaits_continue(&self) -> bool {
        self.continue_wanted && self.piece.is_empty()
    }

    /// Tells a client that waits for `100 Continue` to go on.
    pub fn queue_continue(&mut self) {
        if std::mem::take(&mut self.continue_wanted) {
            self.queue_interim(&mut ResponseHead { status: 100, ..ResponseHead::default() });
        }
    }

    /// Ready when the client has reset the stream or is gone.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.response {
            Some(response) => response.poll_reset(cx),
            None => self.respond.poll_reset(cx).map(|_| ()),
        }
    }

    /// Whether the response is complete while the client may still send content.
    pub fn is_answered_early(&self) -> bool {
        !self.ended && self.response.as_ref().is_some_and(Sending::is_finished)
    }

    /// Ready when the client has sent all content, or has given up; what comes is dropped, up to `most` octets.
    pub fn poll_rest(&mut self, cx: &mut Context<'_>, most: &mut usize) -> Poll<()> {
        while *most > 0 {
            match self.poll_content(cx) {
                Poll::Ready(Ok(Some(n))) => {
                    self.consume(n);
                    *most = most.saturating_sub(n);
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        self.poll_closed(cx)
    }

    /// Whether the response did not come to its end.
    pub fn is_cut_short(&self) -> bool {
        self.response.as_ref().is_none_or(|response| !response.is_finished())
    }

    /// Ready when all has left that was queued.
    pub fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.rounds.poll_ended(self.round, cx)
    }

    /// Tells the client that the rest of the response cannot be had. What is still queued is dropped.
    pub fn fail(mut self) {
        match self.response {
            Some(response) => response.fail(),
            None => self.respond.send_reset(Reason::INTERNAL_ERROR),
        }
    }

    /// Queues an interim response (1xx but 101).
    pub fn queue_interim(&mut self, head: &mut ResponseHead) {
        head.fields.remove_known(Known::ContentLength);
        self.continue_wanted = false;
        let (response, octets) = head::response(head);
        self.note_head(octets);
        // What cannot be sent is noticed when the response is.
        let _ = self.respond.send_informational(response);
    }

    /// Queues the head of the response.
    pub fn start_response(&mut self, head: &mut ResponseHead) {
        match head.framing {
            Framing::Length(n) if !head.fields.has(Known::ContentLength) => {
                head.fields.append_known(Known::ContentLength, itoa::Buffer::new().format(n).as_bytes());
            }
            Framing::Delimited | Framing::UntilClose => {
                head.fields.remove_known(Known::ContentLength);
            }
            Framing::Length(_) | Framing::Empty => {}
        }
        let (response, octets) = head::response(head);
        self.note_head(octets);
        self.round = self.rounds.current();
        // gRPC: a status in the head counts when nothing follows.
        let finished = matches!(head.framing, Framing::Empty | Framing::Length(0));
        // A stream that is over is noticed when the content is written.
        let stream = self.respond.send_response(response, finished).ok();
        self.response = stream.map(|stream| Sending::new(stream, finished));
    }

    /// Queues the head with which the tunnel that was asked for opens (RFC 8441, section 5).
    pub fn start_upgrade(&mut self, head: &mut ResponseHead) {
        head.open_tunnel();
        self.start_response(head);
    }

    /// Sends a piece of the response's content: what there is room for. After `Pending`, call again with the same
    /// piece.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, piece: &[u8]) -> Poll<io::Result<()>> {
        self.round = self.rounds.current();
        match &mut self.response {
            Some(response) => response.poll_write(cx, piece),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    /// Ends the response's content.
    pub fn finish(&mut self, trailers: Option<&Fields>) {
        self.response.iter_mut().for_each(|response| response.finish(trailers));
    }

    /// Octets that have come from the client.
    pub fn received(&self) -> u64 {
        self.traffic.received
    }

    /// Octets that there was room for at the client.
    pub fn sent(&self) -> u64 {
        self.traffic.sent + self.content_sent()
    }

    /// What was received and sent: content, and the lines of heads as they are without compression.
    pub fn traffic(&self) -> Traffic {
        Traffic { sent: self.sent(), ..self.traffic }
    }

    /// The stream's timer.
    pub fn timer(&self) -> &Timer {
        &self.timer
    }

    fn content_sent(&self) -> u64 {
        self.response.as_ref().map_or(0, Sending::sent)
    }

    fn note_head(&mut self, octets: u64) {
        self.traffic.sent += octets;
        self.traffic.heads += octets;
    }
}

fn content_error(error: h2::Error) -> ContentError {
    if error.is_reset() || error.is_go_away() {
        ContentError::Truncated
    } else {
        ContentError::Io(io::Error::other(error))
    }
}
