//! Certificates, services that speak TLS, and a client that says what it saw.

use crate::PATIENCE;
use crate::http::{Connection, Response};
use crate::socket::Wire;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, HandshakeKind, RootCertStore, ServerConfig,
    ServerConnection,
};
use rustls::{SignatureScheme, StreamOwned, SupportedCipherSuite, SupportedProtocolVersion};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A certificate with what is needed to use it or to issue others by it.
pub struct Pair {
    /// The certificate and all between it and the authority that it goes back to, in PEM.
    pub chain: String,
    pub key: String,
    /// Whether it vouches for itself.
    root: bool,
    params: CertificateParams,
    keys: KeyPair,
}

/// A service that speaks TLS and answers every request with what it knows of the connection, as JSON: `{"client":
/// common name of the client's certificate, "sni": name it was asked for, "connection": its number, "resumed": whether
/// the session was}`. For `/cut` it closes the connection in place of an end, for `/echo` it answers with the request's
/// content, for `/upgrade` it changes to a protocol in which it gives back what it gets.
pub struct SecureBackend {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    clients: Arc<Mutex<Vec<String>>>,
}

/// Who is asked for a certificate.
pub enum Clients<'a> {
    Any,
    /// Those who have one of this authority show it.
    Welcome(&'a Pair),
    /// Nobody else gets in.
    Known(&'a Pair),
}

/// A client of the proxy's TLS listener; keeps sessions from one connection to the next.
pub struct Client {
    config: Arc<ClientConfig>,
}

/// What a client offers; empty lists stand for everything.
#[derive(Default)]
pub struct Offer<'a> {
    pub versions: &'a [&'static SupportedProtocolVersion],
    pub suites: &'a [SupportedCipherSuite],
    pub schemes: &'a [SignatureScheme],
    pub alpn: &'a [&'a str],
    /// Shown to servers that ask for a certificate.
    pub certificate: Option<&'a Pair>,
}

/// One answer over TLS and how it came.
pub struct Secured {
    pub response: Response,
    /// Common name of the server's certificate.
    pub server: String,
    /// `TLSv1_2` or `TLSv1_3`.
    pub version: String,
    pub suite: String,
    pub alpn: Option<String>,
    pub resumed: bool,
}

impl Pair {
    /// An authority that vouches for itself.
    pub fn authority(name: &str) -> Pair {
        Pair::make(name, &[], true, &rcgen::PKCS_ECDSA_P256_SHA256, None)
    }

    /// An authority that this one vouches for.
    pub fn lesser(&self, name: &str) -> Pair {
        Pair::make(name, &[], true, &rcgen::PKCS_ECDSA_P256_SHA256, Some(self))
    }

    /// A certificate for these names; the first one is its common name too.
    pub fn issue(&self, names: &[&str]) -> Pair {
        self.issue_by(&rcgen::PKCS_ECDSA_P256_SHA256, names)
    }

    /// The same, with a key of that kind.
    pub fn issue_by(&self, algorithm: &'static rcgen::SignatureAlgorithm, names: &[&str]) -> Pair {
        Pair::make(names[0], names, false, algorithm, Some(self))
    }

    /// What signs for it.
    pub fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.keys)
    }

    /// Its number, by which its authority can revoke it.
    pub fn serial(&self) -> rcgen::SerialNumber {
        self.params.serial_number.clone().expect("every certificate gets one")
    }

    /// The fields of a record of `certificates`.
    pub fn record(&self) -> serde_json::Value {
        serde_json::json!({ "cert": self.chain, "key": self.key })
    }

    fn make(
        name: &str,
        names: &[&str],
        authority: bool,
        algorithm: &'static rcgen::SignatureAlgorithm,
        by: Option<&Pair>,
    ) -> Pair {
        let mut params =
            CertificateParams::new(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()).expect("names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(rcgen::SerialNumber::from(next_serial()));
        params.is_ca = if authority { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
        let keys = KeyPair::generate_for(algorithm).expect("a key");
        let cert = match by {
            None => params.self_signed(&keys),
            Some(by) => params.signed_by(&keys, &Issuer::from_params(&by.params, &by.keys)),
        };
        let between = by.filter(|by| !by.root).map_or("", |by| &by.chain);
        let chain = cert.expect("a certificate").pem() + between;
        Pair { chain, key: keys.serialize_pem(), root: by.is_none(), params, keys }
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates(&self.chain));
        Arc::new(roots)
    }
}

impl SecureBackend {
    /// Starts one on a free port. It ends with the test.
    pub fn start(pair: &Pair, clients: &Clients<'_>) -> SecureBackend {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("both versions");
        let builder = match clients {
            Clients::Any => builder.with_no_client_auth(),
            Clients::Welcome(authority) | Clients::Known(authority) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(authority.roots(), provider);
                let verifier =
                    if matches!(clients, Clients::Known(_)) { verifier } else { verifier.allow_unauthenticated() };
                builder.with_client_cert_verifier(verifier.build().expect("an authority"))
            }
        };
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("a key");
        let config = Arc::new(builder.with_single_cert(certificates(&pair.chain), key).expect("a certificate"));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let connections = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&connections);
        let clients = Arc::<Mutex<Vec<String>>>::default();
        let seen = Arc::clone(&clients);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
                let (config, seen) = (Arc::clone(&config), Arc::clone(&seen));
                // A client that goes away, or is not let in, ends the conversation.
                std::thread::spawn(move || converse(stream, config, number, &seen));
            }
        });
        SecureBackend { address, connections, clients }
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The common names of those who have sent requests, in order; empty for those without a certificate.
    pub fn clients(&self) -> Vec<String> {
        self.clients.lock().expect("no panic").clone()
    }
}

impl Client {
    pub fn new(offer: &Offer<'_>) -> Client {
        let mut provider = aws_lc_rs::default_provider();
        if !offer.suites.is_empty() {
            provider.cipher_suites = offer.suites.to_vec();
        }
        let all = provider.signature_verification_algorithms.supported_schemes();
        let schemes = if offer.schemes.is_empty() { all } else { offer.schemes.to_vec() };
        let versions = if offer.versions.is_empty() { rustls::ALL_VERSIONS } else { offer.versions };
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)
            .expect("versions and suites");
        let config = builder.dangerous().with_custom_certificate_verifier(Arc::new(NoVerification(schemes)));
        let mut config = match offer.certificate {
            None => config.with_no_client_auth(),
            Some(pair) => {
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("a key");
                // It is shown whatever authorities a server names.
                let key = aws_lc_rs::sign::any_supported_type(&key).expect("a key of a known kind");
                let shown = rustls::sign::CertifiedKey::new(certificates(&pair.chain), key);
                config.with_client_cert_resolver(Arc::new(Shown(Arc::new(shown))))
            }
        };
        config.alpn_protocols = offer.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Client { config: Arc::new(config) }
    }

    /// The settings by which it speaks TLS.
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    /// A connection that asks for that server name, or for none.
    pub fn open(
        &self,
        address: SocketAddr,
        sni: Option<&str>,
    ) -> io::Result<Connection<StreamOwned<ClientConnection, TcpStream>>> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        self.secure(stream, sni)
    }

    /// The same on a connection that stands already.
    pub fn secure(
        &self,
        stream: TcpStream,
        sni: Option<&str>,
    ) -> io::Result<Connection<StreamOwned<ClientConnection, TcpStream>>> {
        let name = match sni {
            Some(name) => ServerName::try_from(name.to_owned()).expect("a name"),
            None => ServerName::IpAddress(stream.peer_addr()?.ip().into()),
        };
        let tls = ClientConnection::new(Arc::clone(&self.config), name).map_err(io::Error::other)?;
        Ok(Connection::over(StreamOwned::new(tls, stream), sni.unwrap_or("localhost")))
    }

    /// A connection of which nobody asks whether it is TLS.
    pub fn connect(&self, address: SocketAddr) -> io::Result<Connection<Wire>> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        let name = ServerName::IpAddress(address.ip().into());
        let tls = ClientConnection::new(Arc::clone(&self.config), name).map_err(io::Error::other)?;
        let mut connection = Connection::over(Box::new(StreamOwned::new(tls, stream)) as Wire, &address.to_string());
        connection.waits(PATIENCE)?;
        Ok(connection)
    }

    /// A GET on a connection of its own.
    pub fn get(&self, address: SocketAddr, sni: Option<&str>, path: &str) -> io::Result<Secured> {
        let mut connection = self.open(address, sni)?;
        connection.send("GET", path, &[], b"")?;
        let response = connection.receive(false)?;
        let tls = &connection.stream().conn;
        Ok(Secured {
            response,
            server: tls.peer_certificates().and_then(|c| c.first()).map_or(String::new(), common_name),
            version: tls.protocol_version().map_or(String::new(), |v| format!("{v:?}")),
            suite: tls.negotiated_cipher_suite().map_or(String::new(), |s| format!("{:?}", s.suite())),
            alpn: tls.alpn_protocol().map(|p| String::from_utf8_lossy(p).into_owned()),
            resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
        })
    }
}

/// What a server with this certificate does that asks nobody for one.
pub fn server_config(pair: &Pair) -> Arc<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("both versions")
        .with_no_client_auth();
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("a key");
    Arc::new(builder.with_single_cert(certificates(&pair.chain), key).expect("a certificate"))
}

/// Shows a certificate to whoever asks for one.
#[derive(Debug)]
struct Shown(Arc<rustls::sign::CertifiedKey>);

impl rustls::client::ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn converse(stream: TcpStream, config: Arc<ServerConfig>, number: usize, seen: &Mutex<Vec<String>>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let tls = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut reader = BufReader::new(StreamOwned::new(tls, stream));
    loop {
        let (mut line, mut path, mut length) = (String::new(), None, 0);
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            path.get_or_insert_with(|| line.split(' ').nth(1).unwrap_or_default().to_owned());
        }
        let mut content = Vec::new();
        (&mut reader).take(length).read_to_end(&mut content)?;
        let client = reader.get_ref().conn.peer_certificates().and_then(|c| c.first()).map(common_name);
        seen.lock().expect("no panic").push(client.clone().unwrap_or_default());
        if path.as_deref() == Some("/echo") {
            let stream = reader.get_mut();
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", content.len())?;
            stream.write_all(&content)?;
            stream.flush()?;
            continue;
        }
        if path.as_deref() == Some("/upgrade") {
            let stream = reader.get_mut();
            stream
                .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")?;
            stream.flush()?;
            let mut chunk = [0; 4096];
            loop {
                match reader.read(&mut chunk)? {
                    0 => return Ok(()),
                    n => reader.get_mut().write_all(&chunk[..n]).and_then(|()| reader.get_mut().flush())?,
                }
            }
        }
        let tls = &reader.get_ref().conn;
        let body = serde_json::json!({
            "client": client,
            "sni": tls.server_name(),
            "connection": number,
            "resumed": tls.handshake_kind() == Some(HandshakeKind::Resumed),
        });
        let body = body.to_string();
        let stream = reader.get_mut();
        if path.as_deref() == Some("/cut") {
            // The content ends with the connection, and that without a word of TLS.
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{body}")?;
            return stream.flush();
        }
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        stream.flush()?;
    }
}

fn next_serial() -> u64 {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    NEXT.fetch_add(1, Ordering::SeqCst) as u64
}

fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().expect("certificates")
}

fn common_name(cert: &CertificateDer<'_>) -> String {
    use x509_parser::prelude::{FromDer, X509Certificate};
    let (_, cert) = X509Certificate::from_der(cert).expect("a certificate");
    cert.subject().iter_common_name().next().and_then(|cn| cn.as_str().ok()).unwrap_or_default().to_owned()
}

/// Takes every certificate, signed by these schemes.
#[derive(Debug)]
struct NoVerification(Vec<SignatureScheme>);

impl ServerCertVerifier for NoVerification {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            cert,
            signed,
            &aws_lc_rs::default_provider().signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            signed,
            &aws_lc_rs::default_provider().signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}
