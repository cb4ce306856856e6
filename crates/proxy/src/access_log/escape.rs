//! How values are escaped, so that no client can forge a line or break what reads it.

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
        let special = match self {
            Escape::Default => &SPECIAL,
            Escape::Json => &SPECIAL_IN_JSON,
            Escape::None => return out.extend_from_slice(value),
        };
        let mut rest = value;
        while let Some(at) = rest.iter().position(|&b| special[usize::from(b)]) {
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

/// Octets that are escaped: a look-up each, since most of a line passes through here.
static SPECIAL: [bool; 256] = specials(0x7f);
static SPECIAL_IN_JSON: [bool; 256] = specials(256);

/// Control characters, quotes, backslashes, and everything from `end` on.
const fn specials(end: usize) -> [bool; 256] {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 256 {
        table[b] = b < 0x20 || b >= end || b == b'"' as usize || b == b'\\' as usize;
        b += 1;
    }
    table
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
    use super::Escape;

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
}
