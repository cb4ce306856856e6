//! Whether an authority has revoked a certificate, as it says itself: by OCSP, or by a list (CRL).

use super::{Path, ocsp};
use crate::{AnswerCache, Env, Fields, HttpClient, HttpOptions, HttpRequest, Proxies, Question, Tasks, Url};
use bytes::Bytes;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, UnixTime};
use std::sync::Arc;
use std::time::Duration;
use webpki::EndEntityCert;
use x509_parser::prelude::{
    CertificateRevocationList, DistributionPointName, FromDer, GeneralName, ParsedExtension, X509Certificate,
};

/// What an authority says of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Good,
    Revoked,
}

/// Asks authorities, and keeps what they say for a while.
pub struct Revocation {
    http: HttpClient,
    tasks: Tasks,
    answers: Arc<AnswerCache>,
    kept: Duration,
}

/// After a question that nobody has answered, how long it is not asked again.
const PAUSE: Duration = Duration::from_secs(10);
/// Octets of an answer or a list.
const MOST: usize = 16 << 20;
/// The addresses in one certificate that are tried.
const ADDRESSES: usize = 4;

/// A certificate with its issuer, and what is known of it.
struct Subject {
    certificate: CertificateDer<'static>,
    issuer: CertificateDer<'static>,
    question: Question,
}

impl Revocation {
    /// One that keeps answers so long, waits that long for each, and reaches servers through these proxies.
    pub fn new(env: &Env, kept: Duration, timeout: Duration, verify: bool, proxies: Proxies) -> Revocation {
        let options = HttpOptions { timeout, verify, max_content: MOST, ..HttpOptions::default() };
        let http = HttpClient::new(env, options).through(proxies);
        Revocation { http, tasks: env.tasks().clone(), answers: env.shared(), kept }
    }

    /// Whether none of a path's certificates is revoked, but for that of the authority at its end. The error says why
    /// that is not known of one of them: the client's own always has to say who can be asked about it, those between
    /// need not.
    pub async fn check(&self, path: &Path) -> Result<Status, String> {
        let mut unknown = Ok(Status::Good);
        for (at, pair) in path.certificates().windows(2).enumerate() {
            let question = Question::of(&[b"revocation", &pair[0], &pair[1]]);
            let subject = Subject { certificate: pair[0].clone(), issuer: pair[1].clone(), question };
            match self.status(subject, at == 0).await {
                Ok(Status::Good) => {}
                Ok(Status::Revoked) => return Ok(Status::Revoked),
                Err(error) => unknown = Err(error),
            }
        }
        unknown
    }

    async fn status(&self, subject: Subject, is_own: bool) -> Result<Status, String> {
        if let Some(known) = self.answers.find(&subject.question) {
            return match known.as_bool() {
                Some(true) => Ok(Status::Revoked),
                Some(false) => Ok(Status::Good),
                None => Err(known.as_str().unwrap_or_default().to_owned()),
            };
        }
        let (http, question) = (self.http.clone(), subject.question);
        let asked = async move { ask(&http, &subject, is_own).await };
        let said = self.tasks.call("a question about a certificate", asked).await;
        let said = said.unwrap_or_else(|| Err("the question was given up".to_owned()));
        let (answer, kept) = match &said {
            Ok(status) => ((*status == Status::Revoked).into(), self.kept),
            Err(error) => (error.as_str().into(), PAUSE.min(self.kept)),
        };
        self.answers.put(question, answer, kept);
        said
    }
}

/// Whether the key of `signer` has made a signature by that algorithm (the content of an `AlgorithmIdentifier`).
pub(super) fn is_signed(signer: &CertificateDer<'_>, algorithm: &[u8], text: &[u8], signature: &[u8]) -> bool {
    let Ok(entity) = EndEntityCert::try_from(signer) else { return false };
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
    let mut suitable = algorithms.all.iter().filter(|known| *known.signature_alg_id() == *algorithm);
    suitable.any(|known| entity.verify_signature(*known, text, signature).is_ok())
}

/// A time as `GeneralizedTime` in certificates: `20261126120000Z`.
pub(super) fn zulu(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or(String::new(), |time| time.strftime("%Y%m%d%H%M%SZ").to_string())
}

async fn ask(http: &HttpClient, subject: &Subject, is_own: bool) -> Result<Status, String> {
    let (_, certificate) = X509Certificate::from_der(&subject.certificate).map_err(|e| e.to_string())?;
    let (_, issuer) = X509Certificate::from_der(&subject.issuer).map_err(|e| e.to_string())?;
    let (responders, lists) = (responders(&certificate), lists(&certificate));
    if responders.is_empty() && lists.is_empty() {
        let unknown = Err("the certificate does not say where to ask whether it is revoked".to_owned());
        return if is_own { unknown } else { Ok(Status::Good) };
    }
    let mut failure = String::new();
    for url in responders {
        let content = Bytes::from(ocsp::question(&certificate, &issuer));
        let fields = [("Content-Type", "application/ocsp-request"), ("Accept", "application/ocsp-response")];
        let read =
            |text: &[u8]| ocsp::answer(text, &certificate, &subject.issuer, UnixTime::now()).map(|said| said.status);
        match fetch(http, "POST", url, fields.into_iter().collect(), content).await {
            Ok(text) => match read(&text) {
                Ok(status) => return Ok(status),
                Err(why) => failure = why.to_owned(),
            },
            Err(why) => failure = why,
        }
    }
    for url in lists {
        match fetch(http, "GET", url, Fields::new(), Bytes::new()).await {
            Ok(text) => match listed(&text, &certificate, &subject.issuer, UnixTime::now()) {
                Ok(status) => return Ok(status),
                Err(why) => failure = why.to_owned(),
            },
            Err(why) => failure = why,
        }
    }
    Err(failure)
}

async fn fetch(http: &HttpClient, method: &str, url: Url, fields: Fields, content: Bytes) -> Result<Bytes, String> {
    let place = url.to_string();
    let request = HttpRequest { method: method.to_owned(), url, fields, content };
    let response = http.send(request).await.map_err(|error| format!("{place}: {error}"))?;
    match response.status {
        200 => Ok(response.content),
        status => Err(format!("{place}: it answers {status}")),
    }
}

/// What a list says of a certificate at that time.
fn listed(
    text: &[u8],
    certificate: &X509Certificate<'_>,
    issuer: &CertificateDer<'_>,
    now: UnixTime,
) -> Result<Status, &'static str> {
    let decoded = model::pem::revocation_lists(std::str::from_utf8(text).unwrap_or_default()).unwrap_or_default();
    let text = decoded.first().map_or(text, |list| list.as_ref());
    let (_, list) = CertificateRevocationList::from_der(text).map_err(|_| "not a revocation list")?;
    if list.issuer() != certificate.issuer() {
        return Err("the revocation list is another authority's");
    }
    let mut parts = super::der::Reader(text);
    let mut parts = parts.next().ok_or("not a revocation list")?.inside();
    let (Some(signed), Some(algorithm)) = (parts.next(), parts.next()) else { return Err("not a revocation list") };
    if !is_signed(issuer, algorithm.content, signed.whole, &list.signature_value.data) {
        return Err("the revocation list is not signed by the authority");
    }
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if list.next_update().is_none_or(|next| next.timestamp() < now) {
        return Err("the revocation list has run out");
    }
    // It may be about some certificates only.
    if list.extensions().iter().any(|e| e.critical) {
        return Err("the revocation list is of a kind that is not understood");
    }
    let serial = certificate.raw_serial();
    let is_listed = list.iter_revoked_certificates().any(|revoked| revoked.raw_serial() == serial);
    Ok(if is_listed { Status::Revoked } else { Status::Good })
}

/// Where OCSP is spoken about a certificate.
pub(super) fn responders(certificate: &X509Certificate<'_>) -> Vec<Url> {
    let extensions = certificate.extensions().iter().map(|extension| extension.parsed_extension());
    let descriptions = extensions.filter_map(|extension| match extension {
        ParsedExtension::AuthorityInfoAccess(access) => Some(&access.accessdescs),
        _ => None,
    });
    let is_ocsp =
        |oid: &x509_parser::der_parser::Oid<'_>| *oid == x509_parser::oid_registry::OID_PKIX_ACCESS_DESCRIPTOR_OCSP;
    let places = descriptions.flatten().filter(|description| is_ocsp(&description.access_method));
    places.filter_map(|description| url(&description.access_location)).take(ADDRESSES).collect()
}

/// Where there are lists about a certificate.
fn lists(certificate: &X509Certificate<'_>) -> Vec<Url> {
    let extensions = certificate.extensions().iter().map(|extension| extension.parsed_extension());
    let points = extensions.filter_map(|extension| match extension {
        ParsedExtension::CRLDistributionPoints(points) => Some(&points.points),
        _ => None,
    });
    let names = points.flatten().filter_map(|point| match &point.distribution_point {
        Some(DistributionPointName::FullName(names)) if point.crl_issuer.is_none() => Some(names),
        _ => None,
    });
    names.flatten().filter_map(url).take(ADDRESSES).collect()
}

fn url(name: &GeneralName<'_>) -> Option<Url> {
    match name {
        GeneralName::URI(text) => Url::parse(text).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::ocsp::tests::{Issued, issued};
    use super::*;
    use rcgen::{
        CertificateRevocationListParams, CrlDistributionPoint, Issuer, KeyIdMethod, KeyPair, RevokedCertParams,
        SerialNumber,
    };

    fn list(by: &Issued, serials: &[u64], until: i32) -> Vec<u8> {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: rcgen::date_time_ymd(2021, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2020, 1, 1),
            next_update: rcgen::date_time_ymd(until, 1, 1),
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&Issuer::from_params(&by.params, &by.key)).unwrap().der().to_vec()
    }

    fn numbered(serial: u64, by: &Issued, lists: &[&str]) -> CertificateDer<'static> {
        let mut params = rcgen::CertificateParams::default();
        params.serial_number = Some(SerialNumber::from(serial));
        let point = |uri: &&str| CrlDistributionPoint { uris: vec![(*uri).to_owned()] };
        params.crl_distribution_points = lists.iter().map(point).collect();
        let key = KeyPair::generate().unwrap();
        params.signed_by(&key, &Issuer::from_params(&by.params, &by.key)).unwrap().der().clone()
    }

    #[test]
    fn lists_say_what_is_revoked() {
        let (root, other) = (issued("root", None, &[]), issued("root", None, &[]));
        let said = |serial: u64, text: &[u8]| {
            let certificate = numbered(serial, &root, &[]);
            let (_, parsed) = X509Certificate::from_der(&certificate).unwrap();
            listed(text, &parsed, &root.der, UnixTime::now())
        };
        assert_eq!(said(2, &list(&root, &[3], 2090)), Ok(Status::Good));
        assert_eq!(said(3, &list(&root, &[3], 2090)), Ok(Status::Revoked));
        assert!(said(2, &list(&root, &[3], 2022)).is_err(), "it has run out");
        assert!(said(2, &list(&other, &[], 2090)).is_err(), "another one has signed it");
        assert!(said(2, b"x").is_err());
    }

    #[test]
    fn certificates_say_where_lists_are() {
        let root = issued("root", None, &[]);
        let certificate = numbered(2, &root, &["http://a.test/crl", "ldap://b.test/"]);
        let (_, parsed) = X509Certificate::from_der(&certificate).unwrap();
        let places: Vec<String> = lists(&parsed).iter().map(|url| url.to_string()).collect();
        assert_eq!(places, ["a.test:80"]);
        assert!(responders(&parsed).is_empty());
    }

    #[tokio::test]
    async fn what_nobody_answers_is_not_known_and_not_asked_again_at_once() {
        let root = issued("root", None, &[]);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = format!("http://{}/crl", listener.local_addr().unwrap());
        let path = Path::of(vec![numbered(2, &root, &[&place]), root.der.clone()]);
        let (kept, timeout) = (Duration::from_secs(60), Duration::from_millis(50));
        let revocation = Revocation::new(&Env::default(), kept, timeout, false, Proxies::default());
        assert!(revocation.check(&path).await.is_err(), "the server is silent");
        let (_asked, _) = listener.accept().await.unwrap();
        assert!(revocation.check(&path).await.is_err());
        assert!(futures_util::FutureExt::now_or_never(listener.accept()).is_none(), "it is asked again");
        let silent = Path::of(vec![numbered(3, &root, &[]), root.der.clone()]);
        assert!(revocation.check(&silent).await.is_err());
    }
}
