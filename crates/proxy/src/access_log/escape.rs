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
        let is_plain: fn(u8) -> bool = match self {
            Escape::Default => |b| (b' '..0x7f).contains(&b) && b != b'"' && b != b'\\',
            Escape::Json => |b| b >= b' ' && b != b'"' && b != b'\\',
            Escape::None => return out.extend_from_slice(value),
        };
        let mut rest = value;
        while let Some(at) = rest.iter().position(|&b| !is_plain(b)) {
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
