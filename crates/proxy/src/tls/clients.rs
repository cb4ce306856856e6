//! What clients must prove (`ssl_verify_client`).
//!
//! As with nginx, a handshake does not fail for what is wrong with a client's certificate: the client is told in an
//! answer to its first request. So a handshake only makes sure that a client holds the key of what it shows, and
//! [`ClientVerification::verify_client`] says what that is worth, also when a session is resumed.

use super::verify::{Authorities, in_time, signed_tls12, signed_tls13};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use sdk::certificates::Role;
use std::fmt;
use std::sync::Arc;
use webpki::{
    CertRevocationList, ExpirationPolicy, OwnedCertRevocationList, RevocationCheckDepth, RevocationOptionsBuilder,
    UnknownStatusPolicy,
};

/// Which certificates clients are asked for, and which are good enough.
#[derive(Clone, Default)]
pub struct ClientVerification {
    mode: ClientVerificationMode,
    /// There when clients are asked.
    trust: Option<Arc<Trusted>>,
}

/// `ssl_verify_client`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientVerificationMode {
    #[default]
    Off,
    On,
    /// What is shown must be good enough; nothing need be shown.
    Optional,
    /// Nor that.
    OptionalNoCa,
}

/// Authorities, and what they say of the certificates that they have issued.
struct Trusted {
    roots: RootCertStore,
    depth: usize,
    /// Names of authorities that clients are told.
    names: Vec<DistinguishedName>,
    revocations: Vec<CertRevocationList<'static>>,
}

/// For a client without certificate.
pub const NONE_SENT: &str = "No required SSL certificate was sent";
/// For one whose certificate is not good enough.
pub const NOT_VERIFIED: &str = "The SSL certificate error";

impl ClientVerification {
    /// `announced` and `others` may vouch for clients (`ssl_client_certificate`, `ssl_trusted_certificate`), through at
    /// most `depth` other certificates. With `revocations` (`ssl_crl`), all certificates of a chain must be covered by
    /// one of them. Errors name what cannot be used.
    pub fn new(
        mode: ClientVerificationMode,
        announced: &[CertificateDer<'static>],
        others: &[CertificateDer<'static>],
        depth: usize,
        revocations: &[CertificateRevocationListDer<'static>],
    ) -> Result<ClientVerification, String> {
        let mut trusted = Trusted { roots: RootCertStore::empty(), depth, names: Vec::new(), revocations: Vec::new() };
        for cert in announced {
            trusted.roots.add(cert.clone()).map_err(|e| e.to_string())?;
        }
        trusted.names = trusted.roots.subjects();
        for cert in others {
            trusted.roots.add(cert.clone()).map_err(|e| e.to_string())?;
        }
        for list in revocations {
            let list = OwnedCertRevocationList::from_der(list).map_err(|e| e.to_string())?;
            trusted.revocations.push(list.into());
        }
        Ok(ClientVerification { mode, trust: Some(Arc::new(trusted)) })
    }

    /// Clients are asked and told these names of authorities; what they show is for plugins to look at.
    pub(super) fn asking(names: Vec<DistinguishedName>) -> ClientVerification {
        let trusted = Trusted { roots: RootCertStore::empty(), depth: 0, names, revocations: Vec::new() };
        ClientVerification { mode: ClientVerificationMode::OptionalNoCa, trust: Some(Arc::new(trusted)) }
    }

    /// Whether clients are asked.
    pub(super) fn asks(&self) -> bool {
        self.trust.is_some() && self.mode != ClientVerificationMode::Off
    }

    /// What a server asks clients for; `None`: for nothing.
    pub(super) fn verifier(&self) -> Option<Arc<dyn ClientCertVerifier>> {
        let trust = self.trust.as_ref().filter(|_| self.asks())?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        Some(Arc::new(DeferredVerifier { trust: Arc::clone(trust), provider }))
    }

    /// What the certificate that a client has shown comes to, as `$ssl_client_verify` has it; `verdict`: what
    /// [`ClientVerification::verify_client`] has said.
    pub(crate) fn word(&self, shown: Option<&[CertificateDer<'_>]>, verdict: Result<(), &'static str>) -> &'static str {
        use ClientVerificationMode as Mode;
        let verified = match (self.mode, shown.and_then(<[_]>::split_first)) {
            (_, None) => return "NONE",
            // Only plugins wanted to see it.
            (Mode::Off, Some(_)) => false,
            (Mode::On | Mode::Optional, Some(_)) => verdict.is_ok(),
            (Mode::OptionalNoCa, Some((cert, others))) => {
                self.trust.as_ref().is_some_and(|trust| trust.verify(cert, others, UnixTime::now()).is_ok())
            }
        };
        if verified { "SUCCESS" } else { "FAILED" }
    }

    /// Whether a client that has shown this chain may be served; else what it is told, with status 400.
    pub fn verify_client(&self, shown: Option<&[CertificateDer<'_>]>) -> Result<(), &'static str> {
        use ClientVerificationMode as Mode;
        match (self.mode, shown.and_then(<[_]>::split_first)) {
            (Mode::Off | Mode::OptionalNoCa, _) | (Mode::Optional, None) => Ok(()),
            (Mode::On, None) => Err(NONE_SENT),
            (Mode::On | Mode::Optional, Some((cert, others))) => {
                let verify = |trust: &Arc<Trusted>| trust.verify(cert, others, UnixTime::now());
                self.trust.as_ref().map_or_else(|| Err("nobody is trusted".to_owned()), verify).map_err(|error| {
                    tracing::info!("a client's certificate is not accepted: {error}");
                    NOT_VERIFIED
                })
            }
        }
    }
}

impl fmt::Debug for ClientVerification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientVerification").field(&self.mode).finish()
    }
}

impl Trusted {
    fn verify(&self, cert: &CertificateDer<'_>, others: &[CertificateDer<'_>], now: UnixTime) -> Result<(), String> {
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        let authorities = Authorities { roots: &self.roots, depth: self.depth, algorithms: &algorithms };
        let lists: Vec<&CertRevocationList<'_>> = self.revocations.iter().collect();
        let revocation = RevocationOptionsBuilder::new(&lists).ok().map(|builder| {
            builder
                .with_depth(RevocationCheckDepth::Chain)
                .with_status_policy(UnknownStatusPolicy::Deny)
                .with_expiration_policy(ExpirationPolicy::Enforce)
                .build()
        });
        match authorities.verify_path(cert, others, now, Role::Client, revocation) {
            Ok(_) => Ok(()),
            // Nobody else can have revoked it.
            Err(_) if authorities.have(cert) && lists.is_empty() => in_time(cert, now).map_err(|e| e.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Asks for a certificate and makes sure that the client holds its key.
struct DeferredVerifier {
    trust: Arc<Trusted>,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for DeferredVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeferredVerifier")
    }
}

impl ClientCertVerifier for DeferredVerifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.trust.names
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
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

#[cfg(test)]
mod tests {
    use super::super::testing::{Issued, issued, params};
    use super::*;
    use rcgen::{
        CertificateRevocationListParams, ExtendedKeyUsagePurpose, Issuer, KeyIdMethod, KeyUsagePurpose,
        RevokedCertParams, SerialNumber,
    };

    fn made(
        name: &str,
        authority: bool,
        serial: u64,
        by: Option<&Issued>,
        usage: &[ExtendedKeyUsagePurpose],
    ) -> Issued {
        let mut params = params(name, &[], authority);
        params.serial_number = Some(SerialNumber::from(serial));
        params.extended_key_usages = usage.to_vec();
        if authority {
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        }
        issued(params, by)
    }

    fn revoked(by: &Issued, serials: &[u64], until: i32) -> CertificateRevocationListDer<'static> {
        let params = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2020, 1, 1),
            next_update: rcgen::date_time_ymd(until, 1, 1),
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs: serials
                .iter()
                .map(|serial| RevokedCertParams {
                    serial_number: SerialNumber::from(*serial),
                    revocation_time: rcgen::date_time_ymd(2021, 1, 1),
                    reason_code: None,
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&Issuer::from_params(&by.params, &by.key)).unwrap().der().clone()
    }

    fn verification(mode: ClientVerificationMode, root: &Issued, depth: usize) -> ClientVerification {
        ClientVerification::new(mode, &[root.der.clone()], &[], depth, &[]).unwrap()
    }

    #[test]
    fn modes() {
        use ClientVerificationMode as Mode;
        let (root, other) = (made("root", true, 1, None, &[]), made("other", true, 1, None, &[]));
        let good = [made("good", false, 2, Some(&root), &[]).der];
        let bad = [made("bad", false, 3, Some(&other), &[]).der];
        for (mode, none, known, unknown) in [
            (Mode::Off, Ok(()), Ok(()), Ok(())),
            (Mode::On, Err(NONE_SENT), Ok(()), Err(NOT_VERIFIED)),
            (Mode::Optional, Ok(()), Ok(()), Err(NOT_VERIFIED)),
            (Mode::OptionalNoCa, Ok(()), Ok(()), Ok(())),
        ] {
            let verification = verification(mode, &root, 1);
            assert_eq!(verification.verify_client(None), none, "{mode:?}");
            assert_eq!(verification.verify_client(Some(&[])), none, "{mode:?}");
            assert_eq!(verification.verify_client(Some(&good)), known, "{mode:?}");
            assert_eq!(verification.verify_client(Some(&bad)), unknown, "{mode:?}");
            assert_eq!(verification.verifier().is_some(), mode != Mode::Off);
        }
    }

    #[test]
    fn authorities_depth_and_use() {
        let on = ClientVerificationMode::On;
        let root = made("root", true, 1, None, &[]);
        let between = made("between", true, 2, Some(&root), &[]);
        let far = made("far", false, 3, Some(&between), &[]);
        let chain = [far.der.clone(), between.der.clone()];
        assert_eq!(verification(on, &root, 1).verify_client(Some(&chain)), Ok(()));
        assert_eq!(verification(on, &root, 0).verify_client(Some(&chain)), Err(NOT_VERIFIED));
        let both = ClientVerification::new(on, &[root.der.clone()], &[between.der.clone()], 0, &[]).unwrap();
        assert_eq!(both.verify_client(Some(&chain[..1])), Ok(()));
        assert_eq!(both.verifier().unwrap().root_hint_subjects().len(), 1);
        let server = made("server", false, 4, Some(&root), &[ExtendedKeyUsagePurpose::ServerAuth]);
        assert_eq!(verification(on, &root, 1).verify_client(Some(&[server.der])), Err(NOT_VERIFIED));
        assert_eq!(verification(on, &root, 1).verify_client(Some(&[root.der.clone()])), Ok(()));
    }

    #[test]
    fn revoked_certificates() {
        let root = made("root", true, 1, None, &[]);
        let (good, bad) = (made("good", false, 2, Some(&root), &[]), made("bad", false, 3, Some(&root), &[]));
        let with = |lists: &[CertificateRevocationListDer<'static>]| {
            let mode = ClientVerificationMode::On;
            let verification = ClientVerification::new(mode, &[root.der.clone()], &[], 1, lists).unwrap();
            [&good, &bad, &root].map(|cert| verification.verify_client(Some(&[cert.der.clone()])).is_ok())
        };
        assert_eq!(with(&[]), [true, true, true]);
        assert_eq!(with(&[revoked(&root, &[3], 2090)]), [true, false, false]);
        // A list that has run out says nothing, and neither does that of another authority.
        assert_eq!(with(&[revoked(&root, &[3], 2022)]), [false, false, false]);
        assert_eq!(with(&[revoked(&made("other", true, 1, None, &[]), &[], 2090)]), [false, false, false]);
    }

    #[test]
    fn what_cannot_be_used_is_an_error() {
        let on = ClientVerificationMode::On;
        assert!(ClientVerification::new(on, &[CertificateDer::from(vec![1])], &[], 1, &[]).is_err());
        assert!(ClientVerification::new(on, &[], &[], 1, &[CertificateRevocationListDer::from(vec![1])]).is_err());
    }
}
