//! A connection to a service.

use super::content::{ContentError, ContentReader, ContentWriter};
use super::head::{HeadError, HeadParser, Limits, parse_response};
use crate::message::{Fields, Framing, ResponseHead};
use crate::net::{Buffer, BufferPool, Pipe, Stream};
use std::io;
use std::task::{Context, Poll, ready};

/// A request to a service, whatever version it is sent in.
pub struct OutgoingRequest<'a> {
    pub method: &'a [u8],
    /// Escaped as it is sent.
    pub path: &'a str,
    /// What follows the `?`.
    pub query: Option<&'a str>,
    /// With `Content-Length` where the length is known; without what concerns one connection only.
    pub fields: &'a Fields,
    /// `Length` or `Delimited` where content follows.
    pub framing: Framing,
    /// The connection is to become a WebSocket's.
    pub websocket: bool,
}

/// A connection to a service, for one exchange at a time.
pub struct ClientConnection {
    stream: Stream,
    input: Buffer,
    parser: HeadParser,
    reader: ContentReader,
    writer: ContentWriter,
    limits: Limits,
    head_request: bool,
    /// Nothing has gone wrong, and the service keeps the connection open after this exchange.
    keep: bool,
    request_done: bool,
    exchanges: u64,
    /// Octets of heads and content that have come from the service.
    received: u64,
}

/// Why no response head could be read.
#[derive(Debug)]
pub enum ResponseError {
    /// The service closed the connection; with `true`, before it sent anything of a response.
    Closed(bool),
    /// The service says that it has not looked at the request.
    Refused,
    /// The service has ended the stream, with this code of HTTP/2 (RFC 9113, section 7).
    Reset(u32),
    /// The service does not speak HTTP/2 as it should: why.
    Invalid(String),
    /// The request cannot be said in this version of HTTP: no service will do better.
    Unsendable,
    Head(HeadError),
    Io(io::Error),
}

impl ClientConnection {
    /// A connection that was just made. `head`: the most octets of a response's head, where that is set.
    pub fn new(stream: Stream, pool: &BufferPool, head: Option<usize>) -> ClientConnection {
        let usual = Limits { line: 32_768, head: 65_536, fields: 1000 };
        let limits = head.map_or(usual, |head| Limits { line: head, head, ..usual });
        ClientConnection {
            stream,
            input: Buffer::new(pool),
            parser: HeadParser::default(),
            reader: ContentReader::default(),
            writer: ContentWriter::new(pool),
            limits,
            head_request: false,
            keep: true,
            request_done: true,
            exchanges: 0,
            received: 0,
        }
    }

    /// Begins a request: its head is queued, with the lines that this version needs for framing and the connection.
    pub fn start_request(&mut self, request: &OutgoingRequest<'_>) {
        self.parser = HeadParser::default();
        self.reader = ContentReader::default();
        self.head_request = request.method == b"HEAD";
        self.keep = true;
        self.request_done = false;
        self.exchanges += 1;
        self.writer.start(request.framing == Framing::Delimited, |out| write_request_head(request, out));
    }

    /// Sends a piece of the request's content; after `Pending`, call again with the same piece.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, piece: &[u8]) -> Poll<io::Result<()>> {
        self.writer.poll_piece(cx, &mut self.stream, piece)
    }

    /// Ends the request's content.
    pub fn finish(&mut self, trailers: Option<&Fields>) {
        self.writer.finish(trailers);
        self.request_done = true;
    }

    /// Writes everything that was queued.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.poll_flush(cx, &mut self.stream)
    }

    /// Reads the head of a response; interim ones (1xx but 101) come one by one before the final one.
    pub fn poll_head(&mut self, cx: &mut Context<'_>, head: &mut ResponseHead) -> Poll<Result<(), ResponseError>> {
        loop {
            if !self.input.is_empty() {
                head.fields.remember_heads();
                match parse_response(self.input.data(), &mut self.parser, head, &self.limits, self.head_request) {
                    Err(error) => {
                        self.keep = false;
                        return Poll::Ready(Err(ResponseError::Head(error)));
                    }
                    Ok(None) => {}
                    Ok(Some(end)) => {
                        self.input.consume(end);
                        self.parser = HeadParser::default();
                        if head.status >= 200 || head.status == 101 {
                            self.reader = ContentReader::new(head.framing);
                            self.keep &= head.status != 101 && head.framing != Framing::UntilClose && head.persists();
                        }
                        return Poll::Ready(Ok(()));
                    }
                }
            }
            match ready!(self.stream.poll_fill(cx, &mut self.input, self.limits.head + 1)) {
                Ok(0) => {
                    self.keep = false;
                    return Poll::Ready(Err(ResponseError::Closed(self.input.is_empty())));
                }
                Ok(octets) => self.received += octets as u64,
                Err(error) => {
                    self.keep = false;
                    return Poll::Ready(Err(ResponseError::Io(error)));
                }
            }
        }
    }

    /// How many octets of the response's content can be had by [`ClientConnection::content`]; `None` at its end.
    pub fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<usize>, ContentError>> {
        let piece = ready!(self.reader.poll_piece(cx, &mut self.stream, &mut self.input));
        self.keep &= piece.is_ok();
        Poll::Ready(piece)
    }

    /// The first `n` octets of the content that was announced.
    pub fn content(&self, n: usize) -> &[u8] {
        &self.input.data()[..n]
    }

    /// Takes octets of the content as used.
    pub fn consume(&mut self, n: usize) {
        self.reader.consume(&mut self.input, n);
        self.received += n as u64;
    }

    /// Whether the content that follows can go through a pipe, and is enough for it.
    pub fn fills_pipes(&self) -> bool {
        self.reader.fills_pipes(&self.stream, &self.input)
    }

    /// Lets the next octets of content into an empty pipe, where [`ClientConnection::fills_pipes`].
    pub fn poll_pipe(&mut self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<Result<(), ContentError>> {
        let filled = ready!(self.reader.poll_pipe(cx, &self.stream, pipe));
        self.keep &= filled.is_ok();
        self.received += *filled.as_ref().unwrap_or(&0) as u64;
        Poll::Ready(filled.map(|_| ()))
    }

    /// The response's trailers, after its content.
    pub fn trailers(&self) -> Option<&Fields> {
        self.reader.trailers()
    }

    /// Whether another exchange may follow: this one is over on both sides, and nothing unasked has arrived.
    pub fn is_reusable(&self) -> bool {
        self.keep && self.request_done && self.reader.is_done() && self.input.is_empty() && !self.writer.has_pending()
    }

    /// Octets that have left for the service since the connection was made.
    pub fn sent(&self) -> u64 {
        self.writer.sent()
    }

    /// Octets that have come from the service since the connection was made: grows with whatever it sends.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// How many requests were begun on it.
    pub fn exchanges(&self) -> u64 {
        self.exchanges
    }

    /// The socket.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Gives up HTTP on this connection: the socket and what was read beyond the head.
    pub fn into_parts(self) -> (Stream, Buffer) {
        (self.stream, self.input)
    }
}

fn write_request_head(request: &OutgoingRequest<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(request.method);
    out.push(b' ');
    out.extend_from_slice(if request.path.is_empty() { b"/" } else { request.path.as_bytes() });
    if let Some(query) = request.query {
        out.push(b'?');
        out.extend_from_slice(query.as_bytes());
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    request.fields.write_to(out);
    if request.framing == Framing::Delimited {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    out.extend_from_slice(if request.websocket {
        b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n"
    } else {
        b"Connection: keep-alive\r\n\r\n"
    });
}
