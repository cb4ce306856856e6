//! The chunked transfer coding (RFC 9112, section 7.1), strictly read: CRLF only, bounded sizes, extensions and
//! trailers.

use crate::message::{Fields, Known};
use memchr::memchr;

/// Octets of a chunk's size line, extensions included.
const MAX_SIZE_LINE: usize = 256;
/// Octets of all trailer lines.
const MAX_TRAILERS: usize = 8192;
/// Trailer lines.
const MAX_TRAILER_LINES: usize = 64;

/// A decoder that is fed whatever has arrived.
#[derive(Debug, Default)]
pub struct ChunkedDecoder {
    state: State,
    trailer_octets: usize,
    trailers: Fields,
}

/// What the decoder found at the beginning of the input.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded {
    /// The input's first `skip` octets are framing; after them `length` octets of content (already there).
    Data { skip: usize, length: usize },
    /// More input is needed; the first `skip` octets are used up.
    Incomplete { skip: usize },
    /// The content is over; the first `skip` octets belong to it.
    End { skip: usize },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Size,
    /// That much of the current chunk is still to come.
    Data(u64),
    AfterData,
    Trailers,
    Done,
}

impl ChunkedDecoder {
    /// Looks at the input. After `Data` the caller removes `skip` octets, then consumes up to `length` and says so with
    /// [`ChunkedDecoder::consumed`]; after the others it removes `skip` octets.
    pub fn decode(&mut self, input: &[u8]) -> Result<Decoded, &'static str> {
        let mut at = 0;
        loop {
            match self.state {
                State::Size => {
                    let Some(line) = take_line(input, &mut at, MAX_SIZE_LINE)? else {
                        return Ok(Decoded::Incomplete { skip: at });
                    };
                    let size = chunk_size(line)?;
                    self.state = if size == 0 { State::Trailers } else { State::Data(size) };
                }
                State::Data(left) => {
                    let there = (input.len() - at).min(usize::try_from(left).unwrap_or(usize::MAX));
                    return Ok(if there == 0 {
                        Decoded::Incomplete { skip: at }
                    } else {
                        Decoded::Data { skip: at, length: there }
                    });
                }
                State::AfterData => match &input[at..] {
                    [b'\r', b'\n', ..] => {
                        at += 2;
                        self.state = State::Size;
                    }
                    [] | [b'\r'] => return Ok(Decoded::Incomplete { skip: at }),
                    _ => return Err("a chunk is longer than its size"),
                },
                State::Trailers => {
                    let before = at;
                    let Some(line) = take_line(input, &mut at, MAX_TRAILERS)? else {
                        return Ok(Decoded::Incomplete { skip: at });
                    };
                    if line.is_empty() {
                        self.state = State::Done;
                        continue;
                    }
                    self.trailer_octets += at - before;
                    if self.trailer_octets > MAX_TRAILERS || self.trailers.len() >= MAX_TRAILER_LINES {
                        return Err("too many trailers");
                    }
                    push_trailer(&mut self.trailers, line)?;
                }
                State::Done => return Ok(Decoded::End { skip: at }),
            }
        }
    }

    /// That many octets of the data last announced have been taken.
    pub fn consumed(&mut self, octets: usize) {
        if let State::Data(left) = self.state {
            let left = left.saturating_sub(octets as u64);
            self.state = if left == 0 { State::AfterData } else { State::Data(left) };
        }
    }

    /// The trailers, once the end has been reached. Fields that would change framing or routing are not among them.
    pub fn trailers(&self) -> &Fields {
        &self.trailers
    }
}

/// The next line without its CRLF; `None` when it is not complete.
fn take_line<'a>(input: &'a [u8], at: &mut usize, limit: usize) -> Result<Option<&'a [u8]>, &'static str> {
    let rest = &input[*at..];
    let Some(newline) = memchr(b'\n', &rest[..rest.len().min(limit)]) else {
        return if rest.len() >= limit { Err("a line of the chunked coding is too long") } else { Ok(None) };
    };
    if newline == 0 || rest[newline - 1] != b'\r' {
        return Err("a line of the chunked coding does not end with CRLF");
    }
    *at += newline + 1;
    Ok(Some(&rest[..newline - 1]))
}

fn chunk_size(line: &[u8]) -> Result<u64, &'static str> {
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    if digits == 0 || digits > 15 {
        return Err("no valid chunk size");
    }
    // White space before an extension is legal (RFC 9112, section 7.1.1), and old servers pad sizes with it.
    let blank = line[digits..].iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    let extension = &line[digits + blank..];
    if !extension.is_empty() && (extension[0] != b';' || !Fields::is_valid_value(extension)) {
        return Err("no valid chunk extension");
    }
    Ok(line[..digits].iter().fold(0, |n, &d| n * 16 + u64::from((d as char).to_digit(16).unwrap_or(0))))
}

fn push_trailer(trailers: &mut Fields, line: &[u8]) -> Result<(), &'static str> {
    let colon = memchr(b':', line).ok_or("a trailer without colon")?;
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    if !Fields::is_valid_name(name) || !Fields::is_valid_value(value) {
        return Err("no valid trailer");
    }
    if may_trail(name) {
        trailers.append(std::str::from_utf8(name).unwrap_or_default(), value);
    }
    Ok(())
}

/// Whether a line of that name may come behind the content: what framing, routing or authentication depends on may not
/// (RFC 9110, section 6.5.1).
pub(crate) fn may_trail(name: &[u8]) -> bool {
    !matches!(
        Known::of(name),
        Known::TransferEncoding
            | Known::ContentLength
            | Known::Host
            | Known::Connection
            | Known::Trailer
            | Known::Te
            | Known::Authorization
            | Known::Cookie
            | Known::ContentType
            | Known::ContentEncoding
            | Known::Upgrade
            | Known::Expect
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the input in pieces of `step` octets.
    fn decode(input: &[u8], step: usize) -> Result<(Vec<u8>, usize, Fields), &'static str> {
        let mut decoder = ChunkedDecoder::default();
        let (mut out, mut from, mut to) = (Vec::new(), 0, 0);
        loop {
            match decoder.decode(&input[from..to])? {
                Decoded::Data { skip, length } => {
                    from += skip;
                    out.extend_from_slice(&input[from..from + length]);
                    from += length;
                    decoder.consumed(length);
                }
                Decoded::Incomplete { skip } => {
                    from += skip;
                    if to == input.len() {
                        return Err("incomplete");
                    }
                    to = (to + step).min(input.len());
                }
                Decoded::End { skip } => return Ok((out, from + skip, decoder.trailers().clone())),
            }
        }
    }

    #[test]
    fn decodes_in_pieces_of_any_size() {
        let input = b"5 ; a=b\r\nhello\r\n1\r\n \r\n00005  \r\nworld\r\n0\r\nX-T: 1\r\nContent-Length: 9\r\n\r\nNEXT";
        for step in 1..input.len() {
            let (out, used, trailers) = decode(input, step).unwrap();
            assert_eq!(out.as_slice(), &b"hello world"[..]);
            assert_eq!(input[used..], b"NEXT"[..]);
            assert_eq!(trailers.iter().collect::<Vec<_>>(), [("X-T", &b"1"[..])]);
        }
    }

    #[test]
    fn refuses_bad_framing() {
        for bad in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "0x5\r\n",
            " 5\r\nhello\r\n",
            "5 x\r\nhello\r\n",
            "5\r\r\nhello\r\n",
            "5\nhello\r\n",
            "5\r\nhelloX\r\n",
            "5\r\nhello\n",
            "1000000000000000\r\n",
            "0\r\nbad\r\n\r\n",
            "0\r\nA : b\r\n\r\n",
            "5;\0\r\n",
        ] {
            assert!(matches!(decode(bad.as_bytes(), bad.len()), Err(e) if e != "incomplete"), "accepted {bad:?}");
        }
        assert!(decode(format!("5;{}\r\n", "x".repeat(300)).as_bytes(), 1).is_err());
        assert!(decode(format!("0\r\n{}\r\n", "a: b\r\n".repeat(65)).as_bytes(), 4096).is_err());
    }
}
