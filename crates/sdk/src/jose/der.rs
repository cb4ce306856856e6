//! Keys in DER, written as aws-lc reads them.

/// An integer without sign.
pub fn integer(octets: &[u8]) -> Vec<u8> {
    let first = octets.iter().position(|&octet| octet != 0).unwrap_or(octets.len());
    let sign: &[u8] = if octets.get(first).is_none_or(|&octet| octet >= 0x80) { &[0] } else { &[] };
    element(2, &[sign, &octets[first..]].concat())
}

/// An element of that tag.
pub fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let first = length.iter().position(|&octet| octet != 0).unwrap_or(length.len() - 1);
    let length = &length[first..];
    match length {
        [short] if *short < 0x80 => [&[tag, *short], content].concat(),
        _ => [&[tag, 0x80 | length.len() as u8], length, content].concat(),
    }
}
