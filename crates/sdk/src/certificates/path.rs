//! Whether authorities vouch for a client's certificate.

use super::{ClientCertificate, Role, issuer_of_unusual};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, anchor_from_trusted_cert};
use x509_parser::prelude::{FromDer, X509Certificate};

/// The certificates from a client's own to that of the authority that it goes back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(Vec<CertificateDer<'static>>);

impl Path {
    #[cfg(test)]
    pub(super) fn of(certificates: Vec<CertificateDer<'static>>) -> Path {
        Path(certificates)
    }

    /// From the client's own certificate on. One that is itself an authority's is alone.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.0
    }
}

/// Finds the path by which one of the authorities vouches for a client now; the error says why there is none. Unless
/// the path may be `partial`, it has to end at an authority that vouches for itself.
pub fn find_path(
    client: &ClientCertificate,
    authorities: &[CertificateDer<'static>],
    partial: bool,
    now: UnixTime,
) -> Result<Path, String> {
    let is_end = |authority: &&CertificateDer<'static>| partial || vouches_for_itself(authority);
    let ends: Vec<&CertificateDer<'static>> = authorities.iter().filter(is_end).collect();
    let anchors: Vec<TrustAnchor<'_>> =
        ends.iter().filter_map(|authority| anchor_from_trusted_cert(authority).ok()).collect();
    let mut between = client.others().to_vec();
    between.extend(authorities.iter().cloned());
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms.all;
    let role = Role::Client;
    let mut path = vec![client.own().clone()];
    let end = |anchor: &TrustAnchor<'_>| {
        let is_it = |end: &&&CertificateDer<'_>| anchor_from_trusted_cert(end).is_ok_and(|known| known == *anchor);
        ends.iter().find(is_it).map(|end| CertificateDer::clone(end))
    };
    let entity = EndEntityCert::try_from(client.own());
    let found = entity
        .as_ref()
        .map_err(Clone::clone)
        .and_then(|entity| entity.verify_for_usage(algorithms, &anchors, &between, now, role.key_usage(), None, None));
    match found {
        Ok(found) => {
            path.extend(found.intermediate_certificates().map(|certificate| certificate.der().into_owned()));
            path.extend(end(found.anchor()));
            Ok(Path(path))
        }
        // What `openssl req -x509` makes, and people upload.
        Err(_) if ends.contains(&client.own()) => in_time(client.own(), now).map(|()| Path(path)),
        Err(refusal) => match issuer_of_unusual(&refusal, client.own(), &anchors, algorithms, role, now) {
            Some(issuer) => {
                path.extend(end(issuer));
                Ok(Path(path))
            }
            None => Err(refusal.to_string()),
        },
    }
}

/// Whether a certificate names itself as its issuer.
fn vouches_for_itself(certificate: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(certificate).is_ok_and(|(_, parsed)| parsed.subject() == parsed.issuer())
}

fn in_time(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), String> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|e| e.to_string())?;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let validity = parsed.validity();
    match (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&now) {
        true => Ok(()),
        false => Err("the certificate is not valid at this time".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

    struct Issued(CertificateDer<'static>, CertificateParams, KeyPair);

    fn issued(name: &str, authority: bool, by: Option<&Issued>, usage: &[ExtendedKeyUsagePurpose]) -> Issued {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = if authority { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
        params.extended_key_usages = usage.to_vec();
        let key = KeyPair::generate().unwrap();
        let made = match by {
            None => params.self_signed(&key),
            Some(by) => params.signed_by(&key, &Issuer::from_params(&by.1, &by.2)),
        };
        Issued(made.unwrap().der().clone(), params, key)
    }

    fn length(chain: &[&Issued], authorities: &[&Issued], partial: bool) -> Option<usize> {
        let client = ClientCertificate::new(chain.iter().map(|issued| issued.0.clone()).collect()).unwrap();
        let authorities: Vec<_> = authorities.iter().map(|issued| issued.0.clone()).collect();
        let found = find_path(&client, &authorities, partial, UnixTime::now());
        found.ok().map(|path| path.certificates().len())
    }

    #[test]
    fn paths_end_at_an_authority() {
        let root = issued("root", true, None, &[]);
        let between = issued("between", true, Some(&root), &[]);
        let client = issued("client", false, Some(&between), &[]);
        assert_eq!(length(&[&client, &between], &[&root], false), Some(3));
        assert_eq!(length(&[&client], &[&root], false), None);
        assert_eq!(length(&[&client], &[&root, &between], false), Some(3), "authorities lead to each other");
        assert_eq!(length(&[&client], &[&between], false), None, "nobody vouches for the authority");
        assert_eq!(length(&[&client], &[&between], true), Some(2));
        assert_eq!(length(&[&client, &between, &root], &[], true), None);
        let other = issued("root", true, None, &[]);
        assert_eq!(length(&[&client, &between, &root], &[&other], false), None, "the name alone is worth nothing");
        assert_eq!(length(&[&between], &[&root], false), Some(2), "a client may say of itself that it is an authority");
        assert_eq!(length(&[&between], &[&other], false), None);
    }

    #[test]
    fn certificates_must_be_for_clients_and_in_time() {
        let root = issued("root", true, None, &[]);
        let server = issued("server", false, Some(&root), &[ExtendedKeyUsagePurpose::ServerAuth]);
        assert_eq!(length(&[&server], &[&root], false), None);
        assert_eq!(length(&[&root], &[&root], false), Some(1));
        let late = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1 << 36));
        let client = issued("client", false, Some(&root), &[]);
        for shown in [&client, &root] {
            let shown = ClientCertificate::new(vec![shown.0.clone()]).unwrap();
            assert!(find_path(&shown, std::slice::from_ref(&root.0), false, late).is_err());
        }
    }
}
