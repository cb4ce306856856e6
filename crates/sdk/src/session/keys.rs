//! The keys of sessions: all follow from one secret and the session's id, as in lua-resty-session 4.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{constant_time, digest, hkdf, hmac, pbkdf2};
use std::num::NonZeroU32;

/// What everything is derived from.
pub struct Secret {
    material: [u8; 32],
    extracted: hkdf::Prk,
}

/// What a session's content is encrypted with.
pub struct Cipher {
    key: LessSafeKey,
    nonce: [u8; 12],
}

/// An authentication code, as much of it as cookies carry.
pub const MAC: usize = 16;
/// The tag of the encryption.
pub const TAG: usize = 16;

/// Cookies that outlive the browser take that many rounds.
const ROUNDS: NonZeroU32 = NonZeroU32::MIN.saturating_add(9_999);

impl Secret {
    pub fn new(text: &[u8]) -> Secret {
        let mut material = [0; 32];
        material.copy_from_slice(digest::digest(&digest::SHA256, text).as_ref());
        let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&material);
        Secret { material, extracted }
    }

    /// The authentication code of a message.
    pub fn mac(&self, id: &[u8], message: &[u8]) -> [u8; MAC] {
        let mut key = [0; 32];
        self.expand("authentication", id, &mut key);
        let code = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), message);
        let mut mac = [0; MAC];
        mac.copy_from_slice(&code.as_ref()[..MAC]);
        mac
    }

    /// Whether that is the authentication code of a message.
    pub fn verifies(&self, id: &[u8], message: &[u8], mac: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(&self.mac(id, message), mac).is_ok()
    }

    /// The cipher of a session; that of a cookie that outlives the browser costs more.
    pub fn cipher(&self, id: &[u8], lasting: bool) -> Option<Cipher> {
        let mut octets = [0; 44];
        if lasting {
            let salt = [b"encryption:", id].concat();
            pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, &salt, &self.material, &mut octets);
        } else {
            self.expand("encryption", id, &mut octets);
        }
        let (key, rest) = octets.split_at(32);
        let mut nonce = [0; 12];
        nonce.copy_from_slice(rest);
        Some(Cipher { key: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?), nonce })
    }

    fn expand(&self, usage: &str, id: &[u8], out: &mut [u8]) {
        let info = [usage.as_bytes(), b":", id];
        let expanded = self.extracted.expand(&info, Length(out.len())).and_then(|okm| okm.fill(out));
        expanded.expect("44 octets are far less than the 8160 that there may be");
    }
}

impl Cipher {
    /// Encrypts in place; the tag also covers `context`.
    pub fn seal(&self, context: &[u8], content: &mut [u8]) -> Option<[u8; TAG]> {
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(context), content).ok()?;
        tag.as_ref().try_into().ok()
    }

    /// Decrypts; `None` when the tag is not that of content and context.
    pub fn open(&self, context: &[u8], content: &[u8], tag: &[u8; TAG]) -> Option<Vec<u8>> {
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        let mut octets = [content, &tag[..]].concat();
        let length = self.key.open_in_place(nonce, Aad::from(context), &mut octets).ok()?.len();
        octets.truncate(length);
        Some(octets)
    }
}

/// How many octets are wanted.
struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}
