//! Frames (RFC 9113, sections 4 and 6), and the codes of errors (section 7).

use std::fmt;

/// Octets before a frame's content.
pub(super) const HEADER: usize = 9;
/// Octets of a frame's content that we take, and the most that we send: what everybody takes.
pub(super) const MOST: usize = 16_384;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 0x1;
pub(super) const ACK: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
/// Of `HEADERS`: a priority comes first (RFC 7540).
pub(super) const PRIORITIZED: u8 = 0x20;

/// What settings are about (section 6.5.2; RFC 8441, section 3).
pub(super) const ENABLE_PUSH: u16 = 2;
pub(super) const MAX_CONCURRENT_STREAMS: u16 = 3;
pub(super) const INITIAL_WINDOW_SIZE: u16 = 4;
pub(super) const MAX_FRAME_SIZE: u16 = 5;
pub(super) const MAX_HEADER_LIST_SIZE: u16 = 6;
pub(super) const ENABLE_CONNECT_PROTOCOL: u16 = 8;

/// The beginning of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub length: usize,
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
}

impl Header {
    /// What the octets begin with; `None` when there are too few.
    pub fn read(octets: &[u8]) -> Option<Header> {
        let &[a, b, c, kind, flags, s, t, u, v] = octets.first_chunk::<HEADER>()?;
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        // The first bit means nothing.
        let stream = u32::from_be_bytes([s, t, u, v]) & 0x7fff_ffff;
        Some(Header { length, kind, flags, stream })
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Appends the beginning of a frame.
pub(super) fn push_header(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    let [_, a, b, c] = (length as u32).to_be_bytes();
    let [s, t, u, v] = stream.to_be_bytes();
    out.extend_from_slice(&[a, b, c, kind, flags, s, t, u, v]);
}

/// Appends a frame whose content is some numbers.
pub(super) fn push_numbers(out: &mut Vec<u8>, kind: u8, stream: u32, numbers: &[u32]) {
    push_header(out, 4 * numbers.len(), kind, 0, stream);
    numbers.iter().for_each(|number| out.extend_from_slice(&number.to_be_bytes()));
}

/// Appends settings.
pub(super) fn push_settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    push_header(out, 6 * settings.len(), SETTINGS, 0, 0);
    for (id, value) in settings {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// The number that four octets are.
pub(super) fn number(octets: &[u8]) -> Option<u32> {
    octets.first_chunk().map(|octets| u32::from_be_bytes(*octets))
}

/// Why a stream or a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub(super) u32);

impl Code {
    pub(super) const NO_ERROR: Code = Code(0);
    pub(super) const PROTOCOL_ERROR: Code = Code(1);
    pub(super) const INTERNAL_ERROR: Code = Code(2);
    pub(super) const FLOW_CONTROL_ERROR: Code = Code(3);
    pub(super) const STREAM_CLOSED: Code = Code(5);
    pub(super) const FRAME_SIZE_ERROR: Code = Code(6);
    pub(super) const REFUSED_STREAM: Code = Code(7);
    pub(super) const CANCEL: Code = Code(8);
    pub(super) const COMPRESSION_ERROR: Code = Code(9);
    pub(super) const ENHANCE_YOUR_CALM: Code = Code(11);
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            0 => "NO_ERROR",
            1 => "PROTOCOL_ERROR",
            2 => "INTERNAL_ERROR",
            3 => "FLOW_CONTROL_ERROR",
            5 => "STREAM_CLOSED",
            6 => "FRAME_SIZE_ERROR",
            7 => "REFUSED_STREAM",
            8 => "CANCEL",
            9 => "COMPRESSION_ERROR",
            11 => "ENHANCE_YOUR_CALM",
            other => return write!(f, "error {other}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_come_back() {
        let mut out = Vec::new();
        push_header(&mut out, 0x01_02_03, HEADERS, END_STREAM | END_HEADERS, 7);
        out[5] |= 0x80;
        let header = Header { length: 0x01_02_03, kind: HEADERS, flags: 5, stream: 7 };
        assert_eq!(Header::read(&out), Some(header));
        assert!(header.has(END_HEADERS) && !header.has(PADDED));
        assert_eq!(Header::read(&out[..8]), None);
    }

    #[test]
    fn settings_and_numbers() {
        let mut out = Vec::new();
        push_settings(&mut out, &[(INITIAL_WINDOW_SIZE, 1 << 20)]);
        push_numbers(&mut out, WINDOW_UPDATE, 3, &[258]);
        let expected =
            [[0, 0, 6, 4, 0, 0, 0, 0, 0].as_slice(), &[0, 4, 0, 16, 0, 0], &[0, 0, 4, 8, 0, 0, 0, 0, 3], &[0, 0, 1, 2]];
        assert_eq!(out, expected.concat());
        assert_eq!(number(&out[24..]), Some(258));
        assert_eq!(number(&[1, 2]), None);
    }
}
