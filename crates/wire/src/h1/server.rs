//! A connection from a client.

use super::content::{ContentError, ContentReader, ContentWriter};
use super::head::{HeadError, HeadParser, Limits, parse_request};
use crate::message::{Fields, Framing, Known, RequestHead, ResponseHead, Version};
use crate::net::{Buffer, BufferPool, Stream, TimedOut, Timer};
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// A client's connection: requests come in one after the other (pipelined ones wait in the buffer), each is answered
/// before the next is read.
pub struct ServerConnection {
    stream: Stream,
    input: Buffer,
    reader: ContentReader,
    writer: ContentWriter,
    timer: Timer,
    limits: Limits,
    continue_wanted: bool,
    traffic: Traffic,
}

/// Octets that a request and its response took on a connection, without those of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    pub received: u64,
    pub sent: u64,
    /// Of those sent or about to be, the ones of heads.
    pub heads: u64,
}

/// Why no head could be read.
#[derive(Debug)]
pub enum RequestError {
    /// The client went away: nothing to answer.
    Closed,
    /// It began a head and did not finish it in time: 408.
    Timeout,
    Head(HeadError),
}

impl ServerConnection {
    /// A connection that was just accepted.
    pub fn new(stream: Stream, pool: &BufferPool, timer: Timer, limits: Limits) -> ServerConnection {
        ServerConnection {
            stream,
            input: Buffer::new(pool),
            reader: ContentReader::default(),
            writer: ContentWriter::new(pool),
            timer,
            limits,
            continue_wanted: false,
            traffic: Traffic::default(),
        }
    }

    /// Waits until the client begins a request, at most for `idle`; false when it does not. Holds no memory meanwhile.
    pub async fn wait(&mut self, idle: Duration) -> bool {
        if !self.input.is_empty() {
            return true;
        }
        let (stream, input, limit) = (&mut self.stream, &mut self.input, self.limits.head);
        matches!(self.timer.limit_idle(idle, |cx| stream.poll_fill(cx, input, limit)).await, Ok(Ok(n)) if n > 0)
    }

    /// Reads the next head, which may take as long as `whole`. The content of the request before must have been read to
    /// its end.
    pub async fn read_head(&mut self, head: &mut RequestHead, whole: Duration) -> Result<(), RequestError> {
        let mut parser = HeadParser::default();
        loop {
            if let Some(end) =
                parse_request(self.input.data(), &mut parser, head, &self.limits).map_err(RequestError::Head)?
            {
                self.input.consume(end);
                self.traffic.received += end as u64;
                self.reader = ContentReader::new(head.framing);
                self.continue_wanted = head.version == Version::Http11
                    && head.framing != Framing::Empty
                    && head.fields.known(Known::Expect).is_some_and(|e| e.eq_ignore_ascii_case(b"100-continue"));
                return Ok(());
            }
            let (stream, input, limit) = (&mut self.stream, &mut self.input, self.limits.head);
            match self.timer.limit(whole, |cx| stream.poll_fill(cx, input, limit + 1)).await {
                Ok(Ok(0) | Err(_)) => return Err(RequestError::Closed),
                Ok(Ok(_)) => {}
                Err(TimedOut) => return Err(RequestError::Timeout),
            }
        }
    }

    /// Queues `100 Continue` if the client waits for it: its content will be read, if only to be dropped.
    pub fn queue_continue(&mut self) {
        if std::mem::take(&mut self.continue_wanted) {
            let head = self.writer.start(false, |out| out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n"));
            self.traffic.heads += head as u64;
        }
    }

    /// How many octets of the request's content can be had by [`ServerConnection::content`]; `None` at its end.
    /// A client that waits for `100 Continue` gets it now.
    pub fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<usize>, ContentError>> {
        self.queue_continue();
        if self.writer.has_pending() {
            ready!(self.writer.poll_flush(cx, &mut self.stream)).map_err(ContentError::Io)?;
        }
        self.reader.poll_piece(cx, &mut self.stream, &mut self.input)
    }

    /// How many octets have arrived that were not consumed.
    pub fn buffered(&self) -> usize {
        self.input.data().len()
    }

    /// The first `n` octets of the content that was announced.
    pub fn content(&self, n: usize) -> &[u8] {
        &self.input.data()[..n]
    }

    /// Takes octets of the content as used.
    pub fn consume(&mut self, n: usize) {
        self.reader.consume(&mut self.input, n);
        self.traffic.received += n as u64;
    }

    /// Whether the request's content has been read to its end.
    pub fn content_is_done(&self) -> bool {
        self.reader.is_done()
    }

    /// The request's trailers, after its content.
    pub fn trailers(&self) -> Option<&Fields> {
        self.reader.trailers()
    }

    /// Begins the response: writes the head with the framing that fits the client's version. The content follows by
    /// [`ServerConnection::poll_write`], then [`ServerConnection::finish`] and [`ServerConnection::poll_flush`].
    /// Says whether the connection must be closed for the client to see the end.
    pub fn start_response(&mut self, head: &mut ResponseHead, client: Version) -> bool {
        let mut until_close = false;
        match head.framing {
            Framing::Delimited | Framing::UntilClose => {
                head.fields.remove_known(Known::ContentLength);
                head.fields.remove_known(Known::TransferEncoding);
                if client >= Version::Http11 {
                    head.fields.append_known(Known::TransferEncoding, b"chunked");
                } else {
                    until_close = true;
                }
            }
            Framing::Length(n) => {
                head.fields.remove_known(Known::TransferEncoding);
                if !head.fields.has(Known::ContentLength) {
                    head.fields.append_known(Known::ContentLength, itoa::Buffer::new().format(n).as_bytes());
                }
            }
            Framing::Empty => {
                head.fields.remove_known(Known::TransferEncoding);
            }
        }
        if until_close {
            head.fields.set_known(Known::Connection, b"close");
        }
        let chunked = !until_close && matches!(head.framing, Framing::Delimited | Framing::UntilClose);
        let octets = self.writer.start(chunked, |out| write_response_head(head, out));
        self.traffic.heads += octets as u64;
        until_close
    }

    /// Queues an interim response (1xx).
    pub fn queue_interim(&mut self, head: &ResponseHead) {
        let octets = self.writer.start(false, |out| write_response_head(head, out));
        self.traffic.heads += octets as u64;
    }

    /// Sends a piece of the response's content; after `Pending`, call again with the same piece.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, piece: &[u8]) -> Poll<io::Result<()>> {
        self.writer.poll_piece(cx, &mut self.stream, piece)
    }

    /// Ends the response's content.
    pub fn finish(&mut self, trailers: Option<&Fields>) {
        self.writer.finish(trailers);
    }

    /// Writes everything that was queued.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.poll_flush(cx, &mut self.stream)
    }

    /// Whether something is queued that has not left yet.
    pub fn has_pending(&self) -> bool {
        self.writer.has_pending()
    }

    /// What was received and sent since this was asked last.
    pub fn take_traffic(&mut self) -> Traffic {
        Traffic { sent: self.writer.take_sent(), ..std::mem::take(&mut self.traffic) }
    }

    /// The connection's timer.
    pub fn timer(&self) -> &Timer {
        &self.timer
    }

    /// The socket.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Closes gently: our side at once, then reads and drops what the client still sends, up to `octets` and `time`, so
    /// that it can read our last answer before it sees a reset.
    pub async fn linger(mut self, time: Duration, octets: usize) {
        let mut left = octets;
        let (stream, input) = (&mut self.stream, &mut self.input);
        let _ = self
            .timer
            .limit(time, |cx| {
                if ready!(stream.poll_shutdown(cx)).is_err() {
                    return Poll::Ready(());
                }
                loop {
                    input.consume(usize::MAX);
                    match ready!(stream.poll_fill(cx, input, usize::MAX / 4)) {
                        Ok(n) if n > 0 && n <= left => left -= n,
                        _ => return Poll::Ready(()),
                    }
                }
            })
            .await;
    }

    /// Gives up HTTP on this connection: the socket and what was read beyond the request.
    pub fn into_parts(self) -> (Stream, Buffer, Timer) {
        (self.stream, self.input, self.timer)
    }
}

fn write_response_head(head: &ResponseHead, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(head.status).as_bytes());
    out.push(b' ');
    if head.reason.is_empty() {
        out.extend_from_slice(reason_phrase(head.status).as_bytes());
    } else {
        out.extend_from_slice(&head.reason);
    }
    out.extend_from_slice(b"\r\n");
    head.fields.write_to(out);
    out.extend_from_slice(b"\r\n");
}

/// The usual reason phrase of a status (RFC 9110, section 15); empty for unknown ones.
pub fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Time-out",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Large",
        415 => "Unsupported Media Type",
        416 => "Requested Range Not Satisfiable",
        417 => "Expectation Failed",
        418 => "I'm a teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Entity",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        494 => "Request Header Or Cookie Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Temporarily Unavailable",
        504 => "Gateway Time-out",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        _ => "",
    }
}
