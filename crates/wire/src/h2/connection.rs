//! A connection from a client, and the streams that it opens.

use super::frame::{self, Code, WINDOW_UPDATE};
use super::io::Io;
use super::outgoing::Outgoing;
use super::pool::StreamPool;
use super::receiving::Receiving;
use super::shared::{SEND_BUFFER, Shared};
use super::stream::ServerStream;
use super::windows;
use crate::h1;
use crate::net::{Buffer, BufferPool, Lingering, Stream, Timers};
use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// What a client that speaks HTTP/2 sends first (RFC 9113, section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Octets that are read ahead: two of the largest frames.
const READ_AHEAD: usize = 2 * (frame::HEADER + frame::MOST);
/// Octets that wait for the socket beyond which no more is read: what clients send makes us answer.
const MOST_WAITING: usize = 4 * SEND_BUFFER;
/// Of the `h2` crate: streams that were reset before they were looked at, or for mistakes.
const RESET_STREAMS: usize = 64;

/// How much a client may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Streams at a time.
    pub streams: u32,
    /// Of each head.
    pub heads: h1::Limits,
}

impl Limits {
    /// How the `h2` crate serves clients within these and within our own limits.
    pub fn server(self) -> h2::server::Builder {
        let mut server = h2::server::Builder::new();
        server
            .max_concurrent_streams(self.streams)
            .max_header_list_size(self.heads.list_size())
            .max_send_buffer_size(SEND_BUFFER)
            .initial_window_size(windows::STREAM)
            .initial_connection_window_size(windows::CONNECTION)
            .max_pending_accept_reset_streams(RESET_STREAMS)
            .max_local_error_reset_streams(Some(RESET_STREAMS))
            .enable_connect_protocol();
        server
    }
}

/// Why a connection has ended.
#[derive(Debug)]
pub enum Error {
    /// The client did not keep to the protocol, or to its limits.
    Protocol(Code),
    Io(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Protocol(code) => write!(f, "HTTP/2: {code}"),
            Error::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::Io(error)
    }
}

/// A client's connection. It moves only while [`Connection::poll_accept`] is polled, its streams' content included.
pub struct Connection {
    stream: Stream,
    input: Buffer,
    receiving: Receiving,
    shared: Held,
    timers: Timers,
    /// The client is told why the connection ends.
    failed: Option<Code>,
}

/// Lets streams know when their connection is gone.
struct Held(Rc<RefCell<Shared>>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.borrow_mut().lose();
    }
}

impl Connection {
    /// Takes a connection whose client begins with the preface; `begun` is what has been read of it. Ready when that
    /// has come.
    pub async fn begin(
        mut stream: Stream,
        mut begun: Buffer,
        (pool, streams): (&BufferPool, &StreamPool),
        timers: &Timers,
        limits: Limits,
    ) -> Result<Connection, Error> {
        let mut out = Outgoing::new(pool);
        let settings = [
            (frame::MAX_CONCURRENT_STREAMS, limits.streams),
            (frame::INITIAL_WINDOW_SIZE, windows::STREAM),
            (frame::MAX_HEADER_LIST_SIZE, limits.heads.list_size()),
            (frame::ENABLE_CONNECT_PROTOCOL, 1),
        ];
        frame::push_settings(out.frames(), &settings);
        frame::push_numbers(out.frames(), WINDOW_UPDATE, 0, &[windows::CONNECTION - windows::INITIAL]);
        let receiving = Receiving::new(limits);
        while begun.data().len() < PREFACE.len() {
            if !PREFACE.starts_with(begun.data()) {
                return Err(Error::Protocol(Code::PROTOCOL_ERROR));
            }
            if poll_fn(|cx| stream.poll_fill(cx, &mut begun, READ_AHEAD)).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
        if !begun.data().starts_with(PREFACE) {
            return Err(Error::Protocol(Code::PROTOCOL_ERROR));
        }
        receiving.received(begun.data().len()).map_err(Error::Protocol)?;
        receiving.serve(PREFACE.len());
        begun.consume(PREFACE.len());
        let shared = Held(Rc::new(RefCell::new(Shared::new(out, streams.clone()))));
        Ok(Connection { stream, input: begun, receiving, shared, timers: timers.clone(), failed: None })
    }

    /// The next stream; `None` when the connection is over.
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<ServerStream, Error>>> {
        loop {
            if let Some(code) = self.failed {
                if let Some(stream) = self.next() {
                    return Poll::Ready(Some(Ok(stream)));
                }
                // That the client hears why is a courtesy.
                let _ = ready!(self.poll_flush(cx));
                return Poll::Ready(Some(Err(Error::Protocol(code))));
            }
            if let Err(code) = self.take_frames() {
                self.fail(code);
                continue;
            }
            if let Some(stream) = self.next() {
                return Poll::Ready(Some(Ok(stream)));
            }
            let waiting = self.shared.0.borrow().out.waiting().len();
            if waiting <= MOST_WAITING {
                match self.stream.poll_fill(cx, &mut self.input, READ_AHEAD) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(None),
                    Poll::Ready(Ok(octets)) => {
                        if let Err(code) = self.receiving.received(octets) {
                            self.fail(code);
                        }
                        continue;
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                    Poll::Pending => {}
                }
            }
            let flushed = self.poll_flush(cx)?;
            let mut shared = self.shared.0.borrow_mut();
            if flushed.is_ready() && shared.is_over() {
                return Poll::Ready(None);
            }
            if flushed.is_ready() && waiting > MOST_WAITING {
                continue;
            }
            shared.keep_waker(cx);
            return Poll::Pending;
        }
    }

    /// Closes the connection so that the client can read what was sent last: streams that it has opened meanwhile would
    /// make the system reset the connection.
    pub async fn close(self, pool: &BufferPool, lingering: Lingering) {
        let Connection { stream, shared, .. } = self;
        drop(shared);
        lingering.close(&mut Io::new(stream, Buffer::new(pool))).await;
    }

    /// Takes no more streams: those that are open go on, then [`Connection::poll_accept`] ends.
    pub fn end(&mut self) {
        self.shared.0.borrow_mut().leave();
    }

    fn take_frames(&mut self) -> Result<(), Code> {
        let octets = self.receiving.take(self.input.data(), &mut self.shared.0.borrow_mut())?;
        self.input.consume(octets);
        Ok(())
    }

    fn next(&mut self) -> Option<ServerStream> {
        let mut shared = self.shared.0.borrow_mut();
        let state = shared.opened.pop_front()?;
        let timer = shared.pool.timer(&self.timers);
        Some(ServerStream::new(state, Rc::clone(&self.shared.0), timer))
    }

    /// The client is told; its streams are over.
    fn fail(&mut self, code: Code) {
        self.failed = Some(code);
        let mut shared = self.shared.0.borrow_mut();
        shared.push_goaway(code);
        shared.lose();
    }

    /// Sends what is queued.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut shared = self.shared.0.borrow_mut();
            if shared.out.waiting().is_empty() {
                break;
            }
            let octets = ready!(self.stream.poll_write(cx, shared.out.waiting()))?;
            if octets == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.receiving.serve(octets);
            shared.advance(octets);
        }
        self.stream.poll_flush(cx)
    }
}
