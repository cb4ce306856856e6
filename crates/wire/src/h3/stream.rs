//! One request of a client and its response, on a connection with others.

use super::connection::Load;
use super::frame::{self, NO_ERROR};
use super::head::{self, Unreadable};
use super::receiving::{Ended, Receiving};
use super::sending::Sending;
use crate::h1::{self, ContentError, HeadError, Traffic};
use crate::message::{Fields, Framing, Known, RequestHead, ResponseHead};
use crate::net::Timer;
use bytes::{Buf, Bytes};
use quinn::{RecvStream, SendStream, VarInt};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// A stream that a client has opened. When it is dropped before the response is complete, the client is told that it
/// is not (`RESET_STREAM`).
pub struct ServerStream {
    connection: quinn::Connection,
    limits: h1::Limits,
    receiving: Receiving,
    reading: Reading,
    /// What the content's length must be, where its head says it, and what has come of it.
    length: Option<u64>,
    content: u64,
    /// Content that has come and was not consumed.
    piece: Bytes,
    trailers: Option<Fields>,
    /// Why the rest of the content will not be read.
    failed: Option<&'static str>,
    /// The client waits for `100 Continue`.
    continue_wanted: bool,
    /// The head of the response is queued.
    responding: bool,
    sending: Sending,
    traffic: Traffic,
    timer: Timer,
}

/// Why there is no head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It cannot be taken, and is to be answered.
    Refused(HeadError),
    /// The client has reset the stream, is gone, or was disconnected.
    Gone,
}

/// How far the reading of a request has come.
enum Reading {
    /// Between frames, before the head.
    Head,
    /// In the frame of the head.
    Section(Vec<u8>),
    /// Between frames of content.
    Content,
    /// In one of them.
    Data,
    /// In a frame that means nothing to us; what comes next.
    Skip(Box<Reading>),
    /// In the frame of the trailers.
    TrailerSection(Vec<u8>),
    /// Behind it.
    Trailers,
    End,
}

/// What comes next of a request.
enum Part {
    Section(Vec<u8>),
    /// A section that is larger than any that may be.
    TooLarge,
    Piece(Bytes),
    End,
}

impl ServerStream {
    pub(super) fn new(
        connection: quinn::Connection,
        load: Rc<Load>,
        (send, receive): (SendStream, RecvStream),
        limits: h1::Limits,
        timer: Timer,
    ) -> ServerStream {
        ServerStream {
            connection,
            limits,
            receiving: Receiving::new(receive, load),
            reading: Reading::Head,
            length: None,
            content: 0,
            piece: Bytes::new(),
            trailers: None,
            failed: None,
            continue_wanted: false,
            responding: false,
            sending: Sending::new(send),
            traffic: Traffic::default(),
            timer,
        }
    }

    /// Reads the request's head into `head`.
    pub fn poll_head(&mut self, cx: &mut Context<'_>, head: &mut RequestHead) -> Poll<Result<(), Unread>> {
        let read = match ready!(self.poll_part(cx)) {
            Ok(Part::Section(section)) => head::request(&section, &self.limits, head),
            Ok(Part::TooLarge) => Err(Unreadable::Refused(HeadError::TooLarge)),
            Ok(Part::Piece(_)) => return Poll::Ready(Err(self.disconnect(frame::FRAME_UNEXPECTED))),
            Ok(Part::End) => {
                self.sending.reset(frame::REQUEST_INCOMPLETE);
                return Poll::Ready(Err(Unread::Gone));
            }
            Err(Ended::Truncated) => return Poll::Ready(Err(self.disconnect(frame::FRAME_ERROR))),
            Err(Ended::Reset) => return Poll::Ready(Err(Unread::Gone)),
        };
        self.traffic.received += head.fields.iter().map(|(name, value)| (name.len() + value.len()) as u64).sum::<u64>();
        self.traffic.received += head.target.len() as u64;
        match read {
            Ok(()) => {
                self.length = if let Framing::Length(length) = head.framing { Some(length) } else { None };
                let expects = head.fields.known(Known::Expect).is_some_and(|e| e.eq_ignore_ascii_case(b"100-continue"));
                self.continue_wanted = expects && self.length != Some(0);
                Poll::Ready(Ok(()))
            }
            Err(Unreadable::Undecodable) => Poll::Ready(Err(self.disconnect(frame::DECOMPRESSION_FAILED))),
            Err(Unreadable::Refused(error)) => {
                head.fields.clear();
                head.framing = Framing::Empty;
                // What follows it is of no use.
                self.failed = Some("the head was refused");
                self.receiving.stop(NO_ERROR);
                self.reading = Reading::End;
                Poll::Ready(Err(Unread::Refused(error)))
            }
        }
    }

    /// Ready when `head` says whether the request has content. Most clients end a stream without content together with
    /// its head; where there is hardly ever any, or must be none, the end is waited for.
    pub fn poll_framing(&mut self, cx: &mut Context<'_>, head: &mut RequestHead) -> Poll<Result<(), HeadError>> {
        let usual = matches!(head.method.as_bytes(), b"GET" | b"HEAD" | b"DELETE") && !self.continue_wanted;
        let ends = match head.framing {
            Framing::Delimited => usual,
            Framing::Length(0) => true,
            _ => return Poll::Ready(Ok(())),
        };
        match self.poll_content_part(cx) {
            Poll::Ready(Ok(None)) if self.content == 0 => {
                if head.framing == Framing::Delimited {
                    head.framing = Framing::Empty;
                }
                self.continue_wanted = false;
            }
            Poll::Ready(Err(ContentError::Malformed(why))) => return Poll::Ready(Err(HeadError::Malformed(why))),
            Poll::Pending if ends => return Poll::Pending,
            _ => {}
        }
        Poll::Ready(Ok(()))
    }

    /// As [`crate::h1::ServerConnection::poll_content`].
    pub fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<usize>, ContentError>> {
        if !self.responding {
            self.queue_continue();
            if self.sending.has_pending() {
                // What cannot be sent is noticed when the response is.
                let _ = self.sending.poll_flush(cx);
            }
        }
        self.poll_content_part(cx)
    }

    /// The first `n` octets of the content that have arrived.
    pub fn content(&self, n: usize) -> &[u8] {
        &self.piece[..n]
    }

    /// Takes octets of the content as used.
    pub fn consume(&mut self, n: usize) {
        self.piece.advance(n);
        self.traffic.received += n as u64;
    }

    /// How many octets have arrived that were not consumed.
    pub fn buffered(&self) -> usize {
        self.piece.len()
    }

    /// Whether the request's content has come to its end and was consumed.
    pub fn content_is_done(&self) -> bool {
        matches!(self.reading, Reading::End) && self.piece.is_empty()
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

    /// Ready when the client wants no response any more, has all of it, or is gone.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.sending.poll_stopped(cx)
    }

    /// Ready when the client has all of the response, or will not get (more of) it.
    pub fn poll_delivered(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.sending.is_finished() { self.sending.poll_stopped(cx) } else { Poll::Ready(()) }
    }

    /// Queues an interim response (1xx but 101).
    pub fn queue_interim(&mut self, head: &mut ResponseHead) {
        head.fields.remove_known(Known::ContentLength);
        self.continue_wanted = false;
        let octets = self.sending.push_head(head);
        self.note_head(octets);
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
        let octets = self.sending.push_head(head);
        self.note_head(octets);
        self.responding = true;
    }

    /// Queues the head with which the tunnel that was asked for opens (RFC 8441, section 5).
    pub fn start_upgrade(&mut self, head: &mut ResponseHead) {
        head.open_tunnel();
        self.start_response(head);
    }

    /// Sends a piece of the response's content: what there is room for. After `Pending`, call again with the same
    /// piece.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, piece: &[u8]) -> Poll<io::Result<()>> {
        self.sending.poll_write(cx, piece)
    }

    /// Ends the response's content.
    pub fn finish(&mut self, trailers: Option<&Fields>) {
        self.sending.finish(trailers);
    }

    /// Hands what is queued to the connection, which sends it.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.sending.poll_flush(cx)
    }

    /// Whether something is queued that the connection does not have yet.
    pub fn has_pending(&self) -> bool {
        self.sending.has_pending()
    }

    /// Octets that have come from the client.
    pub fn received(&self) -> u64 {
        self.traffic.received
    }

    /// Octets that there was room for at the client.
    pub fn sent(&self) -> u64 {
        self.traffic.sent + self.sending.sent()
    }

    /// What was received and sent: content, and the lines of heads as they are without compression.
    pub fn traffic(&self) -> Traffic {
        Traffic { sent: self.sent(), ..self.traffic }
    }

    /// The stream's timer.
    pub fn timer(&self) -> &Timer {
        &self.timer
    }

    fn poll_content_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<usize>, ContentError>> {
        while self.piece.is_empty() {
            if let Some(why) = self.failed {
                return Poll::Ready(Err(ContentError::Malformed(why)));
            }
            match ready!(self.poll_part(cx)) {
                Ok(Part::Piece(piece)) => {
                    self.content += piece.len() as u64;
                    // RFC 9114, section 4.1.2: what is longer or shorter than it says is malformed.
                    if self.length.is_some_and(|length| self.content > length) {
                        return Poll::Ready(Err(self.fail("more content than Content-Length says")));
                    }
                    self.piece = piece;
                }
                Ok(Part::Section(section)) => match head::trailers(&section, &self.limits) {
                    Ok(trailers) => self.trailers = Some(trailers),
                    Err(Unreadable::Refused(_)) => return Poll::Ready(Err(self.fail("no valid trailers"))),
                    Err(Unreadable::Undecodable) => {
                        self.disconnect(frame::DECOMPRESSION_FAILED);
                        return Poll::Ready(Err(ContentError::Truncated));
                    }
                },
                Ok(Part::TooLarge) => return Poll::Ready(Err(self.fail("too large trailers"))),
                Ok(Part::End) if self.length.is_some_and(|length| self.content < length) => {
                    return Poll::Ready(Err(self.fail("less content than Content-Length says")));
                }
                Ok(Part::End) => return Poll::Ready(Ok(None)),
                Err(Ended::Truncated) => {
                    self.disconnect(frame::FRAME_ERROR);
                    return Poll::Ready(Err(ContentError::Truncated));
                }
                Err(Ended::Reset) => return Poll::Ready(Err(ContentError::Truncated)),
            }
        }
        Poll::Ready(Ok(Some(self.piece.len())))
    }

    /// What comes next; frames that mean nothing are skipped, those that must not be end the connection.
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Part, Ended>> {
        loop {
            match &mut self.reading {
                Reading::End => return Poll::Ready(Ok(Part::End)),
                Reading::Skip(_) => {
                    ready!(self.receiving.poll_skip(cx))?;
                    if let Reading::Skip(next) = std::mem::replace(&mut self.reading, Reading::End) {
                        self.reading = *next;
                    }
                }
                Reading::Section(section) => {
                    ready!(self.receiving.poll_whole(cx, section))?;
                    let section = std::mem::take(section);
                    self.reading = Reading::Content;
                    return Poll::Ready(Ok(Part::Section(section)));
                }
                Reading::TrailerSection(section) => {
                    ready!(self.receiving.poll_whole(cx, section))?;
                    let section = std::mem::take(section);
                    self.reading = Reading::Trailers;
                    return Poll::Ready(Ok(Part::Section(section)));
                }
                Reading::Data => {
                    let piece = ready!(self.receiving.poll_payload(cx))?;
                    if piece.is_empty() {
                        self.reading = Reading::Content;
                    } else {
                        return Poll::Ready(Ok(Part::Piece(piece)));
                    }
                }
                Reading::Head | Reading::Content | Reading::Trailers => {
                    let Some(header) = ready!(self.receiving.poll_header(cx))? else {
                        self.reading = Reading::End;
                        return Poll::Ready(Ok(Part::End));
                    };
                    let here = std::mem::replace(&mut self.reading, Reading::End);
                    match (header.kind, here) {
                        // What is longer than a section may say need not be looked at.
                        (frame::HEADERS, Reading::Head | Reading::Content)
                            if header.length > self.limits.head as u64 =>
                        {
                            return Poll::Ready(Ok(Part::TooLarge));
                        }
                        (frame::HEADERS, Reading::Head) => self.reading = Reading::Section(Vec::new()),
                        (frame::HEADERS, Reading::Content) => self.reading = Reading::TrailerSection(Vec::new()),
                        (frame::DATA, Reading::Content) => self.reading = Reading::Data,
                        (kind, _) if kind == frame::DATA || kind == frame::HEADERS || frame::is_foreign(kind) => {
                            self.disconnect(frame::FRAME_UNEXPECTED);
                            return Poll::Ready(Err(Ended::Reset));
                        }
                        (_, here) => self.reading = Reading::Skip(Box::new(here)),
                    }
                }
            }
        }
    }

    /// The request is malformed, and not read any further.
    fn fail(&mut self, why: &'static str) -> ContentError {
        self.failed = Some(why);
        self.receiving.stop(frame::MESSAGE_ERROR);
        ContentError::Malformed(why)
    }

    /// Ends the connection, with all streams on it.
    fn disconnect(&mut self, code: VarInt) -> Unread {
        self.connection.close(code, b"");
        Unread::Gone
    }

    fn note_head(&mut self, octets: u64) {
        self.traffic.sent += octets;
        self.traffic.heads += octets;
    }
}

impl Drop for ServerStream {
    fn drop(&mut self) {
        self.sending.reset(frame::INTERNAL_ERROR);
        if !matches!(self.reading, Reading::End) {
            self.receiving.stop(NO_ERROR);
        }
    }
}
