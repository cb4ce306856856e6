//! Single frames (RFC 6455, section 5.2).

/// The longest payload of a control frame.
const LONGEST_CONTROL: u64 = 125;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

/// Who sends a frame: clients mask what they send, and services must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Client,
    Service,
}

/// The beginning of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub last: bool,
    pub opcode: Opcode,
    pub mask: Option<[u8; 4]>,
    pub length: u64,
}

impl Opcode {
    /// Whether it is about the connection, and may come between the fragments of a message.
    pub fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }

    fn parse(number: u8) -> Option<Opcode> {
        Some(match number {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return None,
        })
    }

    fn number(self) -> u8 {
        match self {
            Opcode::Continuation => 0,
            Opcode::Text => 1,
            Opcode::Binary => 2,
            Opcode::Close => 8,
            Opcode::Ping => 9,
            Opcode::Pong => 10,
        }
    }
}

impl Header {
    /// Reads what a frame of that side begins with, and its length; `None` when it is not complete. The error says what
    /// is wrong with it.
    pub fn parse(octets: &[u8], from: Side) -> Result<Option<(Header, usize)>, &'static str> {
        let Some(&first) = octets.first() else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err("a reserved bit is set");
        }
        let opcode = Opcode::parse(first & 15).ok_or("a reserved opcode")?;
        let last = first & 0x80 != 0;
        let Some(&second) = octets.get(1) else { return Ok(None) };
        let masked = second & 0x80 != 0;
        if masked != (from == Side::Client) {
            return Err(if masked { "a masked frame of a service" } else { "a frame of a client without mask" });
        }
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let length = match extended {
            0 => u64::from(second & 0x7f),
            n => {
                let Some(octets) = octets.get(2..2 + n) else { return Ok(None) };
                octets.iter().fold(0, |length, octet| length << 8 | u64::from(*octet))
            }
        };
        if length >> 63 != 0 || (extended == 2 && length < 126) || (extended == 8 && length < 0x1_0000) {
            return Err("a length that is not in its shortest form");
        }
        if opcode.is_control() && (!last || length > LONGEST_CONTROL) {
            return Err("a control frame that is long or in fragments");
        }
        let size = 2 + extended + if masked { 4 } else { 0 };
        let Some(octets) = octets.get(2 + extended..size) else { return Ok(None) };
        let mask = octets.first_chunk().copied();
        Ok(Some((Header { last, opcode, mask, length }, size)))
    }
}

/// Masks a payload, or takes its mask off. `at`: where in the frame's payload it begins.
pub(super) fn mask(payload: &mut [u8], mask: [u8; 4], at: u64) {
    let mut key = mask;
    key.rotate_left((at % 4) as usize);
    let (words, rest) = payload.as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(key)).to_ne_bytes();
    }
    rest.iter_mut().zip(key).for_each(|(octet, key)| *octet ^= key);
}

/// Appends a whole message as one frame of that side. A client's has `key` as its mask.
pub fn push_frame(out: &mut Vec<u8>, from: Side, key: [u8; 4], opcode: Opcode, payload: &[u8]) {
    out.push(0x80 | opcode.number());
    let masked = if from == Side::Client { 0x80 } else { 0 };
    match payload.len() {
        length @ 0..126 => out.push(masked | length as u8),
        length @ 126..0x1_0000 => {
            out.push(masked | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(masked | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    if from == Side::Client {
        out.extend_from_slice(&key);
    }
    let begun = out.len();
    out.extend_from_slice(payload);
    if from == Side::Client {
        mask(&mut out[begun..], key, 0);
    }
}

/// Appends a close frame; a reason that is too long is cut, between characters.
pub fn push_close(out: &mut Vec<u8>, from: Side, key: [u8; 4], status: u16, reason: &str) {
    let mut payload = status.to_be_bytes().to_vec();
    let mut most = reason.len().min(LONGEST_CONTROL as usize - payload.len());
    while !reason.is_char_boundary(most) {
        most -= 1;
    }
    payload.extend_from_slice(&reason.as_bytes()[..most]);
    push_frame(out, from, key, Opcode::Close, &payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_as_they_went() {
        for from in [Side::Client, Side::Service] {
            for length in [0, 1, 3, 4, 125, 126, 127, 65_535, 65_536] {
                let payload: Vec<u8> = (0..length).map(|n| n as u8).collect();
                let mut out = Vec::new();
                push_frame(&mut out, from, [1, 2, 3, 4], Opcode::Binary, &payload);
                let (header, size) = Header::parse(&out, from).unwrap().unwrap();
                assert_eq!(header.length, length as u64);
                assert!(header.last);
                assert_eq!(header.opcode, Opcode::Binary);
                for short in 0..size {
                    assert_eq!(Header::parse(&out[..short], from), Ok(None), "{short} octets");
                }
                let mut got = out.split_off(size);
                if let Some(key) = header.mask {
                    mask(&mut got, key, 0);
                }
                assert!(got == payload, "{from:?}, {length} octets");
            }
        }
    }

    #[test]
    fn masks_go_on_where_they_were() {
        let mut whole: Vec<u8> = (0..23).collect();
        let mut pieces = whole.clone();
        mask(&mut whole, [9, 8, 7, 6], 0);
        for (from, to) in [(0, 1), (1, 6), (6, 9), (9, 23)] {
            mask(&mut pieces[from..to], [9, 8, 7, 6], from as u64);
        }
        assert_eq!(whole, pieces);
    }

    #[test]
    fn what_no_frame_begins_with() {
        let wrong = |octets: &[u8], from| Header::parse(octets, from).unwrap_err();
        for reserved in [0xc1, 0xa1, 0x91] {
            assert_eq!(wrong(&[reserved], Side::Client), "a reserved bit is set");
        }
        for opcode in [3, 7, 11, 15] {
            assert_eq!(wrong(&[0x80 | opcode], Side::Client), "a reserved opcode");
        }
        assert_eq!(wrong(&[0x81, 0], Side::Client), "a frame of a client without mask");
        assert_eq!(wrong(&[0x81, 0x80], Side::Service), "a masked frame of a service");
        for length in [&[126, 0, 125][..], &[127, 0, 0, 0, 0, 0, 0, 255, 255], &[127, 128, 0, 0, 0, 0, 1, 0, 0]] {
            let frame = [&[0x82], length].concat();
            assert_eq!(wrong(&frame, Side::Service), "a length that is not in its shortest form");
        }
        assert_eq!(wrong(&[0x89, 126, 0, 126], Side::Service), "a control frame that is long or in fragments");
        assert_eq!(wrong(&[0x09, 0], Side::Service), "a control frame that is long or in fragments");
    }

    #[test]
    fn reasons_are_cut_between_characters() {
        let mut out = Vec::new();
        push_close(&mut out, Side::Service, [0; 4], 1009, &"\u{e9}".repeat(100));
        assert_eq!(&out[..4], [0x88, 2 + 122, 3, 0xf1]);
        assert!(std::str::from_utf8(&out[4..]).is_ok());
    }
}
