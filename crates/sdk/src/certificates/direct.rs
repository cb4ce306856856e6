//! Certificates that an authority has issued itself, of kinds that OpenSSL takes from peers and webpki does not: those
//! of version 1, which `openssl x509 -req` makes without an extension file, and those that say of themselves that they
//! are an authority.

use super::der::{self, Reader};
use rustls::pki_types::{
    CertificateDer, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer, TrustAnchor, UnixTime,
};
use webpki::{KeyUsage, RawPublicKeyEntity};
use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate};

/// What a certificate is shown for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Server,
    Client,
}

impl Role {
    /// The same in webpki's terms.
    pub fn key_usage(self) -> KeyUsage {
        match self {
            Role::Server => KeyUsage::server_auth(),
            Role::Client => KeyUsage::client_auth(),
        }
    }
}

/// Of the authorities, the one that has issued a certificate itself and so vouches for it, where `refusal` is webpki's
/// for its kind. Nothing may stand between them, and an authority that may vouch for some names only does not count:
/// what webpki would look at there nobody has looked at.
pub fn issuer_of_unusual<'a>(
    refusal: &webpki::Error,
    cert: &CertificateDer<'_>,
    authorities: &'a [TrustAnchor<'a>],
    algorithms: &[&dyn SignatureVerificationAlgorithm],
    role: Role,
    now: UnixTime,
) -> Option<&'a TrustAnchor<'a>> {
    use webpki::Error::{CaUsedAsEndEntity, UnsupportedCertVersion};
    if !matches!(refusal, CaUsedAsEndEntity | UnsupportedCertVersion) {
        return None;
    }
    let (_, cert) = X509Certificate::from_der(cert).ok()?;
    let (validity, now) = (cert.validity(), i64::try_from(now.as_secs()).ok()?);
    let in_time = (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&now);
    if !in_time || !is_for(&cert, role) {
        return None;
    }
    let issuer = Reader(cert.issuer().as_raw()).take(der::SEQUENCE)?.content;
    authorities.iter().find(|authority| {
        authority.name_constraints.is_none() && authority.subject.as_ref() == issuer && {
            let key = der::write(der::SEQUENCE, &[authority.subject_public_key_info.as_ref()]);
            has_signed(SubjectPublicKeyInfoDer::from(key), &cert, algorithms)
        }
    })
}

fn has_signed(
    key: SubjectPublicKeyInfoDer<'_>,
    cert: &X509Certificate<'_>,
    algorithms: &[&dyn SignatureVerificationAlgorithm],
) -> bool {
    let (signed, signature) = (cert.tbs_certificate.as_ref(), &cert.signature_value.data);
    RawPublicKeyEntity::try_from(&key)
        .is_ok_and(|key| algorithms.iter().any(|known| key.verify_signature(*known, signed, signature).is_ok()))
}

/// Whether its extensions let it be used in that role, and ask for nothing that is not known here.
fn is_for(cert: &X509Certificate<'_>, role: Role) -> bool {
    cert.extensions().iter().all(|extension| match extension.parsed_extension() {
        ParsedExtension::BasicConstraints(_) | ParsedExtension::SubjectAlternativeName(_) => true,
        // TLS 1.3 and the ciphers of 1.2 that there are have the peer sign.
        ParsedExtension::KeyUsage(usage) => usage.digital_signature(),
        ParsedExtension::ExtendedKeyUsage(usage) => match role {
            Role::Server => usage.any || usage.server_auth,
            Role::Client => usage.any || usage.client_auth,
        },
        ParsedExtension::ParseError { .. } => false,
        _ => !extension.critical,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{
        BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    };
    use rustls::crypto::aws_lc_rs;
    use webpki::{EndEntityCert, anchor_from_trusted_cert};

    struct Authority(CertificateDer<'static>, CertificateParams, KeyPair);

    fn authority(name: &str) -> Authority {
        let (params, key) = (params(name), KeyPair::generate().unwrap());
        Authority(params.self_signed(&key).unwrap().der().clone(), params, key)
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }

    fn signed(params: &CertificateParams, by: &Authority) -> CertificateDer<'static> {
        let issuer = Issuer::from_params(&by.1, &by.2);
        params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().der().clone()
    }

    /// What webpki says of it, and whether it is good enough all the same.
    fn vouched(cert: &CertificateDer<'_>, by: &Authority, role: Role, now: UnixTime) -> (webpki::Error, bool) {
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms.all;
        let anchors = [anchor_from_trusted_cert(&by.0).unwrap()];
        let verified = EndEntityCert::try_from(cert).and_then(|entity| {
            entity.verify_for_usage(algorithms, &anchors, &[], now, role.key_usage(), None, None).map(drop)
        });
        let refusal = verified.unwrap_err();
        let found = issuer_of_unusual(&refusal, cert, &anchors, algorithms, role, now).is_some();
        (refusal, found)
    }

    #[test]
    fn what_an_authority_has_issued_itself_may_call_itself_one() {
        let (root, other, now) = (authority("root"), authority("root"), UnixTime::now());
        let plain = signed(&params("peer"), &root);
        for role in [Role::Server, Role::Client] {
            assert_eq!(vouched(&plain, &root, role, now), (webpki::Error::CaUsedAsEndEntity, true));
            assert!(!vouched(&plain, &other, role, now).1, "the name alone is worth nothing");
            let late = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1 << 36));
            assert!(!vouched(&plain, &root, role, late).1);
        }
        let mut broken = plain.to_vec();
        *broken.last_mut().unwrap() ^= 1;
        assert!(!vouched(&CertificateDer::from(broken), &root, Role::Client, now).1);
    }

    #[test]
    fn its_extensions_hold() {
        let (root, now) = (authority("root"), UnixTime::now());
        let mut for_clients = params("peer");
        for_clients.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let for_clients = signed(&for_clients, &root);
        assert!(vouched(&for_clients, &root, Role::Client, now).1);
        assert!(!vouched(&for_clients, &root, Role::Server, now).1);
        let mut signs_certificates = params("peer");
        signs_certificates.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        assert!(!vouched(&signed(&signs_certificates, &root), &root, Role::Client, now).1);
        let mut asks = params("peer");
        let mut unknown = rcgen::CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
        unknown.set_criticality(true);
        asks.custom_extensions.push(unknown);
        assert!(!vouched(&signed(&asks, &root), &root, Role::Client, now).1);
    }

    #[test]
    fn authorities_for_some_names_only_do_not_count() {
        let mut limited = authority("root");
        limited.1.name_constraints =
            Some(rcgen::NameConstraints { permitted_subtrees: Vec::new(), excluded_subtrees: Vec::new() });
        limited.1.name_constraints.as_mut().unwrap().excluded_subtrees.push(rcgen::GeneralSubtree::DnsName("a".into()));
        limited.0 = limited.1.self_signed(&limited.2).unwrap().der().clone();
        let peer = signed(&params("peer"), &limited);
        assert!(!vouched(&peer, &limited, Role::Server, UnixTime::now()).1);
    }
}
