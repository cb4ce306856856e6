//! Writing the few structures of ASN.1 in which keys are.

/// What an algorithm is called: its object identifier, with that of the curve behind it.
pub type Algorithm = &'static [u8];

const EC: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// rsaEncryption, with null for parameters.
pub const RSA: Algorithm = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
pub const ED25519: Algorithm = &[0x06, 0x03, 0x2b, 0x65, 0x70];
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
const P521: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23];

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;

/// A curve by the name that JOSE has for it.
pub fn curve(name: &str) -> Vec<u8> {
    let curve = match name {
        "P-256" => P256,
        "P-384" => P384,
        _ => P521,
    };
    [EC, curve].concat()
}

/// `SubjectPublicKeyInfo`.
pub fn public_key(algorithm: impl AsRef<[u8]>, key: &[u8]) -> Vec<u8> {
    let bits = [&[0], key].concat();
    element(SEQUENCE, &[element(SEQUENCE, algorithm.as_ref()), element(BIT_STRING, &bits)].concat())
}

/// A sequence of numbers that are not negative, each with its most significant octet first.
pub fn numbers(numbers: &[&[u8]]) -> Vec<u8> {
    let each = numbers.iter().flat_map(|number| {
        let from = number.iter().position(|octet| *octet != 0).unwrap_or(number.len());
        let mut octets = number[from..].to_vec();
        if octets.first().is_none_or(|first| *first >= 0x80) {
            octets.insert(0, 0);
        }
        element(INTEGER, &octets)
    });
    element(SEQUENCE, &each.collect::<Vec<u8>>())
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        short @ 0..0x80 => out.push(short as u8),
        long => {
            let length = long.to_be_bytes();
            let from = length.iter().position(|octet| *octet != 0).unwrap_or(0);
            out.push(0x80 | (length.len() - from) as u8);
            out.extend_from_slice(&length[from..]);
        }
    }
    out.extend_from_slice(content);
    out
}
