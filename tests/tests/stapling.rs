//! What authorities say of the node's certificates is shown to clients with them (OCSP stapling), and no handshake
//! waits for it or fails by it.

use blackbox::http::{get, json};
use blackbox::tls::Pair;
use blackbox::{Node, PATIENCE, eventually};
use rcgen::{KeyPair, SigningKey};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// An authority's server, which says of every certificate that it is good, or something else.
struct Responder {
    url: String,
    asked: Arc<AtomicUsize>,
}

/// What a responder says.
#[derive(Clone, Copy)]
enum Answer {
    Good,
    /// Good, by another authority's word.
    Forged,
    Revoked,
    Nothing,
}

impl Responder {
    fn start(authority: &Pair, answer: Answer) -> Responder {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let asked = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&asked);
        let key = match answer {
            Answer::Forged => Pair::authority("root").key,
            _ => authority.key.clone(),
        };
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let question = question(&mut stream);
                counted.fetch_add(1, Ordering::SeqCst);
                let state = match answer {
                    Answer::Nothing => {
                        silent.push(stream);
                        continue;
                    }
                    Answer::Revoked => [&[0xa1, 17][..], &time("20200101000000Z")].concat(),
                    Answer::Good | Answer::Forged => vec![0x80, 0],
                };
                let content = said(&question, &state, &key);
                let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", content.len());
                let _ = stream.write_all(&[head.as_bytes(), &content].concat());
            }
        });
        Responder { url, asked }
    }

    fn is_asked(&self, times: usize) -> bool {
        self.asked.load(Ordering::SeqCst) >= times
    }
}

/// The content of a request.
fn question(stream: &mut TcpStream) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut piece = [0; 1024];
    loop {
        let length = stream.read(&mut piece).unwrap();
        assert!(length > 0, "the request is cut short");
        octets.extend_from_slice(&piece[..length]);
        let Some(head) = octets.windows(4).position(|octets| octets == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&octets[..head]).to_ascii_lowercase();
        let wanted = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        if octets.len() >= head + 4 + wanted.unwrap_or_default() {
            return octets.split_off(head + 4);
        }
    }
}

/// An element of DER.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[tag, 0x82], &length[..], content].concat()
}

fn time(text: &str) -> Vec<u8> {
    [&[0x18, 15], text.as_bytes()].concat()
}

/// What is inside of an element, up to so many levels down.
fn inside(mut octets: &[u8], levels: usize) -> &[u8] {
    for _ in 0..levels {
        let header = if octets[1] < 0x80 { 2 } else { 2 + usize::from(octets[1] & 0x7f) };
        octets = &octets[header..];
    }
    octets
}

/// An answer to a question, signed by that key.
fn said(question: &[u8], state: &[u8], key: &str) -> Vec<u8> {
    // OCSPRequest, TBSRequest, the list, Request: then comes CertID.
    let certificate = inside(question, 4);
    let until = der(0xa0, &time("20900101000000Z"));
    let single = der(0x30, &[certificate, state, &time("20200101000000Z"), &until].concat());
    let responder = der(0xa2, &der(0x04, b"key"));
    let data = der(0x30, &[responder, time("20200101000000Z"), der(0x30, &single)].concat());
    let signature = KeyPair::from_pem(key).unwrap().sign(&data).unwrap();
    // ecdsa-with-SHA256.
    let algorithm = der(0x30, &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]);
    let basic = der(0x30, &[data, algorithm, der(0x03, &[&[0], &signature[..]].concat())].concat());
    let kind = [0x06, 9, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];
    let bytes = der(0xa0, &der(0x30, &[&kind[..], &der(0x04, &basic)].concat()));
    der(0x30, &[&[0x0a, 1, 0][..], &bytes].concat())
}

/// Believes everybody, and notes what is stapled to certificates.
#[derive(Debug, Default)]
struct Stapled(Mutex<Vec<u8>>);

impl ServerCertVerifier for Stapled {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        stapled: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.0.lock().unwrap() = stapled.to_vec();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// How much is stapled to the certificate for that name.
fn stapled(address: SocketAddr, name: &str) -> usize {
    let seen = Arc::<Stapled>::default();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.dangerous().with_custom_certificate_verifier(Arc::clone(&seen) as Arc<dyn ServerCertVerifier>);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(config.with_no_client_auth()), name).unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    while client.is_handshaking() {
        client.complete_io(&mut socket).unwrap();
    }
    let stapled = seen.0.lock().unwrap();
    stapled.len()
}

/// A node with a certificate for `a.test` by that authority, which is asked there.
fn node(authority: &Pair, responder: &Responder, settings: &[(&str, &str)]) -> Node {
    let asked = [("nginx_proxy_ssl_stapling_responder", responder.url.as_str())];
    let node = Node::start(&[&asked, settings].concat());
    let issued = authority.issue(&["a.test"]);
    let chain = issued.chain.clone() + &authority.chain;
    let record = json!({ "cert": chain, "key": issued.key, "snis": ["a.test"] });
    json(node.admin(), "POST", "/certificates", &record).expect(201);
    node
}

const ON: [(&str, &str); 1] = [("nginx_proxy_ssl_stapling", "on")];

#[test]
fn a_good_word_is_shown() {
    let root = Pair::authority("root");
    let responder = Responder::start(&root, Answer::Good);
    let node = node(&root, &responder, &ON);
    eventually("it is stapled", || stapled(node.proxy_tls(), "a.test") > 0);
    // The default certificate has vouched for itself: nobody can be asked about it.
    assert_eq!(stapled(node.proxy_tls(), "b.test"), 0);
    assert_eq!(responder.asked.load(Ordering::SeqCst), 1);
}

#[test]
fn nothing_else_is_shown_and_nobody_waits() {
    let root = Pair::authority("root");
    for (answer, word) in [
        (Answer::Forged, Some("not signed by the authority")),
        (Answer::Revoked, Some("has been revoked")),
        (Answer::Nothing, None),
    ] {
        let responder = Responder::start(&root, answer);
        let node = node(&root, &responder, &ON);
        eventually("it is asked", || responder.is_asked(1));
        if let Some(word) = word {
            eventually("it is in the log", || node.log().contains(word));
        }
        assert_eq!(stapled(node.proxy_tls(), "a.test"), 0);
    }
}

#[test]
fn nobody_is_asked_unless_it_is_wanted() {
    let root = Pair::authority("root");
    let responder = Responder::start(&root, Answer::Good);
    let node = node(&root, &responder, &[]);
    assert_eq!(stapled(node.proxy_tls(), "a.test"), 0);
    get(node.admin(), "/certificates").expect(200);
    assert!(!responder.is_asked(1));
}
