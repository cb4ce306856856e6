//! Frames as they come in, looked at only for what they are: the `h2` crate does not tell.

use super::connection::PREFACE;
use crate::net::Overhead;

/// The octets before a frame's content (RFC 9113, section 4.1).
const HEADER: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;

/// Notes what serves a request and what does not.
#[derive(Debug)]
pub(super) struct Frames {
    overhead: Overhead,
    /// The beginning of a frame, as far as it has come.
    header: [u8; HEADER],
    have: usize,
    /// Octets of the frame that are still to come, and whether they serve a request.
    left: usize,
    serves: bool,
}

impl Frames {
    /// For a connection whose client begins with the preface.
    pub fn new() -> Frames {
        Frames { overhead: Overhead::default(), header: [0; HEADER], have: 0, left: PREFACE.len(), serves: true }
    }

    /// Looks at what has come; whether it is too much that serves no request.
    pub fn receive(&mut self, mut octets: &[u8]) -> bool {
        let length = octets.len();
        while let Some(first) = octets.first() {
            if self.left > 0 {
                let n = self.left.min(octets.len());
                if self.serves {
                    self.overhead.serve(n);
                }
                self.left -= n;
                octets = &octets[n..];
                continue;
            }
            self.header[self.have] = *first;
            self.have += 1;
            octets = &octets[1..];
            if self.have == HEADER {
                let [a, b, c, kind, ..] = self.header;
                self.have = 0;
                self.left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                self.serves = matches!(kind, DATA | HEADERS | CONTINUATION);
            }
        }
        self.overhead.receive(length)
    }

    /// What is sent serves a request, too: who takes much of it says so in frames of its own.
    pub fn send(&self, octets: usize) {
        self.overhead.serve(octets);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        [&[0, (length >> 8) as u8, length as u8, kind, 0, 0, 0, 0, 1][..], &vec![b'x'; length]].concat()
    }

    #[test]
    fn empty_frames_are_too_many_at_some_time() {
        let mut frames = Frames::new();
        assert!(!frames.receive(PREFACE));
        let empty = frame(DATA, 0).repeat(1 << 16);
        let taken = (0..100).take_while(|_| !frames.receive(&empty)).count();
        assert_eq!((taken * empty.len()) >> 20, 7, "{taken}");
    }

    #[test]
    fn content_and_what_is_sent_make_room() {
        let mut frames = Frames::new();
        assert!(!frames.receive(PREFACE));
        let whole = [frame(HEADERS, 20), frame(DATA, 1000), frame(8, 4), frame(DATA, 0)].concat();
        for _ in 0..30_000 {
            // However it comes.
            for piece in whole.chunks(7) {
                assert!(!frames.receive(piece));
            }
        }
        let updates = frame(8, 4).repeat(1 << 16);
        for _ in 0..100 {
            frames.send(1 << 20);
            assert!(!frames.receive(&updates));
        }
    }
}
