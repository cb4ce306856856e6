//! Looking at the certificates of servers as OpenSSL does, where rustls' own verifier is stricter or knows less: chains
//! have a longest length, a certificate can vouch for itself, a name can stand in the subject alone.

use model::entities::AlternativeNames;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, PeerMisbehaved, RootCertStore, SignatureScheme,
};
use sdk::certificates::{Role, issuer_of_unusual};
use std::sync::Arc;
use webpki::{EndEntityCert, RawPublicKeyEntity, RevocationOptions, anchor_from_trusted_cert};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Looks at the certificates of servers, and makes sure that they hold the keys.
#[derive(Debug)]
pub(super) struct ServerVerifier {
    pub required: Requirement,
    pub provider: Arc<CryptoProvider>,
}

/// What is required of a server's certificate.
#[derive(Debug)]
pub(super) enum Requirement {
    /// Kong's default towards services (`tls_verify` unset), and `https_verify_certificate: false` of probes:
    /// encrypted, but nobody is asked for a proof of identity.
    NoVerification,
    /// That one of the roots vouches for the server and for its name, or for one of those that it may have as well.
    Ca {
        roots: Arc<RootCertStore>,
        /// The most certificates between that of the server and that of the authority.
        depth: usize,
        names: AlternativeNames,
    },
}

/// The authorities that a certificate path may end at, and how long it may be.
pub(super) struct Authorities<'a> {
    pub roots: &'a RootCertStore,
    /// The most certificates between that of the peer and that of the authority.
    pub depth: usize,
    pub algorithms: &'a WebPkiSupportedAlgorithms,
}

impl Authorities<'_> {
    /// Whether one of them vouches for a certificate in this role; and whether it may vouch for some names only.
    pub fn verify_path(
        &self,
        cert: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
        role: Role,
        revocation: Option<RevocationOptions<'_>>,
    ) -> Result<bool, webpki::Error> {
        let revocable = revocation.is_some();
        self.find_path(cert, others, now, role, revocation).or_else(|refusal| {
            let (roots, algorithms) = (&self.roots.roots, self.algorithms.all);
            match issuer_of_unusual(&refusal, cert, roots, algorithms, role, now) {
                // Whether it has been revoked since nobody has looked at.
                Some(_) if !revocable => Ok(false),
                _ => Err(refusal),
            }
        })
    }

    fn find_path(
        &self,
        cert: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
        role: Role,
        revocation: Option<RevocationOptions<'_>>,
    ) -> Result<bool, webpki::Error> {
        let entity = EndEntityCert::try_from(cert)?;
        let short = |path: &webpki::VerifiedPath<'_>| match path.intermediate_certificates().count() {
            n if n > self.depth => Err(webpki::Error::MaximumPathDepthExceeded),
            _ => Ok(()),
        };
        let (algorithms, roots) = (self.algorithms.all, &self.roots.roots);
        let path =
            entity.verify_for_usage(algorithms, roots, others, now, role.key_usage(), revocation, Some(&short))?;
        Ok(path.anchor().name_constraints.is_some())
    }

    /// Whether the certificate is itself one of the authorities: what `openssl req -x509` makes, and people upload.
    pub fn have(&self, cert: &CertificateDer<'_>) -> bool {
        anchor_from_trusted_cert(cert).is_ok_and(|anchor| self.roots.roots.contains(&anchor))
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        cert: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Requirement::Ca { roots, depth, names } = &self.required {
            let algorithms = &self.provider.signature_verification_algorithms;
            let authorities = Authorities { roots, depth: *depth, algorithms };
            let constrained = match authorities.verify_path(cert, others, now, Role::Server, None) {
                Ok(constrained) => constrained || others.iter().any(constrains_names),
                Err(_) if authorities.have(cert) => in_time(cert, now).map(|()| false)?,
                Err(error) => return Err(refusal(error)),
            };
            is_for(cert, name, constrained)
                .or_else(|error| if is_one_of(cert, names) { Ok(()) } else { Err(error) })?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signed_tls12(&self.provider.signature_verification_algorithms, message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signed_tls13(&self.provider.signature_verification_algorithms, message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Whether the certificate is for that name. Without alternative names of hosts, the common name of the subject counts,
/// unless somebody on the way to the authority may vouch for some names only (`constrained`): that is not checked for
/// common names.
fn is_for(cert: &CertificateDer<'_>, name: &ServerName<'_>, constrained: bool) -> Result<(), Error> {
    let found = EndEntityCert::try_from(cert).and_then(|entity| entity.verify_is_valid_for_subject_name(name));
    let Err(error) = found else { return Ok(()) };
    let (ServerName::DnsName(name), false) = (name, constrained) else { return Err(refusal(error)) };
    let (_, cert) = X509Certificate::from_der(cert).map_err(|_| refusal(error.clone()))?;
    let alternatives = cert.subject_alternative_name().map_err(|_| refusal(error.clone()))?;
    let names_hosts = alternatives.is_some_and(|alternatives| {
        alternatives.value.general_names.iter().any(|name| matches!(name, GeneralName::DNSName(_)))
    });
    let mut common = cert.subject().iter_common_name().filter_map(|cn| cn.as_str().ok());
    if !names_hosts && common.any(|cn| covers(cn, name.as_ref())) { Ok(()) } else { Err(refusal(error)) }
}

/// Whether the certificate is, by its alternative names, for one of these.
fn is_one_of(cert: &CertificateDer<'_>, names: &AlternativeNames) -> bool {
    let entity = EndEntityCert::try_from(cert).ok();
    let is_for = |name: &String| {
        let name = ServerName::try_from(name.as_str()).ok()?;
        entity.as_ref()?.verify_is_valid_for_subject_name(&name).ok()
    };
    if names.dns.iter().any(|name| is_for(name).is_some()) {
        return true;
    }
    let Ok((_, cert)) = X509Certificate::from_der(cert) else { return false };
    let Ok(Some(alternatives)) = cert.subject_alternative_name() else { return false };
    let uris = alternatives.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    uris.into_iter().any(|uri| names.uris.iter().any(|wanted| wanted == uri))
}

/// Whether a certificate limits the names that it vouches for, or cannot be looked into.
fn constrains_names(cert: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(cert).map_or(true, |(_, cert)| !matches!(cert.name_constraints(), Ok(None)))
}

/// Whether a common name, which may begin with `*.`, stands for a name.
fn covers(common: &str, name: &str) -> bool {
    let name = name.trim_end_matches('.');
    match common.strip_prefix("*.") {
        Some(domain) => {
            domain.contains('.')
                && name
                    .split_once('.')
                    .is_some_and(|(first, rest)| !first.is_empty() && rest.eq_ignore_ascii_case(domain))
        }
        None => !common.contains('*') && common.eq_ignore_ascii_case(name),
    }
}

pub(super) fn in_time(cert: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let (_, cert) = X509Certificate::from_der(cert).map_err(|_| CertificateError::BadEncoding)?;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    match cert.validity() {
        v if now < v.not_before.timestamp() => Err(CertificateError::NotValidYet.into()),
        v if now > v.not_after.timestamp() => Err(CertificateError::Expired.into()),
        _ => Ok(()),
    }
}

pub(super) fn signed_tls12(
    algorithms: &WebPkiSupportedAlgorithms,
    message: &[u8],
    cert: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let Some(key) = key_alone(cert) else { return verify_tls12_signature(message, cert, signed, algorithms) };
    let key = RawPublicKeyEntity::try_from(&key).map_err(refusal)?;
    let (_, usable) = algorithms
        .mapping
        .iter()
        .find(|(scheme, _)| *scheme == signed.scheme)
        .ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
    if usable.iter().any(|algorithm| key.verify_signature(*algorithm, message, signed.signature()).is_ok()) {
        return Ok(HandshakeSignatureValid::assertion());
    }
    Err(CertificateError::BadSignature.into())
}

pub(super) fn signed_tls13(
    algorithms: &WebPkiSupportedAlgorithms,
    message: &[u8],
    cert: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    match key_alone(cert) {
        None => verify_tls13_signature(message, cert, signed, algorithms),
        Some(key) => verify_tls13_signature_with_raw_key(message, &key, signed, algorithms),
    }
}

/// The public key of a certificate that is of no use otherwise, such as one of version 1.
fn key_alone(cert: &CertificateDer<'_>) -> Option<SubjectPublicKeyInfoDer<'static>> {
    if EndEntityCert::try_from(cert).is_ok() {
        return None;
    }
    let (_, cert) = X509Certificate::from_der(cert).ok()?;
    Some(SubjectPublicKeyInfoDer::from(cert.public_key().raw.to_vec()))
}

/// The error for the log and for the alert that the server gets.
fn refusal(error: webpki::Error) -> Error {
    use webpki::Error as E;
    let error = match error {
        E::BadDer | E::BadDerTime | E::TrailingData(_) => CertificateError::BadEncoding,
        E::CertNotValidYet { time, not_before } => CertificateError::NotValidYetContext { time, not_before },
        E::CertExpired { time, not_after } => CertificateError::ExpiredContext { time, not_after },
        E::UnknownIssuer => CertificateError::UnknownIssuer,
        E::CertNotValidForName(name) => {
            CertificateError::NotValidForNameContext { expected: name.expected, presented: name.presented }
        }
        E::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    };
    error.into()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Issued, issued, params};
    use super::*;
    use rustls::crypto::aws_lc_rs;
    use rustls::pki_types::pem::PemObject;

    fn verify(depth: usize, roots: &[&Issued], cert: &Issued, others: &[&Issued], name: &str) -> Result<(), Error> {
        verify_names(depth, roots, cert, others, name, AlternativeNames::default())
    }

    fn verify_names(
        depth: usize,
        roots: &[&Issued],
        cert: &Issued,
        others: &[&Issued],
        name: &str,
        names: AlternativeNames,
    ) -> Result<(), Error> {
        let mut store = RootCertStore::empty();
        for root in roots {
            store.add(root.der.clone()).unwrap();
        }
        let required = Requirement::Ca { roots: Arc::new(store), depth, names };
        let verifier = ServerVerifier { required, provider: Arc::new(aws_lc_rs::default_provider()) };
        let others: Vec<_> = others.iter().map(|m| m.der.clone()).collect();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        verifier.verify_server_cert(&cert.der, &others, &name, &[], UnixTime::now()).map(drop)
    }

    #[test]
    fn chains_have_a_longest_length() {
        let root = issued(params("root", &[], true), None);
        let first = issued(params("first", &[], true), Some(&root));
        let second = issued(params("second", &[], true), Some(&first));
        let direct = issued(params("direct", &["a.test"], false), Some(&root));
        let far = issued(params("far", &["a.test"], false), Some(&second));
        assert_eq!(verify(0, &[&root], &direct, &[], "a.test"), Ok(()));
        assert!(verify(1, &[&root], &far, &[&second, &first], "a.test").is_err());
        assert_eq!(verify(2, &[&root], &far, &[&second, &first], "a.test"), Ok(()));
        let other = issued(params("root", &[], true), None);
        assert!(verify(9, &[&other], &direct, &[], "a.test").is_err());
        assert!(verify(9, &[], &direct, &[], "a.test").is_err());
    }

    #[test]
    fn a_certificate_can_be_for_other_names_than_the_host() {
        let root = issued(params("root", &[], true), None);
        let mut named = params("x", &["*.b.test"], false);
        let uri = "spiffe://a.test/service";
        named.subject_alt_names.push(rcgen::SanType::URI(uri.try_into().unwrap()));
        let cert = issued(named, Some(&root));
        let other = issued(params("root", &[], true), None);
        let dns = |names: &[&str]| AlternativeNames {
            dns: names.iter().map(|name| (*name).to_owned()).collect(),
            ..AlternativeNames::default()
        };
        let uris = |uri: &str| AlternativeNames { uris: vec![uri.to_owned()], ..AlternativeNames::default() };
        for (names, expected) in [
            (dns(&[]), false),
            (dns(&["c.test", "one.b.test"]), true),
            (dns(&["b.test"]), false),
            (dns(&[uri]), false),
            (uris(uri), true),
            (uris("spiffe://a.test"), false),
            (uris("one.b.test"), false),
        ] {
            let found = verify_names(1, &[&root], &cert, &[], "a.test", names.clone());
            assert_eq!(found.is_ok(), expected, "{names:?}");
            assert!(verify_names(1, &[&other], &cert, &[], "a.test", names).is_err());
        }
    }

    #[test]
    fn a_certificate_can_vouch_for_itself() {
        let own = issued(params("a.test", &["a.test"], true), None);
        assert_eq!(verify(1, &[&own], &own, &[], "a.test"), Ok(()));
        assert!(verify(1, &[&own], &own, &[], "b.test").is_err());
        let mut expired = params("a.test", &["a.test"], true);
        expired.not_after = rcgen::date_time_ymd(2020, 1, 1);
        let old = issued(expired, None);
        assert_eq!(verify(1, &[&old], &old, &[], "a.test"), Err(CertificateError::Expired.into()));
    }

    #[test]
    fn the_common_name_counts_without_alternatives_only() {
        let root = issued(params("root", &[], true), None);
        let named = issued(params("a.test", &[], false), Some(&root));
        assert_eq!(verify(1, &[&root], &named, &[], "A.test"), Ok(()));
        assert!(verify(1, &[&root], &named, &[], "b.test").is_err());
        let both = issued(params("a.test", &["b.test"], false), Some(&root));
        assert!(verify(1, &[&root], &both, &[], "a.test").is_err());
        let mut addressed = params("a.test", &[], false);
        addressed.subject_alt_names.push(rcgen::SanType::IpAddress([127, 0, 0, 1].into()));
        let addressed = issued(addressed, Some(&root));
        assert_eq!(verify(1, &[&root], &addressed, &[], "a.test"), Ok(()));
        assert_eq!(verify(1, &[&root], &addressed, &[], "127.0.0.1"), Ok(()));
        assert!(verify(1, &[&root], &addressed, &[], "b.test").is_err());
        // Who may vouch for some names only must not get around that by leaving out the alternatives.
        let mut limited = params("limited", &[], true);
        let permitted_subtrees = vec![rcgen::GeneralSubtree::DnsName("b.test".to_owned())];
        limited.name_constraints = Some(rcgen::NameConstraints { permitted_subtrees, excluded_subtrees: vec![] });
        let limited = issued(limited, Some(&root));
        let sly = issued(params("a.test", &[], false), Some(&limited));
        assert!(
            verify(1, &[&root], &sly, &[&limited], "a.test").is_err()
                && verify(1, &[&limited], &sly, &[], "a.test").is_err()
        );
        let honest = issued(params("x", &["x.b.test"], false), Some(&limited));
        assert_eq!(verify(1, &[&root], &honest, &[&limited], "x.b.test"), Ok(()));
        for (common, name, expected) in [
            ("*.a.test", "x.a.test", true),
            ("*.a.test", "x.y.a.test", false),
            ("*.test", "a.test", false),
            ("a*.test", "ab.test", false),
        ] {
            assert_eq!(covers(common, name), expected, "{common} {name}");
        }
    }

    /// An authority, and a certificate of version 1 that it has issued by `openssl x509 -req`.
    const ROOT: &str = "-----BEGIN CERTIFICATE-----\n\
         MIIBfzCCASWgAwIBAgIUXAWanqkhQi7Zf72+DqfY//k+PMQwCgYIKoZIzj0EAwIw\n\
         FDESMBAGA1UEAwwJcm9vdC50ZXN0MCAXDTI2MTEyNzIxMTE0MVoYDzIxMjYxMTAz\n\
         MjExMTQxWjAUMRIwEAYDVQQDDAlyb290LnRlc3QwWTATBgcqhkjOPQIBBggqhkjO\n\
         PQMBBwNCAATGyCl10CRad4RP6VtAO/bHRZaAChWl/fc2RP1a/AqscbtJ3r8rC08e\n\
         VwwSX+ZHln9PWx9ReKG/s83n/tb7V7tio1MwUTAdBgNVHQ4EFgQUpeQ8eun+WKnB\n\
         gdvXOHMVJXgAzkkwHwYDVR0jBBgwFoAUpeQ8eun+WKnBgdvXOHMVJXgAzkkwDwYD\n\
         VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiBTyu3XeD+dMUrlUB72H9GB\n\
         jjliLqRxV+ox5bETPiYD/AIhANjWICvziHE6zPRBdKmFwxlXeLTVxc5/B77EK+Q1\n\
         trIH\n\
         -----END CERTIFICATE-----";
    const ISSUED: &str = "-----BEGIN CERTIFICATE-----\n\
         MIIBIjCBygIUdfGiRcSUOoUKjX09Z7IVEi+XZTkwCgYIKoZIzj0EAwIwFDESMBAG\n\
         A1UEAwwJcm9vdC50ZXN0MCAXDTI2MTEyNzIxMTE0MVoYDzIxMjYxMTAzMjExMTQx\n\
         WjATMREwDwYDVQQDDAhvbGQudGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IA\n\
         BHX0OhHjgAWq1LBNu8TDfLVbyofjm51SKmz6ZXa+L2zgkqfQpOimQoBt6LTDYo9D\n\
         4K+2zB/TYknhqMak7YblEzkwCgYIKoZIzj0EAwIDRwAwRAIgcANeu5uo4Ik4YW/W\n\
         hobM2etTzgqw6zd/G6emVFRq3L8CIBj8A+WxuaODADvaRbRm4nodNpVQaiUzh1O3\n\
         PjXSGwRM\n\
         -----END CERTIFICATE-----";

    #[test]
    fn what_an_authority_has_issued_itself_may_be_of_version_1() {
        let [root, old] = [ROOT, ISSUED].map(|text| CertificateDer::from_pem_slice(text.as_bytes()).unwrap());
        let mut roots = RootCertStore::empty();
        roots.add(root).unwrap();
        let other = issued(params("root.test", &[], true), None);
        let mut others = RootCertStore::empty();
        others.add(other.der.clone()).unwrap();
        for (roots, name, expected) in
            [(&roots, "old.test", true), (&roots, "b.test", false), (&others, "old.test", false)]
        {
            let required =
                Requirement::Ca { roots: Arc::new(roots.clone()), depth: 1, names: AlternativeNames::default() };
            let verifier = ServerVerifier { required, provider: Arc::new(aws_lc_rs::default_provider()) };
            let server = ServerName::try_from(name).unwrap();
            let found = verifier.verify_server_cert(&old, &[], &server, &[], UnixTime::now());
            assert_eq!(found.is_ok(), expected, "{name}");
        }
    }

    /// A self-signed certificate of version 1, as `openssl x509 -req` makes, and its key.
    const OLD: (&str, &str) = (
        "-----BEGIN CERTIFICATE-----\n\
         MIIBIjCByQIUDPME31k6HrEUfP/egvi0jyU3qZ4wCgYIKoZIzj0EAwIwEzERMA8G\n\
         A1UEAwwIb2xkLnRlc3QwIBcNMjYxMTIzMTY0NTU3WhgPMjEyNjEwMzAxNjQ1NTda\n\
         MBMxETAPBgNVBAMMCG9sZC50ZXN0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n\
         cfrJDE5YjNXhZY+u7cX3f8b1Ukpyint9mXDffldjszcZrCPSW4BhMdyOUrJ9p8c0\n\
         oNQ3OJiLO+dYjVcyqKtx+jAKBggqhkjOPQQDAgNIADBFAiBQSnEcmuxTlLrIbvjP\n\
         Sg381w5puc7v0pZG/TBmUSMoOgIhAMwZtFLbWAMl1hYfR3X1hqCsigVsxoSHq3hx\n\
         QEJdd9T6\n\
         -----END CERTIFICATE-----",
        "-----BEGIN PRIVATE KEY-----\n\
         MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgT4fiDCU5Af4lqnXg\n\
         5N8cRDNyuTwWK+ECom6hRkUIv9ihRANCAARx+skMTliM1eFlj67txfd/xvVSSnKK\n\
         e32ZcN9+V2OzNxmsI9JbgGEx3I5Ssn2nxzSg1Dc4mIs751iNVzKoq3H6\n\
         -----END PRIVATE KEY-----",
    );

    #[test]
    fn certificates_of_version_1_are_good_enough_for_those_who_do_not_look() {
        let record = serde_json::json!({ "cert": OLD.0, "key": OLD.1 });
        let identity = super::super::Identity::from_record(record.as_object().unwrap()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let server = Arc::new(server.with_no_client_auth().with_cert_resolver(Arc::new(identity)));
        for version in rustls::ALL_VERSIONS {
            let client = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
                .with_protocol_versions(&[version])
                .unwrap();
            let client = client
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(ServerVerifier {
                    required: Requirement::NoVerification,
                    provider: Arc::clone(&provider),
                }))
                .with_no_client_auth();
            let mut client =
                rustls::ClientConnection::new(Arc::new(client), ServerName::try_from("any.test").unwrap()).unwrap();
            let mut server = rustls::ServerConnection::new(Arc::clone(&server)).unwrap();
            while client.is_handshaking() || server.is_handshaking() {
                let mut octets = Vec::new();
                client.write_tls(&mut octets).unwrap();
                server.read_tls(&mut &octets[..]).unwrap();
                server.process_new_packets().unwrap();
                octets.clear();
                server.write_tls(&mut octets).unwrap();
                client.read_tls(&mut &octets[..]).unwrap();
                client.process_new_packets().unwrap();
            }
        }
    }
}
