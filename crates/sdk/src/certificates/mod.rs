//! Certificates of clients, and those that plugins show them.

pub(crate) mod der;
mod direct;
mod name;
mod ocsp;
mod path;
mod revocation;
mod staple;

pub use direct::{Role, issuer_of_unusual};
pub use name::{Attribute, Details};
pub use path::{Path, find_path};
pub use revocation::{Revocation, Status};
pub use staple::{Staple, Stapler, must_be_stapled};

use ::aws_lc_rs::digest::{Context, SHA256};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use model::entities::Uuid;
use model::pem as texts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::sync::{Arc, OnceLock};

/// What a client has shown in its handshake: its certificate, then those that it has sent along. That it holds the key
/// is certain; nothing else is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    own: CertificateDer<'static>,
    others: Vec<CertificateDer<'static>>,
    details: OnceLock<Option<Details>>,
    digest: OnceLock<[u8; 32]>,
}

/// That clients are to be asked for a certificate ([`crate::Plugin::certificate_request`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateRequest {
    /// Records of `ca_certificates` whose names clients are told, so that they know what to show; empty: none.
    pub authorities: Vec<Uuid>,
}

impl ClientCertificate {
    /// Its certificate and those with it; `None` without any.
    pub fn new(mut chain: Vec<CertificateDer<'static>>) -> Option<ClientCertificate> {
        let others = if chain.is_empty() { return None } else { chain.split_off(1) };
        Some(ClientCertificate { own: chain.pop()?, others, details: OnceLock::new(), digest: OnceLock::new() })
    }

    /// The client's own certificate.
    pub fn own(&self) -> &CertificateDer<'static> {
        &self.own
    }

    /// What it says of itself, looked up once; `None` where it cannot be read.
    pub fn details(&self) -> Option<&Details> {
        self.details.get_or_init(|| Details::of(&self.own).ok()).as_ref()
    }

    /// Those that it has sent along.
    pub fn others(&self) -> &[CertificateDer<'static>] {
        &self.others
    }

    /// The hash of all of them, computed once.
    pub fn digest(&self) -> &[u8; 32] {
        self.digest.get_or_init(|| digest(std::iter::once(&self.own).chain(&self.others)))
    }
}

/// The hash of certificates, each with its length.
pub fn digest<'c>(certificates: impl Iterator<Item = &'c CertificateDer<'static>>) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for certificate in certificates {
        context.update(&(certificate.len() as u64).to_le_bytes());
        context.update(certificate);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// A certificate in PEM.
pub fn pem(certificate: &CertificateDer<'_>) -> String {
    let text = BASE64_STANDARD.encode(certificate);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().copied().map(char::from));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

/// The same, escaped as nginx does it (`$ssl_client_escaped_cert`), so that it fits into a line.
pub fn escaped_pem(certificate: &CertificateDer<'_>) -> String {
    const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    utf8_percent_encode(&pem(certificate), ESCAPED).to_string()
}

/// A certificate with those that lead to its root, and its key, from PEM: for [`crate::Plugin::certificate`].
pub fn certified_key(chain: &str, key: &str) -> Result<Arc<CertifiedKey>, String> {
    let chain = texts::certificates(chain).map_err(|e| format!("cert: {e}"))?;
    if chain.is_empty() {
        return Err("cert: no certificate in it".to_owned());
    }
    certified_key_of_der(chain, &texts::private_key(key).map_err(|e| format!("key: {e}"))?)
}

/// The same, of what PEM is made of.
pub fn certified_key_of_der(
    chain: Vec<CertificateDer<'static>>,
    key: &PrivateKeyDer<'_>,
) -> Result<Arc<CertifiedKey>, String> {
    let key = aws_lc_rs::sign::any_supported_type(key).map_err(|e| format!("key: {e}"))?;
    let certified = CertifiedKey::new(chain, key);
    certified.keys_match().map_err(|e| e.to_string())?;
    Ok(Arc::new(certified))
}
