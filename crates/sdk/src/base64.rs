//! Base64 (RFC 4648) from clients and records.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const CONFIG: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// Reads base64 as nginx does: padding is not needed, and bits that are left over are passed over.
pub fn decode_base64(text: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurpose =
        GeneralPurpose::new(&alphabet::STANDARD, CONFIG.with_decode_allow_trailing_bits(true));
    LENIENT.decode(text).ok()
}

/// Reads base64url (section 5), with padding or without. Each value has one text but for that.
pub fn decode_base64url(text: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, CONFIG);
    URL_SAFE.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_not_needed() {
        assert_eq!(decode_base64("+/8=").as_deref(), Some(&[0xfb, 0xff][..]));
        assert_eq!(decode_base64("+/9").as_deref(), Some(&[0xfb, 0xff][..]));
        assert_eq!(decode_base64url("-_8=").as_deref(), Some(&[0xfb, 0xff][..]));
        assert_eq!(decode_base64url("-_8").as_deref(), Some(&[0xfb, 0xff][..]));
    }

    #[test]
    fn what_is_not_base64() {
        assert_eq!(decode_base64("-_8"), None);
        assert_eq!(decode_base64("A"), None);
        assert_eq!(decode_base64url("+/8"), None);
        assert_eq!(decode_base64url("-_9"), None, "the bits that are left over are not zero");
    }
}
