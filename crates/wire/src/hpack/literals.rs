//! The integers and strings that field lines are written with (RFC 7541, section 5), in QPACK as in HPACK.

/// Why field lines cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Not as the protocol has it.
    Malformed,
    /// Larger than the limit.
    TooLarge,
}

/// An integer whose first `bits` bits stand in the first octet (RFC 7541, section 5.1); below 2^32.
pub(crate) fn integer(rest: &mut &[u8], bits: u32) -> Result<usize, Fault> {
    let (&first, mut more) = rest.split_first().ok_or(Fault::Malformed)?;
    let most = (1u64 << bits) - 1;
    let mut value = u64::from(first) & most;
    if value == most {
        let mut shift = 0;
        loop {
            let (&octet, others) = more.split_first().ok_or(Fault::Malformed)?;
            more = others;
            value += u64::from(octet & 0x7f) << shift;
            if octet < 0x80 {
                break;
            }
            shift += 7;
            if shift > 28 {
                return Err(Fault::Malformed);
            }
        }
    }
    *rest = more;
    usize::try_from(value).map_err(|_| Fault::Malformed)
}

/// Appends a string whose length stands in `bits` bits of the first octet, behind one that says whether it is coded.
pub(crate) fn string(rest: &mut &[u8], bits: u32, limit: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
    let coded = rest.first().is_some_and(|first| first >> bits & 1 == 1);
    let length = integer(rest, bits)?;
    let (text, more) = rest.split_at_checked(length).ok_or(Fault::Malformed)?;
    *rest = more;
    // The shortest code has five bits, the longest thirty.
    let least = if coded { length.saturating_sub(3) * 8 / 30 } else { length };
    if least > limit {
        return Err(Fault::TooLarge);
    }
    if coded {
        let (before, room) = (out.len(), limit);
        return super::huffman::decode(text, room, out).ok_or(match out.len() - before == room {
            true => Fault::TooLarge,
            false => Fault::Malformed,
        });
    }
    out.extend_from_slice(text);
    Ok(())
}

#[inline]
pub(crate) fn push_integer(out: &mut Vec<u8>, flags: u8, bits: u32, value: usize) {
    let most = (1usize << bits) - 1;
    if value < most {
        return out.push(flags | value as u8);
    }
    out.push(flags | most as u8);
    push_rest(out, value - most);
}

fn push_rest(out: &mut Vec<u8>, mut left: usize) {
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

pub(crate) fn push_string(out: &mut Vec<u8>, bits: u32, text: &[u8]) {
    push_integer(out, 0, bits, text.len());
    out.extend_from_slice(text);
}
