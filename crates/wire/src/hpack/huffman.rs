//! The Huffman code of field lines (RFC 7541, appendix B). It is canonical: how many codes there are of each length,
//! and their octets in order, say it all.

/// The longest code.
const LONGEST: usize = 30;

/// How many codes there are of each length.
const COUNTS: [u16; LONGEST + 1] =
    [0, 0, 0, 0, 0, 10, 26, 32, 6, 0, 5, 3, 2, 6, 2, 3, 0, 0, 0, 3, 8, 13, 26, 29, 12, 4, 15, 19, 29, 0, 3];

/// The octets in the order of their codes. The code after the last one is the end (EOS).
const OCTETS: [u8; 256] = [
    48, 49, 50, 97, 99, 101, 105, 111, 115, 116, 32, 37, 45, 46, 47, 51, 52, 53, 54, 55, 56, 57, 61, 65, 95, 98, 100,
    102, 103, 104, 108, 109, 110, 112, 114, 117, 58, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81,
    82, 83, 84, 85, 86, 87, 89, 106, 107, 113, 118, 119, 120, 121, 122, 38, 42, 44, 59, 88, 90, 33, 34, 40, 41, 63, 39,
    43, 124, 35, 62, 0, 36, 64, 91, 93, 126, 94, 125, 60, 96, 123, 92, 195, 208, 128, 130, 131, 162, 184, 194, 224,
    226, 153, 161, 167, 172, 176, 177, 179, 209, 216, 217, 227, 229, 230, 129, 132, 133, 134, 136, 146, 154, 156, 160,
    163, 164, 169, 170, 173, 178, 181, 185, 186, 187, 189, 190, 196, 198, 228, 232, 233, 1, 135, 137, 138, 139, 140,
    141, 143, 147, 149, 150, 151, 152, 155, 157, 158, 165, 166, 168, 174, 175, 180, 182, 183, 188, 191, 197, 231, 239,
    9, 142, 144, 145, 148, 159, 171, 206, 215, 225, 236, 237, 199, 207, 234, 235, 192, 193, 200, 201, 202, 205, 210,
    213, 218, 219, 238, 240, 242, 243, 255, 203, 204, 211, 212, 214, 221, 222, 223, 241, 244, 245, 246, 247, 248, 250,
    251, 252, 253, 254, 2, 3, 4, 5, 6, 7, 8, 11, 12, 14, 15, 16, 17, 18, 19, 20, 21, 23, 24, 25, 26, 27, 28, 29, 30,
    31, 127, 220, 249, 10, 13, 22,
];

/// By the next eight bits: the octet whose code they begin with and its length; 0: the code is longer.
static SHORT: [(u8, u8); 256] = short();

const fn short() -> [(u8, u8); 256] {
    let mut table = [(0, 0); 256];
    let (mut length, mut first, mut at) = (1, 0usize, 0usize);
    while length <= 8 {
        first <<= 1;
        let mut n = 0;
        while n < COUNTS[length] as usize {
            let begin = (first + n) << (8 - length);
            let mut rest = 0;
            while rest < 1 << (8 - length) {
                table[begin + rest] = (OCTETS[at + n], length as u8);
                rest += 1;
            }
            n += 1;
        }
        first += COUNTS[length] as usize;
        at += COUNTS[length] as usize;
        length += 1;
    }
    table
}

/// Appends what a text stands for. `None`: it is no text, or longer than `limit`.
pub(crate) fn decode(text: &[u8], limit: usize, out: &mut Vec<u8>) -> Option<()> {
    let most = out.len().saturating_add(limit);
    let mut rest = text.iter();
    // The last of these bits are still to be read; those before them have been.
    let (mut bits, mut left) = (0u64, 0u32);
    loop {
        while left <= 48
            && let Some(&octet) = rest.next()
        {
            bits = bits << 8 | u64::from(octet);
            left += 8;
        }
        // Behind the end there are ones.
        let next = if left >= 8 { (bits >> (left - 8)) as u8 } else { (bits << (8 - left)) as u8 | 0xff >> left };
        let (octet, length) = match SHORT[usize::from(next)] {
            (octet, length @ 1..) if u32::from(length) <= left => (octet, u32::from(length)),
            _ => match long(bits, left)? {
                Some(found) => found,
                None => break,
            },
        };
        if out.len() == most {
            return None;
        }
        out.push(octet);
        left -= length;
    }
    // What fills the last octet are the first bits of the end's code, all of them ones.
    let ones = (1 << left) - 1;
    (left < 8 && bits & ones == ones).then_some(())
}

/// The octet that the bits begin with, and its code's length. Nothing inside: there are too few bits. `None`: there is
/// no such octet.
fn long(bits: u64, left: u32) -> Option<Option<(u8, u32)>> {
    // The first code of a length, and where its octet stands.
    let (mut first, mut at) = (0u64, 0u64);
    for (length, count) in COUNTS.iter().enumerate().skip(1) {
        let (length, count) = (length as u32, u64::from(*count));
        if length > left {
            return Some(None);
        }
        first <<= 1;
        let code = bits >> (left - length) & ((1 << length) - 1);
        if code - first < count {
            return OCTETS.get((at + code - first) as usize).map(|octet| Some((*octet, length)));
        }
        first += count;
        at += count;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(code: &[u8]) -> Option<String> {
        let mut out = Vec::new();
        decode(code, 64, &mut out)?;
        String::from_utf8(out).ok()
    }

    #[test]
    fn examples_of_the_rfc() {
        // RFC 7541, appendix C.4.
        let example = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        assert_eq!(text(&example).as_deref(), Some("www.example.com"));
        assert_eq!(text(&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf]).as_deref(), Some("no-cache"));
        assert_eq!(text(&[]).as_deref(), Some(""));
    }

    #[test]
    fn what_is_no_text_is_refused() {
        assert_eq!(text(&[0b110]), None, "filled with zeros");
        assert_eq!(text(&[0x1f, 0xff]), None, "filled with more than seven bits");
        assert_eq!(text(&[0xff, 0xff, 0xff, 0xff]), None, "the end in the middle");
    }

    /// The code of an octet and its length, as the counts have them.
    fn code(octet: u8) -> (u64, u32) {
        let place = OCTETS.iter().position(|o| *o == octet).unwrap() as u64;
        let (mut first, mut at) = (0, 0);
        for (length, count) in COUNTS.iter().enumerate().skip(1) {
            first <<= 1;
            if place < at + u64::from(*count) {
                return (first + place - at, length as u32);
            }
            first += u64::from(*count);
            at += u64::from(*count);
        }
        unreachable!()
    }

    #[test]
    fn all_octets_come_back_in_any_place() {
        for step in [1u32, 3, 7, 101] {
            let text: Vec<u8> = (0..1024u32).map(|n| (n * step % 256) as u8).collect();
            let (mut coded, mut bits, mut held) = (Vec::new(), 0u64, 0);
            for octet in &text {
                let (code, length) = code(*octet);
                bits = bits << length | code;
                held += length;
                while held >= 8 {
                    held -= 8;
                    coded.push((bits >> held) as u8);
                }
            }
            if held > 0 {
                coded.push((bits << (8 - held)) as u8 | 0xff >> held);
            }
            let mut out = Vec::new();
            assert_eq!(decode(&coded, 2000, &mut out), Some(()));
            assert_eq!(out, text, "{step}");
        }
    }

    #[test]
    fn the_limit_holds() {
        let mut out = b"before".to_vec();
        assert_eq!(decode(&[0x00, 0x00], 2, &mut out), None);
        assert!(out.len() <= 8);
    }
}
