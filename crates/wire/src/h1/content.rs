//! Content on its way in and out of a connection, in whatever framing the head announced.

use super::chunked::{ChunkedDecoder, Decoded};
use crate::message::{Fields, Framing};
use crate::net::{BUFFER_SIZE, Buffer, BufferPool, Pipe, Stream};
use std::io::{self, IoSlice, Write as _};
use std::task::{Context, Poll, ready};

/// Pieces up to this size are gathered before they are written.
const GATHER: usize = 4096;
/// Gathered octets beyond this are written even when more could follow.
const GATHER_MAX: usize = 16 * 1024;
/// From so many octets on, content goes through a pipe where it can: fewer are sooner copied.
const PIPED: u64 = 64 * 1024;

/// Why content could not be read to its end.
#[derive(Debug)]
pub enum ContentError {
    /// The peer broke the framing.
    Malformed(&'static str),
    /// The connection ended too early.
    Truncated,
    Io(io::Error),
}

/// Reads the content of one message.
#[derive(Debug, Default)]
pub struct ContentReader(Reading);

#[derive(Debug, Default)]
enum Reading {
    #[default]
    Done,
    Length(u64),
    Chunked(Box<ChunkedDecoder>),
    /// Chunked, and at its end: what the trailers were.
    Trailers(Box<ChunkedDecoder>),
    UntilClose,
}

/// Writes the head and the content of one message; what is small is gathered into few writes. Holds memory, which the
/// worker lends, only while something is to be written: so it is mostly the same that is used, and warm.
pub struct ContentWriter {
    pool: BufferPool,
    out: Vec<u8>,
    /// Octets of `out`, and then of the current piece and its end, that are written.
    written: usize,
    /// Bytes of the chunk-size line are in `out` for the piece being written.
    opened: bool,
    chunked: bool,
    /// The connection is closed as soon as everything is written.
    last: bool,
    /// Octets that have left.
    sent: u64,
}

impl ContentReader {
    /// A reader for the content that a head announced.
    pub fn new(framing: Framing) -> ContentReader {
        ContentReader(match framing {
            Framing::Empty | Framing::Length(0) => Reading::Done,
            Framing::Length(n) => Reading::Length(n),
            Framing::Delimited => Reading::Chunked(Box::default()),
            Framing::UntilClose => Reading::UntilClose,
        })
    }

    /// Whether all content has been consumed.
    pub fn is_done(&self) -> bool {
        matches!(self.0, Reading::Done | Reading::Trailers(_))
    }

    /// The trailers, when the content was chunked and is over.
    pub fn trailers(&self) -> Option<&Fields> {
        match &self.0 {
            Reading::Trailers(decoder) if !decoder.trailers().is_empty() => Some(decoder.trailers()),
            _ => None,
        }
    }

    /// How many octets of content stand at the beginning of the buffer; `None` at the end of the content.
    pub fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        buffer: &mut Buffer,
    ) -> Poll<Result<Option<usize>, ContentError>> {
        loop {
            match &mut self.0 {
                Reading::Done | Reading::Trailers(_) => return Poll::Ready(Ok(None)),
                Reading::Length(left) if !buffer.is_empty() => {
                    return Poll::Ready(Ok(Some(
                        buffer.data().len().min(usize::try_from(*left).unwrap_or(usize::MAX)),
                    )));
                }
                Reading::UntilClose if !buffer.is_empty() => return Poll::Ready(Ok(Some(buffer.data().len()))),
                Reading::Chunked(decoder) if !buffer.is_empty() => {
                    match decoder.decode(buffer.data()).map_err(ContentError::Malformed)? {
                        Decoded::Data { skip, length } => {
                            buffer.consume(skip);
                            return Poll::Ready(Ok(Some(length)));
                        }
                        Decoded::Incomplete { skip } => buffer.consume(skip),
                        Decoded::End { skip } => {
                            buffer.consume(skip);
                            if let Reading::Chunked(decoder) = std::mem::take(&mut self.0) {
                                self.0 = Reading::Trailers(decoder);
                            }
                            return Poll::Ready(Ok(None));
                        }
                    }
                }
                _ => {}
            }
            let read = ready!(stream.poll_fill(cx, buffer, BUFFER_SIZE)).map_err(ContentError::Io)?;
            if read == 0 {
                return Poll::Ready(match self.0 {
                    Reading::UntilClose => {
                        self.0 = Reading::Done;
                        Ok(None)
                    }
                    _ => Err(ContentError::Truncated),
                });
            }
        }
    }

    /// Whether so much content is still to be read from the connection that it is worth a pipe.
    pub fn fills_pipes(&self, stream: &Stream, buffer: &Buffer) -> bool {
        matches!(self.0, Reading::Length(left) if left >= PIPED)
            && buffer.is_empty()
            && matches!(stream, Stream::Plain(_))
    }

    /// Lets the next octets of content into an empty pipe, where [`ContentReader::fills_pipes`].
    pub fn poll_pipe(
        &mut self,
        cx: &mut Context<'_>,
        stream: &Stream,
        pipe: &mut Pipe,
    ) -> Poll<Result<usize, ContentError>> {
        let Reading::Length(left) = &mut self.0 else { return Poll::Ready(Ok(0)) };
        let most = usize::try_from(*left).unwrap_or(usize::MAX);
        let filled = ready!(pipe.poll_fill(cx, stream.tcp(), most)).map_err(ContentError::Io)?;
        if filled == 0 {
            return Poll::Ready(Err(ContentError::Truncated));
        }
        *left -= filled as u64;
        if *left == 0 {
            self.0 = Reading::Done;
        }
        Poll::Ready(Ok(filled))
    }

    /// Takes `n` octets of the piece out of the buffer.
    pub fn consume(&mut self, buffer: &mut Buffer, n: usize) {
        buffer.consume(n);
        match &mut self.0 {
            Reading::Length(left) => {
                *left = left.saturating_sub(n as u64);
                if *left == 0 {
                    self.0 = Reading::Done;
                }
            }
            Reading::Chunked(decoder) => decoder.consumed(n),
            _ => {}
        }
    }
}

impl ContentWriter {
    /// A writer with nothing to write.
    pub fn new(pool: &BufferPool) -> ContentWriter {
        ContentWriter {
            pool: pool.clone(),
            out: Vec::new(),
            written: 0,
            opened: false,
            chunked: false,
            last: false,
            sent: 0,
        }
    }

    /// Starts a message: `write` puts the head into the buffer. Content that follows is chunked if so announced.
    /// How many octets the head has.
    pub fn start(&mut self, chunked: bool, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        if self.written == self.out.len() {
            self.out.clear();
            self.written = 0;
        }
        self.opened = false;
        self.chunked = chunked;
        if self.out.capacity() == 0 {
            self.out = self.pool.take_out();
        }
        let before = self.out.len();
        write(&mut self.out);
        self.out.len() - before
    }

    /// How many octets have left since the connection was made.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Sends a piece. After `Pending`, call again with the same piece. What is small is only gathered:
    /// call [`ContentWriter::poll_flush`] before waiting for anything else.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>, stream: &mut Stream, piece: &[u8]) -> Poll<io::Result<()>> {
        if piece.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if !self.opened {
            if self.out.len() - self.written > GATHER_MAX {
                ready!(self.poll_flush(cx, stream))?;
            }
            if self.chunked {
                // Writing into a vector cannot fail.
                let _ = write!(self.out, "{:x}\r\n", piece.len());
            }
            if piece.len() <= GATHER {
                self.out.extend_from_slice(piece);
                if self.chunked {
                    self.out.extend_from_slice(b"\r\n");
                }
                return Poll::Ready(Ok(()));
            }
            self.opened = true;
        }
        let end: &[u8] = if self.chunked { b"\r\n" } else { b"" };
        let total = self.out.len() + piece.len() + end.len();
        while self.written < total {
            let (a, b, c) = rest_of(&self.out, piece, end, self.written);
            let written = ready!(stream.poll_write_vectored(cx, &[IoSlice::new(a), IoSlice::new(b), IoSlice::new(c)]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
            self.sent += written as u64;
        }
        self.opened = false;
        self.out.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    /// Whether content can be sent as it is, without being looked at.
    pub fn takes_pipes(&self, stream: &Stream) -> bool {
        !self.chunked && !self.opened && matches!(stream, Stream::Plain(_))
    }

    /// Sends all that is in a pipe, where [`ContentWriter::takes_pipes`].
    pub fn poll_pipe(&mut self, cx: &mut Context<'_>, stream: &mut Stream, pipe: &mut Pipe) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx, stream))?;
        while !pipe.is_empty() {
            self.sent += ready!(pipe.poll_send(cx, stream.tcp()))? as u64;
        }
        Poll::Ready(Ok(()))
    }

    /// Ends the content; with [`ContentWriter::poll_flush`] everything is then on its way.
    pub fn finish(&mut self, trailers: Option<&Fields>) {
        if self.chunked {
            self.out.extend_from_slice(b"0\r\n");
            if let Some(trailers) = trailers {
                trailers.write_to(&mut self.out);
            }
            self.out.extend_from_slice(b"\r\n");
            self.chunked = false;
        }
    }

    /// The connection will be closed as soon as what was gathered is written.
    pub fn close_behind(&mut self) {
        self.last = true;
    }

    /// Writes all that was gathered.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>, stream: &mut Stream) -> Poll<io::Result<()>> {
        while self.written < self.out.len() {
            let rest = &self.out[self.written..];
            let written =
                ready!(if self.last { stream.poll_write_last(cx, rest) } else { stream.poll_write(cx, rest) })?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
            self.sent += written as u64;
        }
        self.pool.give_out(std::mem::take(&mut self.out));
        self.written = 0;
        stream.poll_flush(cx)
    }

    /// Whether something is gathered and not written.
    pub fn has_pending(&self) -> bool {
        self.written < self.out.len()
    }
}

impl std::fmt::Display for ContentError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ContentError::Malformed(why) => f.write_str(why),
            ContentError::Truncated => f.write_str("the connection ended before the content"),
            ContentError::Io(error) => error.fmt(f),
        }
    }
}

/// What remains of three pieces when `written` octets of all are gone.
fn rest_of<'a>(out: &'a [u8], piece: &'a [u8], end: &'a [u8], written: usize) -> (&'a [u8], &'a [u8], &'a [u8]) {
    let in_piece = written.saturating_sub(out.len());
    let in_end = in_piece.saturating_sub(piece.len());
    (&out[written.min(out.len())..], &piece[in_piece.min(piece.len())..], &end[in_end.min(end.len())..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_three_pieces() {
        let rest = |n| rest_of(b"ab", b"cde", b"f", n);
        assert_eq!(rest(0), (&b"ab"[..], &b"cde"[..], &b"f"[..]));
        assert_eq!(rest(1), (&b"b"[..], &b"cde"[..], &b"f"[..]));
        assert_eq!(rest(3), (&b""[..], &b"de"[..], &b"f"[..]));
        assert_eq!(rest(5), (&b""[..], &b""[..], &b"f"[..]));
        assert_eq!(rest(6), (&b""[..], &b""[..], &b""[..]));
    }
}
