//! Length-prefixed messages (gRPC over HTTP/2, "Requests").

use sdk::Bytes;

/// The first octet of a frame with trailers, in gRPC-Web.
pub const TRAILERS: u8 = 0x80;

/// Octets before a message: a flag and its length.
const PREFIX: usize = 5;

/// A message with its prefix.
pub fn frame(flag: u8, message: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(PREFIX + message.len());
    framed.push(flag);
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    framed.extend_from_slice(message);
    framed
}

/// Frames that come piece by piece.
#[derive(Debug, Default)]
pub struct Frames {
    pending: Vec<u8>,
}

impl Frames {
    /// Adds a piece.
    pub fn push(&mut self, piece: &[u8]) {
        self.pending.extend_from_slice(piece);
    }

    /// The next message that is whole.
    pub fn next(&mut self) -> Option<Bytes> {
        let (prefix, rest) = self.pending.split_first_chunk::<PREFIX>()?;
        let [_, length @ ..] = *prefix;
        let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
        let message = Bytes::copy_from_slice(rest.get(..length)?);
        self.pending.drain(..PREFIX + length);
        Some(message)
    }

    /// What is left, which is no frame.
    pub fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.pending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_whole_however_they_come() {
        let octets = [frame(0, b"one"), frame(0, b""), frame(TRAILERS, b"two")].concat();
        for size in 1..octets.len() {
            let (mut frames, mut messages) = (Frames::default(), Vec::new());
            for piece in octets.chunks(size) {
                frames.push(piece);
                messages.extend(std::iter::from_fn(|| frames.next()));
            }
            assert_eq!(messages, ["one", "", "two"], "{size}");
            assert!(frames.rest().is_empty());
        }
    }
}
