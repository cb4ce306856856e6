//! The octets of a connection of HTTP/1.1: heads and content in, whatever is written out. Heads are read by the
//! engine's parser, so that here is refused what the proxy refuses.

use super::connection::Transport;
use super::stream::Watched;
use crate::content::BodyError;
use bytes::{Buf, Bytes, BytesMut};
use hyper::body::{Body, Frame, SizeHint};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wire::h1::{ChunkedDecoder, Decoded, HeadParser, Limits, RequestError, parse_request};
use wire::{Framing, Known, RequestHead, Version};

/// A client's connection, shared by who serves it and the content of the present request. Clones are the same.
#[derive(Clone)]
pub struct Framed(Arc<Mutex<State>>);

struct State {
    stream: Watched<Box<dyn Transport>>,
    /// What has been read and not used.
    input: BytesMut,
    reading: Reading,
    /// What is still to be sent of the word that a client waits for before it sends its content.
    invitation: &'static [u8],
    /// The invitation may still be on its way.
    flushing: bool,
}

/// The content of the present request, as far as it is to come.
enum Reading {
    Done,
    Length(u64),
    Chunked(ChunkedDecoder),
}

/// So much is read at once.
const PIECE: usize = 16 << 10;
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl Framed {
    pub fn new(stream: Watched<Box<dyn Transport>>) -> Framed {
        let input = BytesMut::new();
        let state = State { stream, input, reading: Reading::Done, invitation: &[], flushing: false };
        Framed(Arc::new(Mutex::new(state)))
    }

    /// Waits for the beginning of a request; false when none comes.
    pub async fn begins(&self) -> bool {
        poll_fn(|cx| {
            let mut state = self.state();
            if !state.input.is_empty() {
                return Poll::Ready(true);
            }
            state.poll_fill(cx).map(|read| read.is_ok_and(|n| n > 0))
        })
        .await
    }

    /// Reads a head. The content of the request before must have been read.
    pub async fn head(&self, limits: &Limits) -> Result<RequestHead, RequestError> {
        let (mut parser, mut head) = (HeadParser::default(), RequestHead::default());
        let end = poll_fn(|cx| {
            let mut state = self.state();
            loop {
                match parse_request(&state.input, &mut parser, &mut head, limits) {
                    Ok(Some(end)) => return Poll::Ready(Ok(end)),
                    Ok(None) => {}
                    Err(error) => return Poll::Ready(Err(RequestError::Head(error))),
                }
                if !matches!(ready!(state.poll_fill(cx)), Ok(n) if n > 0) {
                    return Poll::Ready(Err(RequestError::Closed));
                }
            }
        });
        let end = end.await?;
        self.state().begin(end, &head);
        Ok(head)
    }

    /// Whether the client waits to be told to send its content.
    pub fn awaits_continue(&self) -> bool {
        !self.state().invitation.is_empty()
    }

    /// Whether the client has ended its side.
    pub fn has_ended(&self) -> bool {
        self.state().stream.has_ended()
    }

    /// Whether something came that nobody has read.
    pub fn has_rest(&self) -> bool {
        let state = self.state();
        !state.input.is_empty() || !matches!(state.reading, Reading::Done)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn begin(&mut self, end: usize, head: &RequestHead) {
        self.input.advance(end);
        self.reading = match head.framing {
            Framing::Empty | Framing::Length(0) | Framing::UntilClose => Reading::Done,
            Framing::Length(length) => Reading::Length(length),
            Framing::Delimited => Reading::Chunked(ChunkedDecoder::default()),
        };
        let waits = head.version == Version::Http11
            && !matches!(self.reading, Reading::Done)
            && head.fields.known(Known::Expect).is_some_and(|e| e.eq_ignore_ascii_case(b"100-continue"));
        self.invitation = if waits { CONTINUE } else { &[] };
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut piece = [0; PIECE];
        let mut piece = ReadBuf::new(&mut piece);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut piece))?;
        self.input.extend_from_slice(piece.filled());
        Poll::Ready(Ok(piece.filled().len()))
    }

    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if matches!(self.reading, Reading::Done) {
            return Poll::Ready(None);
        }
        let failed = |error: io::Error| Some(Err(BodyError(error.to_string())));
        if let Err(error) = ready!(self.poll_invite(cx)) {
            return Poll::Ready(failed(error));
        }
        loop {
            match self.take() {
                Ok(Some(data)) => return Poll::Ready(Some(Ok(data))),
                Ok(None) if matches!(self.reading, Reading::Done) => return Poll::Ready(None),
                Ok(None) => {}
                Err(why) => return Poll::Ready(Some(Err(BodyError(why.to_owned())))),
            }
            match ready!(self.poll_fill(cx)) {
                Ok(0) => return Poll::Ready(failed(io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(error) => return Poll::Ready(failed(error)),
            }
        }
    }

    /// Asks a client that waits for it to send its content.
    fn poll_invite(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.invitation.is_empty() {
            let n = ready!(Pin::new(&mut self.stream).poll_write(cx, self.invitation))?;
            self.invitation = &self.invitation[n..];
            self.flushing = true;
        }
        if self.flushing {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.flushing = false;
        }
        Poll::Ready(Ok(()))
    }

    /// What is there of the content, or a step towards its end.
    fn take(&mut self) -> Result<Option<Bytes>, &'static str> {
        match &mut self.reading {
            Reading::Done => Ok(None),
            Reading::Length(_) if self.input.is_empty() => Ok(None),
            Reading::Length(left) => {
                let n = self.input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= n as u64;
                if *left == 0 {
                    self.reading = Reading::Done;
                }
                Ok(Some(self.input.split_to(n).freeze()))
            }
            Reading::Chunked(decoder) => match decoder.decode(&self.input)? {
                Decoded::Data { skip, length } => {
                    decoder.consumed(length);
                    self.input.advance(skip);
                    Ok(Some(self.input.split_to(length).freeze()))
                }
                Decoded::Incomplete { skip } => {
                    self.input.advance(skip);
                    Ok(None)
                }
                Decoded::End { skip } => {
                    self.input.advance(skip);
                    self.reading = Reading::Done;
                    Ok(None)
                }
            },
        }
    }
}

/// The content of the present request.
impl Body for Framed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.state().poll_content(cx).map(|read| read.map(|read| read.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state().reading, Reading::Done)
    }

    fn size_hint(&self) -> SizeHint {
        match self.state().reading {
            Reading::Done => SizeHint::with_exact(0),
            Reading::Length(left) => SizeHint::with_exact(left),
            Reading::Chunked(_) => SizeHint::default(),
        }
    }
}

/// What comes at the end of the connection, when it is only read to be dropped.
impl AsyncRead for Framed {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.state().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Framed {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.state().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.state().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.state().stream).poll_shutdown(cx)
    }
}
