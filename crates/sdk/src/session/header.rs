//! The beginning of a session's cookie: what it is, how old, and the codes that protect it. All numbers are
//! little-endian.

use super::keys::{MAC, Secret, TAG};
use super::origin::Origin;
use crate::decode_base64url;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// What a cookie says before its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub flags: u16,
    pub id: [u8; ID],
    /// Unix seconds.
    pub created: u64,
    /// When it was renewed, in seconds from then.
    pub rolled: u64,
    /// How long the content is, in base64url.
    pub size: usize,
    pub tag: [u8; TAG],
    /// When it was used, in seconds from the renewal.
    pub touched: u64,
}

/// The length of a session's id.
pub const ID: usize = 32;
/// How much of a cookie's value the header is.
pub const ENCODED: usize = 110;

/// The content is in a store.
pub const STORED: u16 = 1;
/// The content is compressed.
pub const DEFLATED: u16 = 16;
/// The authentication code covers where the client's request comes from, too.
pub const BOUND_TO_ADDRESS: u16 = 0x100;
pub const BOUND_TO_SCHEME: u16 = 0x200;
pub const BOUND_TO_USER_AGENT: u16 = 0x400;

const KIND: u8 = 1;
/// What the encryption's tag covers, and what the authentication code does.
const CONTEXT: usize = 1 + 2 + ID + 5 + 4 + 3;
const COVERED: usize = CONTEXT + TAG + 3;
const WHOLE: usize = COVERED + MAC;

impl Header {
    /// The header of a cookie, when it was made with that secret, for who shows it.
    pub fn read(cookie: &[u8], secret: &Secret, origin: &Origin) -> Option<Header> {
        let octets = decode_base64url(cookie.get(..ENCODED)?)?;
        let octets: &[u8; WHOLE] = octets.as_slice().try_into().ok()?;
        let mut rest = &octets[..];
        let mut take = |length: usize| {
            let (taken, left) = rest.split_at(length);
            rest = left;
            taken
        };
        if take(1) != [KIND] {
            return None;
        }
        let flags = number(take(2)) as u16;
        let id = take(ID).try_into().ok()?;
        let (created, rolled, size) = (number(take(5)), number(take(4)), number(take(3)));
        let tag = take(TAG).try_into().ok()?;
        let touched = number(take(3));
        let mac = take(MAC);
        let size = usize::try_from(size).ok()?;
        let header = Header { flags, id, created, rolled, size, tag, touched };
        let covered = [&octets[..COVERED], &origin.covered(flags)].concat();
        secret.verifies(&header.id, &covered, mac).then_some(header)
    }

    /// What the encryption's tag covers beside the content.
    pub fn context(&self) -> Vec<u8> {
        let mut octets = vec![KIND];
        octets.extend_from_slice(&self.flags.to_le_bytes());
        octets.extend_from_slice(&self.id);
        octets.extend_from_slice(&self.created.to_le_bytes()[..5]);
        octets.extend_from_slice(&self.rolled.to_le_bytes()[..4]);
        octets.extend_from_slice(&(self.size as u64).to_le_bytes()[..3]);
        octets
    }

    /// The header as it begins a cookie.
    pub fn encode(&self, secret: &Secret, origin: &Origin) -> String {
        let mut octets = self.context();
        octets.extend_from_slice(&self.tag);
        octets.extend_from_slice(&self.touched.to_le_bytes()[..3]);
        let mac = secret.mac(&self.id, &[&octets[..], &origin.covered(self.flags)].concat());
        octets.extend_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(octets)
    }

    /// The id as text.
    pub fn id(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.id)
    }

    /// How long ago it was made, renewed and used.
    pub fn ages(&self, now: u64) -> [u64; 3] {
        let age = now.saturating_sub(self.created);
        let rolled = age.saturating_sub(self.rolled);
        [age, rolled, rolled.saturating_sub(self.touched)]
    }
}

fn number(octets: &[u8]) -> u64 {
    octets.iter().rev().fold(0, |number, octet| number << 8 | u64::from(*octet))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            flags: STORED | DEFLATED,
            id: [7; ID],
            created: 1_700_000_000,
            rolled: 70_000,
            size: 300,
            tag: [9; TAG],
            touched: 61,
        }
    }

    #[test]
    fn headers_are_read_as_they_were_written() {
        let secret = Secret::new(b"secret");
        let cookie = header().encode(&secret, &Origin::default());
        assert_eq!(cookie.len(), ENCODED);
        assert_eq!(Header::read(cookie.as_bytes(), &secret, &Origin::default()), Some(header()));
        assert_eq!(header().ages(1_700_070_100), [70_100, 100, 39]);
    }

    #[test]
    fn what_was_made_otherwise_is_nothing() {
        let secret = Secret::new(b"secret");
        let cookie = header().encode(&secret, &Origin::default());
        assert_eq!(Header::read(cookie.as_bytes(), &Secret::new(b"other"), &Origin::default()), None);
        assert_eq!(Header::read(&cookie.as_bytes()[1..], &secret, &Origin::default()), None);
        let mut forged = cookie.into_bytes();
        forged[60] = if forged[60] == b'A' { b'B' } else { b'A' };
        assert_eq!(Header::read(&forged, &secret, &Origin::default()), None);
    }
}
