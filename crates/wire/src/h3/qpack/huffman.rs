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

/// Appends what a text stands for. `None`: it is no text, or longer than `limit`.
pub(super) fn decode(text: &[u8], limit: usize, out: &mut Vec<u8>) -> Option<()> {
    let most = out.len() + limit;
    // The code so far, its length, the first code of that length, and where its octet stands.
    let (mut code, mut length, mut first, mut at) = (0u32, 0, 0u32, 0u32);
    for octet in text {
        for bit in (0..8).rev() {
            code = code << 1 | u32::from(octet >> bit & 1);
            length += 1;
            first <<= 1;
            // Longer ones do not exist.
            let count = u32::from(*COUNTS.get(length)?);
            if code - first < count {
                if out.len() == most {
                    return None;
                }
                out.push(*OCTETS.get((at + code - first) as usize)?);
                (code, length, first, at) = (0, 0, 0, 0);
            } else {
                first += count;
                at += count;
            }
        }
    }
    // What fills the last octet are the first bits of the end's code, all of them ones.
    (length < 8 && code == (1 << length) - 1).then_some(())
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

    #[test]
    fn the_limit_holds() {
        let mut out = b"before".to_vec();
        assert_eq!(decode(&[0x00, 0x00], 2, &mut out), None);
        assert!(out.len() <= 8);
    }
}
