//! How values are escaped, so that no client can forge a line or break what reads it.

use wide::u8x16;

/// nginx's `escape=` parameter of `log_format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escape {
    /// Quotes, backslashes and everything that is not printable ASCII as `\xNN`; nothing is `-`.
    #[default]
    Default,
    /// As inside a JSON string; nothing is nothing.
    Json,
    /// Not at all; nothing is nothing.
    None,
}

impl Escape {
    /// By its name.
    pub fn parse(name: &str) -> Option<Escape> {
        match name {
            "default" => Some(Escape::Default),
            "json" => Some(Escape::Json),
            "none" => Some(Escape::None),
            _ => None,
        }
    }

    /// Writes a value.
    pub fn write(self, value: &[u8], out: &mut Vec<u8>) {
        let printable = match self {
            Escape::Default => b'~',
            // As it is in UTF-8.
            Escape::Json => u8::MAX,
            Escape::None => return out.extend_from_slice(value),
        };
        let mut rest = value;
        while let Some(at) = first_special(rest, printable) {
            out.extend_from_slice(&rest[..at]);
            if self == Escape::Default {
                hexadecimal(rest[at], out)
            } else {
                json(rest[at], out)
            }
            rest = &rest[at + 1..];
        }
        out.extend_from_slice(rest);
    }

    /// Writes what stands for a value that there is none of.
    pub fn write_missing(self, out: &mut Vec<u8>) {
        if self == Escape::Default {
            out.push(b'-');
        }
    }
}

/// Where the first control character, quote, backslash, or octet beyond `most` is. Most of a line passes through here.
fn first_special(text: &[u8], most: u8) -> Option<usize> {
    let mut rest = text;
    while let Some((lanes, more)) = rest.split_first_chunk() {
        let lanes = u8x16::new(*lanes);
        let is = |octet| lanes.simd_eq(u8x16::splat(octet));
        let plain = lanes.max(u8x16::splat(b' ')).min(u8x16::splat(most)).simd_eq(lanes);
        let special = (!plain | is(b'"') | is(b'\\')).to_bitmask();
        if special != 0 {
            return Some(text.len() - rest.len() + special.trailing_zeros() as usize);
        }
        rest = more;
    }
    let special = |&b: &u8| b < b' ' || b > most || b == b'"' || b == b'\\';
    rest.iter().position(special).map(|at| text.len() - rest.len() + at)
}

const DIGITS: &[u8; 16] = b"0123456789ABCDEF";

fn hexadecimal(b: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'\\', b'x', DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]);
}

fn json(b: u8, out: &mut Vec<u8>) {
    let short = match b {
        b'"' | b'\\' => b,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use super::{Escape, first_special};

    #[test]
    fn values_cannot_break_out() {
        let written = |escape: Escape, value: &[u8]| {
            let mut out = Vec::new();
            escape.write(value, &mut out);
            String::from_utf8(out).unwrap()
        };
        let value = "a \"b\" \\ \n\t\x01 \u{e9}\x7f".as_bytes();
        assert_eq!(written(Escape::Default, value), r"a \x22b\x22 \x5C \x0A\x09\x01 \xC3\xA9\x7F");
        assert_eq!(written(Escape::Json, value), "a \\\"b\\\" \\\\ \\n\\t\\u0001 \u{e9}\u{7f}");
        assert_eq!(written(Escape::None, value).as_bytes(), value);
        assert_eq!(written(Escape::Default, b"plain text"), "plain text");
    }

    #[test]
    fn every_octet_is_seen_wherever_it_stands() {
        for octet in 0..=u8::MAX {
            for at in 0..40 {
                let mut text = vec![b'a'; 40];
                text[at] = octet;
                let control_or_quote = octet < b' ' || matches!(octet, b'"' | b'\\');
                let expected = (control_or_quote || octet >= 0x7f).then_some(at);
                assert_eq!(first_special(&text, b'~'), expected, "{octet} at {at}");
                assert_eq!(first_special(&text, u8::MAX), control_or_quote.then_some(at), "{octet} at {at}");
            }
        }
    }
}
