//! A connection from a client.

use super::content::{ContentError, ContentReader, ContentWriter};
use super::head::{HeadError, HeadParser, Limits, parse_request};
use crate::h2::PREFACE;
use crate::message::{Fields, Framing, Known, RequestHead, ResponseHead, Version};
use crate::net::{BUFFER_SIZE, Buffer, BufferPool, Lingering, Pipe, Stream, Timer};
use std::io;
use std::ops::ControlFlow;
use std::sync::LazyLock;
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
    /// The head of the final response is queued.
    answered: bool,
    /// No request is read after this one.
    closing: bool,
    /// Octets of requests that were used, since the connection was made.
    received: u64,
    /// Octets of response heads that were queued, since the connection was made.
    heads: u64,
    /// What [`ServerConnection::take_traffic`] has told already.
    told: Traffic,
}

/// The line of most responses.
static KEEP_ALIVE: LazyLock<Fields> = LazyLock::new(|| [("Connection", "keep-alive")].into_iter().collect());

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
    /// The client went away before it had sent a whole head: there is nobody to answer.
    Closed,
    /// It began a head and did not finish it in time.
    TimedOut,
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
            answered: false,
            closing: false,
            received: 0,
            heads: 0,
            told: Traffic::default(),
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

    /// Whether the client begins as one that speaks HTTP/2; what it has said stays unread. For as long as that can be,
    /// it is waited for more, at most for `whole`.
    pub async fn begins_http2(&mut self, whole: Duration) -> bool {
        let (stream, input) = (&mut self.stream, &mut self.input);
        let poll = |cx: &mut Context<'_>| loop {
            let begun = input.data();
            if begun.len() >= PREFACE.len() || !PREFACE.starts_with(begun) {
                return Poll::Ready(begun.starts_with(PREFACE));
            }
            match ready!(stream.poll_fill(cx, input, BUFFER_SIZE)) {
                Ok(n) if n > 0 => {}
                _ => return Poll::Ready(false),
            }
        };
        self.timer.limit(whole, poll).await.unwrap_or(false)
    }

    /// Reads the next head, all of it within `whole`, however it comes. The content of the request before must have
    /// been read to its end. After an error the head has no field lines; its request line is there if it was
    /// understood.
    pub async fn read_head(&mut self, head: &mut RequestHead, whole: Duration) -> Result<(), RequestError> {
        let mut parser = HeadParser::default();
        // A request line that is not understood leaves nothing of the request before it.
        head.target.clear();
        head.version = Version::default();
        head.fields.remember_heads();
        let (stream, input, limits) = (&mut self.stream, &mut self.input, &self.limits);
        let poll = |cx: &mut Context<'_>| loop {
            match parse_request(input.data(), &mut parser, head, limits) {
                Ok(Some(end)) => return Poll::Ready(Ok(end)),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Err(RequestError::Head(error))),
            }
            match ready!(stream.poll_fill(cx, input, limits.head + 1)) {
                Ok(0) | Err(_) => return Poll::Ready(Err(RequestError::Closed)),
                Ok(_) => {}
            }
        };
        match self.timer.limit(whole, poll).await.unwrap_or(Err(RequestError::TimedOut)) {
            Ok(end) => {
                self.input.consume(end);
                self.received += end as u64;
                self.reader = ContentReader::new(head.framing);
                self.answered = false;
                self.continue_wanted = head.version == Version::Http11
                    && !matches!(head.framing, Framing::Empty | Framing::Length(0))
                    && head.fields.known(Known::Expect).is_some_and(|e| e.eq_ignore_ascii_case(b"100-continue"));
                Ok(())
            }
            Err(error) => {
                self.received += self.input.data().len() as u64;
                // Lines whose octets have not been taken over must not be looked at.
                head.fields.clear();
                head.framing = Framing::Empty;
                Err(error)
            }
        }
    }

    /// Queues `100 Continue` if the client waits for it: its content will be read, if only to be dropped.
    pub fn queue_continue(&mut self) {
        if std::mem::take(&mut self.continue_wanted) {
            let head = self.writer.start(false, |out| out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n"));
            self.heads += head as u64;
        }
    }

    /// Whether the client waits for `100 Continue` before it sends its content. One that has begun to does not.
    pub fn awaits_continue(&self) -> bool {
        self.continue_wanted && self.input.is_empty() && !self.reader.is_done()
    }

    /// How many octets of the request's content can be had by [`ServerConnection::content`]; `None` at its end.
    /// A client that waits for `100 Continue` gets it now.
    pub fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<usize>, ContentError>> {
        // After the final response nobody is invited any more.
        if self.continue_wanted && !self.answered {
            self.queue_continue();
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
        self.received += n as u64;
    }

    /// Whether the request's content has been read to its end.
    pub fn content_is_done(&self) -> bool {
        self.reader.is_done()
    }

    /// The request's trailers, after its content.
    pub fn trailers(&self) -> Option<&Fields> {
        self.reader.trailers()
    }

    /// Ready when the client has gone: it has ended its side of the connection or reset it. What it sends meanwhile is
    /// kept for the next request, up to the size of a buffer; beyond that nothing is noticed.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.input.data().len() < BUFFER_SIZE {
            match ready!(self.stream.poll_fill(cx, &mut self.input, BUFFER_SIZE)) {
                Ok(n) if n > 0 => {}
                _ => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    /// Begins the response: writes the head with the framing that fits the client's version. The content follows by
    /// [`ServerConnection::poll_write`], then [`ServerConnection::finish`] and [`ServerConnection::poll_flush`].
    /// `close`: the connection ends with this response. Says whether it does, which the framing can make necessary.
    pub fn start_response(&mut self, head: &mut ResponseHead, client: Version, close: bool) -> bool {
        let delimited = matches!(head.framing, Framing::Delimited | Framing::UntilClose);
        let until_close = delimited && client < Version::Http11;
        match head.framing {
            Framing::Delimited | Framing::UntilClose => {
                head.fields.remove_known(Known::ContentLength);
                head.fields.remove_known(Known::TransferEncoding);
                if !until_close {
                    head.fields.append_known(Known::TransferEncoding, b"chunked");
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
        let close = close || until_close;
        self.closing = close;
        if close || head.fields.may_have(&[Known::Connection]) {
            let option: &[u8] = if close { b"close" } else { b"keep-alive" };
            if head.fields.may_repeat(&[Known::Connection]) || head.fields.known(Known::Connection) != Some(option) {
                head.fields.set_known(Known::Connection, option);
            }
        } else {
            head.fields.append_all(&KEEP_ALIVE);
        }
        // RFC 9110, section 7.8: whoever names a protocol to upgrade to says so here too.
        if head.fields.has(Known::Upgrade) {
            head.fields.append_known(Known::Connection, b"Upgrade");
        }
        self.answered = true;
        self.queue_head(delimited && !until_close, head);
        close
    }

    /// Answers `101 Switching Protocols`: what follows on the connection is no HTTP.
    pub fn start_upgrade(&mut self, head: &mut ResponseHead) {
        head.fields.remove_known(Known::TransferEncoding);
        head.fields.remove_known(Known::ContentLength);
        head.fields.set_known(Known::Connection, b"upgrade");
        self.queue_head(false, head);
    }

    /// Queues an interim response (1xx); it has no content, so that nothing in it may say how long that is.
    pub fn queue_interim(&mut self, head: &mut ResponseHead) {
        head.fields.remove_known(Known::TransferEncoding);
        head.fields.remove_known(Known::ContentLength);
        self.continue_wanted = false;
        self.queue_head(false, head);
    }

    fn queue_head(&mut self, chunked: bool, head: &ResponseHead) {
        let octets = self.writer.start(chunked, |out| write_response_head(head, out));
        self.heads += octets as u64;
    }

    /// Sends a piece of the response's content; after `Pending`, call again with the same piece.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, piece: &[u8]) -> Poll<io::Result<()>> {
        self.writer.poll_piece(cx, &mut self.stream, piece)
    }

    /// Whether the response's content can come out of a pipe.
    pub fn takes_pipes(&self) -> bool {
        self.writer.takes_pipes(&self.stream)
    }

    /// Sends all that is in a pipe, where [`ServerConnection::takes_pipes`].
    pub fn poll_pipe(&mut self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<io::Result<()>> {
        self.writer.poll_pipe(cx, &mut self.stream, pipe)
    }

    /// Ends the response's content.
    pub fn finish(&mut self, trailers: Option<&Fields>) {
        self.writer.finish(trailers);
        if self.closing && self.is_quiet() {
            self.writer.close_behind();
        }
    }

    /// Writes everything that was queued.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.poll_flush(cx, &mut self.stream)
    }

    /// Whether something is queued that has not left yet.
    pub fn has_pending(&self) -> bool {
        self.writer.has_pending()
    }

    /// Octets that were taken from the client since the connection was made.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Octets that have left for the client since the connection was made.
    pub fn sent(&self) -> u64 {
        self.writer.sent()
    }

    /// What was received and sent since [`ServerConnection::take_traffic`] was asked last.
    pub fn traffic(&self) -> Traffic {
        Traffic {
            received: self.received - self.told.received,
            sent: self.writer.sent() - self.told.sent,
            heads: self.heads - self.told.heads,
        }
    }

    /// The same, and begins anew.
    pub fn take_traffic(&mut self) -> Traffic {
        let traffic = self.traffic();
        self.told = Traffic { received: self.received, sent: self.writer.sent(), heads: self.heads };
        traffic
    }

    /// The connection's timer.
    pub fn timer(&self) -> &Timer {
        &self.timer
    }

    /// The socket.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Reads and drops what is left of a request's content, within the times given; whether it came to its end.
    pub async fn discard_content(&mut self, lingering: Lingering) -> bool {
        let timer = self.timer.clone();
        let ended = timer.limit_steps(lingering.time, lingering.pause, |cx| match ready!(self.poll_content(cx)) {
            Ok(None) => Poll::Ready(ControlFlow::Break(true)),
            Ok(Some(n)) => {
                self.consume(n);
                Poll::Ready(ControlFlow::Continue(()))
            }
            Err(_) => Poll::Ready(ControlFlow::Break(false)),
        });
        ended.await == Ok(true)
    }

    /// Closes the connection, which is then to be dropped. Where the client may still be sending, our side is closed
    /// first, and what comes is read and dropped within the times given: a client that is reset before it has read the
    /// last answer loses it.
    pub async fn close(&mut self, lingering: Lingering) {
        if self.is_quiet() && !self.stream.is_disturbed() {
            if !matches!(self.stream, Stream::Plain(_)) {
                let stream = &mut self.stream;
                let _ = self.timer.limit(lingering.pause, |cx| stream.poll_shutdown(cx)).await;
            }
            return;
        }
        let timer = self.timer.clone();
        let (stream, input) = (&mut self.stream, &mut self.input);
        let mut shut = false;
        let _ = timer
            .limit_steps(lingering.time, lingering.pause, |cx| {
                if !shut {
                    if ready!(stream.poll_shutdown(cx)).is_err() {
                        return Poll::Ready(ControlFlow::Break(()));
                    }
                    shut = true;
                }
                input.consume(usize::MAX);
                match ready!(stream.poll_fill(cx, input, BUFFER_SIZE)) {
                    Ok(n) if n > 0 => Poll::Ready(ControlFlow::Continue(())),
                    _ => Poll::Ready(ControlFlow::Break(())),
                }
            })
            .await;
    }

    /// Whether the client has said nothing but its request.
    fn is_quiet(&self) -> bool {
        self.reader.is_done() && self.input.is_empty()
    }

    /// Gives up HTTP on this connection: the socket and what was read beyond the request.
    pub fn into_parts(self) -> (Stream, Buffer, Timer) {
        (self.stream, self.input, self.timer)
    }
}

fn write_response_head(head: &ResponseHead, out: &mut Vec<u8>) {
    if head.status == 200 && matches!(&head.reason[..], b"" | b"OK") {
        // Mostly it is this, and written at once.
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    } else {
        write_status_line(head, out);
    }
    head.fields.write_to(out);
    out.extend_from_slice(b"\r\n");
}

fn write_status_line(head: &ResponseHead, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(head.status).as_bytes());
    out.push(b' ');
    if head.reason.is_empty() {
        out.extend_from_slice(reason_phrase(head.status).as_bytes());
    } else {
        out.extend_from_slice(&head.reason);
    }
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
