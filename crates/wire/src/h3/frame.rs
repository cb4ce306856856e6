//! Frames (RFC 9114, section 7), the integers in them (RFC 9000, section 16), and the codes of errors (section 8.1).

use quinn::VarInt;

/// The name of HTTP/3 in TLS.
pub const ALPN: &[u8] = b"h3";

pub(super) const DATA: u64 = 0;
pub(super) const HEADERS: u64 = 1;
pub(super) const CANCEL_PUSH: u64 = 3;
pub(super) const SETTINGS: u64 = 4;
pub(super) const PUSH_PROMISE: u64 = 5;
pub(super) const GOAWAY: u64 = 7;
pub(super) const MAX_PUSH_ID: u64 = 0xd;

/// Nothing is wrong.
pub const NO_ERROR: VarInt = VarInt::from_u32(0x100);
pub(super) const STREAM_CREATION_ERROR: VarInt = VarInt::from_u32(0x103);
pub(super) const CLOSED_CRITICAL_STREAM: VarInt = VarInt::from_u32(0x104);
pub(super) const FRAME_UNEXPECTED: VarInt = VarInt::from_u32(0x105);
pub(super) const FRAME_ERROR: VarInt = VarInt::from_u32(0x106);
pub(super) const EXCESSIVE_LOAD: VarInt = VarInt::from_u32(0x107);
pub(super) const ID_ERROR: VarInt = VarInt::from_u32(0x108);
pub(super) const SETTINGS_ERROR: VarInt = VarInt::from_u32(0x109);
pub(super) const MISSING_SETTINGS: VarInt = VarInt::from_u32(0x10a);
pub(super) const REQUEST_REJECTED: VarInt = VarInt::from_u32(0x10b);
pub(super) const REQUEST_INCOMPLETE: VarInt = VarInt::from_u32(0x10d);
pub(super) const INTERNAL_ERROR: VarInt = VarInt::from_u32(0x102);
pub(super) const MESSAGE_ERROR: VarInt = VarInt::from_u32(0x10e);
pub(super) const DECOMPRESSION_FAILED: VarInt = VarInt::from_u32(0x200);
pub(super) const ENCODER_STREAM_ERROR: VarInt = VarInt::from_u32(0x201);
pub(super) const DECODER_STREAM_ERROR: VarInt = VarInt::from_u32(0x202);

/// Whether a frame of that type is of the control stream, of servers, or of HTTP/2: no request has it.
pub(super) fn is_foreign(kind: u64) -> bool {
    matches!(kind, CANCEL_PUSH | SETTINGS | PUSH_PROMISE | GOAWAY | MAX_PUSH_ID) || is_reserved(kind)
}

/// Types of HTTP/2 that HTTP/3 does not have (section 11.2.1).
pub(super) fn is_reserved(kind: u64) -> bool {
    matches!(kind, 2 | 6 | 8 | 9)
}

/// The integer that the text begins with, and its length; `None` when it is not complete.
pub(super) fn integer(text: &[u8]) -> Option<(u64, usize)> {
    let first = *text.first()?;
    let length = 1 << (first >> 6);
    let octets = text.get(..length)?;
    let value = octets[1..].iter().fold(u64::from(first & 0x3f), |value, octet| value << 8 | u64::from(*octet));
    Some((value, length))
}

/// Appends an integer; below 2^62.
pub(super) fn push_integer(out: &mut Vec<u8>, value: u64) {
    match value {
        0..0x40 => out.push(value as u8),
        0x40..0x4000 => out.extend_from_slice(&(value as u16 | 0x4000).to_be_bytes()),
        0x4000..0x4000_0000 => out.extend_from_slice(&(value as u32 | 0x8000_0000).to_be_bytes()),
        _ => out.extend_from_slice(&(value | 0xc000_0000_0000_0000).to_be_bytes()),
    }
}

/// Appends the beginning of a frame.
pub(super) fn push_header(out: &mut Vec<u8>, kind: u64, length: usize) {
    push_integer(out, kind);
    push_integer(out, length as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers() {
        for value in [0, 1, 63, 64, 16_383, 16_384, (1 << 30) - 1, 1 << 30, (1 << 62) - 1] {
            let mut text = Vec::new();
            push_integer(&mut text, value);
            assert_eq!(integer(&text), Some((value, text.len())), "{value}");
            assert_eq!(integer(&text[..text.len() - 1]), None, "{value}");
        }
        // RFC 9000, appendix A.1.
        assert_eq!(integer(&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c]), Some((151_288_809_941_952_652, 8)));
        assert_eq!(integer(&[0x40, 0x25]), Some((37, 2)));
    }
}
