//! A connection to a service, and the exchanges on it.

use super::head;
use super::io::{Io, Service};
use super::sending::Sending;
use super::unread;
use crate::h1::{ContentError, OutgoingRequest, ResponseError};
use crate::message::{Fields, Framing, Known, ResponseHead};
use crate::net::{Buffer, Stream};
use bytes::{Buf, Bytes};
use h2::client::{ResponseFuture, SendRequest};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// What a service may send of a response's content before any of it is used: of one stream, as it may be far away, and
/// of all together, as some clients may be slow.
const STREAM_WINDOW: u32 = 512 << 10;
const CONNECTION_WINDOW: u32 = 32 << 20;
/// What small frames of content may cost that have come and were not used, as the `h2` crate counts it. It ends the
/// connection beyond, with all exchanges on it, so that a stream is ended long before.
const SMALL_FRAMES: usize = 2 * 256 * unread::MOST;
/// Octets of a request that wait for room at the service, for each stream.
const SEND_BUFFER: usize = 64 << 10;
/// Streams on a connection until the service has said how many it takes.
const STREAMS: usize = 100;

/// What is wrong with a service that answers the preface of HTTP/2 in an earlier version.
const NOT_HTTP2: &str = "an answer of HTTP/1.1";

/// A connection to a service. Clones stand for the same connection; it ends when all of them are gone and the exchanges
/// on it are over.
#[derive(Clone)]
pub struct ClientConnection {
    send: SendRequest<Bytes>,
    service: Rc<Service>,
}

/// What a connection does; it moves only while this is polled. Ready when the connection is over.
pub type Driver = Pin<Box<dyn Future<Output = Result<(), h2::Error>>>>;

/// One exchange on a connection with others. Dropped before it is over, it is cut off (`RST_STREAM`).
pub struct ClientStream {
    send: SendRequest<Bytes>,
    service: Rc<Service>,
    /// A tunnel is asked for: nothing ends the request before the tunnel does.
    tunnel: bool,
    /// From the beginning of the request on.
    stream: Option<Rc<unread::Stream>>,
    request: Option<Sending>,
    response: Option<ResponseFuture>,
    /// Content that has come and was not consumed.
    piece: Bytes,
    /// The response's content has come to its end.
    ended: bool,
    trailers: Option<Fields>,
    /// Why the request could not be sent.
    failed: Option<ResponseError>,
    received: u64,
}

impl ClientConnection {
    /// Takes a connection that was just made. `head`: the most octets of a response's head. `begun` is an empty buffer.
    pub async fn begin(stream: Stream, begun: Buffer, head: u32) -> Result<(ClientConnection, Driver), h2::Error> {
        let service = Rc::<Service>::default();
        let (send, mut connection) = h2::client::Builder::new()
            .enable_push(false)
            .max_header_list_size(head)
            .max_send_buffer_size(SEND_BUFFER)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_max_send_streams(STREAMS)
            .data_frame_budget(SMALL_FRAMES)
            .handshake(Io::to_service(stream, begun, Rc::clone(&service)))
            .await?;
        let seen = Rc::clone(&service);
        let driver = poll_fn(move |cx| {
            loop {
                let polled = Pin::new(&mut connection).poll(cx);
                seen.settled.read(polled.is_ready());
                if polled.is_ready() || !seen.unread.end_greatest() {
                    return polled;
                }
            }
        });
        Ok((ClientConnection { send, service }, Box::pin(driver)))
    }

    /// How many exchanges the service takes at a time.
    pub fn capacity(&self) -> usize {
        self.send.current_max_send_streams()
    }

    /// A place for an exchange.
    pub fn stream(&self) -> ClientStream {
        ClientStream {
            send: self.send.clone(),
            service: Rc::clone(&self.service),
            tunnel: false,
            stream: None,
            request: None,
            response: None,
            piece: Bytes::new(),
            ended: false,
            trailers: None,
            failed: None,
            received: 0,
        }
    }
}

impl ClientStream {
    /// Whether the service takes tunnels of WebSocket (RFC 8441): known when its settings have come.
    pub fn poll_takes_tunnels(&self, cx: &mut Context<'_>) -> Poll<bool> {
        ready!(self.service.settled.poll_known(cx));
        Poll::Ready(self.send.is_extended_connect_protocol_enabled())
    }

    /// Begins a request; one for WebSocket asks for a tunnel.
    pub fn start_request(&mut self, request: &OutgoingRequest<'_>, tls: bool) {
        self.tunnel = request.websocket;
        let ends = matches!(request.framing, Framing::Empty | Framing::Length(0)) && !self.tunnel;
        let sent = match head::outgoing(request, tls) {
            Some(head) => self.send.send_request(head, ends).map_err(response_error),
            None => Err(ResponseError::Unsendable),
        };
        match sent {
            Ok((response, stream)) => {
                let stream = self.service.unread.begin(stream);
                self.response = Some(response);
                self.request = Some(Sending::new(Rc::clone(&stream), ends));
                self.stream = Some(stream);
            }
            Err(error) => self.failed = Some(error),
        }
    }

    /// Sends a piece of the request's content; after `Pending`, call again with the same piece.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, piece: &[u8]) -> Poll<io::Result<()>> {
        match &mut self.request {
            Some(request) => request.poll_write(cx, piece),
            // Why shows when the answer is read.
            None => Poll::Ready(Ok(())),
        }
    }

    /// Ends the request's content; a tunnel goes on.
    pub fn finish(&mut self, trailers: Option<&Fields>) {
        if !self.tunnel {
            self.request.iter_mut().for_each(|request| request.finish(trailers));
        }
    }

    /// Ends our side of a tunnel.
    pub fn finish_tunnel(&mut self) {
        self.tunnel = false;
        self.finish(None);
    }

    /// Reads the head of a response; interim ones come one by one before the final one.
    pub fn poll_head(&mut self, cx: &mut Context<'_>, head: &mut ResponseHead) -> Poll<Result<(), ResponseError>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(error));
        }
        let Some(response) = &mut self.response else { return Poll::Ready(Err(ResponseError::Closed(true))) };
        if let Poll::Ready(Some(Ok(interim))) = response.poll_informational(cx) {
            self.received += head::read_response(interim.status(), interim.headers(), head);
            return Poll::Ready(Ok(()));
        }
        let response = ready!(Pin::new(response).poll(cx)).map_err(response_error)?;
        let (parts, content) = response.into_parts();
        self.received += head::read_response(parts.status, &parts.headers, head);
        self.ended = content.is_end_stream();
        if !self.ended {
            let length = head.fields.known(Known::ContentLength).and_then(|text| std::str::from_utf8(text).ok());
            head.framing = length.and_then(|text| text.parse().ok()).map_or(Framing::Delimited, Framing::Length);
        }
        if let Some(stream) = self.stream.as_ref().filter(|stream| !stream.is_ended()) {
            stream.content.replace(Some(content));
        }
        self.response = None;
        if !matches!(head.status, 200..300) {
            // No tunnel was opened.
            self.finish_tunnel();
        }
        Poll::Ready(Ok(()))
    }

    /// How many octets of the response's content can be had by [`ClientStream::content`]; `None` at its end.
    pub fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<usize>, ContentError>> {
        while self.piece.is_empty() {
            let Some(stream) = self.stream.as_ref().filter(|_| !self.ended) else { return Poll::Ready(Ok(None)) };
            if stream.is_ended() {
                return Poll::Ready(Err(ContentError::Io(io::Error::other(unread::TOO_MANY))));
            }
            let mut content = stream.content.borrow_mut();
            let Some(content) = content.as_mut() else { return Poll::Ready(Ok(None)) };
            match ready!(content.poll_data(cx)) {
                Some(Ok(piece)) => {
                    self.piece = piece;
                    self.service.unread.read(stream);
                }
                Some(Err(error)) => return Poll::Ready(Err(content_error(error))),
                None => {
                    let trailers = ready!(content.poll_trailers(cx)).map_err(content_error)?;
                    self.trailers = trailers.as_ref().map(head::fields);
                    self.ended = true;
                }
            }
        }
        Poll::Ready(Ok(Some(self.piece.len())))
    }

    /// The first `n` octets of the content that was announced.
    pub fn content(&self, n: usize) -> &[u8] {
        &self.piece[..n]
    }

    /// Takes octets of the content as used: only then the service may send as many more.
    pub fn consume(&mut self, n: usize) {
        self.piece.advance(n);
        self.received += n as u64;
        // Fails for streams that are over, of which nothing more will come.
        let mut content = self.stream.as_ref().map(|stream| stream.content.borrow_mut());
        let content = content.as_mut().and_then(|content| content.as_mut());
        let _ = content.map(|content| content.flow_control().release_capacity(n));
    }

    /// The response's trailers, after its content.
    pub fn trailers(&self) -> Option<&Fields> {
        self.trailers.as_ref()
    }

    /// Octets that there was room for at the service.
    pub fn sent(&self) -> u64 {
        self.request.as_ref().map_or(0, Sending::sent)
    }

    /// Octets that have come from the service.
    pub fn received(&self) -> u64 {
        self.received
    }
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        self.stream.iter().for_each(|stream| self.service.unread.forget(stream));
    }
}

/// Why there is no response. What the service says that it has not looked at may be sent again.
fn response_error(error: h2::Error) -> ResponseError {
    if error.reason() == Some(h2::Reason::REFUSED_STREAM) || (error.is_go_away() && error.is_remote()) {
        ResponseError::Refused
    } else if let Some(code) = error.reason().filter(|_| error.is_reset() && error.is_remote()) {
        ResponseError::Reset(code.into())
    } else if let Some(code) = error.reason() {
        ResponseError::Invalid(code.description().to_owned())
    } else if error.get_io().is_some_and(|error| error.kind() == io::ErrorKind::InvalidData) {
        ResponseError::Invalid(NOT_HTTP2.to_owned())
    } else if error.is_io() {
        ResponseError::Closed(true)
    } else {
        ResponseError::Io(io::Error::other(error))
    }
}

fn content_error(error: h2::Error) -> ContentError {
    if error.is_reset() || error.is_go_away() {
        ContentError::Truncated
    } else {
        ContentError::Io(io::Error::other(error))
    }
}
