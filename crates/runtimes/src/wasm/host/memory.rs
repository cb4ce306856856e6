//! The memory of a filter: what it gives the gateway, and what it is given.

use super::{Guest, Status};

/// How many octets a name has at most.
const LONGEST_NAME: u32 = 4096;

/// Octets that the filter points to.
pub fn read(guest: &mut Guest<'_>, place: u32, length: u32) -> Result<Vec<u8>, Status> {
    let memory = guest.data().memory.ok_or(Status::InvalidMemoryAccess)?;
    let (from, to) = (place as usize, place as usize + length as usize);
    memory.data(&*guest).get(from..to).map(<[u8]>::to_vec).ok_or(Status::InvalidMemoryAccess)
}

/// The same as text.
pub fn read_text(guest: &mut Guest<'_>, place: u32, length: u32) -> Result<String, Status> {
    String::from_utf8(read(guest, place, length)?).map_err(|_| Status::BadArgument)
}

/// The same, of a name that is kept for longer than a call.
pub fn read_name(guest: &mut Guest<'_>, place: u32, length: u32) -> Result<String, Status> {
    if length > LONGEST_NAME { Err(Status::BadArgument) } else { read_text(guest, place, length) }
}

/// Puts octets where the filter wants them.
pub fn write(guest: &mut Guest<'_>, place: u32, octets: &[u8]) -> Result<(), Status> {
    let memory = guest.data().memory.ok_or(Status::InvalidMemoryAccess)?;
    memory.write(guest, place as usize, octets).map_err(|_| Status::InvalidMemoryAccess)
}

pub fn write_u32(guest: &mut Guest<'_>, place: u32, value: u32) -> Result<(), Status> {
    write(guest, place, &value.to_le_bytes())
}

/// Gives the filter octets, in memory that it allocates, and writes where they are, and how many, where it wants that.
pub fn give(guest: &mut Guest<'_>, octets: &[u8], place: u32, length: u32) -> Result<(), Status> {
    let size = u32::try_from(octets.len()).map_err(|_| Status::InternalFailure)?;
    let at = match size {
        0 => 0,
        size => {
            let allocate = guest.data().allocate.clone().ok_or(Status::InternalFailure)?;
            let at = allocate.call(&mut *guest, size).map_err(|_| Status::InternalFailure)?;
            if at == 0 {
                return Err(Status::InternalFailure);
            }
            write(guest, at, octets)?;
            at
        }
    };
    write_u32(guest, place, at)?;
    write_u32(guest, length, size)
}

/// Pairs of names and values in the form of proxy-wasm.
pub fn encode_pairs<'p>(pairs: impl Iterator<Item = (&'p [u8], &'p [u8])> + Clone) -> Vec<u8> {
    let size = |octets: &[u8]| (octets.len() as u32).to_le_bytes();
    let mut out = (pairs.clone().count() as u32).to_le_bytes().to_vec();
    for (name, value) in pairs.clone() {
        out.extend_from_slice(&size(name));
        out.extend_from_slice(&size(value));
    }
    for (name, value) in pairs {
        out.extend_from_slice(name);
        out.push(0);
        out.extend_from_slice(value);
        out.push(0);
    }
    out
}

/// Reads that form; `None`: it is none.
pub fn decode_pairs(octets: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    if octets.is_empty() {
        return Some(Vec::new());
    }
    let number = |at: usize| Some(u32::from_le_bytes(octets.get(at..at + 4)?.try_into().ok()?) as usize);
    let count = number(0)?;
    // Each pair takes ten octets at least.
    if count > octets.len() / 10 {
        return None;
    }
    let mut at = 4 + 8 * count;
    let mut pairs = Vec::with_capacity(count);
    for pair in 0..count {
        let (name, value) = (number(4 + 8 * pair)?, number(8 + 8 * pair)?);
        let mut take = |length: usize| {
            let taken = octets.get(at..at.checked_add(length)?)?.to_vec();
            at += length + 1;
            Some(taken)
        };
        pairs.push((take(name)?, take(value)?));
    }
    Some(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_survive_their_form() {
        let pairs: [(&[u8], &[u8]); 2] = [(b":path", b"/a"), (b"x", b"")];
        let encoded = encode_pairs(pairs.iter().copied());
        assert_eq!(encoded[..8], [2, 0, 0, 0, 5, 0, 0, 0]);
        let decoded = decode_pairs(&encoded).unwrap();
        assert_eq!(decoded[0], (b":path".to_vec(), b"/a".to_vec()));
        assert_eq!(decoded[1], (b"x".to_vec(), Vec::new()));
        assert_eq!(decode_pairs(b""), Some(Vec::new()));
    }

    #[test]
    fn what_is_not_that_form_is_refused() {
        for wrong in [&b"\x01"[..], b"\xff\xff\xff\xff", b"\x01\0\0\0\x09\0\0\0\x01\0\0\0ab"] {
            assert_eq!(decode_pairs(wrong), None, "{wrong:?}");
        }
    }
}
