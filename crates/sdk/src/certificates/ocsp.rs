//! Questions to an authority whether it has revoked a certificate, and its answers (OCSP, RFC 6960).

use super::der::{self, BIT_STRING, Element, GENERALIZED_TIME, INTEGER, OCTET_STRING, Reader, SEQUENCE};
use super::revocation::{Status, is_signed, zulu};
use ::aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};

/// The algorithm SHA-1, by which certificates are named in questions.
const SHA1: &[u8] = &[SEQUENCE, 9, 0x06, 5, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0];
/// `id-pkix-ocsp-basic`.
const BASIC: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];
/// `id-kp-OCSPSigning`: the authority lets another one answer.
const OCSP_SIGNING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x09];

/// The question about a certificate.
pub(super) fn question(certificate: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> Vec<u8> {
    let request = der::write(SEQUENCE, &[&name(certificate, issuer)]);
    der::write(SEQUENCE, &[&der::write(SEQUENCE, &[&der::write(SEQUENCE, &[&request])])])
}

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub status: Status,
    /// When it runs out, in seconds since 1970, if it does.
    pub until: Option<u64>,
}

/// What an answer says of a certificate at that time; the error says why it says nothing.
pub(super) fn answer(
    text: &[u8],
    certificate: &X509Certificate<'_>,
    issuer: &CertificateDer<'_>,
    now: UnixTime,
) -> Result<Said, &'static str> {
    let (_, parsed_issuer) = X509Certificate::from_der(issuer).map_err(|_| "the issuer is no certificate")?;
    let basic = basic(text)?;
    let mut parts = basic.inside();
    let data = parts.take(SEQUENCE).ok_or("no data in the answer")?;
    let algorithm = parts.take(SEQUENCE).ok_or("no algorithm in the answer")?;
    let signature = parts.take(BIT_STRING).and_then(|bits| bits.content.strip_prefix(&[0])).ok_or("no signature")?;
    let mut signers = vec![issuer.clone()];
    let sent = parts.take(0xa0).and_then(|sent| sent.inside().take(SEQUENCE));
    let mut sent = sent.map_or(Reader(&[]), |sent| sent.inside());
    while let Some(other) = sent.take(SEQUENCE) {
        let other = CertificateDer::from(other.whole);
        if may_answer(&other, issuer, now) {
            signers.push(other);
        }
    }
    if !signers.iter().any(|signer| is_signed(signer, algorithm.content, data.whole, signature)) {
        return Err("the answer is not signed by the authority");
    }
    let wanted = name(certificate, &parsed_issuer);
    let mut data = data.inside();
    data.take(0xa0);
    data.next();
    data.take(GENERALIZED_TIME);
    let mut answers = data.take(SEQUENCE).ok_or("no answers")?.inside();
    while let Some(single) = answers.take(SEQUENCE) {
        let mut parts = single.inside();
        if parts.next().is_none_or(|about| !is_same(&about, &wanted)) {
            continue;
        }
        let state = parts.next().ok_or("no state in the answer")?;
        let from = parts.take(GENERALIZED_TIME).ok_or("no time in the answer")?;
        let until = parts.take(0xa0).and_then(|until| until.inside().take(GENERALIZED_TIME));
        let status = status(state.tag, from, until, now)?;
        return Ok(Said { status, until: until.and_then(|until| seconds(&until)) });
    }
    Err("the answer is about something else")
}

/// `CertID` of a certificate.
fn name(certificate: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> Vec<u8> {
    let hash = |octets: &[u8]| der::write(OCTET_STRING, &[digest(&SHA1_FOR_LEGACY_USE_ONLY, octets).as_ref()]);
    let issuer_name = hash(certificate.issuer().as_raw());
    let issuer_key = hash(&issuer.public_key().subject_public_key.data);
    der::write(SEQUENCE, &[SHA1, &issuer_name, &issuer_key, &der::write(INTEGER, &[certificate.raw_serial()])])
}

/// Whether both name the same certificate. The algorithm's parameters may be missing.
fn is_same(about: &Element<'_>, wanted: &[u8]) -> bool {
    let parts = |element: Reader<'_>| {
        let mut element = element;
        let algorithm = element.take(SEQUENCE)?.inside().next()?.whole.to_vec();
        Some((algorithm, element.0.to_vec()))
    };
    let wanted = Reader(wanted).next().and_then(|wanted| parts(wanted.inside()));
    wanted.is_some() && parts(about.inside()) == wanted
}

/// `BasicOCSPResponse` in an answer that is a success.
fn basic(text: &[u8]) -> Result<Element<'_>, &'static str> {
    let mut parts = Reader(text).take(SEQUENCE).ok_or("not an answer")?.inside();
    match parts.next().map(|status| status.content) {
        Some([0]) => {}
        Some([6]) => return Err("the server does not answer us"),
        Some(_) => return Err("the server has failed"),
        None => return Err("not an answer"),
    }
    let mut octets = parts.take(0xa0).and_then(|octets| octets.inside().take(SEQUENCE)).ok_or("no answer")?.inside();
    if octets.next().is_none_or(|kind| kind.content != BASIC) {
        return Err("an answer of another kind");
    }
    let octets = octets.take(OCTET_STRING).ok_or("no answer")?;
    octets.inside().take(SEQUENCE).ok_or("not an answer")
}

/// Whether the authority has that one answer for it.
fn may_answer(other: &CertificateDer<'_>, issuer: &CertificateDer<'_>, now: UnixTime) -> bool {
    let (Ok(entity), Ok(anchor)) = (EndEntityCert::try_from(other), anchor_from_trusted_cert(issuer)) else {
        return false;
    };
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
    let usage = KeyUsage::required(OCSP_SIGNING);
    entity.verify_for_usage(algorithms.all, &[anchor], &[], now, usage, None, None).is_ok()
}

fn status(state: u8, from: Element<'_>, until: Option<Element<'_>>, now: UnixTime) -> Result<Status, &'static str> {
    // Times in this form are in the order of their texts. The clocks of both need not be the same.
    let early = zulu(UnixTime::since_unix_epoch(std::time::Duration::from_secs(now.as_secs() + 300)));
    if from.content > early.as_bytes() {
        return Err("the answer is of the future");
    }
    if until.is_some_and(|until| until.content < zulu(now).as_bytes()) {
        return Err("the answer has run out");
    }
    match state {
        0x80 => Ok(Status::Good),
        0xa1 => Ok(Status::Revoked),
        _ => Err("the authority does not know the certificate"),
    }
}

/// A time in seconds since 1970.
fn seconds(time: &Element<'_>) -> Option<u64> {
    let (_, time) = ASN1Time::from_der(time.whole).ok()?;
    u64::try_from(time.timestamp()).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use ::aws_lc_rs::rand::SystemRandom;
    use ::aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
    use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

    /// ecdsa-with-SHA256.
    const ECDSA: &[u8] = &[SEQUENCE, 10, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

    pub struct Issued {
        pub der: CertificateDer<'static>,
        pub params: CertificateParams,
        pub key: KeyPair,
    }

    pub fn issued(name: &str, by: Option<&Issued>, usage: &[ExtendedKeyUsagePurpose]) -> Issued {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        let is_ca = by.is_none();
        params.is_ca = if is_ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
        params.extended_key_usages = usage.to_vec();
        let key = KeyPair::generate().unwrap();
        let made = match by {
            None => params.self_signed(&key),
            Some(by) => params.signed_by(&key, &Issuer::from_params(&by.params, &by.key)),
        };
        Issued { der: made.unwrap().der().clone(), params, key }
    }

    fn parsed<'a>(der: &'a CertificateDer<'_>) -> X509Certificate<'a> {
        X509Certificate::from_der(der).unwrap().1
    }

    /// An answer about a certificate, signed by `signer`.
    pub fn answer_of(client: &Issued, issuer: &Issued, signer: &Issued, state: u8, until: &str) -> Vec<u8> {
        let time = |text: &str| der::write(GENERALIZED_TIME, &[text.as_bytes()]);
        let revoked = if state == 0xa1 { time("20200101000000Z") } else { Vec::new() };
        let until = der::write(0xa0, &[&time(until)]);
        let state = der::write(state, &[&revoked]);
        let single =
            [&name(&parsed(&client.der), &parsed(&issuer.der))[..], &state, &time("20200101000000Z"), &until].concat();
        let single = der::write(SEQUENCE, &[&single]);
        let responder = der::write(0xa2, &[&der::write(OCTET_STRING, &[b"key"])]);
        let answers = der::write(SEQUENCE, &[&single]);
        let data = der::write(SEQUENCE, &[&responder, &time("20200101000000Z"), &answers]);
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &signer.key.serialize_der()).unwrap();
        let signature = key.sign(&SystemRandom::new(), &data).unwrap();
        let signature = der::write(BIT_STRING, &[&[0], signature.as_ref()]);
        let sent = der::write(0xa0, &[&der::write(SEQUENCE, &[&signer.der])]);
        let basic = der::write(SEQUENCE, &[&data, ECDSA, &signature, &sent]);
        let octets = der::write(OCTET_STRING, &[&basic]);
        let bytes = der::write(0xa0, &[&der::write(SEQUENCE, &[&der::write(0x06, &[BASIC]), &octets])]);
        der::write(SEQUENCE, &[&[0x0a, 1, 0], &bytes])
    }

    #[test]
    fn only_the_authority_and_whom_it_has_answer_for_it_are_believed() {
        let root = issued("root", None, &[]);
        let client = issued("client", Some(&root), &[]);
        let other = issued("other", Some(&root), &[]);
        let responder = issued("responder", Some(&root), &[ExtendedKeyUsagePurpose::OcspSigning]);
        let stranger = issued("root", None, &[]);
        let (_, parsed) = X509Certificate::from_der(&client.der).unwrap();
        let said = |text: &[u8]| answer(text, &parsed, &root.der, UnixTime::now()).map(|said| said.status);
        let until = "20900101000000Z";
        for signer in [&root, &responder] {
            assert_eq!(said(&answer_of(&client, &root, signer, 0x80, until)), Ok(Status::Good));
            assert_eq!(said(&answer_of(&client, &root, signer, 0xa1, until)), Ok(Status::Revoked));
        }
        for signer in [&other, &stranger] {
            assert!(said(&answer_of(&client, &root, signer, 0x80, until)).is_err(), "it may not answer");
        }
        assert!(said(&answer_of(&other, &root, &root, 0x80, until)).is_err(), "it is about another certificate");
        assert!(said(&answer_of(&client, &root, &root, 0x82, until)).is_err(), "the authority does not know it");
        assert!(said(&answer_of(&client, &root, &root, 0x80, "20210101000000Z")).is_err(), "it has run out");
        let good = answer_of(&client, &root, &root, 0x80, until);
        for at in 0..good.len() {
            assert!(said(&good[..at]).is_err(), "cut at {at}");
        }
    }
}
