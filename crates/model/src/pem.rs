//! PEM text: certificates, keys and revocation lists. What is said of text that is none never repeats any of it: it may
//! be a key.

use rustls_pki_types::pem::{Error, PemObject};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

/// The first certificate.
pub fn certificate(pem: &str) -> Result<CertificateDer<'static>, &'static str> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|e| describe(&e))
}

/// All certificates in their order; there may be none.
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().map_err(|e| describe(&e))
}

/// The first private key that is not encrypted.
pub fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, &'static str> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|e| describe(&e))
}

/// All revocation lists; there may be none.
pub fn revocation_lists(pem: &str) -> Result<Vec<CertificateRevocationListDer<'static>>, &'static str> {
    CertificateRevocationListDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().map_err(|e| describe(&e))
}

/// The library's own words would show the line that it does not like, octet by octet.
fn describe(error: &Error) -> &'static str {
    match error {
        Error::MissingSectionEnd { .. } => "a PEM section has no end",
        Error::IllegalSectionStart { .. } => "a PEM section has no proper beginning",
        Error::Base64Decode(_) => "a PEM section is not valid base64",
        Error::NoItemsFound => "there is no such PEM section",
        _ => "not valid PEM",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_show_nothing_of_the_text() {
        let key = |text: &str| private_key(text).err().unwrap_or_default();
        assert_eq!(key("-----BEGIN secret"), "a PEM section has no proper beginning");
        assert_eq!(key("-----BEGIN PRIVATE KEY-----\nsecret"), "a PEM section has no end");
        assert_eq!(
            key("-----BEGIN PRIVATE KEY-----\n§ecret\n-----END PRIVATE KEY-----\n"),
            "a PEM section is not valid base64"
        );
        assert_eq!(key("secret"), "there is no such PEM section");
    }
}
