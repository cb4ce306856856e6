//! What an authority says of a server's own certificate, to be shown to clients along with it (stapled, RFC 6066).

use super::ocsp;
use super::revocation::{Status, responders};
use crate::{Bytes, Env, Fields, HttpClient, HttpOptions, HttpRequest, Url};
use rustls::pki_types::{CertificateDer, UnixTime};
use std::time::Duration;
use x509_parser::prelude::{FromDer, X509Certificate};

/// An answer that clients can be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staple {
    pub answer: Bytes,
    /// When it runs out, in seconds since 1970.
    pub until: u64,
}

/// Asks authorities about certificates of this node.
#[derive(Clone)]
pub struct Stapler {
    http: HttpClient,
    responder: Option<Url>,
}

/// How long each step of a question may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Octets of an answer: clients get it with every handshake.
const MOST: usize = 16 << 10;
/// How long an answer is shown that does not say when it runs out, in seconds.
const USUAL: u64 = 3600;
/// `id-pe-tlsfeature` (RFC 7633), and its feature `status_request`.
const TLS_FEATURE: &str = "1.3.6.1.5.5.7.1.24";
const STATUS_REQUEST: &[u8] = &[0x02, 0x01, 0x05];

impl Stapler {
    /// One that reaches servers as the node does; `responder` in place of those that certificates name.
    pub fn new(env: &Env, responder: Option<Url>) -> Stapler {
        let options = HttpOptions { timeout: TIMEOUT, max_content: MOST, ..HttpOptions::default() };
        Stapler { http: HttpClient::new(env, options), responder }
    }

    /// Whether anybody can be asked about a certificate that is followed by that of its authority.
    pub fn can_ask(&self, chain: &[CertificateDer<'_>]) -> bool {
        let [own, issuer, ..] = chain else { return false };
        let (Ok((_, own)), Ok((_, issuer))) = (X509Certificate::from_der(own), X509Certificate::from_der(issuer))
        else {
            return false;
        };
        own.issuer() == issuer.subject() && (self.responder.is_some() || !responders(&own).is_empty())
    }

    /// What the authority of a certificate says of it, verified; an error where it does not say that it is good.
    pub async fn ask(&self, chain: &[CertificateDer<'_>]) -> Result<Staple, String> {
        let [own, issuer, ..] = chain else {
            return Err("the certificate of its authority does not follow it".to_owned());
        };
        let (_, certificate) = X509Certificate::from_der(own).map_err(|e| e.to_string())?;
        let (_, authority) = X509Certificate::from_der(issuer).map_err(|e| e.to_string())?;
        let urls = self.responder.clone().map_or_else(|| responders(&certificate), |url| vec![url]);
        let mut failure = "it does not say where to ask about it".to_owned();
        for url in urls {
            let place = url.to_string();
            match self.fetch(url, ocsp::question(&certificate, &authority)).await {
                Err(error) => failure = format!("{place}: {error}"),
                Ok(answer) => {
                    let now = UnixTime::now();
                    match ocsp::answer(&answer, &certificate, issuer, now) {
                        Ok(said) if said.status == Status::Good => {
                            return Ok(Staple { answer, until: said.until.unwrap_or(now.as_secs() + USUAL) });
                        }
                        Ok(_) => return Err(format!("{place}: the certificate has been revoked")),
                        Err(why) => failure = format!("{place}: {why}"),
                    }
                }
            }
        }
        Err(failure)
    }

    async fn fetch(&self, url: Url, question: Vec<u8>) -> Result<Bytes, String> {
        let fields = [("Content-Type", "application/ocsp-request"), ("Accept", "application/ocsp-response")];
        let fields: Fields = fields.into_iter().collect();
        let request = HttpRequest { method: "POST".to_owned(), url, fields, content: Bytes::from(question) };
        let response = self.http.send(request).await.map_err(|error| error.to_string())?;
        match response.status {
            200 => Ok(response.content),
            status => Err(format!("it answers {status}")),
        }
    }
}

/// Whether clients are to refuse a certificate without a staple.
pub fn must_be_stapled(certificate: &CertificateDer<'_>) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return false };
    let features = certificate.extensions().iter().find(|extension| extension.oid.to_id_string() == TLS_FEATURE);
    features.is_some_and(|features| features.value.windows(STATUS_REQUEST.len()).any(|part| part == STATUS_REQUEST))
}

#[cfg(test)]
mod tests {
    use super::super::ocsp::tests::{Issued, answer_of, issued};
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// What is made of one answer to the question about a certificate.
    async fn asked(answer: &[u8], client: &Issued, root: &Issued) -> Result<Staple, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let stapler = Stapler::new(&Env::default(), Some(place));
        let chain = [client.der.clone(), root.der.clone()];
        assert!(stapler.can_ask(&chain));
        let serve = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut octets = [0; 4096];
            let _ = socket.read(&mut octets).await.unwrap();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len());
            socket.write_all(&[head.as_bytes(), answer].concat()).await.unwrap();
            socket
        };
        tokio::join!(serve, stapler.ask(&chain)).1
    }

    #[tokio::test]
    async fn only_what_the_authority_finds_good_is_shown() {
        let root = issued("root", None, &[]);
        let client = issued("client", Some(&root), &[]);
        let stranger = issued("root", None, &[]);
        let until = "20900101000000Z";
        let good = answer_of(&client, &root, &root, 0x80, until);
        let staple = asked(&good, &client, &root).await.unwrap();
        assert_eq!(&staple.answer[..], &good);
        assert_eq!(staple.until, 3_786_912_000);
        let revoked = asked(&answer_of(&client, &root, &root, 0xa1, until), &client, &root).await;
        assert!(revoked.unwrap_err().contains("has been revoked"));
        let forged = asked(&answer_of(&client, &root, &stranger, 0x80, until), &client, &root).await;
        assert!(forged.unwrap_err().contains("not signed by the authority"));
        let old = asked(&answer_of(&client, &root, &root, 0x80, "20210101000000Z"), &client, &root).await;
        assert!(old.unwrap_err().contains("has run out"));
        assert!(asked(b"x", &client, &root).await.is_err());
    }

    #[test]
    fn certificates_say_that_they_must_be_stapled() {
        let mut params = rcgen::CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        assert!(!must_be_stapled(params.self_signed(&key).unwrap().der()));
        let feature = vec![0x30, 0x03, 0x02, 0x01, 0x05];
        let oid = [1, 3, 6, 1, 5, 5, 7, 1, 24];
        params.custom_extensions.push(rcgen::CustomExtension::from_oid_content(&oid, feature));
        assert!(must_be_stapled(params.self_signed(&key).unwrap().der()));
    }

    #[test]
    fn nobody_can_be_asked_without_the_authority() {
        let root = issued("root", None, &[]);
        let client = issued("client", Some(&root), &[]);
        let other = issued("other", None, &[]);
        let stapler = Stapler::new(&Env::default(), Url::parse("http://a.test/").ok());
        assert!(!stapler.can_ask(std::slice::from_ref(&client.der)));
        assert!(!stapler.can_ask(&[client.der.clone(), other.der]));
        let stapler = Stapler::new(&Env::default(), None);
        assert!(!stapler.can_ask(&[client.der, root.der]));
    }
}
