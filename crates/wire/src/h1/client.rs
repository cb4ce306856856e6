//! A connection to a service.

use super::content::{ContentError, ContentReader, ContentWriter};
use super::head::{HeadError, HeadParser, Limits, parse_response};
use crate::message::{Fields, Framing, Known, ResponseHead, Version};
use crate::net::{Buffer, BufferPool, Stream};
use std::io;
use std::task::{Context, Poll, ready};

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
}

/// Why no response head could be read.
#[derive(Debug)]
pub enum ResponseError {
    /// The service closed the connection; with `true`, before it sent anything of a response.
    Closed(bool),
    Head(HeadError),
    Io(io::Error),
}

impl ClientConnection {
    /// A connection that was just made.
    pub fn new(stream: Stream, pool: &BufferPool) -> ClientConnection {
        ClientConnection {
            stream,
            input: Buffer::new(pool),
            parser: HeadParser::default(),
            reader: ContentReader::default(),
            writer: ContentWriter::new(pool),
            limits: Limits { line: 32_768, head: 65_536, fields: 1000 },
            head_request: false,
            keep: true,
            request_done: true,
            exchanges: 0,
        }
    }

    /// Begins a request: `write` puts the whole head into the buffer.
    pub fn start_request(&mut self, head_request: bool, chunked: bool, write: impl FnOnce(&mut Vec<u8>)) {
        self.parser = HeadParser::default();
        self.reader = ContentReader::default();
        self.head_request = head_request;
        self.keep = true;
        self.request_done = false;
        self.exchanges += 1;
        self.writer.start(chunked, write);
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
                            self.keep &= head.status != 101 && head.framing != Framing::UntilClose && keeps_open(head);
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
                Ok(_) => {}
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
    }

    /// The response's trailers, after its content.
    pub fn trailers(&self) -> Option<&Fields> {
        self.reader.trailers()
    }

    /// Whether another exchange may follow: this one is over on both sides, and nothing unasked has arrived.
    pub fn is_reusable(&self) -> bool {
        self.keep && self.request_done && self.reader.is_done() && self.input.is_empty() && !self.writer.has_pending()
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

fn keeps_open(head: &ResponseHead) -> bool {
    let mut keep = head.version >= Version::Http11;
    for value in head.fields.known_all(Known::Connection) {
        for option in value.split(|&b| b == b',') {
            let option = option.trim_ascii();
            if option.eq_ignore_ascii_case(b"close") {
                return false;
            }
            keep |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }
    keep
}
