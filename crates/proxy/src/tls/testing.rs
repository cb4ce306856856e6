//! Certificates for tests, and authorities that issue them.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::CertificateDer;

/// A certificate, and what it takes to issue others by it.
pub struct Issued {
    pub der: CertificateDer<'static>,
    pub params: CertificateParams,
    pub key: KeyPair,
}

/// What a certificate says: the common name, the alternative ones, and whether it is of an authority.
pub fn params(common: &str, names: &[&str], authority: bool) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, common);
    params.subject_alt_names = names.iter().map(|n| SanType::DnsName((*n).try_into().unwrap())).collect();
    params.is_ca = if authority { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
    params
}

/// A certificate that is issued by another one, or by itself.
pub fn issued(params: CertificateParams, by: Option<&Issued>) -> Issued {
    let key = KeyPair::generate().unwrap();
    let cert = match by {
        None => params.self_signed(&key).unwrap(),
        Some(by) => params.signed_by(&key, &Issuer::from_params(&by.params, &by.key)).unwrap(),
    };
    Issued { der: cert.der().clone(), params, key }
}
