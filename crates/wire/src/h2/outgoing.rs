//! What is to be sent on a connection, in the order in which it was queued.

use super::frame::{self, CONTINUATION, END_HEADERS, HEADER, HEADERS, MOST};
use crate::net::BufferPool;

/// Frames that wait for the socket. Holds memory only while there are some.
pub(super) struct Outgoing {
    pool: BufferPool,
    octets: Vec<u8>,
    /// How many of them have been sent.
    sent: usize,
    /// How many were sent before.
    before: u64,
}

impl Outgoing {
    /// Nothing, with memory of that pool.
    pub fn new(pool: &BufferPool) -> Outgoing {
        Outgoing { pool: pool.clone(), octets: Vec::new(), sent: 0, before: 0 }
    }

    /// Where frames are appended.
    pub fn frames(&mut self) -> &mut Vec<u8> {
        if self.octets.capacity() == 0 {
            self.octets = self.pool.take_out();
        }
        &mut self.octets
    }

    /// Appends the frames of a section of field lines, which `write` appends.
    pub fn push_section(&mut self, stream: u32, flags: u8, write: impl FnOnce(&mut Vec<u8>)) {
        let out = self.frames();
        let begin = out.len();
        frame::push_header(out, 0, HEADERS, flags | END_HEADERS, stream);
        write(out);
        let length = out.len() - begin - HEADER;
        if length <= MOST {
            out[begin..begin + 3].copy_from_slice(&(length as u32).to_be_bytes()[1..]);
            return;
        }
        let section = out.split_off(begin + HEADER);
        out.truncate(begin);
        let pieces = section.chunks(MOST);
        let last = pieces.len() - 1;
        for (n, piece) in pieces.enumerate() {
            let (kind, own) = if n == 0 { (HEADERS, flags) } else { (CONTINUATION, 0) };
            let end = if n == last { END_HEADERS } else { 0 };
            frame::push_header(out, piece.len(), kind, own | end, stream);
            out.extend_from_slice(piece);
        }
    }

    /// Sets a flag of the frame that begins at that position, unless some of it has been sent; whether it was set.
    pub fn flag(&mut self, position: u64, flag: u8) -> bool {
        let at = position.checked_sub(self.before).and_then(|at| usize::try_from(at).ok());
        match at.filter(|at| *at >= self.sent).and_then(|at| self.octets.get_mut(at + 4)) {
            Some(flags) => {
                *flags |= flag;
                true
            }
            None => false,
        }
    }

    /// Octets that wait.
    pub fn waiting(&self) -> &[u8] {
        &self.octets[self.sent..]
    }

    /// So many of them have left.
    pub fn advance(&mut self, octets: usize) {
        self.sent += octets;
        if self.sent == self.octets.len() {
            self.before += self.sent as u64;
            self.sent = 0;
            self.pool.give_out(std::mem::take(&mut self.octets));
        } else if self.sent >= self.octets.len() / 2 {
            self.before += self.sent as u64;
            self.octets.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Where the next frame will begin: all octets that were ever queued.
    pub fn end(&self) -> u64 {
        self.before + self.octets.len() as u64
    }

    /// All octets that have left.
    pub fn left(&self) -> u64 {
        self.before + self.sent as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h2::frame::{DATA, END_STREAM, Header};

    fn headers(mut octets: &[u8]) -> Vec<Header> {
        let mut found = Vec::new();
        while let Some(header) = Header::read(octets) {
            octets = &octets[HEADER + header.length..];
            found.push(header);
        }
        found
    }

    #[test]
    fn long_sections_are_continued() {
        let mut out = Outgoing::new(&BufferPool::default());
        out.push_section(1, END_STREAM, |out| out.extend_from_slice(&[b'x'; 100]));
        out.push_section(3, END_STREAM, |out| out.extend(std::iter::repeat_n(b'x', 2 * MOST + 1)));
        let frames = headers(out.waiting());
        let header = |length, kind, flags, stream| Header { length, kind, flags, stream };
        assert_eq!(
            frames,
            [
                header(100, HEADERS, END_STREAM | END_HEADERS, 1),
                header(MOST, HEADERS, END_STREAM, 3),
                header(MOST, CONTINUATION, 0, 3),
                header(1, CONTINUATION, END_HEADERS, 3)
            ]
        );
    }

    #[test]
    fn positions_last() {
        let mut out = Outgoing::new(&BufferPool::default());
        let (mut places, content) = (Vec::new(), [b'x'; 10]);
        for _ in 0..3 {
            places.push(out.end());
            frame::push_header(out.frames(), content.len(), DATA, 0, 1);
            out.frames().extend_from_slice(&content);
        }
        // The first is sent, and a part of the second.
        out.advance(30);
        assert_eq!((out.left(), out.waiting().len()), (30, 27));
        assert_eq!(places.iter().map(|at| out.flag(*at, END_STREAM)).collect::<Vec<_>>(), [false, false, true]);
        out.advance(8);
        assert_eq!(headers(out.waiting())[0].flags, END_STREAM);
        out.advance(19);
        assert_eq!((out.left(), out.end()), (57, 57));
        assert!(!out.flag(57, END_STREAM));
        assert_eq!(out.octets.capacity(), 0);
    }
}
