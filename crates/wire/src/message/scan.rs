//! Looking through heads sixteen octets at a time: where a field name ends, and where a field value does.

use wide::u8x16;

/// Octets that are looked at together.
const LANES: usize = 16;

/// How many octets at the beginning can belong to a field name: those of a token (RFC 9110, section 5.6.2).
#[inline]
pub(crate) fn name_length(text: &[u8]) -> usize {
    let mut rest = text;
    while let Some((lanes, more)) = rest.split_first_chunk() {
        let length = usual_in_names(u8x16::new(*lanes)).trailing_ones() as usize;
        if length < LANES {
            rest = &rest[length..];
            break;
        }
        rest = more;
    }
    // Names hardly ever have anything but letters, digits and dashes; then this ends at once.
    text.len() - rest.len() + rest.iter().position(|&b| !TOKEN[usize::from(b)]).unwrap_or(rest.len())
}

/// Where the first control character (tabs are one) from `at` on is; the length when there is none.
#[inline]
pub(crate) fn value_end(text: &[u8], at: usize) -> usize {
    let mut rest = &text[at..];
    while let Some((lanes, more)) = rest.split_first_chunk() {
        let controls = controls(u8x16::new(*lanes));
        if controls != 0 {
            return text.len() - rest.len() + controls.trailing_zeros() as usize;
        }
        rest = more;
    }
    text.len() - rest.len() + rest.iter().position(|&b| b < b' ' || b == 0x7f).unwrap_or(rest.len())
}

/// Where an octet is found first: for lines and their parts, which are mostly too short for a general search to be
/// worth its beginning.
#[inline]
pub(crate) fn find(octet: u8, text: &[u8]) -> Option<usize> {
    let mut rest = text;
    while let Some((lanes, more)) = rest.split_first_chunk() {
        let found = u8x16::new(*lanes).simd_eq(u8x16::splat(octet)).to_bitmask();
        if found != 0 {
            return Some(text.len() - rest.len() + found.trailing_zeros() as usize);
        }
        rest = more;
    }
    rest.iter().position(|&b| b == octet).map(|at| text.len() - rest.len() + at)
}

/// A bit for each octet below 0x20 or equal to 0x7f.
#[inline]
fn controls(lanes: u8x16) -> u32 {
    (is_at_most(lanes, b' ' - 1) | lanes.simd_eq(u8x16::splat(0x7f))).to_bitmask()
}

/// A bit for each letter, digit and dash.
#[inline]
fn usual_in_names(lanes: u8x16) -> u32 {
    let letters = is_at_most((lanes | u8x16::splat(0x20)) - u8x16::splat(b'a'), b'z' - b'a');
    let digits = is_at_most(lanes - u8x16::splat(b'0'), b'9' - b'0');
    (letters | digits | lanes.simd_eq(u8x16::splat(b'-'))).to_bitmask()
}

#[inline]
fn is_at_most(lanes: u8x16, most: u8) -> u8x16 {
    lanes.min(u8x16::splat(most)).simd_eq(lanes)
}

/// The octets of a token.
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 128 {
        table[b] = (b as u8).is_ascii_alphanumeric();
        b += 1;
    }
    let marks = b"-_!#$%&'*+.^`|~";
    let mut i = 0;
    while i < marks.len() {
        table[marks[i] as usize] = true;
        i += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_where_their_octets_do() {
        for length in 0..40 {
            for end in 0..=u8::MAX {
                let text = [&vec![b'a'; length][..], &[end], b"behind it, long enough"].concat();
                let token = end.is_ascii_alphanumeric() || b"-_!#$%&'*+.^`|~".contains(&end);
                let expected = if token { length + 7 } else { length };
                assert_eq!(name_length(&text), expected, "{length} and {end}");
            }
        }
    }

    #[test]
    fn values_end_at_the_first_control_character() {
        for length in 0..40 {
            for end in 0..=u8::MAX {
                let text = [&vec![b'v'; length][..], &[end], b"behind it, long enough"].concat();
                let control = end < b' ' || end == 0x7f;
                let expected = if control { length } else { text.len() };
                assert_eq!(value_end(&text, 0), expected, "{length} and {end}");
                assert_eq!(value_end(&text, length / 2), expected, "{length} and {end}");
            }
        }
    }

    #[test]
    fn octets_are_found_where_they_are_first() {
        for length in 0..40 {
            for behind in 0..20 {
                let text = [&vec![b'a'; length][..], b"\n", &vec![b'\n'; behind]].concat();
                assert_eq!(find(b'\n', &text), Some(length));
                assert_eq!(find(b'\n', &text[..length]), None);
            }
        }
    }

    #[test]
    fn texts_may_be_over_at_any_octet() {
        for length in 0..40 {
            assert_eq!(name_length(&vec![b'a'; length]), length);
            assert_eq!(value_end(&vec![b' '; length], 0), length);
        }
    }
}
