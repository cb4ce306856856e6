//! Frames of content that have no content and end no stream: they say nothing (RFC 9113, section 6.1), and some
//! services send them now and then. The `h2` crate ends a connection after a hundred of them, however long it lasts, so
//! that they do not come before it.

use super::frame::{DATA, END_STREAM, HEADER, Header};

/// Takes such frames out of what comes on a connection.
#[derive(Default)]
pub(super) struct EmptyFrames {
    /// Octets of the frame that are still to come.
    left: usize,
    /// The beginning of a frame whose kind is not known yet.
    held: Vec<u8>,
}

impl EmptyFrames {
    /// What was held back, and is to be put before what comes next.
    pub fn held(&self) -> &[u8] {
        &self.held
    }

    /// Moves the octets together that go on; how many they are. `look` sees the beginning of each frame that does.
    pub fn take_out(&mut self, octets: &mut [u8], mut look: impl FnMut(&Header)) -> usize {
        let (mut from, mut to) = (0, 0);
        loop {
            let n = self.left.min(octets.len() - from);
            if from > to {
                octets.copy_within(from..from + n, to);
            }
            (from, to, self.left) = (from + n, to + n, self.left - n);
            match Header::read(&octets[from..]) {
                Some(header) if header.kind == DATA && header.length == 0 && !header.has(END_STREAM) => from += HEADER,
                Some(header) => {
                    self.left = HEADER + header.length;
                    look(&header);
                }
                None => break,
            }
        }
        self.held.clear();
        self.held.extend_from_slice(&octets[from..]);
        to
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::{HEADERS, push_header};
    use super::*;

    #[test]
    fn what_says_nothing_is_taken_out_however_it_comes() {
        let (mut all, mut expected) = (Vec::new(), Vec::new());
        for (kind, flags, content) in [
            (DATA, 0, &b""[..]),
            (HEADERS, 0, b"head"),
            (DATA, 0, b""),
            (DATA, 0, b""),
            (DATA, 0, b"\0\0\0\0\0\0\0\0\0\0"),
            (DATA, 0, b""),
            (HEADERS, 0, b""),
            (DATA, END_STREAM, b""),
            (DATA, 0, b""),
        ] {
            let mut frame = Vec::new();
            push_header(&mut frame, content.len(), kind, flags, 1);
            frame.extend_from_slice(content);
            all.extend_from_slice(&frame);
            if !(kind == DATA && flags == 0 && content.is_empty()) {
                expected.extend_from_slice(&frame);
            }
        }
        for size in 1..=all.len() {
            let (mut frames, mut got, mut pieces) = (EmptyFrames::default(), Vec::new(), 0);
            for piece in all.chunks(size) {
                let mut octets = [frames.held(), piece].concat();
                let kept = frames.take_out(&mut octets, |header| pieces += usize::from(header.kind == DATA));
                got.extend_from_slice(&octets[..kept]);
            }
            assert_eq!(got, expected, "in pieces of {size}");
            assert_eq!(pieces, 2, "in pieces of {size}");
        }
    }
}
